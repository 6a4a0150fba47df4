//! What the broker sends no more: too often (B-17), and to a service that sends it back (B-25).
use crate::support::brokered::{Service, answer, value};
use crate::support::rig::config;
use crate::support::world::{PersonYes, World};
use axum::body::{Body, to_bytes};
use http::{Request, Response};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use unsaid::app::App;
use unsaid::error::Code;
use unsaid::inject::broker::{Broker, Settings};
use unsaid::model::access::{Caller, Door};
use unsaid::model::token::Purpose;
use unsaid::ops::broker::{Keeper, Let, Rate};
use unsaid::ops::credential::create::CreateCredential;
use unsaid::ops::credential::value::{Target, enter_value};
use unsaid::ops::token::{NewToken, create};
use unsaid::secret::SecretBytes;
use unsaid::services::Catalogue;
use unsaid::services::client::Outbound;

/// A vault with a service of the test's own in its catalogue.
struct House {
    w: World,
    service: Service,
}

/// A broker of one process.
struct Running {
    broker: Broker<Keeper>,
    endings: TaskTracker,
}

/// The catalogue with `acme` at the service's address.
fn catalogue(folder: &std::path::Path, service: &Service) -> &'static Catalogue {
    let acme = include_str!("../manifests/services/groq.toml")
        .replace("id = \"groq\"", "id = \"acme\"")
        .replace("https://api.groq.com\"", &format!("http://{}\"", service.address))
        .replace("^gsk_", "^acme_")
        .replace("gsk_", "acme_");
    let services = folder.join("services");
    std::fs::create_dir_all(&services).unwrap();
    std::fs::write(services.join("acme.toml"), acme).unwrap();
    Box::leak(Box::new(Catalogue::with_folder(&services).unwrap()))
}

impl House {
    /// With the consumer `bot` of mia's, which is bound to her ACME_KEY.
    async fn new(service: Service) -> Self {
        let mut w = World::new().await;
        let known = catalogue(w.folder.path(), &service);
        Arc::get_mut(&mut w.app).unwrap().catalogue = known;
        let house = Self { w, service };
        house.enter("ACME_KEY", &value()).await;
        house.bind("bot", "ACME_KEY").await;
        house
    }

    async fn enter(&self, name: &str, text: &str) {
        let new = CreateCredential {
            name: name.into(),
            service: Some("acme".into()),
            ..CreateCredential::default()
        };
        self.replace(Target::New(Box::new(new)), text).await;
    }

    async fn replace(&self, target: Target, text: &str) {
        let values = vec![("value".to_owned(), SecretBytes::copied(text.as_bytes()))];
        enter_value(&self.w.app, &self.w.person("mia"), target, values, String::new()).await.unwrap();
    }

    async fn bind(&self, consumer: &str, name: &str) {
        let bound = json!([{"variable": name, "delivery": "header", "paths": ["/v1/**"]}]);
        let given = json!({"name": consumer, "kind": "agent", "bindings": bound});
        self.w.call_with(&self.w.person("mia"), "register_consumer", given, &PersonYes).await.unwrap();
    }

    async fn token(&self, consumer: &str) -> String {
        let new = NewToken {
            label: format!("{consumer} {}", unsaid::ids::fresh()),
            user: None,
            purpose: Purpose::Consumer,
            consumer: Some(consumer.into()),
            toolsets: Vec::new(),
            read_only: false,
            is_assured: false,
            expires_at: None,
        };
        create(&self.w.app, &self.w.person("mia"), new).await.unwrap().1.expose(str::to_owned)
    }

    fn run(&self, app: Arc<App>, a_minute: u32) -> Running {
        let endings = TaskTracker::new();
        let keeper = Keeper {
            vaults: Arc::new(move || {
                let app = app.clone();
                Box::pin(async move { Ok(app) })
            }),
            lets: Let::Tokens,
            rate: Rate::new(NonZeroU32::new(a_minute).unwrap()),
            endings: endings.clone(),
        };
        let allow = vec![format!("http://{}", self.service.address)];
        let outbound = Outbound { allow, ..Outbound::default() };
        Running { broker: Broker::new(keeper, Settings { outbound, ..Settings::default() }), endings }
    }

    fn start(&self, a_minute: u32) -> Running {
        self.run(self.w.app.clone(), a_minute)
    }

    /// How often the service was asked.
    fn asked(&self) -> usize {
        self.service.received().matches(" HTTP/1.1\r\n").count()
    }

    /// The events of uses.
    async fn uses(&self) -> Vec<Value> {
        let found = self
            .w
            .call(&self.w.person("mia"), "search_audit_log", json!({"operation": "use", "limit": 100}))
            .await
            .unwrap();
        found["events"].as_array().unwrap().clone()
    }

    async fn shown(&self, operation: &str, wanted: Value) -> Value {
        self.w.call(&self.w.person("mia"), operation, wanted).await.unwrap()
    }
}

impl Running {
    /// Asks, and waits until the log has how it ended.
    async fn get(&self, token: &str, consumer: &str, path: &str) -> (u16, http::HeaderMap, String) {
        let request = Request::get(format!("/b/{consumer}/acme{path}"))
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty())
            .unwrap();
        let (head, body) = Response::into_parts(self.broker.answer(request).await);
        let body = to_bytes(Body::new(body), usize::MAX).await.unwrap();
        self.endings.close();
        self.endings.wait().await;
        self.endings.reopen();
        (head.status.as_u16(), head.headers, String::from_utf8_lossy(&body).into_owned())
    }
}

/// A service that answers with the key that it was sent.
async fn parrot(status: &'static str) -> Service {
    Service::start(move |_, request| {
        let key = request.split("Bearer ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
        vec![answer(status, "", &format!("you are {key}"))]
    })
    .await
}

async fn quiet() -> Service {
    Service::start(|_, _| vec![answer("200 OK", "", "reached")]).await
}

#[tokio::test]
async fn b_17_beyond_its_rate_a_credential_is_not_sent_and_a_burst_is_one_event() {
    let house = House::new(quiet().await).await;
    house.bind("other", "ACME_KEY").await;
    house.enter("ACME_KEY_2", &format!("{}2", value())).await;
    house.bind("third", "ACME_KEY_2").await;
    let (bot, other, third) =
        (house.token("bot").await, house.token("other").await, house.token("third").await);
    let broker = house.start(3);
    for _ in 0..3 {
        assert_eq!(broker.get(&bot, "bot", "/v1/x").await.0, 200);
    }

    for _ in 0..4 {
        let (status, headers, body) = broker.get(&bot, "bot", "/v1/x").await;

        let said: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, said["code"].as_str()), (429, Some("too_many_requests")));
        let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        assert!(said["message"].as_str().unwrap().contains("ACME_KEY is sent at most 3 times a minute"));
        assert!(said["next"].as_str().unwrap().contains("requests_per_minute"));
    }

    // It is the credential's, whichever consumer asks; and no other credential's.
    assert_eq!(broker.get(&other, "other", "/v1/x").await.0, 429);
    assert_eq!(broker.get(&third, "third", "/v1/x").await.0, 200);
    assert_eq!(house.asked(), 4);
    let uses = house.uses().await;
    let refused: Vec<_> = uses.iter().filter(|event| event["outcome"] == "refused").collect();
    assert_eq!(refused.len(), 2, "one for each consumer: {refused:?}");
    assert!(refused.iter().all(|e| e["code"] == "too_many_requests" && e.to_string().contains("ACME_KEY")));
    assert_eq!(uses.len() - refused.len(), 4);
    assert!(house.w.chain_is_whole().await);
}

#[tokio::test]
async fn b_17_what_is_refused_for_another_reason_does_not_count() {
    let house = House::new(quiet().await).await;
    let bot = house.token("bot").await;
    let broker = house.start(1);

    for _ in 0..3 {
        assert_eq!(broker.get(&bot, "bot", "/admin").await.0, 403);
        assert_eq!(broker.get(&bot, "other", "/v1/x").await.0, 404);
    }

    assert_eq!(broker.get(&bot, "bot", "/v1/x").await.0, 200);
    assert_eq!(broker.get(&bot, "bot", "/v1/x").await.0, 429);
}

#[tokio::test]
async fn b_25_the_third_echo_suspends_a_credential_for_the_service_that_sent_it_back() {
    let house = House::new(parrot("200 OK").await).await;
    let bot = house.token("bot").await;
    let broker = house.start(1000);
    for _ in 0..3 {
        let (status, _, body) = broker.get(&bot, "bot", "/v1/x").await;
        assert_eq!((status, body.as_str()), (200, "you are [unsaid:ACME_KEY]"));
    }

    let (status, _, body) = broker.get(&bot, "bot", "/v1/x").await;

    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, said["code"].as_str()), (403, Some("credential_suspended")));
    assert_eq!(said["service"], "acme");
    assert!(said["message"].as_str().unwrap().contains("in 3 of its answers"), "{said}");
    assert!(said["next"].as_str().unwrap().contains("unsaid broker lift"), "{said}");
    assert_eq!(house.asked(), 3);
    let uses = house.uses().await;
    let echoes: Vec<_> = uses.iter().filter(|event| event["details"]["echoed"] == true).collect();
    assert_eq!(echoes.len(), 3, "{uses:?}");
    let suspended = echoes.iter().filter(|event| event["details"]["suspended_for"] == "acme").count();
    assert_eq!(suspended, 1);
    let refused = uses.iter().filter(|event| event["code"] == "credential_suspended").count();
    assert_eq!(refused, 1);

    let shown = house.shown("get_credential", json!({"credential": "ACME_KEY"})).await;
    assert_eq!(shown["status"]["status"], "needs_attention");
    assert_eq!(shown["status"]["reasons"], json!(["suspended_for_service"]));
    let consumer = house.shown("get_consumer", json!({"consumer": "bot"})).await;
    assert_eq!((&consumer["ready"], &consumer["checks"][0]["state"]), (&json!(false), &json!("not_allowed")));

    // Another process, which has seen none of it.
    let home = house.w.folder.path().join("home");
    let mut again = App::open_with(config(&home), house.w.clock.clone(), None).unwrap();
    again.catalogue = house.w.app.catalogue;
    let second = house.run(Arc::new(again), 1000);
    assert_eq!(second.get(&bot, "bot", "/v1/x").await.0, 403);
    assert_eq!(house.asked(), 3);
}

#[tokio::test]
async fn b_25_another_value_was_not_sent_back_and_begins_anew() {
    let house = House::new(parrot("401 Unauthorized").await).await;
    let bot = house.token("bot").await;
    let broker = house.start(1000);
    for _ in 0..3 {
        assert_eq!(broker.get(&bot, "bot", "/v1/x").await.0, 401);
    }
    assert_eq!(broker.get(&bot, "bot", "/v1/x").await.0, 403);
    // A refusal that has the key in it counts as one, and is told as one.
    let uses = house.uses().await;
    let is_echo = |event: &&Value| event["outcome"] == "failed" && event["details"]["echoed"] == true;
    assert_eq!(uses.iter().filter(is_echo).count(), 3, "{uses:?}");

    house.replace(Target::Existing("ACME_KEY".into()), &format!("{}new", value())).await;

    for _ in 0..3 {
        assert_eq!(broker.get(&bot, "bot", "/v1/x").await.0, 401);
    }
    assert_eq!(broker.get(&bot, "bot", "/v1/x").await.0, 403);
    assert_eq!(house.asked(), 6);
}

#[tokio::test]
async fn b_25_a_person_who_manages_it_lifts_a_suspension_and_nobody_else_does() {
    let house = House::new(parrot("200 OK").await).await;
    let (bot, w) = (house.token("bot").await, &house.w);
    let broker = house.start(1000);
    for _ in 0..3 {
        broker.get(&bot, "bot", "/v1/x").await;
    }
    let wish = json!({"credential": "ACME_KEY", "reason": "it is an echo service"});
    let lift = async |caller: &Caller, wish: Value| {
        w.call_with(caller, "lift_suspension", wish, &PersonYes).await.map_err(|e| e.code)
    };
    let cli = |login: &str| Caller { door: Door::Cli, ..w.person(login) };

    // A model, whatever it says a person agreed to; who may not know of it; another service.
    assert_eq!(lift(&w.caller("mia"), wish.clone()).await.unwrap_err(), Code::PeopleOnly);
    assert!(!unsaid::ops::find_entry("lift_suspension").unwrap().is_tool());
    assert_eq!(lift(&cli("max"), wish.clone()).await.unwrap_err(), Code::CredentialNotFound);
    let elsewhere = json!({"credential": "ACME_KEY", "service": "github"});
    assert_eq!(lift(&cli("mia"), elsewhere).await.unwrap_err(), Code::NothingToDo);
    assert_eq!(broker.get(&bot, "bot", "/v1/x").await.0, 403);

    let lifted = lift(&cli("mia"), wish.clone()).await.unwrap();

    assert_eq!(lifted["services"], json!(["acme"]));
    assert_eq!(lift(&cli("mia"), wish).await.unwrap_err(), Code::NothingToDo);
    for _ in 0..3 {
        assert_eq!(broker.get(&bot, "bot", "/v1/x").await.0, 200);
    }
    assert_eq!(broker.get(&bot, "bot", "/v1/x").await.0, 403);
    let log = w.call(&cli("mia"), "search_audit_log", json!({"operation": "lift_suspension"})).await.unwrap();
    assert!(log.to_string().contains("it is an echo service"), "{log}");
    assert!(w.chain_is_whole().await);
}

#[tokio::test]
async fn b_25_two_echoes_suspend_nothing_and_quiet_answers_do_not_count() {
    let service = Service::start(|count, request| {
        let key = request.split("Bearer ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
        vec![answer("200 OK", "", if count % 5 == 0 { key } else { "quiet" })]
    })
    .await;
    let house = House::new(service).await;
    let bot = house.token("bot").await;
    let broker = house.start(1000);

    for _ in 0..10 {
        assert_eq!(broker.get(&bot, "bot", "/v1/x").await.0, 200);
    }

    let shown = house.shown("get_credential", json!({"credential": "ACME_KEY"})).await;
    assert_eq!(shown["status"]["status"], "active");
    assert_eq!(broker.get(&bot, "bot", "/v1/x").await.0, 200);
    assert_eq!(broker.get(&bot, "bot", "/v1/x").await.0, 403);
}

#[tokio::test]
async fn b_26_a_short_value_is_refused_by_the_whole_way_and_nothing_is_sent() {
    let house = House::new(quiet().await).await;
    let bot = house.token("bot").await;
    house.replace(Target::Existing("ACME_KEY".into()), "abcd").await;
    let broker = house.start(1000);

    let (status, _, body) = broker.get(&bot, "bot", "/v1/x").await;

    assert_eq!((status, house.asked()), (400, 0));
    assert!(body.contains("too short") && !body.contains("abcd"), "{body}");
    let uses = house.uses().await;
    assert!(uses.iter().any(|event| event["outcome"] == "failed"), "{uses:?}");
}
