//! The pages as a visitor's program meets them: status, headers, forms; who is let in and what is left unsaid.
use super::*;
use crate::app::Pages as _;
use crate::front::{Guard, Peer, guarded};
use crate::model::access::{Caller, Door};
use crate::model::approval::APPROVAL_LIFE_MS;
use crate::model::entry::ENTRY_LIFE_MS;
use crate::model::event::Event;
use crate::model::token::Purpose;
use crate::ops::entry::offer_sign_in;
use crate::ops::token::{NewToken, create};
use crate::testing::{PersonYes, World};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

const BASE: &str = "http://127.0.0.1:8740";

struct House {
    w: World,
    router: Router,
}

struct Seen {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

/// Somebody signed in: path and cookie.
#[derive(Clone)]
struct In {
    base: String,
    cookie: String,
}

impl House {
    async fn new() -> Self {
        let w = World::new().await;
        assert!(w.app.pages.set(Arc::new(SignedIn { base: BASE.into() })).is_ok());
        let app = w.app.clone();
        let vault: Vault = Arc::new(move || {
            let app = app.clone();
            Box::pin(async move { Ok(app) })
        });
        let shape = Shape { base: BASE.into(), is_https: false, is_local: true };
        let address = crate::front::Address {
            base: BASE.into(),
            hosts: vec!["127.0.0.1:8740".into()],
            origins: vec![BASE.into()],
            is_local: true,
        };
        let guard = Guard { bodies: vec![("/u/", 2 * 1024 * 1024)], ..Guard::at(&address, false) };
        Self { router: guarded(router(vault, &shape).unwrap(), guard), w }
    }

    async fn send(&self, method: &str, path: &str, who: Option<&In>, body: &str, kind: &str) -> Seen {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1:8740")
            .header(header::ORIGIN, BASE)
            .header(header::CONTENT_TYPE, kind);
        if let Some(who) = who {
            request = request.header(header::COOKIE, &who.cookie);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        request.extensions_mut().insert(Peer("127.0.0.1".parse().unwrap()));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 22).await.unwrap();
        Seen {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    async fn get(&self, path: &str, who: Option<&In>) -> Seen {
        self.send("GET", path, who, "", "text/plain").await
    }

    async fn post(&self, path: &str, who: Option<&In>, form: &[(&str, &str)]) -> Seen {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.send("POST", path, who, &body, "application/x-www-form-urlencoded").await
    }

    async fn enter(&self, path: &str, who: Option<&In>, parts: &[(&str, &str)]) -> Seen {
        let mut body = String::new();
        for (name, text) in parts {
            body.push_str(&format!(
                "--xx\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"
            ));
        }
        body.push_str("--xx--\r\n");
        self.send("POST", path, who, &body, "multipart/form-data; boundary=xx").await
    }

    async fn sign_in(&self, login: &str) -> In {
        let (ticket, _) = offer_sign_in(&self.w.app, &self.w.person(login), true).await.unwrap();
        let ticket = ticket.expose(str::to_owned);
        let seen = self.post(&format!("/sign-in/{ticket}"), None, &[]).await;
        came_in(&seen)
    }

    /// The link of a new credential, as a chat gets it.
    async fn link(&self, login: &str, name: &str) -> String {
        let caller = Caller { door: Door::Http, ..self.w.caller(login) };
        let made = self.w.call(&caller, "create_credential", json!({ "name": name })).await.unwrap();
        made["entry"]["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    /// The id of a request to share TEAM_KEY with `user`.
    async fn request(&self, user: &str) -> String {
        let share =
            json!({ "credential": "TEAM_KEY", "user": user, "level": "view", "reason": "they help out" });
        let asked = self.w.refused(&self.w.caller("tess"), "share_credential", share).await;
        // There is a page to decide it on, and it is named.
        assert!(asked.next_step().contains(BASE), "{}", asked.next_step());
        asked.details().iter().find(|(name, _)| *name == "approval_id").unwrap().1.clone()
    }

    /// What ada sees of the org's only provider.
    async fn provider(&self) -> Value {
        let listed = self.w.call(&self.w.caller("ada"), "list_oauth_providers", json!({})).await.unwrap();
        assert_eq!(listed["providers"].as_array().unwrap().len(), 1, "{listed}");
        listed["providers"][0].clone()
    }

    async fn is_set(&self, login: &str, name: &str) -> bool {
        let caller = self.w.caller(login);
        let shown = self.w.call(&caller, "get_credential", json!({ "credential": name }));
        shown.await.unwrap()["status"]["status"] == "active"
    }
}

fn came_in(seen: &Seen) -> In {
    assert_eq!(seen.status, StatusCode::SEE_OTHER, "{}", seen.text);
    let to = seen.headers[header::LOCATION].to_str().unwrap();
    let cookie = seen.headers[header::SET_COOKIE].to_str().unwrap();
    In {
        base: to.splitn(4, '/').take(3).collect::<Vec<_>>().join("/"),
        cookie: cookie.split(';').next().unwrap().to_owned(),
    }
}

fn csrf(page: &Seen) -> String {
    let from = page.text.find("name=\"csrf\" value=\"").expect("the form has its token") + 19;
    page.text[from..].split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn w_01_a_link_without_a_session_shows_a_sign_in_form_and_nothing_of_what_it_is_for() {
    let house = House::new().await;
    let link = house.link("mia", "A_SECRET_NAME").await;

    let seen = house.get(&format!("/e/{link}"), None).await;

    assert_eq!(seen.status, StatusCode::UNAUTHORIZED);
    assert!(!seen.text.contains("A_SECRET_NAME") && !seen.text.contains("mia"), "{}", seen.text);
    assert!(seen.text.contains("type=\"password\""));
    assert!(!seen.text.contains("f.value"));
}

#[tokio::test]
async fn the_asker_signs_in_enters_the_value_and_the_link_is_used_up() {
    let house = House::new().await;
    let link = house.link("mia", "A_KEY").await;
    let mia = house.sign_in("mia").await;
    let path = format!("{}/e/{link}", mia.base);

    let page = house.get(&path, Some(&mia)).await;
    assert_eq!(page.status, StatusCode::OK);
    for shown in ["A_KEY", "mia", "personal", "unsaid set A_KEY"] {
        assert!(page.text.contains(shown), "{shown}");
    }
    let value = "plain words of a value";
    let done = house.enter(&path, Some(&mia), &[("csrf", &csrf(&page)), ("f.value", value)]).await;
    let again = house.enter(&path, Some(&mia), &[("csrf", &csrf(&page)), ("f.value", value)]).await;

    assert_eq!((done.status, again.status), (StatusCode::OK, StatusCode::GONE));
    for seen in [&page, &done, &again] {
        assert!(!seen.text.contains(value));
    }
    assert_eq!(done.headers[header::CONNECTION], "close");
    assert!(house.is_set("mia", "A_KEY").await);
    assert_eq!(house.get(&path, Some(&mia)).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn w_02_a_link_of_somebody_else_is_refused_and_says_nothing_of_its_credential() {
    let house = House::new().await;
    let link = house.link("mia", "A_SECRET_NAME").await;
    for login in ["max", "ada"] {
        let other = house.sign_in(login).await;
        let page = house.get(&format!("{}/", other.base), Some(&other)).await;
        let path = format!("{}/e/{link}", other.base);

        let seen = house.get(&path, Some(&other)).await;
        let tried = house.enter(&path, Some(&other), &[("csrf", &csrf(&page)), ("f.value", "x")]).await;

        for seen in [seen, tried] {
            assert_eq!(seen.status, StatusCode::FORBIDDEN);
            assert!(!seen.text.contains("A_SECRET_NAME"), "{}", seen.text);
        }
    }
    assert!(!house.is_set("mia", "A_SECRET_NAME").await);
}

#[tokio::test]
async fn w_03_an_expired_link_says_so_plainly() {
    let house = House::new().await;
    let link = house.link("mia", "A_KEY").await;
    let mia = house.sign_in("mia").await;
    house.w.clock.advance_ms(ENTRY_LIFE_MS);

    let seen = house.get(&format!("{}/e/{link}", mia.base), Some(&mia)).await;

    assert_eq!(seen.status, StatusCode::GONE);
    assert!(seen.text.contains("time is over"), "{}", seen.text);
}

/// W-18: neither half of a session opens anything alone, nor one beside another's.
#[tokio::test]
async fn w_18_a_cookie_without_its_path_and_a_path_without_its_cookie_let_nobody_in() {
    let house = House::new().await;
    let (mia, max) = (house.sign_in("mia").await, house.sign_in("max").await);
    let home = |who: &In| format!("{}/", who.base);
    assert_eq!(house.get(&home(&mia), Some(&mia)).await.status, StatusCode::OK);

    let crossed = In { cookie: max.cookie.clone(), ..mia.clone() };
    // One that another program put beside it neither helps nor hurts.
    let doubled = In { cookie: format!("{}; {}", max.cookie, mia.cookie), ..mia.clone() };
    assert_eq!(house.get(&home(&mia), Some(&doubled)).await.status, StatusCode::OK);
    let empty = In { cookie: "unsaid_session=".into(), ..mia.clone() };
    for (path, who) in [
        (home(&mia), None),
        (home(&mia), Some(&max)),
        (home(&max), Some(&mia)),
        (home(&mia), Some(&crossed)),
        (home(&mia), Some(&empty)),
        ("/u/".to_owned() + &"A".repeat(43) + "/", Some(&mia)),
    ] {
        assert_eq!(house.get(&path, who).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn the_cookie_is_for_its_own_path_alone_and_no_script() {
    let house = House::new().await;
    let (ticket, _) = offer_sign_in(&house.w.app, &house.w.person("mia"), true).await.unwrap();
    let path = format!("/sign-in/{}", ticket.expose(str::to_owned));

    let asked = house.get(&path, None).await;
    let seen = house.post(&path, None, &[]).await;

    // Looking does not use it up.
    assert!(asked.status == StatusCode::OK && asked.text.contains("mia"));
    let cookie = seen.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(cookie.contains(&format!("; Path={}", came_in(&seen).base)), "{cookie}");
    assert_eq!(house.post(&path, None, &[]).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn w_15_a_form_without_its_token_changes_nothing() {
    let house = House::new().await;
    let link = house.link("mia", "A_KEY").await;
    let (mia, max) = (house.sign_in("mia").await, house.sign_in("max").await);
    let theirs = csrf(&house.get(&format!("{}/", max.base), Some(&max)).await);
    let path = format!("{}/e/{link}", mia.base);

    for given in ["", "x", theirs.as_str()] {
        let seen = house.enter(&path, Some(&mia), &[("csrf", given), ("f.value", "plain words")]).await;
        assert_eq!(seen.status, StatusCode::FORBIDDEN);
        let out = house.post(&format!("{}/sign-out", mia.base), Some(&mia), &[("csrf", given)]).await;
        assert_eq!(out.status, StatusCode::FORBIDDEN);
    }

    assert!(!house.is_set("mia", "A_KEY").await);
    for kind in ["text/plain", "application/json", "application/x-www-form-urlencoded"] {
        let seen = house.send("POST", &path, Some(&mia), "f.value=x", kind).await;
        assert!(seen.status.is_client_error(), "{kind}: {}", seen.status);
    }
    assert_eq!(
        house.send("PUT", &path, Some(&mia), "", "text/plain").await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn w_19_w_26_w_28_no_page_is_framed_kept_or_given_foreign_parts() {
    let house = House::new().await;
    let link = house.link("mia", "A_KEY").await;
    let mia = house.sign_in("mia").await;
    let base = &mia.base;

    for path in [
        "/".to_owned(),
        "/sign-in".into(),
        format!("/e/{link}"),
        format!("{base}/"),
        format!("{base}/e/{link}"),
        format!("{base}/approvals"),
        format!("{base}/providers"),
        format!("{base}/e/{}", "A".repeat(43)),
    ] {
        let seen = house.get(&path, Some(&mia)).await;
        let policy = seen.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(seen.headers[header::X_FRAME_OPTIONS], "DENY", "{path}");
        assert_eq!(seen.headers[header::CACHE_CONTROL], "no-store", "{path}");
        for foreign in ["src=\"http", "href=\"http", "style=", "onclick", "<script>"] {
            assert!(!seen.text.contains(foreign), "{path}: {foreign}");
        }
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_and_a_disabled_person_is_out_at_once() {
    let house = House::new().await;
    let (mia, max) = (house.sign_in("mia").await, house.sign_in("max").await);
    let home = |who: &In| format!("{}/", who.base);
    let token = csrf(&house.get(&home(&mia), Some(&mia)).await);

    let out = house.post(&format!("{}/sign-out", mia.base), Some(&mia), &[("csrf", &token)]).await;
    let disable = json!({ "user": "max", "disabled": true });
    house.w.call(&house.w.person("ada"), "update_user", disable).await.unwrap();

    assert_eq!(out.status, StatusCode::OK);
    assert!(out.headers.contains_key("clear-site-data"));
    for who in [mia, max] {
        assert_eq!(house.get(&home(&who), Some(&who)).await.status, StatusCode::UNAUTHORIZED);
    }
}

async fn token(house: &House, login: &str, purpose: Purpose) -> String {
    let new = NewToken {
        label: "a token".into(),
        user: None,
        purpose,
        toolsets: Vec::new(),
        consumer: None,
        read_only: false,
        is_assured: true,
        expires_at: None,
    };
    let (_, token) = create(&house.w.app, &house.w.person(login), new).await.unwrap();
    token.expose(str::to_owned)
}

#[tokio::test]
async fn a_sign_in_token_signs_in_until_it_is_revoked_and_a_client_s_never_does() {
    let house = House::new().await;
    let link = house.link("mia", "A_KEY").await;
    let (good, client) =
        (token(&house, "mia", Purpose::SignIn).await, token(&house, "mia", Purpose::Mcp).await);

    for wrong in [client.as_str(), "", "words", &good[..55]] {
        let seen = house.post("/sign-in", None, &[("token", wrong), ("link", &link)]).await;
        assert_eq!(seen.status, StatusCode::UNAUTHORIZED);
        assert!(wrong.is_empty() || !seen.text.contains(wrong));
    }
    let seen = house.post("/sign-in", None, &[("token", &good), ("link", &link)]).await;
    assert!(seen.headers[header::LOCATION].to_str().unwrap().ends_with(&format!("/e/{link}")));
    let mia = came_in(&seen);
    assert_eq!(house.get(&format!("{}/", mia.base), Some(&mia)).await.status, StatusCode::OK);

    let listed = house.w.call(&house.w.person("mia"), "list_tokens", json!({})).await.unwrap();
    let id = listed["tokens"].as_array().unwrap().iter().find(|t| t["purpose"] == "sign_in").unwrap()["id"]
        .clone();
    house.w.call(&house.w.person("mia"), "revoke_token", json!({ "id": id })).await.unwrap();
    assert_eq!(house.get(&format!("{}/", mia.base), Some(&mia)).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn w_27_a_sign_in_goes_on_to_an_entry_link_and_nowhere_else() {
    let house = House::new().await;
    for to in ["//evil.example", "https://evil.example", "../../x", "/u/x", &"A".repeat(44), "a b"] {
        let good = token(&house, "mia", Purpose::SignIn).await;
        let seen = house.post("/sign-in", None, &[("token", &good), ("link", to)]).await;
        let location = seen.headers[header::LOCATION].to_str().unwrap().to_owned();
        assert_eq!(location, format!("{}/", came_in(&seen).base));
        let all = json!({ "id": house.w.call(&house.w.person("mia"), "list_tokens", json!({})).await.unwrap()["tokens"][0]["id"] });
        house.w.call(&house.w.person("mia"), "revoke_token", all).await.unwrap();
    }
}

#[tokio::test]
async fn w_29_who_guesses_is_stopped_for_a_while() {
    let house = House::new().await;

    let mut stopped = 0;
    for _ in 0..30 {
        let seen = house.post("/sign-in", None, &[("token", "guess")]).await;
        stopped += usize::from(seen.status == StatusCode::TOO_MANY_REQUESTS);
    }

    assert_eq!(stopped, 10);
}

#[tokio::test]
async fn a_request_is_approved_or_declined_on_its_page_by_who_may() {
    let house = House::new().await;
    house.w.add("tess", "core", "TEAM_KEY", "plain words").await;
    let mut ids = Vec::new();
    for user in ["max", "mia"] {
        ids.push(house.request(user).await);
    }
    let (tess, mia) = (house.sign_in("tess").await, house.sign_in("mia").await);
    let path = |who: &In, id: &str| format!("{}/approvals/{id}", who.base);

    let listed = house.get(&format!("{}/approvals", tess.base), Some(&tess)).await;
    let page = house.get(&path(&tess, &ids[0]), Some(&tess)).await;
    for shown in ["TEAM_KEY", "they help out", "tess", "max"] {
        assert!(listed.text.contains("TEAM_KEY") && page.text.contains(shown), "{shown}: {}", page.text);
    }
    assert_eq!(house.get(&path(&mia, &ids[0]), Some(&mia)).await.status, StatusCode::NOT_FOUND);
    let token = csrf(&page);
    let say = async |id: &str, decision: &str, csrf: &str| {
        house.post(&path(&tess, id), Some(&tess), &[("csrf", csrf), ("decision", decision)]).await.status
    };
    assert_eq!(say(&ids[0], "approve", "wrong").await, StatusCode::FORBIDDEN);
    assert_eq!(say(&ids[0], "", &token).await, StatusCode::BAD_REQUEST);
    assert_eq!(say(&ids[0], "approve", &token).await, StatusCode::OK);
    assert_eq!(say(&ids[1], "decline", &token).await, StatusCode::OK);
    assert_eq!(say(&ids[0], "approve", &token).await, StatusCode::GONE);

    let caller = house.w.caller("tess");
    let shown = house.w.call(&caller, "get_credential", json!({ "credential": "TEAM_KEY" }));
    let who = shown.await.unwrap()["configuration"]["who"].to_string();
    assert!(who.contains("max") && !who.contains("mia"), "{who}");
    let share =
        json!({ "credential": "TEAM_KEY", "user": "mia", "level": "view", "reason": "they help out" });
    let again = house.w.refused(&house.w.caller("tess"), "share_credential", share).await;
    assert_eq!(again.code, crate::error::Code::Declined);
}

#[tokio::test]
async fn o_01_own_endpoints_are_approved_on_a_page_that_shows_the_hosts_and_wants_one_typed() {
    let house = House::new().await;
    let ada = house.sign_in("ada").await;
    let fresh = house.get(&format!("{}/providers/new", ada.base), Some(&ada)).await;
    assert!(fresh.text.contains(&format!("{BASE}/oauth/callback")));
    let token = csrf(&fresh);
    let form = [
        ("csrf", token.as_str()),
        ("name", "own"),
        ("client_id", "abc"),
        ("client_auth", "basic"),
        ("scopes", "read write"),
        ("authorization_url", "https://login.example.com/authorize"),
        ("token_url", "https://tokens.example.net/token"),
    ];

    let asked = house.post(&format!("{}/providers/new", ada.base), Some(&ada), &form).await;
    let to = asked.headers[header::LOCATION].to_str().unwrap().to_owned();
    let page = house.get(&to, Some(&ada)).await;

    for shown in ["tokens.example.net", "login.example.com", "different domains"] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    let decide = async |typed: &str| {
        let form = [("csrf", token.as_str()), ("decision", "approve"), ("typed", typed)];
        house.post(&to, Some(&ada), &form).await
    };
    for wrong in ["", "login.example.com", "tokens.example.net.evil.example"] {
        let seen = decide(wrong).await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST);
        assert!(seen.text.contains("not typed as it is shown"), "{}", seen.text);
    }
    let done = decide("tokens.example.net").await;
    assert_eq!(done.status, StatusCode::OK);
    let listed = house.w.call(&house.w.caller("ada"), "list_oauth_providers", json!({})).await.unwrap();
    assert_eq!(listed["providers"][0]["name"], "own");

    let list = house.get(&format!("{}/providers", ada.base), Some(&ada)).await;
    assert!(list.text.contains("own") && list.text.contains("missing"));
    let id = listed["providers"][0]["id"].as_str().unwrap();
    assert!(done.text.contains(&format!("href=\"{}/providers/{id}\"", ada.base)), "{}", done.text);
    assert!(done.text.contains("client secret"), "{}", done.text);
    let form = [("csrf", token.as_str())];
    let secret = house.post(&format!("{}/providers/{id}/secret", ada.base), Some(&ada), &form).await;
    let entry = secret.headers[header::LOCATION].to_str().unwrap().to_owned();
    let shown = house.get(&entry, Some(&ada)).await;
    assert!(shown.text.contains("tokens.example.net"));
    let parts = [("csrf", token.as_str()), ("f.client_secret", "plain words")];
    assert_eq!(house.enter(&entry, Some(&ada), &parts).await.status, StatusCode::OK);
    let listed = house.w.call(&house.w.caller("ada"), "list_oauth_providers", json!({})).await.unwrap();
    assert_eq!(listed["providers"][0]["setup"]["has_secret"], true);
}

#[tokio::test]
async fn what_was_typed_wrong_is_said_on_the_same_page_and_nothing_is_stored() {
    let house = House::new().await;
    let link = house.link("mia", "A_KEY").await;
    let mia = house.sign_in("mia").await;
    let path = format!("{}/e/{link}", mia.base);
    let token = csrf(&house.get(&path, Some(&mia)).await);

    for parts in [
        vec![("csrf", token.as_str())],
        vec![("csrf", token.as_str()), ("f.value", "a\0b")],
        vec![("csrf", token.as_str()), ("f.other", "x")],
        vec![("csrf", token.as_str()), ("sealed", "AAAA")],
    ] {
        let seen = house.enter(&path, Some(&mia), &parts).await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST, "{parts:?}");
        assert!(seen.text.contains("Nothing was stored") && seen.text.contains("f.value"));
    }

    let declined =
        house.enter(&path, Some(&mia), &[("csrf", &token), ("decline", "1"), ("f.value", "x")]).await;
    assert_eq!(declined.status, StatusCode::OK);
    assert!(!house.is_set("mia", "A_KEY").await);
}

/// The pages of a server on standard input and output, as they are listened to.
#[tokio::test]
async fn local_pages_start_when_a_link_is_made_and_show_a_code_that_only_their_process_knows() {
    let w = World::new().await;
    let (one, other) = (LocalPages::new(&w.app).unwrap(), LocalPages::new(&w.app).unwrap());

    let base = one.base().await.unwrap();

    assert!(base.starts_with("http://127.0.0.1:"));
    assert_eq!(one.base().await.unwrap(), base);
    assert_ne!(other.base().await.unwrap(), base);
    let code = one.code("link").unwrap();
    assert_eq!((code.len(), code.as_bytes()[4]), (9, b'-'));
    assert_eq!(one.code("link").unwrap(), code);
    assert_ne!(other.code("link").unwrap(), code);
    assert_ne!(one.code("links").unwrap(), code);
}

#[tokio::test]
async fn nothing_of_a_value_is_in_the_answer_of_the_tool_that_asked() {
    let house = House::new().await;
    let link = house.link("mia", "A_KEY").await;
    let mia = house.sign_in("mia").await;
    let path = format!("{}/e/{link}", mia.base);
    let token = csrf(&house.get(&path, Some(&mia)).await);
    house.enter(&path, Some(&mia), &[("csrf", &token), ("f.value", "quite plain words")]).await;

    let told: Value = house
        .w
        .call(&house.w.caller("mia"), "get_credential", json!({ "credential": "A_KEY" }))
        .await
        .unwrap();

    assert_eq!(told["entry"]["state"], "done");
    assert!(!told.to_string().contains("quite plain"));
}

/// A sign-in that a program could have made by itself enters values, and approves nothing.
#[tokio::test]
async fn m_16_who_signed_in_without_a_terminal_approves_nothing() {
    let house = House::new().await;
    house.w.add("tess", "core", "TEAM_KEY", "plain words").await;
    let share =
        json!({ "credential": "TEAM_KEY", "user": "max", "level": "view", "reason": "they help out" });
    let asked = house.w.refused(&house.w.caller("tess"), "share_credential", share).await;
    let id = asked.details().iter().find(|(name, _)| *name == "approval_id").unwrap().1.clone();
    let (ticket, _) = offer_sign_in(&house.w.app, &house.w.person("tess"), false).await.unwrap();
    let seen = house.post(&format!("/sign-in/{}", ticket.expose(str::to_owned)), None, &[]).await;
    let tess = came_in(&seen);
    let path = format!("{}/approvals/{id}", tess.base);
    let token = csrf(&house.get(&path, Some(&tess)).await);

    let tried = house.post(&path, Some(&tess), &[("csrf", &token), ("decision", "approve")]).await;

    assert_eq!(tried.status, StatusCode::FORBIDDEN);
    assert!(tried.text.contains("terminal"));
    let declined = house.post(&path, Some(&tess), &[("csrf", &token), ("decision", "decline")]).await;
    assert_eq!(declined.status, StatusCode::OK);
}

/// What was decided, and what nobody decided in time: to be read by whom it concerned, and no more.
#[tokio::test]
async fn what_was_decided_is_shown_without_buttons_to_who_might_decide_it_and_to_nobody_else() {
    let house = House::new().await;
    house.w.add("tess", "core", "TEAM_KEY", "plain words").await;
    let (tess, mia) = (house.sign_in("tess").await, house.sign_in("mia").await);
    let path = |who: &In, id: &str| format!("{}/approvals/{id}", who.base);
    let ids = [house.request("max").await, house.request("mia").await, house.request("otto").await];
    let token = csrf(&house.get(&path(&tess, &ids[0]), Some(&tess)).await);
    for (id, decision) in [(&ids[0], "approve"), (&ids[1], "decline")] {
        let form = [("csrf", token.as_str()), ("decision", decision)];
        assert_eq!(house.post(&path(&tess, id), Some(&tess), &form).await.status, StatusCode::OK);
    }
    house.w.clock.advance_ms(APPROVAL_LIFE_MS);

    for (id, state) in ids.iter().zip(["done", "declined", "expired"]) {
        let seen = house.get(&path(&tess, id), Some(&tess)).await;
        let other = house.get(&path(&mia, id), Some(&mia)).await;

        assert_eq!((seen.status, other.status), (StatusCode::OK, StatusCode::NOT_FOUND), "{state}");
        assert!(
            seen.text.contains("TEAM_KEY") && seen.text.contains(&format!("<bdi>{state}</bdi>")),
            "{}",
            seen.text
        );
        assert!(!seen.text.contains("name=\"decision\""), "{state}: {}", seen.text);
        let form = [("csrf", token.as_str()), ("decision", "approve")];
        assert_eq!(
            house.post(&path(&tess, id), Some(&tess), &form).await.status,
            StatusCode::GONE,
            "{state}"
        );
    }
}

#[tokio::test]
async fn a_request_that_turns_out_not_to_fit_says_why_when_it_is_approved_and_after() {
    let house = House::new().await;
    house.w.add("tess", "core", "TEAM_KEY", "plain words").await;
    let id = house.request("max").await;
    let (caller, planted) = (house.w.person("tess"), id.clone());
    let org = caller.org.clone();
    let write = house.w.app.store.write(&caller, move |tx| {
        let mut approval = tx.approval(&org, &planted)?;
        approval.arguments =
            json!({ "credential": "TEAM_KEY", "user": "max", "level": "view", "reason": "" }).to_string();
        tx.save(&mut approval)?;
        tx.record_step(Event::of("request_approval"), ())
    });
    write.await.unwrap();
    let tess = house.sign_in("tess").await;
    let path = format!("{}/approvals/{id}", tess.base);
    let token = csrf(&house.get(&path, Some(&tess)).await);

    let form = [("csrf", token.as_str()), ("decision", "approve")];
    let failed = house.post(&path, Some(&tess), &form).await;
    let after = house.get(&path, Some(&tess)).await;

    assert_eq!(failed.status, StatusCode::BAD_REQUEST);
    assert!(failed.text.contains("reason"), "{}", failed.text);
    assert_eq!(after.status, StatusCode::OK);
    assert!(after.text.contains("failed: invalid input"), "{}", after.text);
}

#[tokio::test]
async fn o_02_changed_addresses_are_approved_as_new_ones_are_with_their_hosts_in_sight_and_one_typed() {
    let house = House::new().await;
    let ada = house.sign_in("ada").await;
    let own = json!({ "name": "own", "client_id": "abc", "endpoints": {
        "authorization_url": "https://login.example.com/authorize", "token_url": "https://login.example.com/token",
        "revocation_url": "https://login.example.com/revoke",
    } });
    house.w.call_with(&house.w.person("ada"), "create_oauth_provider", own, &PersonYes).await.unwrap();
    let path = format!("{}/providers/{}", ada.base, house.provider().await["id"].as_str().unwrap());
    let edit = house.get(&path, Some(&ada)).await;
    assert!(edit.text.contains("Empty: none."), "{}", edit.text);
    let token = csrf(&edit);
    let form = [
        ("csrf", token.as_str()),
        ("client_id", "abc"),
        ("client_auth", "basic"),
        ("authorization_url", "https://login.example.com/authorize"),
        ("token_url", "https://tokens.example.net/token"),
        ("revocation_url", ""),
    ];

    let asked = house.post(&path, Some(&ada), &form).await;
    let to = asked.headers[header::LOCATION].to_str().unwrap().to_owned();
    let page = house.get(&to, Some(&ada)).await;

    for shown in ["Where credentials would go", "tokens.example.net", "before, token_url: login.example.com"]
    {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    assert!(!page.text.contains("after, "), "{}", page.text);
    let decide = async |typed: &str| {
        let form = [("csrf", token.as_str()), ("decision", "approve"), ("typed", typed)];
        house.post(&to, Some(&ada), &form).await.status
    };
    for wrong in ["", "login.example.com"] {
        assert_eq!(decide(wrong).await, StatusCode::BAD_REQUEST);
    }
    assert_eq!(decide("tokens.example.net").await, StatusCode::OK);
    let endpoints = house.provider().await["setup"]["endpoints"].take();
    assert_eq!(endpoints["token_url"], "https://tokens.example.net/token");
    assert_eq!(endpoints["revocation_url"], "", "an emptied address is removed");
}

#[tokio::test]
async fn a_new_provider_proves_itself_as_its_preset_says_unless_somebody_chose_otherwise() {
    let house = House::new().await;
    let ada = house.sign_in("ada").await;
    let path = format!("{}/providers/new", ada.base);
    let fresh = house.get(&path, Some(&ada)).await;
    assert!(
        fresh.text.contains("<option value=\"\" selected>What the service’s preset says"),
        "{}",
        fresh.text
    );
    let token = csrf(&fresh);

    let form = [
        ("csrf", token.as_str()),
        ("name", "ocean"),
        ("service", "digitalocean"),
        ("client_id", "abc"),
        ("client_auth", ""),
    ];
    let made = house.post(&path, Some(&ada), &form).await;

    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text);
    assert_eq!(house.provider().await["setup"]["client_auth"], "post");
}

#[tokio::test]
async fn c_20_a_secret_typed_into_the_form_of_a_provider_is_not_shown_again() {
    let house = House::new().await;
    let ada = house.sign_in("ada").await;
    let path = format!("{}/providers/new", ada.base);
    let token = csrf(&house.get(&path, Some(&ada)).await);
    let secret = "Zq7Xw9Rt2Lm4".repeat(3);

    // The last is found by the operation alone.
    for (field, typed) in [
        ("params", secret.clone()),
        ("params", format!("tenant={secret}")),
        ("params", format!("host=git.example.com {secret}=x")),
        ("client_auth", secret.clone()),
    ] {
        let mut form =
            vec![("csrf", token.as_str()), ("name", "own"), ("service", "github"), ("client_id", "abc")];
        form.push((field, typed.as_str()));
        let seen = house.post(&path, Some(&ada), &form).await;

        assert_eq!(seen.status, StatusCode::BAD_REQUEST, "{field}");
        assert!(seen.text.contains("nothing was stored, and it is not shown again"), "{}", seen.text);
        assert!(!seen.text.contains(&secret), "{}", seen.text);
        assert_eq!(seen.headers[header::CONNECTION], "close");
    }
}
