//! An attacker edits the database file with a tool of their own. Every edit meets a named error and leaves an event; none
//! ever yields another row's value or another right.
use crate::support::world::{FormYes, PersonYes, World};
use rusqlite::{Connection, Params};
use serde_json::json;
use unsaid::app::App;
use unsaid::error::{Code, Error};
use unsaid::model::access::{Caller, Door};
use unsaid::model::credential::{CredentialType, Scope};
use unsaid::model::token::Purpose;
use unsaid::ops::credential::create::CreateCredential;
use unsaid::ops::credential::value::{Target, enter_value};
use unsaid::ops::hand_over::{HandOver, hand_over, hand_over_to};
use unsaid::ops::token::{NewToken, Shown, create, verify};
use unsaid::secret::SecretBytes;

/// The attacker: the same file, without any key.
fn attacker(w: &World) -> Connection {
    Connection::open(w.app.config.places.database()).unwrap()
}

/// One statement of the attacker's; it must change something.
fn edit(w: &World, sql: &str, params: impl Params) {
    assert!(attacker(w).execute(sql, params).unwrap() > 0, "nothing was changed by {sql}");
}

async fn values(w: &World, caller: &Caller, name: &str) -> Result<Vec<Vec<u8>>, Error> {
    let wanted = HandOver { names: vec![name.into()], command: "true".into(), ..HandOver::default() };
    let handed = hand_over(&w.app, caller, wanted).await?;
    Ok(handed.iter().map(|h| h.value.expose(<[u8]>::to_vec)).collect())
}

fn is_named(e: &Error) -> bool {
    matches!(e.code, Code::Integrity | Code::BadEnvelope)
}

/// The use fails with a named error, and the caller's log tells of it.
async fn cannot_use(w: &World, caller: &Caller, name: &str) {
    let e = values(w, caller, name).await.expect_err("a changed value was handed over");
    assert!(is_named(&e), "{e:?}");
    told(w, caller, "use", &e).await;
}

/// The call fails with `integrity_failure`, and the caller's log tells of it.
async fn refuses(w: &World, caller: &Caller, operation: &str, arguments: serde_json::Value) {
    let e = w.call_with(caller, operation, arguments, &FormYes).await.expect_err("a changed row was used");
    assert_eq!(e.code, Code::Integrity, "{operation}: {e:?}");
    told(w, caller, operation, &e).await;
}

/// The last event names operation, code, table and row.
async fn told(w: &World, caller: &Caller, operation: &str, e: &Error) {
    let org = caller.org.clone();
    let last = w.app.store.read(move |tx| tx.audit_after(&org, 0, 10_000)).await.unwrap().pop().unwrap();
    assert_eq!((last.operation.as_str(), last.code.as_str()), (operation, e.code.name()));
    assert_eq!(last.outcome, "failed");
    for (name, text) in e.details() {
        assert!(last.details.contains(name) && last.details.contains(text.as_str()), "{}", last.details);
    }
}

/// Id of the current version.
fn version_of(w: &World, credential: &str) -> String {
    let sql = "SELECT id FROM version WHERE credential_id = ?1 AND stage = 'current'";
    attacker(w).query_row(sql, [credential], |r| r.get(0)).unwrap()
}

fn sealed(w: &World, version: &str, field: &str) -> Vec<u8> {
    let sql = "SELECT sealed FROM field WHERE version_id = ?1 AND name = ?2";
    attacker(w).query_row(sql, [version, field], |r| r.get(0)).unwrap()
}

fn put_sealed(w: &World, version: &str, field: &str, bytes: &[u8]) {
    let sql = "UPDATE field SET sealed = ?3 WHERE version_id = ?1 AND name = ?2";
    edit(w, sql, (version, field, bytes));
}

fn wrapped(w: &World, version: &str) -> Vec<u8> {
    attacker(w).query_row("SELECT wrapped_key FROM version WHERE id = ?1", [version], |r| r.get(0)).unwrap()
}

#[tokio::test]
async fn t_01_t_02_t_03_a_sealed_value_opens_in_no_other_place() {
    let w = World::new().await;
    let mut foreign = w.stranger("ada");
    foreign.door = Door::Cli;
    let places = [
        (w.person("ada"), w.add("ada", "org", "ORG_ONE", "value one").await, "ORG_ONE"),
        (w.person("ada"), w.add("ada", "org", "ORG_TWO", "value two").await, "ORG_TWO"),
        (w.person("tess"), w.add("tess", "core", "TEAM_KEY", "value tri").await, "TEAM_KEY"),
        (w.person("mia"), w.add("mia", "personal", "MINE", "value for").await, "MINE"),
        (w.person("max"), w.add("max", "personal", "HIS", "value fiv").await, "HIS"),
        (foreign.clone(), w.add_as(&foreign, "org", "FOREIGN", "value six").await, "FOREIGN"),
    ];
    let whole: Vec<_> = places
        .iter()
        .map(|(_, id, _)| {
            let version = version_of(&w, id);
            (sealed(&w, &version, "value"), wrapped(&w, &version), version)
        })
        .collect();

    for (i, (caller, _, name)) in places.iter().enumerate() {
        let (own, own_key, version) = &whole[i];
        for (j, (other, other_key, other_version)) in whole.iter().enumerate().filter(|(j, _)| *j != i) {
            put_sealed(&w, version, "value", other);
            cannot_use(&w, caller, name).await;
            // With its key, too; the version's row guards itself.
            edit(&w, "UPDATE version SET wrapped_key = ?2 WHERE id = ?1", (version, other_key));
            cannot_use(&w, caller, name).await;
            edit(&w, "UPDATE version SET wrapped_key = ?2 WHERE id = ?1", (version, own_key));
            put_sealed(&w, version, "value", own);
            // The whole field row, moved.
            edit(&w, "UPDATE field SET version_id = 'aside' WHERE version_id = ?1", [version]);
            edit(&w, "UPDATE field SET version_id = ?1 WHERE version_id = ?2", [version, other_version]);
            cannot_use(&w, caller, name).await;
            edit(&w, "UPDATE field SET version_id = ?2 WHERE version_id = ?1", [version, other_version]);
            edit(&w, "UPDATE field SET version_id = ?1 WHERE version_id = 'aside'", [version]);
            assert!(values(&w, caller, name).await.is_ok(), "{i} {j}");
        }
    }
    assert!(w.chain_is_whole().await);
}

#[tokio::test]
async fn t_02_fields_and_versions_are_not_interchangeable() {
    let w = World::new().await;
    let create = CreateCredential {
        name: "LOGIN".into(),
        kind: Some(CredentialType::Basic),
        scope: Some(Scope::Org),
        ..CreateCredential::default()
    };
    let ada = w.person("ada");
    let both = |user: &str, word: &str| {
        let bytes = |text: &str| SecretBytes::copied(text.as_bytes());
        vec![("username".to_owned(), bytes(user)), ("password".to_owned(), bytes(word))]
    };
    let first = both("first name", "first word");
    let id = enter_value(&w.app, &ada, Target::New(Box::new(create)), first, String::new()).await.unwrap().id;
    let old = version_of(&w, &id);
    let second = both("second name", "second word");
    enter_value(&w.app, &ada, Target::Existing(id.clone()), second, String::new()).await.unwrap();
    let new = version_of(&w, &id);
    let (name, word) = (sealed(&w, &new, "username"), sealed(&w, &new, "password"));

    put_sealed(&w, &new, "username", &word);
    put_sealed(&w, &new, "password", &name);
    cannot_use(&w, &ada, "LOGIN").await;
    put_sealed(&w, &new, "username", &name);
    put_sealed(&w, &new, "password", &sealed(&w, &old, "password"));
    cannot_use(&w, &ada, "LOGIN").await;
    put_sealed(&w, &new, "password", &word);
    assert_eq!(values(&w, &ada, "LOGIN").await.unwrap(), [b"second word".to_vec(), b"second name".to_vec()]);
}

#[tokio::test]
async fn t_04_nothing_comes_back_from_the_bin_or_lives_longer_by_hand() {
    let w = World::new().await;
    let ada = w.person("ada");
    for (sql, change) in [
        ("deleted_at = NULL, deleted_by = NULL", "restored"),
        ("deleted_at = NULL", "half restored"),
        ("revision = revision - 1", "taken back"),
    ] {
        let name = format!("KEY_{}", change.replace(' ', "_").to_uppercase());
        let id = w.add("ada", "org", &name, "words").await;
        w.call_with(&ada, "delete_credential", json!({"credential": id, "reason": "a test"}), &FormYes)
            .await
            .unwrap();
        edit(&w, &format!("UPDATE credential SET {sql} WHERE id = ?1"), [&id]);
        refuses(&w, &ada, "get_credential", json!({"credential": id})).await;
        refuses(&w, &ada, "restore_credential", json!({"credential": id})).await;
        if change != "taken back" {
            cannot_use(&w, &ada, &name).await;
        }
    }
    for column in
        ["expires_at = 9999999999999", "owner_id = 'user-acme-max'", "scope = 'org'", "name = 'OTHER'"]
    {
        let name = format!("KEY_{}", column.split(' ').next().unwrap().to_uppercase());
        let id = w.add("tess", "core", &name, "words").await;
        edit(&w, &format!("UPDATE credential SET {column} WHERE id = ?1"), [&id]);
        refuses(&w, &w.caller("tess"), "get_credential", json!({"credential": id})).await;
        let e = values(&w, &w.caller("max"), &name).await.unwrap_err();
        assert!(is_named(&e) || e.code == Code::Unresolved, "{e:?}");
    }
}

#[tokio::test]
async fn t_05_the_key_of_an_older_version_opens_nothing() {
    let w = World::new().await;
    let ada = w.person("ada");
    let id = w.add("ada", "org", "KEY", "old words").await;
    let old = version_of(&w, &id);
    let value = vec![("value".to_owned(), SecretBytes::copied(b"new words"))];
    enter_value(&w.app, &ada, Target::Existing(id.clone()), value, String::new()).await.unwrap();
    let new = version_of(&w, &id);

    edit(&w, "UPDATE version SET wrapped_key = ?2 WHERE id = ?1", (&new, wrapped(&w, &old)));
    cannot_use(&w, &ada, "KEY").await;
    put_sealed(&w, &new, "value", &sealed(&w, &old, "value"));
    cannot_use(&w, &ada, "KEY").await;
}

#[tokio::test]
async fn t_05_an_older_version_is_not_made_current_by_hand() {
    let w = World::new().await;
    let ada = w.person("ada");
    let id = w.add("ada", "org", "KEY", "old words").await;
    let value = vec![("value".to_owned(), SecretBytes::copied(b"new words"))];
    enter_value(&w.app, &ada, Target::Existing(id.clone()), value, String::new()).await.unwrap();

    edit(&w, "UPDATE credential SET current_version = 1 WHERE id = ?1", [&id]);
    cannot_use(&w, &ada, "KEY").await;
    edit(&w, "UPDATE credential SET current_version = 2 WHERE id = ?1", [&id]);
    edit(&w, "UPDATE version SET stage = 'retired' WHERE number = 2", []);
    edit(&w, "UPDATE version SET stage = 'current' WHERE number = 1", []);
    cannot_use(&w, &ada, "KEY").await;
}

#[tokio::test]
async fn t_06_what_is_missing_or_of_a_wrong_type_fails_closed() {
    let w = World::new().await;
    let ada = w.person("ada");
    let sealed_edits = [
        "zeroblob(0)",
        "zeroblob(40)",
        "substr(sealed, 1, length(sealed) - 1)",
        "cast(sealed || x'00' AS BLOB)",
    ];
    for (n, change) in sealed_edits.into_iter().enumerate() {
        let name = format!("FIELD_{n}");
        let id = w.add("ada", "org", &name, "words").await;
        let sql = format!("UPDATE field SET sealed = {change} WHERE version_id = ?1");
        edit(&w, &sql, [version_of(&w, &id)]);
        cannot_use(&w, &ada, &name).await;
    }
    for (n, sql) in [
        "DELETE FROM field WHERE version_id = ?1",
        "DELETE FROM version WHERE id = ?1",
        "UPDATE field SET name = 'other' WHERE version_id = ?1",
        "UPDATE version SET wrapped_key = zeroblob(0) WHERE id = ?1",
        "UPDATE version SET number = 7 WHERE id = ?1",
        "UPDATE version SET stage = 'no such stage' WHERE id = ?1",
        "UPDATE version SET mac = zeroblob(0) WHERE id = ?1",
        "UPDATE version SET mac = zeroblob(36) WHERE id = ?1",
        "UPDATE version SET key_version = 9 WHERE id = ?1",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("VERSION_{n}");
        let id = w.add("ada", "org", &name, "words").await;
        edit(&w, sql, [version_of(&w, &id)]);
        cannot_use(&w, &ada, &name).await;
    }
    for (n, change) in [
        "current_version = NULL",
        "kind = 'no such kind'",
        "tags = 'no list'",
        "fields = '[]x'",
        "mac = zeroblob(36)",
        "org_id = 'globex'",
        "org_id = 'nowhere'",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("ROW_{n}");
        let id = w.add("ada", "org", &name, "words").await;
        edit(&w, &format!("UPDATE credential SET {change} WHERE id = ?1"), [&id]);
        refuses(&w, &ada, "get_credential", json!({"credential": id})).await;
        let e = values(&w, &ada, &name).await.unwrap_err();
        assert!(is_named(&e) || e.code == Code::Unresolved, "{change}: {e:?}");
    }
    // What a strict table does not hold at all.
    let id = w.add("ada", "org", "STRICT", "words").await;
    for change in ["created_at = 'yesterday'", "revision = x'00'", "name = NULL", "mac = 'text'"] {
        let sql = format!("UPDATE credential SET {change} WHERE id = ?1");
        assert!(attacker(&w).execute(&sql, [&id]).is_err(), "{change}");
    }
}

#[tokio::test]
async fn t_07_a_provider_sends_nowhere_else_by_hand() {
    for change in [
        "endpoints = replace(endpoints, 'github.com', 'github.example')",
        "client_id = 'another'",
        "scopes = '[\"admin\"]'",
        "callback_url = 'https://elsewhere.example/cb'",
        "sealed_secret = x'00', wrapped_key = x'00'",
        "is_preset = 0",
    ] {
        let w = World::new().await;
        let make = json!({"service": "github", "name": "hub", "client_id": "abc"});
        w.call(&w.person("ada"), "create_oauth_provider", make).await.unwrap();

        edit(&w, &format!("UPDATE provider SET {change}"), []);

        refuses(&w, &w.caller("ada"), "list_oauth_providers", json!({})).await;
        let rename = json!({"provider": "hub", "new_name": "hub2"});
        refuses(&w, &w.caller("ada"), "update_oauth_provider", rename).await;
    }
}

#[tokio::test]
async fn t_09_rights_are_not_written_by_hand() {
    let w = World::new().await;
    w.add("tess", "core", "TEAM_KEY", "words").await;

    // A raised role, and a disabled user enabled again.
    edit(&w, "UPDATE user SET role = 'admin' WHERE id = ?1", ["user-acme-mia"]);
    refuses(&w, &w.caller("mia"), "list_credentials", json!({})).await;
    cannot_use(&w, &w.caller("mia"), "TEAM_KEY").await;
    w.call(&w.person("ada"), "update_user", json!({"user": "tom", "disabled": true})).await.unwrap();
    edit(&w, "UPDATE user SET disabled_at = NULL WHERE id = ?1", ["user-acme-tom"]);
    refuses(&w, &w.caller("tom"), "whoami", json!({})).await;

    // A membership made of somebody else's.
    edit(
        &w,
        "INSERT INTO membership SELECT team_id, 'user-acme-max', org_id, role, created_at, revision, mac \
         FROM membership WHERE user_id = 'user-acme-tess'",
        [],
    );
    refuses(&w, &w.caller("max"), "get_credential", json!({"credential": "TEAM_KEY"})).await;
    cannot_use(&w, &w.caller("max"), "TEAM_KEY").await;
    // The others go on.
    assert!(values(&w, &w.caller("tess"), "TEAM_KEY").await.is_ok());
}

async fn grant(w: &World, credential: &str, user: &str, level: &str) {
    let ask = json!({"credential": credential, "user": user, "level": level, "reason": "a test"});
    w.call_with(&w.person("tess"), "share_credential", ask, &crate::support::world::PersonYes).await.unwrap();
}

#[tokio::test]
async fn t_09_a_share_does_not_grow_by_hand() {
    let w = World::new().await;
    let id = w.add("tess", "core", "TEAM_KEY", "words").await;
    grant(&w, "TEAM_KEY", "max", "use").await;
    assert!(values(&w, &w.caller("max"), "TEAM_KEY").await.is_ok());

    edit(&w, "UPDATE access_grant SET level = 'manage'", []);

    for (operation, arguments) in [
        ("get_credential", json!({"credential": id})),
        ("update_credential", json!({"credential": id, "description": "mine now"})),
        ("delete_credential", json!({"credential": id, "reason": "a test"})),
    ] {
        refuses(&w, &w.caller("max"), operation, arguments).await;
    }
    cannot_use(&w, &w.caller("max"), "TEAM_KEY").await;
}

#[tokio::test]
async fn t_10_a_share_is_no_pattern_for_another() {
    let w = World::new().await;
    let shared = w.add("tess", "core", "SHARED_KEY", "words").await;
    let other = w.add("tess", "core", "OTHER_KEY", "words").await;
    grant(&w, "SHARED_KEY", "max", "manage").await;
    let columns = "org_id, ?2, grantee_kind, grantee_id, level, created_at, created_by, revision, mac";
    let copy = format!("INSERT INTO access_grant SELECT ?1, {columns} FROM access_grant LIMIT 1");

    edit(&w, &copy, ["copied-grant", &other]);

    refuses(&w, &w.caller("max"), "get_credential", json!({"credential": other})).await;
    cannot_use(&w, &w.caller("max"), "OTHER_KEY").await;
    // A query alone finds it by the forged row: the list does not show it, and names it as damaged.
    let page = w.call(&w.caller("max"), "list_credentials", json!({})).await.unwrap();
    let shown: Vec<_> = page["credentials"].as_array().unwrap().iter().map(|c| c["id"].clone()).collect();
    assert_eq!(shown, [json!(shared)]);
    assert!(page["summary"].as_str().unwrap().contains(&other), "{}", page["summary"]);
    assert!(!page.to_string().contains("OTHER_KEY"));
}

#[tokio::test]
async fn t_11_policy_is_not_set_by_hand() {
    let w = World::new().await;
    w.add("ada", "org", "ORG_KEY", "words").await;
    for change in ["bin_days = 1", "sharing_plan = 'workspace'", "warn_days = 0", "name = 'other'"] {
        edit(&w, &format!("UPDATE org SET {change} WHERE id = 'acme'"), []);
        refuses(&w, &w.caller("ada"), "get_policy", json!({})).await;
        refuses(&w, &w.caller("ada"), "list_credentials", json!({})).await;
    }
}

#[tokio::test]
async fn t_12_an_unlock_method_is_not_added_by_hand() {
    let w = World::new().await;
    let open = || App::open_with(w.app.config.clone(), w.clock.clone(), None);
    assert!(open().is_ok());
    let copy = "INSERT INTO slot SELECT 'another-slot', kind, label, config, wrapped, root_version, created_at, mac FROM slot";

    edit(&w, copy, []);

    let e = open().err().expect("a vault with a forged slot was opened");
    assert_eq!(e.code, Code::Integrity);
    edit(&w, "DELETE FROM slot WHERE id = 'another-slot'", []);
    assert!(open().is_ok());
    edit(&w, "UPDATE slot SET label = 'mine'", []);
    assert!(is_named(&open().err().unwrap()));
}

#[tokio::test]
async fn one_changed_row_does_not_hide_the_others_from_a_list() {
    let w = World::new().await;
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(w.add("ada", "org", &format!("KEY_{n}"), "words").await);
    }
    edit(&w, "UPDATE credential SET expires_at = 1 WHERE id = ?1", [&ids[2]]);
    edit(
        &w,
        "UPDATE credential SET kind = 'no such kind', service = CAST(x'ff' AS TEXT) WHERE id = ?1",
        [&ids[3]],
    );

    let page = w.call(&w.caller("mia"), "list_credentials", json!({})).await.unwrap();

    let shown: Vec<_> = page["credentials"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(shown, ["KEY_0", "KEY_1", "KEY_4", "KEY_5", "KEY_6"]);
    let summary = page["summary"].as_str().unwrap();
    assert!(
        summary.contains("2 damaged") && summary.contains(&ids[2]) && summary.contains(&ids[3]),
        "{summary}"
    );
    assert_eq!(w.log().await.last().unwrap(), "list_credentials failed integrity_failure");
    // Page by page too, without gap or repeat.
    let (mut cursor, mut seen) = (json!(null), Vec::new());
    loop {
        let ask = json!({"limit": 1, "cursor": cursor});
        let page = w.call(&w.caller("mia"), "list_credentials", ask).await.unwrap();
        seen.extend(page["credentials"].as_array().unwrap().iter().map(|c| c["name"].clone()));
        match page.get("next_cursor") {
            Some(next) => cursor = next.clone(),
            None => break,
        }
    }
    assert_eq!(seen, shown);
    assert!(w.call(&w.caller("mia"), "whoami", json!({})).await.is_ok());
    refuses(&w, &w.caller("mia"), "explain_resolution", json!({"name": "KEY_2"})).await;
    assert!(values(&w, &w.caller("mia"), "KEY_4").await.is_ok());
}

#[tokio::test]
async fn no_single_changed_byte_of_a_sealed_value_or_its_key_opens() {
    let w = World::new().await;
    let ada = w.person("ada");
    let id = w.add("ada", "org", "KEY", "words").await;
    let version = version_of(&w, &id);
    let good = sealed(&w, &version, "value");

    for at in (0..good.len()).step_by(3) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        put_sealed(&w, &version, "value", &bad);
        let e = values(&w, &ada, "KEY").await.expect_err("a changed envelope opened");
        assert!(matches!(e.code, Code::Integrity | Code::BadEnvelope | Code::KeyUnknown), "{at}: {e:?}");
    }
    put_sealed(&w, &version, "value", &good);
    assert_eq!(values(&w, &ada, "KEY").await.unwrap(), [b"words"]);
}

#[tokio::test]
async fn a_token_whose_row_was_changed_lets_nobody_in() {
    let w = World::new().await;
    let new = NewToken {
        label: "laptop".into(),
        user: None,
        purpose: Purpose::Mcp,
        toolsets: Vec::new(),
        consumer: None,
        read_only: true,
        is_assured: true,
        expires_at: None,
    };
    let (_, token) = create(&w.app, &w.person("mia"), new).await.unwrap();
    let shown = token.expose(Shown::new).unwrap();
    let good = verify(&w.app, shown.clone(), Purpose::Mcp, Door::Http).await.unwrap();
    assert!(good.limits.read_only);

    for change in
        ["user_id = 'user-acme-ada'", "read_only = 0", "expires_at = expires_at + 1", "purpose = 'sign_in'"]
    {
        let (column, _) = change.split_once(' ').unwrap();
        let read = format!("SELECT {column} FROM token");
        let before: rusqlite::types::Value = attacker(&w).query_row(&read, [], |row| row.get(0)).unwrap();
        edit(&w, &format!("UPDATE token SET {change}"), []);

        let refused = verify(&w.app, shown.clone(), Purpose::Mcp, Door::Http).await.unwrap_err();

        assert_eq!(refused.code, Code::Integrity, "{change}");
        edit(&w, &format!("UPDATE token SET {column} = ?1"), [before]);
    }
    assert!(verify(&w.app, shown, Purpose::Mcp, Door::Http).await.is_ok());
}

#[tokio::test]
async fn r_17_t_08_a_binding_a_command_or_a_token_that_was_changed_in_the_database_starts_nothing() {
    let w = World::new().await;
    let mia = w.person("mia");
    w.add("mia", "personal", "A_KEY", "value one").await;
    w.add("mia", "personal", "OTHER_KEY", "value two").await;
    let bot = json!({"name": "bot", "command": ["true"],
        "bindings": [{"variable": "A_KEY"}, {"variable": "A_HOST_NAME", "text": "a.example"}]});
    w.call_with(&mia, "register_consumer", bot, &PersonYes).await.unwrap();
    w.call_with(&mia, "register_consumer", json!({"name": "other"}), &PersonYes).await.unwrap();
    let token = NewToken {
        label: "bot".into(),
        user: None,
        purpose: Purpose::Consumer,
        consumer: Some("bot".into()),
        toolsets: Vec::new(),
        read_only: false,
        is_assured: false,
        expires_at: None,
    };
    let (_, token) = create(&w.app, &mia, token).await.unwrap();
    let shown = token.expose(Shown::new).unwrap();
    hand_over_to(&w.app, &mia, "bot", "true").await.map(|_| ()).unwrap();
    let other: String =
        attacker(&w).query_row("SELECT id FROM consumer WHERE name = 'other'", [], |r| r.get(0)).unwrap();

    for (table, column, changed) in [
        ("binding", "credential", "OTHER_KEY"),
        ("binding", "delivery", "file"),
        ("binding", "source", "org_secret"),
        ("binding", "text", "evil.example"),
        ("binding", "variable", "B_KEY"),
        ("binding", "service", "github"),
        ("consumer", "command", "[\"sh\"]"),
        ("consumer", "url", "https://evil.example/"),
        ("consumer", "run_by", "[\"user:x\"]"),
        ("consumer", "scope", "org"),
    ] {
        let only = if table == "binding" { "variable = 'A_KEY'" } else { "name = 'bot'" };
        let sql = format!("SELECT {column} FROM {table} WHERE {only}");
        let before: String = attacker(&w).query_row(&sql, [], |r| r.get(0)).unwrap();
        edit(&w, &format!("UPDATE {table} SET {column} = ?1 WHERE {only}"), [changed]);

        let e = hand_over_to(&w.app, &mia, "bot", "true").await.map(|_| ()).unwrap_err();

        assert_eq!(e.code, Code::Integrity, "{table}.{column}");
        told(&w, &mia, "use", &e).await;
        let only = if column == "variable" { "variable = 'B_KEY'" } else { only };
        edit(&w, &format!("UPDATE {table} SET {column} = ?1 WHERE {only}"), [&before]);
        hand_over_to(&w.app, &mia, "bot", "true").await.map(|_| ()).unwrap();
    }
    edit(&w, "UPDATE consumer_token SET consumer_id = ?1", [&other]);
    let e = verify(&w.app, shown.clone(), Purpose::Consumer, Door::Http).await.map(|_| ()).unwrap_err();
    assert_eq!(e.code, Code::Integrity);
    edit(&w, "DELETE FROM consumer_token", []);
    let e = verify(&w.app, shown, Purpose::Consumer, Door::Http).await.map(|_| ()).unwrap_err();
    assert_eq!(e.code, Code::TokenInvalid);
}
