//! `unsaid consumer`: agents, MCP servers, workflows and integrations, and what each of them gets.
use super::binding::{Bound, HOW, plain};
use super::output::{self, Table, at, items, line, when};
use super::place::Place;
use super::{Context, consumer_set};
use crate::error::{Result, internal};
use crate::model::consumer::ConsumerKind;
use crate::model::credential::Scope;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Administer what uses credentials: agents, MCP servers, workflows, integrations
#[derive(Args)]
#[command(after_help = "\
Examples:
  unsaid consumer servers git                    the MCP servers that are known
  unsaid consumer server github                  what one of them takes, and where that is found
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
    /// Show what is known of one of them: every value it takes, and where that is found
    Server {
        /// Its id, as `unsaid consumer servers` lists it
        id: String,
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
            Action::Server { id } => {
                let definition = session.app.servers.definition(&id)?;
                let all = serde_json::to_value(&*definition)
                    .map_err(|e| internal("the answer is no JSON").because(e))?;
                cx.print(&all, server)
            }
            Action::Set { consumer, variables } => {
                consumer_set::run(cx, &session, &consumer, &variables).await
            }
            Action::Rm { consumer, yes } => {
                let answer =
                    session.call_with("remove_consumer", json!({ "consumer": consumer }), yes).await?;
                cx.print(&answer, |a| line(&at(a, "/message")))
            }
        }
    }
}

pub fn nexts(answer: &Value) -> String {
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
        let argument = if one["argument_only"] == true { " (an argument: cannot be registered)" } else { "" };
        table.row([
            at(one, "/id"),
            format!("{}{own}", at(one, "/name")),
            format!("{}{argument}", at(one, "/required")),
            at(one, "/description"),
        ]);
    }
    table.text("No MCP server of that name is known.")
}

fn server(answer: &Value) -> String {
    let words =
        |list: &str| items(answer, list).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
    let command = format!("{} {}", at(answer, "/transport/command"), words("/transport/args"));
    let mut text = line(&format!("{}: {}", at(answer, "/name"), at(answer, "/description")));
    text.push_str(&output::pairs(&[
        ("id", at(answer, "/id")),
        ("command", command.trim().to_owned()),
        ("url", at(answer, "/transport/url")),
        ("docs", at(answer, "/docs_url")),
        ("notes", at(answer, "/notes")),
        ("checked", at(answer, "/checked")),
    ]));
    let mut table =
        Table::new(&["VALUE", "WHAT", "TYPE", "SECRET", "NEEDED", "GOES INTO", "WHERE IT IS FOUND"]);
    for field in items(answer, "/fields") {
        let yes = |key: &str| if field[key] == true { "yes".to_owned() } else { String::new() };
        let into = match at(field, "/in").as_str() {
            "header" => format!("header {}", at(field, "/id")),
            "arg" => "argument".to_owned(),
            _ => "env".to_owned(),
        };
        let variable = Some(at(field, "/variable")).filter(|v| !v.is_empty()).unwrap_or(at(field, "/id"));
        let without = match at(field, "/default") {
            text if text.is_empty() => at(field, "/help"),
            text => format!("{} without it: {text}", at(field, "/help")).trim().to_owned(),
        };
        let row = [
            variable,
            at(field, "/label"),
            at(field, "/type"),
            yes("secret"),
            yes("required"),
            into,
            without,
        ];
        table.row(row);
    }
    text.push_str(&table.text("It takes no value."));
    text
}

fn checks(answer: &Value) -> String {
    let mut table = Table::new(&["VARIABLE", "FROM", "BY", "STATE", "WHICH"]);
    for b in items(answer, "/checks") {
        let from = match at(b, "/source").as_str() {
            "static" => at(b, "/text"),
            source => format!("{source} {}", at(b, "/credential")),
        };
        let header = if b["source"] == "static" { String::new() } else { at(b, "/text") };
        let to = match at(b, "/service") {
            service if service.is_empty() => String::new(),
            service => format!("to {service}"),
        };
        let parts = [at(b, "/delivery"), header, to, at(b, "/methods"), at(b, "/paths")];
        let by = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
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
    text.push_str(&abouts(answer));
    text.push_str(&nexts(answer));
    text
}

/// What is missing or unset, and where it is found, as the server's definition says.
fn abouts(answer: &Value) -> String {
    let told = |one: &Value| match at(one, "/about") {
        about if about.is_empty() => String::new(),
        about => line(&format!("{} ({})", at(one, "/variable"), about.trim_end_matches('.'))),
    };
    items(answer, "/checks").iter().chain(items(answer, "/unset")).map(told).collect()
}

fn changed(answer: &Value, what: &str) -> String {
    let mut text =
        line(&format!("consumer {} {what} ({})", at(answer, "/consumer/name"), at(answer, "/consumer/id")));
    text.push_str(&checks(answer));
    text.push_str(&nexts(answer));
    text
}
