//! `unsaid rotate NAME`: a person is led through a rotation, one step at a time, and can stop after each.
use super::output::{self, Table, at, items, line, pairs, when};
use super::phrase::for_people;
use super::terminal::Terminal;
use super::value::Given;
use super::{Context, Session, set};
use crate::error::{Code, Result, invalid};
use crate::model::rotation::{RotationStage, Step};
use clap::Args;
use serde_json::{Value, json};

/// Replace a value step by step, with a way back
#[derive(Args)]
#[command(after_help = "\
The old value is served until the new one is promoted, and kept until the rotation is closed. Run the same command again to go
on, whoever began it. Without a terminal it begins, and then does the step that --step names.

Examples:
  unsaid rotate GITHUB_TOKEN               begin, or go on
  unsaid rotate GITHUB_TOKEN --status      who has the new one, and how it did
  unsaid rotate GITHUB_TOKEN --abort       serve the old one again
  unsaid rotate --list
  unsaid rotate --user max                 plan everything that max could use: a leaver, a leaked laptop
  unsaid rotate --only A,B                 plan these together
  unsaid rotate --policy 90 --service github")]
pub struct Rotate {
    /// Name or id of a credential, or the id of a rotation
    name: Option<String>,
    #[command(flatten)]
    given: Given,
    /// Show where it stands
    #[arg(long, requires = "name", conflicts_with_all = ["abort", "step"])]
    status: bool,
    /// End it, and serve the old value
    #[arg(long, requires = "name", conflicts_with = "step")]
    abort: bool,
    /// Do this step alone: enter, make, verify, promote, confirm, revoke_old, close or roll_back
    #[arg(long, value_name = "STEP", requires = "name")]
    step: Option<Step>,
    /// List rotations; with --all those that are over too
    #[arg(long, conflicts_with = "name")]
    list: bool,
    /// With --list: those that are over too
    #[arg(long, requires = "list")]
    all: bool,
    /// With --list: those of a campaign, the riskiest first
    #[arg(long, value_name = "ID", requires = "list")]
    campaign: Option<String>,
    /// Say after how many days a value is due: of NAME, of --service, or of the whole org. 0: never; none: as the wider policy
    /// says; advised: as the catalogue advises (of the org for each service; unadvised ends that)
    #[arg(long, value_name = "DAYS")]
    policy: Option<String>,
    /// Plan a rotation of everything of a service; with --policy: whose policy it is
    #[arg(long, conflicts_with = "name")]
    service: Option<String>,
    /// Plan a rotation of everything that this user could use
    #[arg(long, value_name = "LOGIN", conflicts_with_all = ["name", "service"])]
    user: Option<String>,
    /// Plan a rotation of everything that is due
    #[arg(long, conflicts_with_all = ["name", "service", "user"])]
    overdue: bool,
    /// Plan a rotation of these credentials, by name or id
    #[arg(long, value_name = "A,B", value_delimiter = ',', conflicts_with_all = ["name", "service", "user", "overdue"])]
    only: Vec<String>,
    /// Why, for the audit log
    #[arg(long)]
    reason: Option<String>,
}

impl Rotate {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let reason = self.reason.as_deref();
        if let Some(days) = &self.policy {
            let is_none = || invalid("--policy is a number of days, advised, unadvised or none");
            let (days, advised) = match days.as_str() {
                "none" => (None, None),
                "advised" => (None, Some(true)),
                "unadvised" => (None, Some(false)),
                days => (Some(days.parse::<i64>().map_err(|_| is_none())?), None),
            };
            let wanted = json!({
                "credential": self.name, "service": self.service, "days": days, "advised": advised,
            });
            return cx.print(&session.call("set_rotation_policy", wanted).await?, policy_told);
        }
        if self.list {
            let wanted =
                json!({ "open": (!self.all).then_some(true), "campaign": self.campaign, "limit": 50 });
            return cx.print(&session.call("list_rotations", wanted).await?, list_told);
        }
        let Some(name) = &self.name else {
            let overdue = self.overdue.then_some(true);
            if self.user.is_none() && self.service.is_none() && overdue.is_none() && self.only.is_empty() {
                return Err(invalid("name a credential")
                    .next("Name one, or say --list, --only, --user, --service or --overdue."));
            }
            let wanted = json!({
                "user": self.user, "service": self.service, "overdue": overdue, "reason": reason,
                "credentials": (!self.only.is_empty()).then_some(&self.only),
            });
            return cx.print(&session.call("start_rotation", wanted).await?, started_told);
        };
        if self.status {
            let found = session.call("get_rotation", json!({ "rotation": name })).await?;
            return cx.print(&found, detail_told);
        }
        let is_given = self.given.stdin || self.given.file.is_some();
        if is_given && (self.status || self.abort || self.step.is_some_and(|step| step != Step::Enter)) {
            return Err(invalid("nothing takes the value that is given").next(
                "Leave --stdin and --file out, or give it with --step enter, or with no step at all.",
            ));
        }
        if self.abort {
            let wanted = json!({ "rotation": name, "reason": reason });
            return cx.print(&session.call("abort_rotation", wanted).await?, step_told);
        }
        if let Some(step) = self.step {
            let wanted = json!({ "rotation": name, "step": step, "reason": reason });
            let done = session.call("advance_rotation", wanted).await?;
            if step == Step::Enter && is_given && done["rotation"]["way"] != "reconnect" {
                let told =
                    set::enter_for(&session, &at(&done, "/rotation/credential_id"), self.given).await?;
                output::note(told.trim_end());
            }
            return cx.print(&done, step_told);
        }
        let id = self.begin(&session, name).await?;
        match Terminal::open().filter(|_| !cx.json && !self.given.stdin && self.given.file.is_none()) {
            Some(terminal) => lead(&session, &terminal, &id).await,
            None => self.without_terminal(cx, &session, &id).await,
        }
    }

    /// The rotation that is under way, or a new one.
    async fn begin(&self, session: &Session, name: &str) -> Result<String> {
        match session.call("get_rotation", json!({ "rotation": name })).await {
            Ok(found) if !found["next_step"].is_null() => return Ok(at(&found, "/id")),
            Ok(_) => {}
            Err(e) if e.code == Code::NothingToDo => {}
            Err(e) => return Err(e),
        }
        let wanted = json!({ "credential": name, "reason": self.reason });
        Ok(at(&session.call("start_rotation", wanted).await?, "/rotation/id"))
    }

    /// A value that is given is entered; then it says where it stands.
    async fn without_terminal(self, cx: &Context, session: &Session, id: &str) -> Result<()> {
        let found = session.call("get_rotation", json!({ "rotation": id })).await?;
        let is_given = self.given.stdin || self.given.file.is_some();
        if is_given && found["way"] != "reconnect" {
            if found["stage"] == "planned" {
                session.call("advance_rotation", json!({ "rotation": id, "step": Step::Enter })).await?;
            }
            output::note(
                set::enter_for(session, &at(&found, "/credential_id"), self.given).await?.trim_end(),
            );
        }
        let found = session.call("get_rotation", json!({ "rotation": id })).await?;
        cx.print(&found, detail_told)
    }
}

/// One step after another, until the person wants no more of them or has something to do elsewhere.
async fn lead(session: &Session, terminal: &Terminal, id: &str) -> Result<()> {
    loop {
        let found = session.call("get_rotation", json!({ "rotation": id })).await?;
        terminal.tell(&short_told(&found));
        let stage: RotationStage = serde_json::from_value(found["stage"].clone())
            .map_err(|_| crate::error::internal("a rotation is at a stage there is not"))?;
        let advance = |step: Step, reason: Option<String>| {
            session.call("advance_rotation", json!({ "rotation": id, "step": step, "reason": reason }))
        };
        let answer = match stage {
            RotationStage::Planned => advance(Step::Enter, None).await?,
            RotationStage::AwaitingValue if found["way"] == "reconnect" => {
                if !terminal.agrees("Is it connected again?")? {
                    return stopped(terminal);
                }
                advance(Step::Verify, None).await?
            }
            RotationStage::AwaitingValue
                if found["next_step"] == "make"
                    && terminal.agrees("Have its driver make the new value now?")? =>
            {
                advance(Step::Make, None).await?
            }
            RotationStage::AwaitingValue => {
                if !terminal.agrees("Do you have the new value?")? {
                    return stopped(terminal);
                }
                let told = set::enter_for(session, &at(&found, "/credential_id"), Given::default()).await?;
                terminal.tell(&told);
                continue;
            }
            RotationStage::Staged if found["tested"] == "untested" => advance(Step::Verify, None).await?,
            RotationStage::Staged => {
                if found["tested"] != "could_not_check" && found["tested"] != "limited" {
                    if !terminal.agrees("Enter another new value?")? {
                        return stopped(terminal);
                    }
                    let told =
                        set::enter_for(session, &at(&found, "/credential_id"), Given::default()).await?;
                    terminal.tell(&told);
                    continue;
                }
                if !terminal.agrees("Serve it all the same?")? {
                    return stopped(terminal);
                }
                advance(Step::Promote, None).await?
            }
            RotationStage::Verified => {
                if !terminal.agrees("Serve the new value now?")? {
                    return stopped(terminal);
                }
                advance(Step::Promote, None).await?
            }
            RotationStage::Promoted if found["is_confirmed"] == true => advance(Step::Confirm, None).await?,
            RotationStage::Promoted => {
                terminal.tell(&consumers_told(&found));
                let why = terminal.answer("How do you know that it works? (empty: look again later)")?;
                if why.trim().is_empty() {
                    return stopped(terminal);
                }
                advance(Step::Confirm, Some(why)).await?
            }
            RotationStage::Confirmed => {
                if !terminal.agrees("Has the old value been ended at its service, or may it be?")? {
                    return stopped(terminal);
                }
                let answer = advance(Step::RevokeOld, None).await?;
                if answer["rotation"]["stage"] == "confirmed" {
                    terminal.tell(&line(&at(&answer, "/done")));
                    let why =
                        terminal.answer("How do you know that it is dead? (empty: look again later)")?;
                    if why.trim().is_empty() {
                        return stopped(terminal);
                    }
                    advance(Step::RevokeOld, Some(why)).await?
                } else {
                    answer
                }
            }
            RotationStage::OldRevoked => advance(Step::Close, None).await?,
            RotationStage::Closed | RotationStage::Aborted | RotationStage::RolledBack => return Ok(()),
        };
        terminal.tell(&line(&at(&answer, "/done")));
        if answer["rotation"]["stage"] == "closed" {
            return Ok(());
        }
    }
}

fn stopped(terminal: &Terminal) -> Result<()> {
    terminal.tell("Nothing is lost: run the same command to go on.\n");
    Ok(())
}

fn short_told(found: &Value) -> String {
    let mut text = line(&format!("{}: {}", at(found, "/credential"), at(found, "/stage").replace('_', " ")));
    text.push_str(&line(&at(found, "/trouble")));
    text.push_str(&line(&for_people(&at(found, "/next"))));
    text
}

fn consumers_told(found: &Value) -> String {
    let mut table = Table::new(&["CONSUMER", "VARIABLES", "STATE", "HANDED", "SAID BY"]);
    for one in items(found, "/consumers") {
        table.row([
            at(one, "/consumer"),
            at(one, "/variables"),
            at(one, "/state"),
            when(one, "/handed_at"),
            at(one, "/said_by"),
        ]);
    }
    table.text("No consumer is bound to it.")
}

fn detail_told(found: &Value) -> String {
    let mut text = pairs(&[
        ("rotation", at(found, "/id")),
        ("credential", at(found, "/credential")),
        ("stage", at(found, "/stage").replace('_', " ")),
        ("way", at(found, "/way").replace('_', " ")),
        ("tested", at(found, "/tested").replace('_', " ")),
        ("owner", at(found, "/owner")),
        ("started", when(found, "/started_at")),
        ("until", when(found, "/until")),
        ("trouble", at(found, "/trouble")),
        ("not known", at(found, "/unknown_calls")),
        ("next", for_people(&at(found, "/next"))),
    ]);
    text.push('\n');
    text.push_str(&consumers_told(found));
    text.push('\n');
    for one in items(found, "/log") {
        text.push_str(&line(one.as_str().unwrap_or_default()));
    }
    text
}

fn step_told(answer: &Value) -> String {
    line(&at(answer, "/done")) + &line(&for_people(&at(answer, "/next")))
}

fn started_told(answer: &Value) -> String {
    let mut text = line(&format!(
        "planned {} rotations, campaign {}",
        at(answer, "/campaign/total"),
        at(answer, "/campaign/id")
    ));
    for one in items(answer, "/skipped") {
        text.push_str(&line(&format!("  not taken in: {}", one.as_str().unwrap_or_default())));
    }
    text.push_str(&line(&for_people(&at(answer, "/next"))));
    text + &line(&format!("progress: unsaid rotate --list --campaign {}", at(answer, "/campaign/id")))
}

fn list_told(answer: &Value) -> String {
    let mut text = String::new();
    if answer["campaign"].is_object() {
        text.push_str(&line(&format!(
            "{}: {} of {} done",
            at(answer, "/campaign/about"),
            at(answer, "/campaign/done"),
            at(answer, "/campaign/total")
        )));
    }
    let mut table = Table::new(&["ID", "CREDENTIAL", "SCOPE", "STAGE", "OWNER", "CHANGED", "TROUBLE"]);
    for one in items(answer, "/rotations") {
        table.row([
            at(one, "/id"),
            at(one, "/credential"),
            at(one, "/scope"),
            at(one, "/stage").replace('_', " "),
            at(one, "/owner"),
            when(one, "/changed_at"),
            at(one, "/trouble"),
        ]);
    }
    text.push_str(&table.text("Nothing is being rotated."));
    for policy in items(answer, "/policies") {
        let policy = policy.as_str().unwrap_or_default();
        let days = if policy.ends_with(|last: char| last.is_ascii_digit()) { " days" } else { "" };
        text.push_str(&line(&format!("policy: {policy}{days}")));
    }
    text
}

fn policy_told(answer: &Value) -> String {
    if let Some(count) = answer["advised"].as_u64() {
        return line(&format!("values of {count} services are due as the catalogue advises for each"));
    }
    let after = match at(answer, "/due_after_days") {
        days if days.is_empty() => "never due by a policy of its own".to_owned(),
        days => format!("due after {days} days"),
    };
    line(&format!("{} {}: values are {after}", at(answer, "/of"), at(answer, "/name")).replace("  ", " "))
}
