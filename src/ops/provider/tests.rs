//! Providers through the whole of a call, as a model or a person makes it.
use super::*;
use crate::app::Pages;
use crate::error::{Code, Error};
use crate::model::access::Door;
use crate::model::credential::Scope;
use crate::ops::org::fixture::Place;
use crate::secret::Secret;
use crate::testing::{FormYes, PersonYes};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const CREATE: &str = "create_oauth_provider";
const UPDATE: &str = "update_oauth_provider";
const DELETE: &str = "delete_oauth_provider";
/// A host that a model would like the secret to go to.
const EVIL: &str = "https://login.evil.example/token";

/// Where a server is come back to after a consent.
const SERVER: &str = "https://vault.example/oauth/callback";

/// The pages of the process at work: of a server, or of one that has no callback.
struct Served(Mutex<Option<&'static str>>);

impl Pages for Served {
    fn base(&self) -> BoxFuture<'_, Result<String>> {
        Box::pin(async { Ok("https://vault.example".to_owned()) })
    }
    fn code(&self, _: &str) -> Option<String> {
        None
    }
    fn callback(&self) -> Option<String> {
        self.0.lock().unwrap().map(str::to_owned)
    }
}

fn served(world: &Place, callback: Option<&'static str>) -> Arc<Served> {
    let pages = Arc::new(Served(Mutex::new(callback)));
    assert!(world.app.pages.set(pages.clone()).is_ok());
    pages
}

fn approval_id(refused: &Error) -> String {
    refused.details().iter().find(|(name, _)| *name == "approval_id").unwrap().1.clone()
}

/// As a model that nobody answers for.
async fn by_model(world: &Place, name: &str, arguments: Value) -> Result<Value, Error> {
    world.call(&world.caller("ada", Door::Stdio), name, arguments).await
}

/// As an admin at the terminal.
async fn in_person(world: &Place, name: &str, arguments: Value) -> Value {
    world.call_with(&world.person("ada"), name, arguments, &PersonYes).await.unwrap()
}

async fn github(world: &Place) -> Value {
    by_model(world, CREATE, json!({ "service": "github", "client_id": "Iv1.abc", "scopes": ["repo"] }))
        .await
        .unwrap()
}

fn secret() -> Secret {
    Secret::new("client".repeat(4))
}

async fn stored(world: &Place, name: &str) -> Provider {
    let (org, name) = (world.org.clone(), name.to_owned());
    world.app.store.read(move |tx| tx.provider_named(&org, &name)).await.unwrap()
}

/// Whether the stored secret opens for the provider as it is stored.
async fn opens(world: &Place, p: &Provider) -> Result<(), Error> {
    let vault = world.app.vault();
    let place = key_context(vault.instance(), p);
    let key = vault.open_data_key(&place, &p.wrapped_key)?;
    key.open(&place.field("client_secret"), &p.sealed_secret)
        .map(|bytes| bytes.expose(|b| assert_eq!(b.len(), 24)))
}

#[tokio::test]
async fn a_preset_gives_the_addresses_and_the_answer_says_what_is_left_to_do() {
    let world = Place::new().await;

    let made = github(&world).await;

    let setup = &made["provider"]["setup"];
    assert_eq!(setup["endpoints"]["token_url"], "https://github.com/login/oauth/access_token");
    assert_eq!(
        (setup["callback_url"].as_str(), setup["has_secret"].as_bool()),
        (Some(format!("{LOCAL_CALLBACK}/github").as_str()), Some(false))
    );
    assert!(made["next"].to_string().contains("unsaid provider secret github"));
    let event = world.last_event().await;
    assert_eq!((event.operation.as_str(), event.object_kind.as_str()), (CREATE, "provider"));
}

#[tokio::test]
async fn scopes_without_offline_access_are_warned_about() {
    let world = Place::new().await;
    let ask =
        |scopes: Value| json!({ "service": "microsoft", "client_id": "abc", "scopes": scopes, "name": "ms" });

    let made = by_model(&world, CREATE, ask(json!(["openid"]))).await.unwrap();

    assert!(made["warnings"].to_string().contains("offline_access"));
}

#[tokio::test]
async fn o_01_addresses_of_the_caller_s_own_wait_for_a_person_and_a_form_is_not_enough() {
    let world = Place::new().await;
    let own = json!({ "service": "github", "client_id": "abc", "endpoints": { "token_url": EVIL } });
    let host =
        json!({ "service": "gitlab", "client_id": "abc", "params": { "host": "gitlab.evil.example" } });
    let back = json!({ "service": "github", "client_id": "abc", "callback_url": "https://evil.example/cb" });

    for ask in [own, host, back] {
        let refused = world.refused(&world.caller("ada", Door::Stdio), CREATE, ask.clone()).await;
        assert_eq!(refused.code, Code::ApprovalRequired);
        let forged = world.call_with(&world.caller("ada", Door::Stdio), CREATE, ask, &FormYes).await;
        assert_eq!(forged.unwrap_err().code, Code::ApprovalRequired);
    }
    let list = by_model(&world, "list_oauth_providers", json!({})).await.unwrap();
    assert_eq!(list["providers"], json!([]));
}

#[tokio::test]
async fn o_01_what_a_person_approves_happens_once_and_as_it_was_asked() {
    let world = Place::new().await;
    let ask = json!({ "service": "github", "client_id": "abc", "endpoints": { "token_url": EVIL } });
    let refused = by_model(&world, CREATE, ask).await.unwrap_err();
    let id = approval_id(&refused);

    crate::ops::approval::approve(&world.app, &world.person("ada"), &id).await.unwrap();

    assert_eq!(stored(&world, "github").await.endpoints.token_url, EVIL);
    let again = crate::ops::approval::approve(&world.app, &world.person("ada"), &id).await.unwrap_err();
    assert_eq!(again.code, Code::ApprovalClosed);
}

#[tokio::test]
async fn o_01_the_callback_that_was_shown_is_the_one_that_is_approved_whichever_process_does_it() {
    for (asking, approving, shown) in [(Some(SERVER), None, SERVER), (None, Some(SERVER), LOCAL_CALLBACK)] {
        let world = Place::new().await;
        let pages = served(&world, asking);
        let ask = json!({ "service": "github", "client_id": "abc", "endpoints": { "token_url": EVIL } });
        let id = approval_id(&by_model(&world, CREATE, ask.clone()).await.unwrap_err());
        let again = by_model(&world, CREATE, ask).await.unwrap_err();

        *pages.0.lock().unwrap() = approving;
        crate::ops::approval::approve(&world.app, &world.person("ada"), &id).await.unwrap();

        assert_eq!(approval_id(&again), id);
        assert_eq!(stored(&world, "github").await.callback_url, format!("{shown}/github"));
    }
}

#[tokio::test]
async fn o_01_only_the_callback_of_this_very_process_needs_nobody() {
    let world = Place::new().await;
    served(&world, Some(SERVER));
    assert_eq!(github(&world).await["provider"]["setup"]["callback_url"], format!("{SERVER}/github"));
    let foreign = ["https://evil.example/cb", LOCAL_CALLBACK];
    let moved = |to: &str| json!({ "provider": "github", "callback_url": to });

    for to in foreign {
        let made = json!({ "service": "github", "client_id": "abc", "name": "gh2", "callback_url": to });
        for (name, ask) in [(CREATE, made), (UPDATE, moved(to))] {
            assert_eq!(by_model(&world, name, ask).await.unwrap_err().code, Code::ApprovalRequired, "{to}");
        }
    }
    in_person(&world, UPDATE, moved(LOCAL_CALLBACK)).await;
    by_model(&world, UPDATE, moved(SERVER)).await.unwrap();

    assert_eq!(stored(&world, "github").await.callback_url, SERVER);
}

#[test]
fn a_server_s_own_callback_is_a_callback_wherever_it_listens() {
    for base in
        ["https://192.0.2.7:8443", "https://vault.example", "http://[::1]:8740", "http://127.0.0.2:8740"]
    {
        let callback = format!("{base}/oauth/callback");
        assert_eq!(parse_callback(&callback).unwrap(), callback);
    }
    for wrong in
        ["http://192.0.2.7/oauth/callback", "http://localhost.evil.example/cb", "https://u@a.example/cb"]
    {
        assert_eq!(parse_callback(wrong).unwrap_err().code, Code::InvalidInput, "{wrong}");
    }
}

#[tokio::test]
async fn o_04_a_person_who_agrees_sees_each_host_and_is_warned_of_two_domains() {
    let world = Place::new().await;
    let ask = json!({ "service": "github", "client_id": "abc", "endpoints": { "token_url": EVIL } });

    let operation: CreateOauthProvider = serde_json::from_value(ask.clone()).unwrap();
    let asked = crate::ops::Operation::confirm(&operation, &world.app, &world.caller("ada", Door::Stdio))
        .await
        .unwrap();
    let crate::ops::Confirm::Person(question) = asked else { panic!("a person is asked") };
    assert!(question.text().contains("token_url: login.evil.example"), "{}", question.text());
    assert!(question.text().contains("different domains"));

    let made = in_person(&world, CREATE, ask).await;
    assert_eq!(made["provider"]["setup"]["is_preset"], false);
    assert_eq!(made["provider"]["setup"]["endpoints"]["token_url"], EVIL);
}

#[tokio::test]
async fn o_03_unfit_addresses_callbacks_names_and_ids_are_refused_even_of_a_person() {
    let world = Place::new().await;
    let with = |field: &str, value: Value| {
        let mut ask = json!({ "service": "github", "client_id": "abc" });
        ask[field] = value;
        ask
    };
    let cases = [
        with("endpoints", json!({ "token_url": "https://10.0.0.1/token" })),
        with("endpoints", json!({ "userinfo_url": "http://example.com/me" })),
        with("callback_url", json!("http://example.com/cb")),
        with("callback_url", json!("javascript:alert(1)")),
        with("name", json!("Has Space")),
        with("client_id", json!("")),
        with("scopes", json!(["two words"])),
        with("params", json!({ "host": "x.example" })),
        json!({ "service": "okta", "client_id": "abc" }),
        json!({ "name": "own", "client_id": "abc" }),
        json!({ "name": "own", "client_id": "abc", "endpoints": { "token_url": "https://a.example/t" } }),
    ];
    for ask in cases {
        let refused =
            world.call_with(&world.person("ada"), CREATE, ask.clone(), &PersonYes).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidInput, "{ask}");
    }
}

#[tokio::test]
async fn members_see_name_service_and_scopes_and_change_nothing() {
    let world = Place::new().await;
    github(&world).await;

    for (who, sees_setup) in [("max", false), ("otto", true)] {
        let caller = world.caller(who, Door::Stdio);
        let list = world.call(&caller, "list_oauth_providers", json!({})).await.unwrap();
        let row = &list["providers"][0];
        assert_eq!((row["service"].as_str(), row["scopes"][0].as_str()), (Some("github"), Some("repo")));
        assert_eq!(row.get("setup").is_some(), sees_setup, "{who}");
        for (name, ask) in [
            (CREATE, json!({ "service": "slack", "client_id": "abc" })),
            (UPDATE, json!({ "provider": "github", "scopes": [] })),
            (DELETE, json!({ "provider": "github" })),
        ] {
            assert_eq!(world.refused(&caller, name, ask).await.code, Code::NotAllowed, "{who} {name}");
        }
        let refused = set_secret(&world.app, &world.person(who), "github", secret()).await.unwrap_err();
        assert_eq!(refused.code, Code::NotAllowed);
    }
    let stranger = world.caller("globex/ada", Door::Stdio);
    let refused = world.refused(&stranger, DELETE, json!({ "provider": "github" })).await;
    assert_eq!(refused.code, Code::ProviderNotFound);
    assert_eq!(
        world.call(&stranger, "list_oauth_providers", json!({})).await.unwrap()["providers"],
        json!([])
    );
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let world = Place::new().await;
    github(&world).await;

    let again = by_model(&world, CREATE, json!({ "service": "github", "client_id": "abc" })).await;
    assert_eq!(again.unwrap_err().code, Code::AlreadyExists);
    by_model(&world, CREATE, json!({ "service": "github", "client_id": "abc", "name": "gh2" }))
        .await
        .unwrap();
    let refused = by_model(&world, UPDATE, json!({ "provider": "gh2", "new_name": "github" })).await;
    assert_eq!(refused.unwrap_err().code, Code::AlreadyExists);
}

#[tokio::test]
async fn the_client_secret_is_sealed_to_its_addresses_and_opens_nowhere_else() {
    let world = Place::new().await;
    github(&world).await;

    let answer = set_secret(&world.app, &world.person("ada"), "github", secret()).await.unwrap();

    assert!(answer.provider.setup.unwrap().has_secret && answer.next.len() == 1);
    assert_eq!(world.last_event().await.operation, "set_provider_secret");
    let p = stored(&world, "github").await;
    opens(&world, &p).await.unwrap();
    let mut moved = p.clone();
    moved.endpoints.token_url = EVIL.into();
    assert_eq!(opens(&world, &moved).await.unwrap_err().code, Code::Integrity);
    let mut other = p;
    other.id = ProviderId::fresh();
    assert_eq!(opens(&world, &other).await.unwrap_err().code, Code::Integrity);
}

#[tokio::test]
async fn a_secret_comes_from_a_person_and_is_neither_empty_nor_huge() {
    let world = Place::new().await;
    github(&world).await;
    let ask = json!({ "service": "github", "client_id": "abc", "name": "public", "client_auth": "none" });
    by_model(&world, CREATE, ask).await.unwrap();

    let model = world.caller("ada", Door::Stdio);
    assert_eq!(set_secret(&world.app, &model, "github", secret()).await.unwrap_err().code, Code::PeopleOnly);
    for (name, secret, code) in [
        ("github", Secret::new(String::new()), Code::InvalidInput),
        ("github", Secret::new("x".repeat(4097)), Code::InvalidInput),
        ("public", secret(), Code::PolicyForbids),
        ("nothing", secret(), Code::ProviderNotFound),
    ] {
        let refused = set_secret(&world.app, &world.person("ada"), name, secret).await.unwrap_err();
        assert_eq!(refused.code, code, "{name}");
    }
}

#[tokio::test]
async fn o_02_a_changed_address_voids_the_secret_and_only_a_person_changes_it() {
    let world = Place::new().await;
    github(&world).await;
    set_secret(&world.app, &world.person("ada"), "github", secret()).await.unwrap();
    let ask = json!({ "provider": "github", "endpoints": { "token_url": EVIL } });

    let refused = by_model(&world, UPDATE, ask.clone()).await.unwrap_err();
    assert_eq!(refused.code, Code::ApprovalRequired);
    assert!(stored(&world, "github").await.has_secret());

    let changed = in_person(&world, UPDATE, ask).await;
    assert!(changed["warnings"].to_string().contains("destroyed"));
    assert!(changed["next"].to_string().contains("unsaid provider secret"));
    let p = stored(&world, "github").await;
    assert!(!p.has_secret() && p.wrapped_key.is_empty() && p.secret_set_at.is_none());
    assert!(world.last_event().await.details.contains("\"secret_voided\":true"));
}

#[tokio::test]
async fn o_02_an_empty_address_is_removed_and_voids_the_secret_and_one_that_is_not_given_stays() {
    let world = Place::new().await;
    let own = json!({ "name": "own", "client_id": "abc", "endpoints": {
        "authorization_url": "https://a.example/a", "token_url": "https://a.example/t",
        "revocation_url": "https://a.example/r", "userinfo_url": "https://a.example/u", "device_authorization_url": "",
    } });
    in_person(&world, CREATE, own).await;
    set_secret(&world.app, &world.person("ada"), "own", secret()).await.unwrap();
    let ask = json!({ "provider": "own", "endpoints": { "revocation_url": "" } });

    let refused = by_model(&world, UPDATE, ask.clone()).await.unwrap_err();
    in_person(&world, UPDATE, ask).await;

    assert_eq!(refused.code, Code::ApprovalRequired);
    let p = stored(&world, "own").await;
    let kept = (p.endpoints.revocation_url.as_str(), p.endpoints.userinfo_url.as_str());
    assert_eq!(kept, ("", "https://a.example/u"));
    assert!(!p.has_secret());
    let needed = json!({ "provider": "own", "endpoints": { "token_url": "" } });
    let refused = world.call_with(&world.person("ada"), UPDATE, needed, &PersonYes).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidInput);
}

#[tokio::test]
async fn an_empty_address_is_the_preset_s_again_where_there_is_one() {
    let world = Place::new().await;
    let own = json!({ "service": "github", "client_id": "abc", "endpoints": { "token_url": EVIL } });
    in_person(&world, CREATE, own).await;

    let ask = json!({ "provider": "github", "endpoints": { "token_url": "" } });
    let back = by_model(&world, UPDATE, ask).await.unwrap();

    let setup = &back["provider"]["setup"];
    assert_eq!(setup["endpoints"]["token_url"], "https://github.com/login/oauth/access_token");
    assert_eq!(setup["is_preset"], true);
}

#[tokio::test]
async fn what_moves_no_secret_needs_nobody_and_keeps_it() {
    let world = Place::new().await;
    github(&world).await;
    set_secret(&world.app, &world.person("ada"), "github", secret()).await.unwrap();

    let ask = json!({ "provider": "github", "scopes": ["repo", "read:org", "repo"], "new_name": "gh" });
    let changed = by_model(&world, UPDATE, ask).await.unwrap();

    assert_eq!(changed["provider"]["scopes"], json!(["repo", "read:org"]));
    let p = stored(&world, "gh").await;
    opens(&world, &p).await.unwrap();
    let same = by_model(&world, UPDATE, json!({ "provider": "gh", "scopes": ["repo", "read:org"] })).await;
    assert_eq!(same.unwrap_err().code, Code::NothingToDo);
    let gone = by_model(&world, UPDATE, json!({ "provider": "github", "scopes": [] })).await;
    assert_eq!(gone.unwrap_err().code, Code::ProviderNotFound);
}

#[tokio::test]
async fn a_provider_with_bound_credentials_stays_and_names_only_what_is_seen() {
    let world = Place::new().await;
    let id = github(&world).await["provider"]["id"].as_str().unwrap().to_owned();
    let bind = |c: &mut crate::model::credential::Credential| c.provider_id = Some(ProviderId(id.clone()));
    let mine = world.credential_with("MINE", Scope::Personal, "max", bind).await;

    let form = |world: &Place| (world.caller("ada", Door::Stdio), json!({ "provider": "github" }));
    let (ada, ask) = form(&world);
    let refused = world.call_with(&ada, DELETE, ask, &FormYes).await.unwrap_err();
    assert_eq!(refused.code, Code::HasDependents);
    assert!(!refused.message().contains(&mine.name));

    world.credential_with("ORG_TOKEN", Scope::Org, "", bind).await;
    let (ada, ask) = form(&world);
    let refused = world.call_with(&ada, DELETE, ask, &FormYes).await.unwrap_err();
    assert!(refused.message().contains("ORG_TOKEN") && !refused.message().contains("MINE"));
}

#[tokio::test]
async fn a_form_deletes_what_can_be_made_again_and_a_person_what_cannot() {
    let world = Place::new().await;
    github(&world).await;
    let ada = world.caller("ada", Door::Stdio);
    let ask = json!({ "provider": "github" });

    assert_eq!(world.refused(&ada, DELETE, ask.clone()).await.code, Code::ApprovalRequired);
    world.call_with(&ada, DELETE, ask.clone(), &FormYes).await.unwrap();
    assert_eq!(world.last_event().await.operation, DELETE);

    github(&world).await;
    set_secret(&world.app, &world.person("ada"), "github", secret()).await.unwrap();
    let refused = world.call_with(&ada, DELETE, ask.clone(), &FormYes).await.unwrap_err();
    assert_eq!(refused.code, Code::ApprovalRequired);
    in_person(&world, DELETE, ask).await;
}

#[tokio::test]
async fn a_client_secret_in_an_argument_is_refused() {
    let world = Place::new().await;
    let planted = format!("GOCSPX-{}", "aB3xK9".repeat(5));

    let ask =
        json!({ "service": "google", "client_id": "abc", "reason": format!("the secret is {planted}") });
    let refused = by_model(&world, CREATE, ask).await.unwrap_err();

    assert_eq!(refused.code, Code::SecretInArgument);
    assert!(!format!("{refused:?}").contains(&planted));
    let unknown = json!({ "service": "google", "client_id": "abc", "client_secret": "x" });
    assert_eq!(by_model(&world, CREATE, unknown).await.unwrap_err().code, Code::SecretInArgument);
}
