//! What is sent for each way of carrying a secret, to where, and what answers mean.
use super::answer::judge;
use super::http::{Request, request};
use super::*;
use crate::model::credential::CredentialType;
use crate::secret::SecretBytes;
use crate::services::wire::Answered;
use std::sync::Arc;
use zeroize::Zeroizing;

const NOW: Millis = Millis(1_440_938_160_000);

/// Made here, so that no text of this repository looks like one.
fn secret() -> String {
    format!("k{}", "Ab9x/Q+7=".repeat(5))
}

fn service(id: &str) -> Arc<Service> {
    Catalogue::embedded().service(id).expect("in the catalogue")
}

fn subject(kind: CredentialType, fields: &[(&str, &str, bool)]) -> Subject {
    let field = |(name, value, is_secret): &(&str, &str, bool)| Field {
        name: (*name).into(),
        value: SecretBytes::copied(value.as_bytes()),
        is_secret: *is_secret,
    };
    Subject { kind, fields: fields.iter().map(field).collect() }
}

fn key(value: &str) -> Subject {
    subject(CredentialType::ApiKey, &[("value", value, true)])
}

fn asked(id: &str, subject: &Subject) -> Result<Request, Why> {
    let service = service(id);
    request(&service, service.verify.as_ref().expect("it has a test"), subject, NOW)
}

fn header(request: &Request, name: &str) -> String {
    let found = request.headers.iter().find(|(n, _)| n == name);
    found.map_or(String::new(), |(_, value)| value.to_string())
}

fn body(request: &Request) -> String {
    request.body.as_ref().map_or(String::new(), |(_, body)| String::from_utf8_lossy(body).into_owned())
}

#[test]
fn the_secret_goes_where_the_manifest_has_it_and_nowhere_else() {
    let secret = secret();
    let plain = asked("stripe", &key(&secret)).ok().unwrap();
    assert_eq!((plain.url.host_str(), plain.method.as_str()), (Some("api.stripe.com"), "GET"));
    assert_eq!(header(&plain, "authorization"), format!("Bearer {secret}"));
    assert!(plain.body.is_none() && !plain.url.as_str().contains("Ab9x"));

    let own = asked("anthropic", &key(&secret)).ok().unwrap();
    assert_eq!((header(&own, "x-api-key"), header(&own, "authorization")), (secret.clone(), String::new()));
    assert_eq!(header(&own, "anthropic-version"), "2023-06-01");

    let both =
        subject(CredentialType::Basic, &[("username", "mia@example.com", true), ("password", &secret, true)]);
    let basic = asked("bitbucket", &both).ok().unwrap();
    let pair = data_encoding::BASE64.encode(format!("mia@example.com:{secret}").as_bytes());
    assert_eq!(header(&basic, "authorization"), format!("Basic {pair}"));

    let path = asked("telegram", &key("1234:AbC")).ok().unwrap();
    assert_eq!(path.url.as_str(), "https://api.telegram.org/bot1234:AbC/getMe");

    let query = asked("mapbox", &key(&secret)).ok().unwrap();
    let pairs: Vec<_> = query.url.query_pairs().collect();
    assert_eq!(pairs, [("access_token".into(), secret.as_str().into())]);

    let named = subject(CredentialType::Custom, &[("USERNAME", "mia", false), ("PAT", &secret, true)]);
    let json: serde_json::Value =
        serde_json::from_str(&body(&asked("dockerhub", &named).ok().unwrap())).unwrap();
    assert_eq!((json["identifier"].as_str(), json["secret"].as_str()), (Some("mia"), Some(secret.as_str())));

    let azure = subject(
        CredentialType::Custom,
        &[
            ("AZURE_TENANT_ID", "t1", false),
            ("AZURE_CLIENT_ID", "c1", false),
            ("AZURE_CLIENT_SECRET", &secret, true),
        ],
    );
    let form = asked("azure-service-principal", &azure).ok().unwrap();
    assert_eq!(form.url.as_str(), "https://login.microsoftonline.com/t1/oauth2/v2.0/token");
    assert!(body(&form).contains("client_id=c1&client_secret=kAb9x%2FQ%2B7%3D"), "not a form");

    let graph = asked("linear", &key(&secret)).ok().unwrap();
    assert!(body(&graph).contains("viewer") && !body(&graph).contains("Ab9x"));
    assert!(header(&graph, "content-type").is_empty(), "the body says what it is");
}

#[test]
fn a_request_to_aws_is_signed_as_its_documents_show() {
    let keys = subject(
        CredentialType::Custom,
        &[
            ("access_key_id", "AKIDEXAMPLE", false),
            ("secret_access_key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", true),
        ],
    );
    let mut signed = Request {
        method: ::http::Method::GET,
        url: "https://example.amazonaws.com/".parse().unwrap(),
        headers: Vec::new(),
        body: None,
    };
    let pair = (
        Zeroizing::new("AKIDEXAMPLE".to_owned()),
        Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
    );

    super::signature::sign(&mut signed, "service", "us-east-1", &pair, NOW).ok().unwrap();

    // The suite of AWS for Signature Version 4, "get-vanilla".
    assert!(
        header(&signed, "authorization")
            .ends_with("Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
    );
    let asked = asked("aws", &keys).ok().unwrap();
    assert_eq!(asked.url.host_str(), Some("sts.amazonaws.com"));
    assert!(
        header(&asked, "authorization")
            .starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/sts/")
    );
}

#[test]
fn b_20_a_host_is_a_plain_field_or_a_default_and_never_a_secret_or_another_host() {
    let with = |host: &str, is_secret| {
        subject(CredentialType::Custom, &[("SERVER", host, is_secret), ("api_key", "abcdef0123", true)])
    };
    assert!(asked("elastic", &with("es.example.com", false)).is_ok());
    assert!(asked("elastic", &with("es.example.com", true)).is_err(), "a secret names no host");
    for evil in [
        "evil.example/",
        "evil.example?",
        "a@evil.example",
        "127.0.0.1",
        "localhost",
        "https://evil.example",
        "[::1]",
        "evil.example#",
        "0x7f.1",
        "evil.example\\",
        "evil.example%2f",
        "",
    ] {
        assert!(asked("elastic", &with(evil, false)).is_err(), "{evil}");
    }
    assert!(asked("elastic", &key("abcdef0123")).is_err(), "no host is known");
    assert_eq!(asked("gitlab", &key("abcdef0123")).ok().unwrap().url.host_str(), Some("gitlab.com"));
}

#[test]
fn which_field_is_the_key_is_not_guessed() {
    let two = subject(CredentialType::Custom, &[("ONE", "a", true), ("TWO", "b", true)]);
    assert!(asked("stripe", &two).is_err());

    let named = subject(CredentialType::Custom, &[("ONE", "a", true), ("TOKEN", "b", true)]);
    assert_eq!(header(&asked("stripe", &named).ok().unwrap(), "authorization"), "Bearer b");
}

#[test]
fn every_test_of_the_catalogue_becomes_a_request_to_its_own_host_or_is_said_to_be_impossible() {
    let (mut done, mut not) = (0, Vec::new());
    for service in Catalogue::embedded().services() {
        for check in checks(service).filter(|check| check.protocol.is_none()) {
            let url = check.url.as_deref().unwrap();
            let mut fields: Vec<(String, String, bool)> = service
                .params
                .iter()
                .map(|param| (param.name.clone(), param.example.clone(), false))
                .collect();
            for name in ["email", "username", "client_id", "client_email", "access_key_id", "account_id"] {
                if !fields.iter().any(|(known, _, _)| known == name) {
                    fields.push((name.into(), "x".into(), false));
                }
            }
            fields.push(("token".into(), "abcdef0123".into(), true));
            let borrowed: Vec<_> = fields.iter().map(|(n, v, s)| (n.as_str(), v.as_str(), *s)).collect();
            match request(service, check, &subject(CredentialType::Custom, &borrowed), NOW) {
                Ok(request) => {
                    done += 1;
                    let host = url.strip_prefix("https://").unwrap().split(['/', '?']).next().unwrap();
                    let fixed = host.rsplit('}').next().unwrap();
                    assert!(
                        request.url.host_str().unwrap().ends_with(fixed),
                        "{} {}",
                        service.id,
                        request.url.host_str().unwrap()
                    );
                    assert_eq!(request.url.scheme(), "https");
                }
                Err(why) => not.push(format!("{} {why}", service.id)),
            }
        }
    }
    assert!(done > 120, "{done}");
    // A key file that is none, and digest authentication.
    assert_eq!(not.len(), 2, "{not:?}");
}

fn told(id: &str, status: u16, headers: &[(&'static str, &str)], body: &str, subject: &Subject) -> Probed {
    let service = service(id);
    let mut map = ::http::HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    let answered = Answered {
        status,
        is_json: true,
        headers: map,
        body: Zeroizing::new(body.as_bytes().to_vec()),
        retry_after_ms: None,
    };
    judge(Catalogue::embedded(), &service, service.verify.as_ref().unwrap(), subject, &answered, NOW)
}

#[test]
fn b_21_an_answer_is_one_of_four_and_what_no_rule_names_is_never_a_refusal() {
    let subject = key("abcdef0123");
    for (id, status, body, verdict) in [
        ("github", 200, r#"{"login":"mia"}"#, Verdict::Valid),
        ("github", 401, "", Verdict::Refused),
        ("github", 403, "", Verdict::CouldNotCheck),
        ("github", 302, "", Verdict::CouldNotCheck),
        ("github", 429, "", Verdict::CouldNotCheck),
        ("github", 503, "", Verdict::CouldNotCheck),
        ("sendgrid", 403, "", Verdict::Limited),
        ("slack", 200, r#"{"ok":true,"user":"mia"}"#, Verdict::Valid),
        ("slack", 200, r#"{"ok":false,"error":"invalid_auth"}"#, Verdict::Refused),
        ("slack", 200, r#"{"ok":false,"error":"fatal_error"}"#, Verdict::CouldNotCheck),
        ("slack", 200, "not json", Verdict::CouldNotCheck),
        ("mapbox", 200, r#"{"code":"TokenRevoked"}"#, Verdict::Refused),
        ("resend", 401, r#"{"name":"restricted_api_key"}"#, Verdict::Limited),
        ("resend", 401, r#"{"name":"other"}"#, Verdict::Refused),
    ] {
        assert_eq!(told(id, status, &[], body, &subject).verdict, verdict, "{id} {status} {body}");
    }
}

#[test]
fn scopes_and_the_end_are_told_where_the_service_tells_them() {
    let subject = key("abcdef0123");
    let headers = [
        ("x-oauth-scopes", "repo, read:org"),
        ("github-authentication-token-expiration", "2026-01-01 00:00:00 UTC"),
    ];
    let github = told("github", 200, &headers, r#"{"login":"mia"}"#, &subject);
    assert_eq!((github.account.as_str(), github.scopes.join(" ").as_str()), ("mia", "read:org repo"));
    assert_eq!(github.expires_at, Some(Millis(1_767_225_600_000)));

    let gitlab = r#"{"user_id":7,"scopes":["api"],"expires_at":"2026-01-01"}"#;
    let gitlab = told("gitlab", 200, &[], gitlab, &subject);
    assert_eq!((gitlab.account.as_str(), gitlab.scopes.as_slice()), ("7", &["api".to_owned()][..]));
    assert_eq!(gitlab.expires_at, Some(Millis(1_767_225_600_000)));

    let twitch = told("twitch", 200, &[], r#"{"login":"m","expires_in":60}"#, &subject);
    assert_eq!(twitch.expires_at, Some(NOW.plus_ms(60_000)));
}

#[test]
fn b_23_a_service_that_echoes_the_secret_does_not_get_it_shown() {
    let secret = secret();
    for echo in [secret.clone(), format!("me {secret}"), secret[..12].to_owned()] {
        let body = serde_json::json!({ "login": echo }).to_string();
        let found = told("github", 200, &[("x-oauth-scopes", &secret)], &body, &key(&secret));

        assert_eq!((found.verdict, found.account.as_str()), (Verdict::Valid, ""));
        assert!(found.scopes.is_empty() && !format!("{found:?}").contains("Ab9x"));
    }
    let refused = told("github", 401, &[], &format!(r#"{{"message":"{secret}"}}"#), &key(&secret));
    assert!(!format!("{refused:?}").contains("Ab9x"));
}

#[test]
fn b_23_a_part_of_the_secret_is_shown_neither_masked_nor_cut_nor_in_pieces() {
    let secret = secret();
    let (head, tail) = (&secret[..8], &secret[secret.len() - 8..]);
    for echo in [
        format!("{head}...890"),
        format!("{}…{}", &secret[..3], &secret[secret.len() - 3..]),
        format!("key ****{}", &secret[secret.len() - 4..]),
        format!("{}{secret}", "name-".repeat(19)),
        format!("mia ({tail})"),
        format!("{}\u{200b}{}", &secret[..4], &secret[4..8]),
        head.to_ascii_uppercase(),
    ] {
        let body =
            serde_json::json!({ "login": echo, "user_id": echo, "scopes": ["read", echo] }).to_string();
        for kind in [CredentialType::ApiKey, CredentialType::Custom, CredentialType::File] {
            let subject = subject(kind, &[("token", &secret, true)]);
            let account = told("github", 200, &[], &body, &subject).account;
            let found = told("gitlab", 200, &[], &body, &subject);

            assert_eq!((account.as_str(), found.account.as_str()), ("", ""), "{echo}");
            assert!(found.scopes.iter().all(|scope| scope == "read"), "{:?}", found.scopes);
        }
    }
    let split = format!("read a,b{} {}", &secret[..3], &secret[3..6]);
    let pair =
        subject(CredentialType::ApiKey, &[("value", &format!("{},{}", &secret[..5], &secret[5..]), true)]);
    let pieces = format!("read, {},{}", &secret[..5], &secret[5..9]);
    let found = told("github", 200, &[("x-oauth-scopes", &pieces)], r#"{"login":"mia"}"#, &pair);
    assert!(found.scopes.is_empty() && found.account == "mia", "{found:?}");
    let found = told("github", 200, &[("x-oauth-scopes", &split)], r#"{"login":"mia"}"#, &key("abcdef0123"));
    assert!(found.scopes.iter().any(|scope| scope == "a"), "what tells of nothing is shown");
}

#[test]
fn the_masked_key_of_openrouter_is_no_account() {
    let secret = format!("sk-{}-v1-{}", "or", "0a1b2c3d".repeat(8));
    let label = format!("{}...{}", &secret[..12], &secret[secret.len() - 3..]);
    let body = serde_json::json!({ "data": { "label": label, "usage": 1 } }).to_string();

    let found = told("openrouter", 200, &[], &body, &key(&secret));

    assert_eq!((found.verdict, found.account.as_str()), (Verdict::Valid, ""));
}

#[test]
fn no_test_of_the_catalogue_takes_a_key_or_the_first_of_many_for_the_account() {
    for service in Catalogue::embedded().services() {
        for check in checks(service) {
            let path = check.account_id_path.as_deref().unwrap_or_default().to_ascii_lowercase();
            for wrong in ["label", "mask", "redacted", "hint", "token", "key", "secret"] {
                let is_user_of_token = service.id == "mapbox" && path == "/token/user";
                assert!(is_user_of_token || !path.contains(wrong), "{} {path}", service.id);
            }
            let url = check.url.as_deref().unwrap_or_default();
            for list in ["/models", "/keys", "/indexes", "/domains", "/projects", "/events/list"] {
                assert!(!path.contains("/0/") || !url.contains(list), "{} {path}", service.id);
            }
        }
    }
}

#[test]
fn a_user_name_is_shown_as_the_account_unless_it_is_in_the_password_too() {
    let both = |password: &str| {
        subject(CredentialType::Basic, &[("username", "mia-of-acme", true), ("password", password, true)])
    };
    let body = r#"{"username":"mia-of-acme"}"#;

    assert_eq!(told("bitbucket", 200, &[], body, &both("something else")).account, "mia-of-acme");
    assert_eq!(told("bitbucket", 200, &[], body, &both("mia-of-acme-2")).account, "");
    let longer = r#"{"username":"x mia-of-acme"}"#;
    assert_eq!(told("bitbucket", 200, &[], longer, &both("something else")).account, "");
}

#[tokio::test]
async fn a_value_that_looks_like_another_services_is_sent_to_neither() {
    let outbound = Outbound::default();
    let wire = Wire::new(outbound.clone());
    wire.answered_by(Box::new(|_, _| panic!("nothing is to be sent")));
    let way = Way { catalogue: Catalogue::embedded(), wire: &wire, outbound: &outbound, now: NOW };
    let stripes = format!("sk_{}_{}", "live", "x".repeat(24));

    let found = way.ask(&service("github"), &key(&stripes)).await;

    assert_eq!(found.verdict, Verdict::CouldNotCheck);
    assert!(found.message.contains("Stripe") && !found.message.contains("sk_"));
}

#[tokio::test]
async fn what_is_no_http_is_bound_by_the_same_rules_of_where_it_may_go() {
    let outbound = Outbound::default();
    let wire = Wire::new(outbound.clone());
    let way = Way { catalogue: Catalogue::embedded(), wire: &wire, outbound: &outbound, now: NOW };
    let url = |scheme: &str, host: &str| key(&format!("{scheme}://u:pw{}@{host}:1/x", "x".repeat(6)));
    for (id, subject) in [
        ("postgres", url("postgres", "127.0.0.1")),
        ("postgres", url("postgres", "169.254.169.254")),
        ("postgres", url("postgres", "[::1]")),
        ("postgres", url("postgres", "localhost")),
        ("mysql", url("mysql", "10.0.0.1")),
        (
            "smtp",
            subject(
                CredentialType::Custom,
                &[("SERVER", "localhost", false), ("USERNAME", "u", false), ("PASSWORD", "p", true)],
            ),
        ),
    ] {
        let found = way.ask(&service(id), &subject).await;

        assert_eq!(found.verdict, Verdict::CouldNotCheck, "{id}");
        assert!(
            found.message.contains("not in the public network") || found.message.contains("does not fit"),
            "{id} {}",
            found.message
        );
        for told in ["127.0.0.1", "169.254", "::1", "10.0.0.1", "localhost:1"] {
            assert!(!found.message.contains(told), "{id} {}", found.message);
        }
    }
}

#[tokio::test]
async fn no_part_of_a_secret_connection_string_is_in_what_is_said_of_it() {
    let outbound = Outbound::default();
    let wire = Wire::new(outbound.clone());
    let way = Way { catalogue: Catalogue::embedded(), wire: &wire, outbound: &outbound, now: NOW };
    let password = "Kp9".repeat(3);
    let texts = [
        format!("://app:{password}@10.11.12.13:5432/ledger"),
        format!("://app:{password}@[fd00::abcd]:5432/ledger"),
        format!("://app:{password}@10.11.12.13/Zq@db.example.com:5432/ledger"),
        format!("://app:{password}@10.11.12.13?Zq@db.example.com:5432/ledger"),
    ];
    for (id, text) in ["postgres", "mysql"].iter().flat_map(|id| texts.iter().map(move |text| (id, text))) {
        let text = format!("{id}{text}");
        let fields = [("HOST", "10.11.12.13", true), ("USER", "app", true), ("PASSWORD", &password, true)];
        for subject in [
            key(&text),
            subject(CredentialType::Custom, &[("DATABASE_URL", &text, true)]),
            subject(CredentialType::Custom, &fields),
        ] {
            let found = way.ask(&service(id), &subject).await;

            assert_eq!(found.verdict, Verdict::CouldNotCheck, "{id}");
            for told in ["10.11", "12.13", "5432", "fd00", "778812345", "Kp9", "Zq", "db.example", "ledger"] {
                assert!(!format!("{found:?}").contains(told), "{id} {}", found.message);
            }
        }
    }
}

#[tokio::test]
async fn a_private_key_is_read_and_never_sent() {
    let outbound = Outbound::default();
    let wire = Wire::new(outbound.clone());
    let way = Way { catalogue: Catalogue::embedded(), wire: &wire, outbound: &outbound, now: NOW };
    let file = |text: String| subject(CredentialType::File, &[("content", &text, true)]);
    let pair = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).to_keypair_bytes();
    let whole = ssh_key::PrivateKey::from(ssh_key::private::Ed25519Keypair::from_bytes(&pair).unwrap());
    let text = whole.to_openssh(ssh_key::LineEnding::LF).unwrap().to_string();
    let cut = text.replacen("AAAA", "AAAB", 1);

    for (text, verdict) in [
        (text, Verdict::Valid),
        (cut, Verdict::Refused),
        ("words".to_owned(), Verdict::Refused),
        (
            format!("-----BEGIN {} KEY-----\nx\n-----END {} KEY-----", "RSA PRIVATE", "RSA PRIVATE"),
            Verdict::CouldNotCheck,
        ),
    ] {
        assert_eq!(way.ask(&service("ssh-key"), &file(text)).await.verdict, verdict);
    }
}

#[test]
fn a_database_refuses_a_password_by_one_code_alone() {
    // That somebody may not sign in from here, or is locked, says nothing of the password; rotations give up what is refused.
    let verify = |id: &str| service(id).verify.clone().expect("it has a test");

    assert_eq!(verify("postgres").invalid_sqlstate, ["28P01"]);
    assert_eq!(verify("mysql").invalid_error_codes, [1045]);
}
