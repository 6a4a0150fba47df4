//! `unsaid consumer set`: the values of one consumer, all of them or none.
use super::consumer::nexts;
use super::output::{at, items, line, note};
use super::terminal::{Terminal, needs_terminal};
use super::{Context, Session};
use crate::error::{Code, Error, Result};
use crate::model::consumer::BindingSource;
use crate::model::credential::Scope;
use crate::ops::credential::create::CreateCredential;
use crate::ops::credential::value::{Entry, Target, enter_many};
use crate::telemetry::escaped;
use serde_json::{Value, json};

/// The longest value that is typed, bytes.
const MOST: usize = 64 * 1024;

fn nobody() -> Error {
    needs_terminal("there is no terminal to enter the values on")
        .next("Run this in a terminal of your own, or enter them one by one with `unsaid set NAME --stdin`.")
}

/// What to do about a variable that is asked for and bound to nothing.
fn how_to_bind(session: &Session, detail: &Value, variable: &str) -> String {
    let consumer = at(detail, "/name");
    let definition = session.app.servers.find(&at(detail, "/server"));
    let mut fields = definition.iter().flat_map(|definition| &definition.fields);
    match fields.find(|field| field.credential_name().eq_ignore_ascii_case(variable)) {
        Some(field) if !field.secret => format!(
            "It is plain configuration: `unsaid consumer bind {consumer} --text {}=…`.",
            field.credential_name()
        ),
        Some(field) => {
            format!("Bind it first: `unsaid consumer bind {consumer} {}`.", field.credential_name())
        }
        None => format!("Run `unsaid consumer show {consumer}` to see what it is bound to."),
    }
}

/// Asks for values and enters all of them or none, each where its binding looks for it.
pub async fn run(cx: &Context, session: &Session, consumer: &str, variables: &[String]) -> Result<()> {
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
        .next(how_to_bind(session, &detail, unknown)));
    }
    let is_lacking = |b: &Value| matches!(at(b, "/state").as_str(), "missing" | "value_missing");
    if variables.is_empty() && !checks.iter().any(is_lacking) {
        return cx.print(&detail, |detail| {
            line(&format!("Nothing is missing. {}", at(detail, "/message"))) + &nexts(detail)
        });
    }
    let terminal = Terminal::open().ok_or_else(nobody)?;
    let definition = session.app.servers.find(&at(&detail, "/server"));
    let mut entries = Vec::new();
    for b in checks {
        let source: Option<BindingSource> = at(b, "/source").parse().ok();
        let wanted = if variables.is_empty() { is_lacking(b) } else { is_named(b) };
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
        let fields = definition.iter().flat_map(|definition| &definition.fields);
        if let Some(field) = fields.into_iter().find(|f| f.credential_name() == at(b, "/variable")) {
            let help = field.help.as_deref().unwrap_or_default();
            let told = format!("{}{}{help}", field.label, if help.is_empty() { "" } else { ": " });
            terminal.tell(&format!("{}\n", escaped(&told)));
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
