//! `unsaid consumer`: agents, MCP servers, workflows and integrations, and what each of them gets.
use super::binding::{Bound, HOW, plain};
use super::output::{self, Table, at, items, line, note, when};
use super::place::Place;
use super::terminal::Terminal;
use super::value::nobody_to_ask;
use super::{Context, Session};
use crate::error::{Code, Error, Result, internal};
use crate::model::consumer::{BindingSource, ConsumerKind};
use crate::model::credential::Scope;
use crate::ops::credential::create::CreateCredential;
use crate::ops::credential::value::{Entry, Target, enter_many};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// The longest value that is typed, bytes.
const MOST: usize = 64 * 1024;

/// Administer what uses credentials: agents, MCP servers, workflows, integrations
#[derive(Args)]
#[command(after_help = "\
Examples:
  unsaid consumer add github --server github
  unsaid consumer add mine --bind MY_TOKEN -- npx -y my-mcp-server
  unsaid consumer set github                     enter what is missing
  unsaid consumer show github                    is everything there, and which value wins
  unsaid mcp github                              what an MCP client starts
  unsaid consumer add nightly --kind workflow --scope team:core --bind DB_URL=team_secret:DATABASE_URL
  unsaid run --consumer nightly -- ./nightly.sh")]
pub struct Consumer {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List consumers
    #[command(visible_alias = "ls")]
    List {
        /// agent, mcp_server, workflow or integration
        #[arg(long)]
        kind: Option<ConsumerKind>,
        /// Only of this stack
        #[arg(long)]
        stack: Option<String>,
        /// Only those bound to this credential
        #[arg(long, value_name = "NAME")]
        bound_to: Option<String>,
    },
    /// Show one, and whether everything it needs is there for you
    Show {
        /// Name or id
        consumer: String,
        /// For this person; for admins and auditors
        #[arg(long, value_name = "USER")]
        user: Option<String>,
    },
    /// Register one with what it gets
    #[command(after_help = HOW)]
    Add(Box<Add>),
    /// Change one: its name, description, stack, who runs it, its command
    Edit {
        /// Name or id
        consumer: String,
        #[arg(long)]
        new_name: Option<String>,
        #[arg(long)]
        description: Option<String>,
        /// Group of MCP servers; empty for none
        #[arg(long)]
        stack: Option<String>,
        /// Who alone may run it: logins and team:NAME; empty for everybody of its scope
        #[arg(long, value_name = "WHO,…", value_delimiter = ',')]
        run_by: Option<Vec<String>>,
        /// Where a remote one is
        #[arg(long)]
        url: Option<String>,
        /// Program and arguments
        #[arg(last = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Add or replace bindings; the others stay
    #[command(after_help = HOW)]
    Bind {
        /// Name or id
        consumer: String,
        #[arg(value_name = "BINDING")]
        bind: Vec<Bound>,
        /// Plain configuration, as LOG_LEVEL=debug. Repeatable
        #[arg(long, value_name = "VARIABLE=TEXT", value_parser = plain)]
        text: Vec<Bound>,
    },
    /// Remove bindings
    Unbind {
        /// Name or id
        consumer: String,
        #[arg(required = true, value_name = "VARIABLE")]
        variables: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Enter the values that are missing, or those of the named variables; all of them or none
    Set {
        /// Name or id
        consumer: String,
        #[arg(value_name = "VARIABLE")]
        variables: Vec<String>,
    },
    /// List the MCP servers that are known, with what each asks for
    Servers {
        /// Only those with this word
        text: Option<String>,
    },
    /// Remove one: its bindings, grants and tokens go, the credentials stay
    Rm {
        /// Name or id
        consumer: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Args)]
struct Add {
    /// As github
    name: String,
    /// A known MCP server, which fills the command and what it gets; see `unsaid consumer servers`
    #[arg(long, value_name = "ID")]
    server: Option<String>,
    /// agent, mcp_server (default), workflow or integration
    #[arg(long)]
    kind: Option<ConsumerKind>,
    /// Whose it is: personal (default), team:NAME or org
    #[arg(long, value_name = "PLACE")]
    scope: Option<Place>,
    #[arg(long)]
    description: Option<String>,
    /// Group of MCP servers
    #[arg(long)]
    stack: Option<String>,
    /// Who alone may run it: logins and team:NAME
    #[arg(long, value_name = "WHO,…", value_delimiter = ',')]
    run_by: Option<Vec<String>>,
    /// What it gets. Repeatable
    #[arg(long, value_name = "BINDING")]
    bind: Vec<Bound>,
    /// Plain configuration, as LOG_LEVEL=debug. Repeatable
    #[arg(long, value_name = "VARIABLE=TEXT", value_parser = plain)]
    text: Vec<Bound>,
    /// Where a remote one is
    #[arg(long)]
    url: Option<String>,
    /// Program and arguments
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

fn bindings(bind: Vec<Bound>, text: Vec<Bound>) -> Result<Value> {
    let all: Vec<_> = bind.into_iter().chain(text).map(|Bound(given)| given).collect();
    let mut all = serde_json::to_value(all).map_err(|e| internal("bindings are no JSON").because(e))?;
    for one in all.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        one.retain(|_, value| !value.is_null());
    }
    Ok(all)
}

/// Nothing where nothing was given.
fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

impl Consumer {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        match self.action {
            Action::List { kind, stack, bound_to } => {
                let mut rows: Vec<Value> = Vec::new();
                let mut cursor = Value::Null;
                loop {
                    let asked =
                        json!({ "kind": kind, "stack": stack, "bound_to": bound_to, "cursor": cursor });
                    let page = session.call("list_consumers", asked).await?;
                    rows.extend(items(&page, "/consumers").iter().cloned());
                    cursor = page["next_cursor"].clone();
                    if cursor.is_null() {
                        break;
                    }
                }
                cx.print(&json!({ "consumers": rows }), listed)
            }
            Action::Show { consumer, user } => {
                let asked = json!({ "consumer": consumer, "user": user });
                cx.print(&session.call("get_consumer", asked).await?, shown)
            }
            Action::Add(add) => {
                let place = add.scope.unwrap_or(Place { scope: Scope::Personal, team: None });
                let bindings = bindings(add.bind, add.text)?;
                let given = json!({
                    "name": add.name, "server": add.server, "kind": add.kind, "scope": place.scope, "team": place.team,
                    "description": add.description, "stack": add.stack, "run_by": add.run_by,
                    "bindings": bindings, "url": add.url, "command": some(add.command),
                });
                cx.print(&session.call("register_consumer", given).await?, |a| changed(a, "registered"))
            }
            Action::Edit { consumer, new_name, description, stack, run_by, url, command } => {
                let run_by =
                    run_by.map(|all| all.into_iter().filter(|one| !one.is_empty()).collect::<Vec<_>>());
                let given = json!({
                    "consumer": consumer, "new_name": new_name, "description": description, "stack": stack,
                    "run_by": run_by, "url": url, "command": some(command),
                });
                cx.print(&session.call("update_consumer", given).await?, |a| changed(a, "changed"))
            }
            Action::Bind { consumer, bind, text } => {
                let given = json!({ "consumer": consumer, "set_bindings": bindings(bind, text)? });
                cx.print(&session.call("update_consumer", given).await?, |a| changed(a, "changed"))
            }
            Action::Unbind { consumer, variables, yes } => {
                let given = json!({ "consumer": consumer, "remove_bindings": variables });
                let answer = session.call_with("update_consumer", given, yes).await?;
                cx.print(&answer, |a| changed(a, "changed"))
            }
            Action::Servers { text } => {
                let text = text.unwrap_or_default();
                let all = serde_json::to_value(session.app.servers.search(&text))
                    .map_err(|e| internal("the answer is no JSON").because(e))?;
                cx.print(&json!({ "servers": all }), servers)
            }
            Action::Set { consumer, variables } => set(cx, &session, &consumer, &variables).await,
            Action::Rm { consumer, yes } => {
                let answer =
                    session.call_with("remove_consumer", json!({ "consumer": consumer }), yes).await?;
                cx.print(&answer, |a| line(&at(a, "/message")))
            }
        }
    }
}

/// Asks for values and enters all of them or none, each where its binding looks for it.
async fn set(cx: &Context, session: &Session, consumer: &str, variables: &[String]) -> Result<()> {
    let detail = session.call("get_consumer", json!({ "consumer": consumer })).await?;
    let is_named = |b: &Value| variables.iter().any(|v| v.eq_ignore_ascii_case(&at(b, "/variable")));
    let checks = items(&detail, "/checks");
    if let Some(unknown) =
        variables.iter().find(|v| !checks.iter().any(|b| v.eq_ignore_ascii_case(&at(b, "/variable"))))
    {
        return Err(Error::new(
            Code::InvalidInput,
            format!("{} is bound to no {}", at(&detail, "/name"), crate::ops::reach::shown(unknown)),
        )
        .next(format!("Run `unsaid consumer show {consumer}` to see what it is bound to.")));
    }
    let terminal = Terminal::open().ok_or_else(nobody_to_ask)?;
    let mut entries = Vec::new();
    for b in checks {
        let source: Option<BindingSource> = at(b, "/source").parse().ok();
        let is_missing = matches!(at(b, "/state").as_str(), "missing" | "value_missing");
        let wanted = if variables.is_empty() { is_missing } else { is_named(b) };
        let name = at(b, "/credential");
        let scope = match source {
            Some(BindingSource::Auto | BindingSource::UserSecret) => Scope::Personal,
            Some(BindingSource::TeamSecret) => Scope::Team,
            Some(BindingSource::OrgSecret) => Scope::Org,
            _ if wanted && !variables.is_empty() => {
                note(&format!(
                    "{}: {}",
                    at(b, "/variable"),
                    "it takes no value here; bind or connect it instead"
                ));
                continue;
            }
            _ => continue,
        };
        if !wanted {
            continue;
        }
        let question = format!("{} ({name}, {scope}): ", at(b, "/variable"));
        let Some(value) = terminal.secret_or_nothing(&question, MOST)? else {
            note(&format!("{} is left as it is", at(b, "/variable")));
            continue;
        };
        // One that was made there without a value, as an assistant does, is filled.
        let is_empty = |c: &&Value| at(c, "/verdict") == "value_missing";
        let there = std::iter::once(b).map(|b| (b, "winner"));
        let there = there.chain(items(b, "/runners_up").iter().filter(is_empty).map(|c| (c, "id")));
        let mut ids = there.filter(|(c, _)| at(c, "/scope") == scope.to_string()).map(|(c, id)| &c[id]);
        let target = match ids.find_map(Value::as_str) {
            Some(id) => Target::Existing(id.to_owned()),
            None => Target::New(Box::new(CreateCredential {
                name,
                scope: Some(scope),
                team: (scope == Scope::Team).then(|| at(b, "/team")).filter(|team| !team.is_empty()),
                account: Some(at(b, "/account")).filter(|account| !account.is_empty()),
                environment: at(b, "/environment").parse().ok(),
                ..CreateCredential::default()
            })),
        };
        entries.push(Entry { target, values: vec![("value".to_owned(), value)], file_name: String::new() });
    }
    if entries.is_empty() {
        return Err(Error::new(Code::NothingToDo, "nothing was entered"));
    }
    let done = enter_many(&session.app, &session.caller, entries).await?;
    let after = session.call("get_consumer", json!({ "consumer": consumer })).await?;
    cx.print(&after, |after| {
        let mut text = line(&format!("{} values entered. {}", done.len(), at(after, "/message")));
        text.push_str(&nexts(after));
        text
    })
}

fn nexts(answer: &Value) -> String {
    items(answer, "/next")
        .iter()
        .filter_map(Value::as_str)
        .map(|next| line(&format!("next: {}", super::phrase::for_people(next))))
        .collect()
}

fn listed(answer: &Value) -> String {
    let mut table = Table::new(&["NAME", "KIND", "SCOPE", "OWNER", "STACK", "BINDINGS", "ID"]);
    for c in items(answer, "/consumers") {
        let bindings = c["bindings"].to_string();
        table.row([
            at(c, "/name"),
            at(c, "/kind"),
            at(c, "/scope"),
            at(c, "/owner"),
            at(c, "/stack"),
            bindings,
            at(c, "/id"),
        ]);
    }
    table.text(
        "There is no consumer. Register one with `unsaid consumer add NAME --bind VARIABLE -- COMMAND`.",
    )
}

fn servers(answer: &Value) -> String {
    let mut table = Table::new(&["ID", "NAME", "NEEDS", "WHAT IT IS"]);
    for one in items(answer, "/servers") {
        let own = if one["own"] == true { " (yours)" } else { "" };
        table.row([
            at(one, "/id"),
            format!("{}{own}", at(one, "/name")),
            at(one, "/required"),
            at(one, "/description"),
        ]);
    }
    table.text("No MCP server of that name is known.")
}

fn checks(answer: &Value) -> String {
    let mut table = Table::new(&["VARIABLE", "FROM", "BY", "STATE", "WHICH"]);
    for b in items(answer, "/checks") {
        let from = match at(b, "/source").as_str() {
            "static" => at(b, "/text"),
            source => format!("{source} {}", at(b, "/credential")),
        };
        let header = if b["source"] == "static" { String::new() } else { at(b, "/text") };
        let by = format!("{} {header}", at(b, "/delivery")).trim_end().to_owned();
        let optional = if b["required"] == true { "" } else { " (optional)" };
        table.row([at(b, "/variable"), from, by, format!("{}{optional}", at(b, "/state")), at(b, "/why")]);
    }
    table.text("It is bound to nothing, and gets nothing.")
}

fn shown(answer: &Value) -> String {
    let command: Vec<_> = items(answer, "/command").iter().filter_map(Value::as_str).collect();
    let run_by: Vec<_> = items(answer, "/run_by").iter().filter_map(Value::as_str).collect();
    let mut text = line(&at(answer, "/message"));
    text.push_str(&output::pairs(&[
        ("id", at(answer, "/id")),
        ("kind", at(answer, "/kind")),
        ("scope", format!("{} {}", at(answer, "/scope"), at(answer, "/owner")).trim().to_owned()),
        ("description", at(answer, "/description")),
        ("stack", at(answer, "/stack")),
        ("run by", run_by.join(", ")),
        ("command", command.join(" ")),
        ("url", at(answer, "/url")),
        ("last used", when(answer, "/last_used_at")),
    ]));
    text.push_str(&checks(answer));
    text.push_str(&nexts(answer));
    text
}

fn changed(answer: &Value, what: &str) -> String {
    let mut text =
        line(&format!("consumer {} {what} ({})", at(answer, "/consumer/name"), at(answer, "/consumer/id")));
    text.push_str(&checks(answer));
    text.push_str(&nexts(answer));
    text
}
