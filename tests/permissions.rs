//! Who may do what: the table of the product's rules, written by hand, against what the operations do (Z-01).
//!
//! The oracle is text that a person can check against PRODUCT.md §2. No line of it is computed from the code.
use crate::support::world::{FormYes, World};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use unsaid::error::{Code, Error, Kind};
use unsaid::ids::GrantId;
use unsaid::model::access::{Caller, Door, Grant, GranteeKind, Level};
use unsaid::model::canary::CanaryAlert;
use unsaid::model::event::Event;
use unsaid::model::token::Purpose;
use unsaid::ops::confirm::{Answer, Confirmer, Question};
use unsaid::ops::hand_over::{HandOver, hand_over};
use unsaid::ops::token::{NewToken, create};
use unsaid::ops::{Limits, Reply, Toolset, catalog, find_entry};

/// `✓` may, `✗` is refused and told so, `?` it does not exist for them, `·` no such case.
///
/// The people, a column each: an admin and an auditor of the org; owner, admin and member of team core; somebody who
/// owns team ops; a disabled owner of core; an admin of another org. The member is in team ops as well.
/// `bin` is restore and purge of a deleted one. A grant is to the person of the column.
const CREDENTIALS: &str = "
                        admin auditor owner t-admin member other disabled stranger
own personal, any grant
  know                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ·
  view                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ·
  use                     ✓      ✗      ✓      ✓      ✓      ✓      ✗      ·
  manage                  ✓      ✗      ✓      ✓      ✓      ✓      ✗      ·
  bin                     ✓      ✗      ✓      ✓      ✓      ✓      ✗      ·
another's personal, any grant
  know                    ?      ?      ?      ?      ?      ?      ✗      ?
  view                    ?      ?      ?      ?      ?      ?      ✗      ?
  use                     ?      ?      ?      ?      ?      ?      ✗      ?
  manage                  ?      ?      ?      ?      ?      ?      ✗      ?
  bin                     ?      ?      ?      ?      ?      ?      ✗      ?
core, no grant
  know                    ✓      ✓      ✓      ✓      ✓      ?      ✗      ?
  view                    ✓      ✓      ✓      ✓      ✗      ?      ✗      ?
  use                     ✗      ✗      ✓      ✓      ✓      ?      ✗      ?
  manage                  ✗      ✗      ✓      ✓      ✗      ?      ✗      ?
  bin                     ✗      ✗      ✓      ✓      ?      ?      ✗      ?
core, use
  know                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  view                    ✓      ✓      ✓      ✓      ✗      ✗      ✗      ?
  use                     ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
  manage                  ✗      ✗      ✓      ✓      ✗      ✗      ✗      ?
  bin                     ✗      ✗      ✓      ✓      ?      ?      ✗      ?
core, view
  know                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  view                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  use                     ✗      ✗      ✓      ✓      ✓      ✗      ✗      ?
  manage                  ✗      ✗      ✓      ✓      ✗      ✗      ✗      ?
  bin                     ✗      ✗      ✓      ✓      ✗      ✗      ✗      ?
core, manage
  know                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  view                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  use                     ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
  manage                  ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
  bin                     ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
ops, no grant
  know                    ✓      ✓      ?      ?      ✓      ✓      ✗      ?
  view                    ✓      ✓      ?      ?      ✗      ✓      ✗      ?
  use                     ✗      ✗      ?      ?      ✓      ✓      ✗      ?
  manage                  ✗      ✗      ?      ?      ✗      ✓      ✗      ?
  bin                     ✗      ✗      ?      ?      ?      ✓      ✗      ?
ops, use
  know                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  view                    ✓      ✓      ✗      ✗      ✗      ✓      ✗      ?
  use                     ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
  manage                  ✗      ✗      ✗      ✗      ✗      ✓      ✗      ?
  bin                     ✗      ✗      ?      ?      ?      ✓      ✗      ?
ops, view
  know                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  view                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  use                     ✗      ✗      ✗      ✗      ✓      ✓      ✗      ?
  manage                  ✗      ✗      ✗      ✗      ✗      ✓      ✗      ?
  bin                     ✗      ✗      ✗      ✗      ✗      ✓      ✗      ?
ops, manage
  know                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  view                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  use                     ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
  manage                  ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
  bin                     ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
org, no grant
  know                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  view                    ✓      ✓      ✗      ✗      ✗      ✗      ✗      ?
  use                     ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
  manage                  ✓      ✗      ✗      ✗      ✗      ✗      ✗      ?
  bin                     ✓      ✗      ?      ?      ?      ?      ✗      ?
org, use
  know                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  view                    ✓      ✓      ✗      ✗      ✗      ✗      ✗      ?
  use                     ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
  manage                  ✓      ✗      ✗      ✗      ✗      ✗      ✗      ?
  bin                     ✓      ✗      ?      ?      ?      ?      ✗      ?
org, view
  know                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  view                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  use                     ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
  manage                  ✓      ✗      ✗      ✗      ✗      ✗      ✗      ?
  bin                     ✓      ✗      ✗      ✗      ✗      ✗      ✗      ?
org, manage
  know                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  view                    ✓      ✓      ✓      ✓      ✓      ✓      ✗      ?
  use                     ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
  manage                  ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
  bin                     ✓      ✗      ✓      ✓      ✓      ✓      ✗      ?
";

/// What does not ask for one credential. A stranger names what belongs to the first org, or is in their own.
const REST: &str = "
                        admin auditor owner t-admin member other disabled stranger
  everybody               ✓      ✓      ✓      ✓      ✓      ✓      ✗      ✓
  read the log whole      ✓      ✓      ✗      ✗      ✗      ✗      ✗      ✓
  keep personal           ✓      ✗      ✓      ✓      ✓      ✓      ✗      ✓
  keep in core            ✗      ✗      ✓      ✓      ✗      ?      ✗      ?
  keep in ops             ✗      ✗      ?      ?      ✗      ✓      ✗      ?
  keep in the org         ✓      ✗      ✗      ✗      ✗      ✗      ✗      ✓
  govern the org          ✓      ✗      ✗      ✗      ✗      ✗      ✗      ✓
  govern this user        ✓      ✗      ✗      ✗      ✗      ✗      ✗      ?
  end another's token     ✓      ?      ?      ?      ?      ?      ✗      ?
  govern team core        ✓      ✗      ✗      ✗      ✗      ✗      ✗      ?
  members of core         ✓      ✗      ✓      ✓      ✗      ✗      ✗      ?
  make a provider         ✓      ✗      ✗      ✗      ✗      ✗      ✗      ✓
  change this provider    ✓      ✗      ✗      ✗      ✗      ✗      ✗      ?
  see core's consumer     ✓      ✓      ✓      ✓      ✓      ?      ✗      ?
  change core's consumer  ✗      ✗      ✓      ✓      ✗      ?      ✗      ?
  core's alert            ?      ?      ✓      ✓      ?      ?      ✗      ?
  another's consumer      ?      ?      ?      ?      ?      ?      ✗      ?
  an unknown finding      ?      ?      ?      ?      ?      ?      ✗      ?
  run core's consumer     ✗      ✗      ✓      ✓      ✓      ?      ✗      ?
  set when all are due    ✓      ✗      ✗      ✗      ✗      ✗      ✗      ✓
";

/// Every operation with the rows above that hold for it; `people` where no model may call it.
const OPERATIONS: &str = "
  get_credential          know
  get_rotation_guide      know     everybody
  search_audit_log        know     everybody
  get_usage               view
  explain_resolution      use      everybody
  update_credential       manage
  set_credential_value    manage
  mark_canary             manage   people
  acknowledge_canary      alert    people
  list_canaries           everybody  people
  connect_credential      manage
  disconnect_credential   manage
  refresh_credential      use
  test_credential         use
  delete_credential       manage
  share_credential        manage
  unshare_credential      manage
  restore_credential      bin
  purge_credential        bin      people
  lift_suspension         manage   people
  create_credential       keep
  list_credentials        everybody
  list_services           everybody
  get_service             everybody
  list_oauth_providers    everybody
  list_approvals          everybody
  get_policy              everybody
  whoami                  everybody
  list_users              everybody  people
  list_teams              everybody  people
  list_tokens             everybody  people
  revoke_token            end-token  people
  verify_audit_log        read
  set_policy              govern     people
  add_user                govern     people
  create_team             govern     people
  update_user             govern-user  people
  erase_user              govern-user  people
  delete_team             govern-team  people
  set_member              members    people
  remove_member           members    people
  create_oauth_provider   make-provider
  update_oauth_provider   change-provider
  delete_oauth_provider   change-provider
  list_consumers          everybody
  register_consumer       keep
  get_consumer            consumer
  update_consumer         consumer
  remove_consumer         consumer
  audit_credentials       know     everybody
  recommend_scope         everybody
  plan_offboarding        govern-user
  accept_finding          finding  people
  start_rotation          manage
  advance_rotation        manage
  abort_rotation          manage
  set_rotation_policy     manage   govern-due
  get_rotation            view
  list_rotations          everybody
  report_use              run-consumer  people
";

/// Of a canary of core.
const ALERT: &str = "the-alert";

const LOGINS: [&str; 8] = ["ada", "otto", "tess", "tom", "mia", "max", "dan", "stranger"];

/// A person who is asked, and says no: the permission was there, and nothing changes.
struct No;

impl Confirmer for No {
    fn form<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Answer> {
        Box::pin(async { Answer::No })
    }
    fn person<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Answer> {
        Box::pin(async { Answer::No })
    }
}

fn operations() -> BTreeMap<&'static str, Vec<&'static str>> {
    OPERATIONS
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            words.next().map(|name| (name, words.collect()))
        })
        .collect()
}

fn of_group(group: &str) -> Vec<&'static str> {
    operations().into_iter().filter(|(_, groups)| groups.contains(&group)).map(|(name, _)| name).collect()
}

/// The rows of a table: block, row, and a cell for each of [`LOGINS`].
fn rows(table: &'static str) -> Vec<(&'static str, &'static str, Vec<char>)> {
    let (mut block, mut found) = ("", Vec::new());
    for line in table.lines().skip(2) {
        let Some(at) = line.find(['✓', '✗', '?']) else {
            block = line;
            continue;
        };
        let cells: Vec<char> = line[at..].chars().filter(|c| !c.is_whitespace()).collect();
        assert_eq!(cells.len(), LOGINS.len(), "{line}");
        found.push((block, line[..at].trim(), cells));
    }
    found
}

struct House {
    w: World,
    fresh: std::cell::Cell<usize>,
    /// Pia's token.
    token: String,
}

impl House {
    async fn new() -> Self {
        let mut house = Self { w: World::new().await, fresh: std::cell::Cell::new(0), token: String::new() };
        for login in ["dan", "pia"] {
            house.govern("add_user", json!({"login": login})).await;
        }
        house.govern("set_member", json!({"team": "core", "user": "dan", "role": "owner"})).await;
        house.govern("update_user", json!({"user": "otto", "role": "member"})).await;
        for login in LOGINS.into_iter().filter(|l| *l != "stranger").chain(["pia"]) {
            house.add(&house.person(login).await, "personal", &format!("OWN_{}", login.to_uppercase())).await;
        }
        house.govern("update_user", json!({"user": "otto", "role": "auditor"})).await;
        for (place, keeper) in [("core", "tess"), ("ops", "max"), ("org", "ada")] {
            for grant in ["no grant", "use", "view", "manage"] {
                let name = format!("{place}_{}", grant.replace(' ', "_")).to_uppercase();
                house.add(&house.person(keeper).await, place, &name).await;
            }
        }
        house
            .govern(
                "create_oauth_provider",
                json!({"service": "github", "name": "the-provider", "client_id": "abc"}),
            )
            .await;
        let new = NewToken {
            label: "pia's".into(),
            user: None,
            purpose: Purpose::Mcp,
            toolsets: Vec::new(),
            consumer: None,
            read_only: false,
            is_assured: true,
            expires_at: None,
        };
        house.token = create(&house.w.app, &house.person("pia").await, new).await.unwrap().0.id.0;
        house.raise_alert().await;
        house.grant_to_all().await;
        for (keeper, name, place) in [("tess", "cores", "team"), ("pia", "pias", "personal")] {
            let mut arguments = json!({"name": name, "scope": place});
            if place == "team" {
                arguments["team"] = "core".into();
            }
            let keeper = house.person(keeper).await;
            house.w.call_with(&keeper, "register_consumer", arguments, &FormYes).await.unwrap();
        }
        house.govern("update_user", json!({"user": "dan", "disabled": true})).await;
        house
    }

    async fn govern(&self, name: &str, arguments: Value) {
        self.w.call_with(&self.w.person("ada"), name, arguments, &FormYes).await.unwrap();
    }

    /// A live one, and one in the bin.
    async fn add(&self, caller: &Caller, place: &str, name: &str) {
        self.w.add_as(caller, place, name, "words").await;
        let gone = format!("{name}_BIN");
        self.w.add_as(caller, place, &gone, "words").await;
        self.bin(caller, &gone).await;
    }

    async fn bin(&self, caller: &Caller, name: &str) {
        let arguments = json!({"credential": name, "reason": "a test"});
        self.w.call_with(caller, "delete_credential", arguments, &FormYes).await.unwrap();
    }

    async fn raise_alert(&self) {
        let of = self.all().await.into_iter().find(|c| c.name == "CORE_NO_GRANT").unwrap();
        let caller = self.w.person("mia");
        let mut alert = CanaryAlert {
            id: ALERT.into(),
            org_id: self.w.org.clone(),
            credential_id: of.id,
            user_id: caller.user.clone(),
            door: "cli".into(),
            client: String::new(),
            consumer: String::new(),
            how: "process".into(),
            place: String::new(),
            first_at: self.w.app.now(),
            last_at: self.w.app.now(),
            times: 1,
            acknowledged_at: None,
            acknowledged_by: None,
            revision: 0,
        };
        let raise = move |tx: &mut unsaid::store::Writer<'_>| {
            tx.insert(&mut alert)?;
            tx.record(Event::of("test"), ())
        };
        self.w.app.store.write(&caller, raise).await.unwrap();
    }

    /// Grant rows as the store would take them, on personal credentials and to a stranger too: there they give nothing.
    async fn grant_to_all(&self) {
        let mut wanted = Vec::new();
        for credential in self.all().await {
            let name = credential.name.trim_end_matches("_BIN");
            let level = match name.rsplit('_').next() {
                Some("USE") => Level::Use,
                Some("VIEW") => Level::View,
                Some("MANAGE") => Level::Manage,
                _ if name.starts_with("OWN_") => Level::Manage,
                _ => continue,
            };
            for login in LOGINS {
                wanted.push((credential.id.clone(), self.caller(login, Door::Cli).await.user, level));
            }
        }
        let org = self.w.org.clone();
        let caller = self.w.person("ada");
        self.w
            .app
            .store
            .write(&caller, move |tx| {
                for (credential_id, user, level) in wanted {
                    tx.insert(&mut Grant {
                        id: GrantId::fresh(),
                        org_id: org.clone(),
                        credential_id,
                        grantee_kind: GranteeKind::User,
                        grantee_id: user.0.clone(),
                        level,
                        created_at: tx.now(),
                        created_by: user,
                        revision: 0,
                    })?;
                }
                tx.record(Event::of("test"), ())
            })
            .await
            .unwrap();
    }

    async fn all(&self) -> Vec<unsaid::model::credential::Credential> {
        let org = self.w.org.clone();
        let one_org = [unsaid::store::Value::Text(org.0)];
        self.w.app.store.read(move |tx| tx.select("WHERE org_id = $1", &one_org)).await.unwrap()
    }

    async fn caller(&self, login: &str, door: Door) -> Caller {
        let mut caller = match login {
            "stranger" => self.w.stranger("ada"),
            login => {
                let (org, name) = (self.w.org.clone(), login.to_owned());
                let user = self.w.app.store.read(move |tx| tx.user_named(&org, &name)).await.unwrap();
                Caller::new(self.w.org.clone(), user.id, door)
            }
        };
        caller.door = door;
        caller
    }

    async fn person(&self, login: &str) -> Caller {
        self.caller(login, Door::Cli).await
    }

    fn fresh(&self) -> usize {
        self.fresh.set(self.fresh.get() + 1);
        self.fresh.get()
    }

    async fn try_it(&self, caller: &Caller, name: &str, arguments: Value) -> Result<Value, Error> {
        let entry = find_entry(name).unwrap();
        let arguments = arguments.as_object().cloned().unwrap();
        match unsaid::ops::call(&self.w.app, caller, entry, &Limits::default(), arguments, &No).await? {
            Reply::Done(value) => Ok(value),
            Reply::AskFirst(_) => panic!("{name} asks by itself"),
        }
    }

    /// What an operation that names a credential came to.
    async fn on_credential(&self, login: &str, operation: &str, wanted: &str, name: &str) -> char {
        let people = operations()[operation].contains(&"people");
        let caller = self.caller(login, if people { Door::Cli } else { Door::Stdio }).await;
        let n = self.fresh();
        let arguments = match operation {
            "explain_resolution" => json!({"name": name}),
            "update_credential" => json!({"credential": wanted, "description": format!("number {n}")}),
            "share_credential" => {
                json!({"credential": wanted, "user": "pia", "level": "use", "reason": "a test"})
            }
            "unshare_credential" => json!({"credential": wanted, "user": "pia"}),
            "advance_rotation" | "abort_rotation" | "get_rotation" => json!({"rotation": wanted}),
            "set_rotation_policy" => json!({"credential": wanted, "days": 1 + n % 3000}),
            "delete_credential" | "purge_credential" | "disconnect_credential" => {
                json!({"credential": wanted, "reason": "a test"})
            }
            _ => json!({"credential": wanted}),
        };
        let outcome = self.try_it(&caller, operation, arguments).await;
        if operation == "explain_resolution"
            && let Ok(told) = &outcome
        {
            let considered = told["considered"].as_array().unwrap();
            return match (told["winner"].is_string(), considered.is_empty()) {
                (true, _) => '✓',
                (false, false) => '✗',
                (false, true) => '?',
            };
        }
        if operation == "restore_credential" && outcome.is_ok() {
            // On the command line: what a model may remove in a time is limited.
            self.bin(&self.person(login).await, wanted).await;
        }
        sign(operation, &outcome)
    }
}

fn sign(operation: &str, outcome: &Result<Value, Error>) -> char {
    match outcome {
        Ok(_) => '✓',
        Err(e) => match e.code {
            // The right was there: a person was asked, or there was nothing to do.
            Code::Declined
            | Code::NothingToDo
            | Code::HasDependents
            | Code::GrantNotFound
            | Code::RotationOpen
            | Code::WrongStage => '✓',
            // What stands in the table is no connection; whoever hears so had the right.
            Code::InvalidInput
                if matches!(
                    operation,
                    "connect_credential" | "disconnect_credential" | "refresh_credential" | "test_credential"
                ) =>
            {
                '✓'
            }
            // Nobody shares what is personal; whoever hears so is its owner.
            Code::PolicyForbids if operation == "share_credential" => '✓',
            Code::NotAllowed => '✗',
            Code::PeopleOnly => 'p',
            _ if e.kind() == Kind::Missing => '?',
            _ => panic!("{operation}: {e:?}"),
        },
    }
}

#[test]
fn z_01_the_table_covers_every_operation() {
    let listed: BTreeSet<_> = operations().into_keys().collect();
    let there: BTreeSet<_> = catalog().iter().map(|entry| entry.name).collect();

    assert_eq!(listed, there, "every operation has a row in OPERATIONS, and every row an operation");
    for entry in catalog() {
        let is_tool = !operations()[entry.name].contains(&"people");
        let for_people = entry.toolset == Toolset::People;
        assert!(is_tool || for_people, "{} is for people and stands among the tools", entry.name);
        assert!(
            !for_people || !is_tool || matches!(entry.name, "list_approvals" | "get_policy"),
            "{} changes or tells what people alone may",
            entry.name
        );
    }
}

#[tokio::test]
async fn z_01_every_operation_on_a_credential_equals_the_table() {
    let house = House::new().await;
    let all = house.all().await;
    let (mut cells, mut wrong) = (0, Vec::new());

    for (block, group, row) in rows(CREDENTIALS) {
        let (place, grant) = block.split_once(", ").unwrap();
        for (login, expected) in LOGINS.into_iter().zip(row).filter(|(_, c)| *c != '·') {
            let name = match place {
                "own personal" => format!("OWN_{}", login.to_uppercase()),
                "another's personal" => "OWN_PIA".into(),
                place => format!("{place}_{}", grant.replace(' ', "_")).to_uppercase(),
            };
            let name = if group == "bin" { format!("{name}_BIN") } else { name };
            let id = all.iter().find(|c| c.name == name).unwrap().id.0.clone();
            for operation in of_group(group) {
                for wanted in [&id, &name] {
                    let found = house.on_credential(login, operation, wanted, &name).await;
                    cells += 1;
                    if found != expected {
                        wrong.push(format!("{block}: {operation} by {login}: {found}, not {expected}"));
                    }
                }
            }
            if group == "use" {
                let wanted = HandOver { names: vec![name.clone()], ..HandOver::default() };
                let handed = hand_over(&house.w.app, &house.person(login).await, wanted).await;
                let found = match &handed {
                    Ok(_) => '✓',
                    Err(e) if e.code == Code::NotAllowed => '✗',
                    Err(e) => {
                        assert_eq!(e.code, Code::Unresolved);
                        // Whether there is one that they may not use is no matter of a refused use.
                        if expected == '✓' { '?' } else { expected }
                    }
                };
                cells += 1;
                if found != expected {
                    wrong.push(format!("{block}: a use by {login}: {found}, not {expected}"));
                }
            }
        }
    }

    assert!(wrong.is_empty(), "{} of {cells} cells differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cells > 1000, "{cells}");
    assert!(house.w.chain_is_whole().await);
}

/// Operation and arguments of each row of [`REST`].
fn cases(row: &str, n: usize, w: &World, token: &str) -> Vec<(&'static str, Value)> {
    let (core, ops) = (w.team("core"), w.team("ops"));
    let keep = |scope: &str, team: Option<String>| {
        let mut arguments = json!({"name": format!("KEPT_{n}"), "scope": scope});
        if let Some(team) = team {
            arguments["team"] = team.into();
        }
        vec![("create_credential", arguments.clone()), ("register_consumer", arguments)]
    };
    let change = |name: &str| {
        let described = json!({"consumer": name, "description": format!("number {n}")});
        vec![("update_consumer", described), ("remove_consumer", json!({"consumer": name}))]
    };
    match row {
        "everybody" => of_group("everybody")
            .into_iter()
            .map(|name| {
                let arguments = match name {
                    "explain_resolution" | "recommend_scope" => json!({"name": "ANY_KEY"}),
                    "get_service" | "get_rotation_guide" => json!({"service": "github"}),
                    _ => json!({}),
                };
                (name, arguments)
            })
            .collect(),
        "read the log whole" => vec![("verify_audit_log", json!({}))],
        "keep personal" => keep("personal", None),
        "keep in core" => keep("team", Some(core)),
        "keep in ops" => keep("team", Some(ops)),
        "keep in the org" => keep("org", None),
        "govern the org" => vec![
            ("set_policy", json!({"bin_days": 30})),
            ("add_user", json!({"login": format!("new-{n}")})),
            ("create_team", json!({"name": format!("team {n}")})),
        ],
        "govern this user" => {
            let max = format!("user-{}-max", w.org);
            vec![
                ("update_user", json!({"user": max, "display_name": "MAX"})),
                ("erase_user", json!({"user": max})),
                ("plan_offboarding", json!({"user": max})),
            ]
        }
        "core's alert" => vec![("acknowledge_canary", json!({"alert": ALERT}))],
        "end another's token" => vec![("revoke_token", json!({"id": token}))],
        "govern team core" => vec![("delete_team", json!({"team": core}))],
        "members of core" => vec![
            ("set_member", json!({"team": core, "user": format!("user-{}-mia", w.org), "role": "member"})),
            ("remove_member", json!({"team": core, "user": "pia"})),
        ],
        "make a provider" => vec![(
            "create_oauth_provider",
            json!({"name": format!("provider-{n}"), "service": "github", "client_id": "abc"}),
        )],
        "change this provider" => vec![
            ("update_oauth_provider", json!({"provider": "the-provider", "client_id": format!("abc{n}")})),
            ("delete_oauth_provider", json!({"provider": "the-provider"})),
        ],
        "see core's consumer" => vec![("get_consumer", json!({"consumer": "cores"}))],
        "change core's consumer" => change("cores"),
        "an unknown finding" => vec![(
            "accept_finding",
            json!({"id": "aaaa", "reason": "a test", "until": "2026-07-01T00:00:00Z"}),
        )],
        "another's consumer" => {
            let mut all = change("pias");
            all.push(("get_consumer", json!({"consumer": "pias"})));
            all
        }
        "run core's consumer" => vec![("report_use", json!({"consumer": "cores", "outcome": "ok"}))],
        "set when all are due" => vec![("set_rotation_policy", json!({"days": 1 + n % 3000}))],
        row => panic!("there are no cases for {row}"),
    }
}

#[tokio::test]
async fn z_01_every_other_operation_equals_the_table() {
    let house = House::new().await;
    let (mut cells, mut wrong, mut seen) = (0, Vec::new(), BTreeSet::new());

    for (_, row, expected) in rows(REST) {
        for (login, expected) in LOGINS.into_iter().zip(expected) {
            for (operation, arguments) in cases(row, house.fresh(), &house.w, &house.token) {
                seen.insert(operation);
                let people = operations()[operation].contains(&"people");
                let door = if people { Door::Cli } else { Door::Stdio };
                let caller = house.caller(login, door).await;
                let found = sign(operation, &house.try_it(&caller, operation, arguments.clone()).await);
                cells += 1;
                if found != expected {
                    wrong.push(format!("{row}: {operation} by {login}: {found}, not {expected}"));
                }
                if people {
                    let behind_a_model = house.caller(login, Door::Stdio).await;
                    let found = sign(operation, &house.try_it(&behind_a_model, operation, arguments).await);
                    assert_eq!(found, 'p', "{operation} by {login} over stdio");
                }
            }
        }
    }
    let on_credentials: BTreeSet<_> =
        ["know", "view", "use", "manage", "bin"].into_iter().flat_map(of_group).collect();

    assert!(wrong.is_empty(), "{} of {cells} cells differ:\n{}", wrong.len(), wrong.join("\n"));
    for name in operations().into_keys() {
        assert!(seen.contains(name) || on_credentials.contains(name), "{name} was never tried");
    }
}

/// The answer with what was asked for taken out.
fn without(e: &Error, asked: &str) -> String {
    e.to_json().to_string().replace(asked, "…")
}

#[tokio::test]
async fn z_02_z_10_what_may_not_be_known_answers_like_what_does_not_exist() {
    let house = House::new().await;
    let (w, all) = (&house.w, house.all().await);
    let id_of = |name: &str| all.iter().find(|c| c.name == name).unwrap().id.0.clone();
    let nowhere = unsaid::ids::fresh();
    // Who may not know what, live or deleted.
    let hidden = [
        ("ada", "OWN_PIA"),
        ("otto", "OWN_PIA"),
        ("tess", "OWN_PIA_BIN"),
        ("max", "CORE_NO_GRANT"),
        ("max", "CORE_NO_GRANT_BIN"),
        ("mia", "ORG_NO_GRANT_BIN"),
        ("stranger", "ORG_NO_GRANT"),
        ("stranger", "ORG_MANAGE"),
        ("stranger", "OWN_ADA"),
    ];
    let mut compared = 0;

    for entry in catalog() {
        if !entry.input["properties"].as_object().unwrap().contains_key("credential") {
            continue;
        }
        let people = operations()[entry.name].contains(&"people");
        for (login, name) in hidden {
            let caller = house.caller(login, if people { Door::Cli } else { Door::Stdio }).await;
            let with = |wanted: &str| match entry.name {
                "update_credential" => json!({"credential": wanted, "description": "new words"}),
                "share_credential" => {
                    json!({"credential": wanted, "user": "pia", "level": "use", "reason": "a test"})
                }
                "unshare_credential" => json!({"credential": wanted, "user": "pia"}),
                "report_use" => json!({"consumer": "cores", "outcome": "ok", "credential": wanted}),
                "delete_credential" | "purge_credential" | "disconnect_credential" => {
                    json!({"credential": wanted, "reason": "a test"})
                }
                _ => json!({"credential": wanted}),
            };
            let unknown = house.try_it(&caller, entry.name, with(&nowhere)).await.unwrap_err();
            assert_eq!(unknown.code, Code::CredentialNotFound, "{}", entry.name);
            for wanted in [id_of(name), name.to_owned(), id_of(name).to_lowercase()] {
                let e = house.try_it(&caller, entry.name, with(&wanted)).await.unwrap_err();
                assert_eq!(
                    without(&e, &wanted),
                    without(&unknown, &nowhere),
                    "{} of {name} by {login}",
                    entry.name
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 200, "{compared}");

    // People, teams and providers of another org, named by id.
    let ada = w.caller("ada");
    let (foreign_user, foreign_team) =
        (format!("user-{}-ada", w.other_org), format!("team-{}-core", w.other_org));
    for (name, field) in [("share_credential", "user"), ("unshare_credential", "user")] {
        for (field, foreign) in [(field, &foreign_user), ("team", &foreign_team)] {
            let ask = |value: &str| {
                let mut a = json!({"credential": "ORG_NO_GRANT"});
                if name == "share_credential" {
                    a["level"] = "use".into();
                    a["reason"] = "a test".into();
                }
                a[field] = value.into();
                a
            };
            let absent = format!("{field}-nowhere-xyz");
            let e = house.try_it(&ada, name, ask(foreign)).await.unwrap_err();
            let unknown = house.try_it(&ada, name, ask(&absent)).await.unwrap_err();
            assert_eq!(without(&e, foreign), without(&unknown, &absent), "{name} {field}");
        }
    }
    let tess = w.caller("tess");
    let place = |team: &str| json!({"name": "NEW_KEY", "scope": "team", "team": team});
    let hidden = house.try_it(&tess, "create_credential", place("ops")).await.unwrap_err();
    let absent = house.try_it(&tess, "create_credential", place("nix")).await.unwrap_err();
    assert_eq!(hidden.to_json(), absent.to_json());
    let explain = |team: &str| json!({"name": "ANY_KEY", "team": team});
    let foreign = house.try_it(&tess, "explain_resolution", explain(&foreign_team)).await.unwrap_err();
    let absent = house.try_it(&tess, "explain_resolution", explain("nowhere")).await.unwrap_err();
    assert_eq!(without(&foreign, &foreign_team), without(&absent, "nowhere"));
    let by = |user: &str| json!({"user": user});
    let foreign = house.try_it(&ada, "search_audit_log", by(&foreign_user)).await.unwrap_err();
    let absent = house.try_it(&ada, "search_audit_log", by("nobody-here")).await.unwrap_err();
    assert_eq!(without(&foreign, &foreign_user), without(&absent, "nobody-here"));
}

#[tokio::test]
async fn z_05_z_16_lists_counts_resolutions_and_the_log_hold_nothing_hidden() {
    let w = World::new().await;
    let before: Vec<_> = snapshot(&w).await;

    w.add("mia", "personal", "HIDDEN_PERSONAL", "words").await;
    w.add("tess", "core", "HIDDEN_TEAM", "words").await;
    let foreign = w.stranger("ada");
    w.add_as(&Caller { door: Door::Cli, ..foreign }, "org", "HIDDEN_FOREIGN", "words").await;
    w.call_with(
        &w.caller("mia"),
        "delete_credential",
        json!({"credential": "HIDDEN_PERSONAL", "reason": "HIDDEN_REASON"}),
        &FormYes,
    )
    .await
    .unwrap();

    // max is in neither place: every answer is byte for byte what it was.
    assert_eq!(snapshot(&w).await, before);
}

/// Everything that max can ask without naming what he cannot know.
async fn snapshot(w: &World) -> Vec<String> {
    let max = w.caller("max");
    let mut answers = Vec::new();
    for (name, arguments) in [
        ("list_credentials", json!({"count": true})),
        ("list_credentials", json!({"count": true, "text": "hidden"})),
        ("list_credentials", json!({"team": "core"})),
        ("list_credentials", json!({"status": "deleted"})),
        ("explain_resolution", json!({"name": "HIDDEN_TEAM"})),
        ("explain_resolution", json!({"name": "HIDDEN_PERSONAL"})),
        ("explain_resolution", json!({"name": "HIDDEN_FOREIGN"})),
        ("search_audit_log", json!({})),
        ("search_audit_log", json!({"user": "mia"})),
        ("list_approvals", json!({"all": true})),
        ("whoami", json!({})),
    ] {
        let mut answer = w.call(&max, name, arguments).await.unwrap();
        if let Some(object) = answer.as_object_mut() {
            object.remove("server_version");
        }
        answers.push(format!("{name} {answer}"));
    }
    answers
}

#[tokio::test]
async fn z_07_m_21_a_request_of_somebody_else_does_not_exist() {
    use unsaid::ops::approval::{approve, decline, show};
    let w = World::new().await;
    w.add("tess", "core", "TEAM_KEY", "words").await;
    let share = json!({"credential": "TEAM_KEY", "user": "max", "level": "use", "reason": "a test"});
    let asked = w.refused(&w.caller("tess"), "share_credential", share).await;
    assert_eq!(asked.code, Code::ApprovalRequired);
    let id = asked.details().iter().find(|(name, _)| *name == "approval_id").unwrap().1.clone();
    let nowhere = unsaid::ids::fresh();

    let mut foreign = w.stranger("ada");
    foreign.door = Door::Cli;
    for other in [w.person("tom"), w.person("mia"), w.person("otto"), foreign] {
        for (real, absent) in [
            (show(&w.app, &other, &id).await.unwrap_err(), show(&w.app, &other, &nowhere).await.unwrap_err()),
            (
                approve(&w.app, &other, &id).await.unwrap_err(),
                approve(&w.app, &other, &nowhere).await.unwrap_err(),
            ),
            (
                decline(&w.app, &other, &id).await.unwrap_err(),
                decline(&w.app, &other, &nowhere).await.unwrap_err(),
            ),
        ] {
            assert_eq!(without(&real, &id), without(&absent, &nowhere));
            assert_eq!(real.code, Code::ApprovalNotFound);
        }
    }
    for model in [w.caller("tess"), w.caller("ada")] {
        assert_eq!(approve(&w.app, &model, &id).await.unwrap_err().code, Code::PeopleOnly);
    }
    let max = w.caller("max");
    assert_eq!(
        w.refused(&max, "get_credential", json!({"credential": "TEAM_KEY"})).await.code,
        Code::CredentialNotFound
    );
}

#[tokio::test]
async fn z_24_a_request_about_something_personal_is_its_owners_alone() {
    use unsaid::ops::approval::{approve, decline, show};
    let w = World::new().await;
    w.add("mia", "personal", "DIARY_KEY", "words").await;
    let delete = json!({"credential": "DIARY_KEY", "reason": "DIARY_REASON"});
    let mut asked = vec![w.refused(&w.caller("mia"), "delete_credential", delete).await];
    w.add("ada", "org", "SHARED_KEY", "words").await;
    asked.push(w.refused(&w.caller("mia"), "create_credential", json!({"name": "SHARED_KEY"})).await);

    for e in &asked {
        assert_eq!(e.code, Code::ApprovalRequired);
        let id = &e.details().iter().find(|(name, _)| *name == "approval_id").unwrap().1;
        for other in ["ada", "otto"] {
            let listed =
                w.call(&w.caller(other), "list_approvals", json!({"all": true})).await.unwrap().to_string();
            assert!(!listed.contains("DIARY") && !listed.contains(id.as_str()), "{other}: {listed}");
            let log = w.call(&w.caller(other), "search_audit_log", json!({})).await.unwrap().to_string();
            assert!(!log.contains("DIARY"), "{other}: {log}");
            let person = w.person(other);
            for refused in [
                show(&w.app, &person, id).await.map(drop).unwrap_err(),
                approve(&w.app, &person, id).await.map(drop).unwrap_err(),
                decline(&w.app, &person, id).await.unwrap_err(),
            ] {
                assert_eq!(refused.code, Code::ApprovalNotFound, "{other}");
            }
        }
        assert!(show(&w.app, &w.person("mia"), id).await.is_ok());
        approve(&w.app, &w.person("mia"), id).await.unwrap();
    }
    assert!(w.chain_is_whole().await);
}

#[tokio::test]
async fn z_07_cursors_and_idempotency_keys_give_nothing_to_another_principal() {
    let w = World::new().await;
    for n in 0..3 {
        w.add("tess", "core", &format!("TEAM_KEY_{n}"), "words").await;
        w.add("ada", "org", &format!("ORG_KEY_{n}"), "words").await;
    }
    let first =
        w.call(&w.caller("tess"), "list_credentials", json!({"limit": 1, "text": "TEAM_KEY"})).await.unwrap();
    let cursor = first["next_cursor"].as_str().unwrap();
    for other in [w.caller("max"), w.stranger("ada")] {
        let page = w.call(&other, "list_credentials", json!({"cursor": cursor})).await.unwrap().to_string();
        assert!(!page.contains("TEAM_KEY_"), "{page}");
    }

    let ask = json!({"name": "KEYED_KEY", "idempotency_key": "once-1"});
    let made = w.call(&w.caller("mia"), "create_credential", ask.clone()).await.unwrap();
    assert_eq!(w.call(&w.caller("mia"), "create_credential", ask.clone()).await.unwrap(), made);
    for other in [w.caller("max"), w.caller("ada"), w.stranger("mia")] {
        let theirs = w.call(&other, "create_credential", ask.clone()).await.unwrap();
        assert_ne!(theirs["id"], made["id"]);
    }
}

#[tokio::test]
async fn z_31_a_disabled_user_gets_no_kept_answer_either() {
    let w = World::new().await;
    let ask = json!({"name": "KEYED_KEY", "idempotency_key": "once-1"});
    w.call(&w.caller("mia"), "create_credential", ask.clone()).await.unwrap();

    w.call(&w.person("ada"), "update_user", json!({"user": "mia", "disabled": true})).await.unwrap();

    assert_eq!(w.refused(&w.caller("mia"), "create_credential", ask).await.code, Code::NotAllowed);
}

#[tokio::test]
async fn z_23_nobody_hands_on_more_than_they_have() {
    let w = World::new().await;
    w.add("tess", "core", "TEAM_KEY", "words").await;
    let share =
        |level: &str| json!({"credential": "TEAM_KEY", "user": "max", "level": level, "reason": "a test"});

    for level in ["use", "view", "manage"] {
        let e = w.refused(&w.caller("mia"), "share_credential", share(level)).await;
        assert_eq!(e.code, Code::NotAllowed, "{level}");
    }
    assert_eq!(
        w.refused(&w.caller("tess"), "share_credential", share("manage")).await.code,
        Code::ApprovalRequired
    );
}
