use super::*;
use crate::model::provider::ClientAuth;
use crate::secret::SecretBytes;
use crate::services::wire::{Answered, Failure};
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

fn answered(status: u16, body: &str) -> Result<Answered, Failure> {
    let body = Zeroizing::new(body.as_bytes().to_vec());
    Ok(Answered { status, is_json: true, headers: Default::default(), body, retry_after_ms: Some(7000) })
}

/// What an answer came to, in a word or two.
fn came(status: u16, body: &str) -> String {
    match tokens(answered(status, body)) {
        Answer::Yes(t) => {
            let life = t.expires_in_s.map_or("no end".into(), |s| s.to_string());
            format!("yes, {life}{}", if t.refresh.is_some() { ", refresh" } else { "" })
        }
        Answer::No(refusal) => format!("{refusal:?}"),
        Answer::Trouble(t) => format!("trouble{}", if t.is_unknown { ", unknown" } else { "" }),
        Answer::Half(_, _) => "the refresh token alone".into(),
    }
}

#[test]
fn v_23_v_24_v_25_what_an_answer_of_a_token_endpoint_means_is_one_table() {
    let good = |more: &str| format!(r#"{{"access_token":"abc","token_type":"Bearer"{more}}}"#);
    for (status, body, expected) in [
        (200, good(r#","expires_in":3600,"refresh_token":"r""#), "yes, 3600, refresh"),
        (200, good(r#","expires_in":"3600""#), "yes, 3600"),
        (200, good(""), "yes, no end"),
        (200, good(r#","expires_in":null"#), "yes, no end"),
        (200, good(r#","expires_in":1e30"#), "yes, 31622400"),
        (200, good(r#","expires_in":99999999999999999999"#), "yes, 31622400"),
        (200, good(r#","expires_in":0"#), "trouble, unknown"),
        (200, good(r#","expires_in":-1"#), "trouble, unknown"),
        (200, r#"{"access_token":"abc"}"#.into(), "yes, no end"),
        (200, r#"{"access_token":"abc","token_type":"bearer"}"#.into(), "yes, no end"),
        (200, r#"{"access_token":"abc","token_type":"mac"}"#.into(), "trouble, unknown"),
        (200, r#"{"access_token":"abc","token_type":"DPoP"}"#.into(), "trouble, unknown"),
        (200, r#"{"access_token":"a b"}"#.into(), "trouble, unknown"),
        (200, r#"{"access_token":""}"#.into(), "trouble, unknown"),
        (200, r#"{"access_token":"abc\n"}"#.into(), "trouble, unknown"),
        (200, r#"{"token_type":"Bearer"}"#.into(), "trouble, unknown"),
        (200, r#"{"access_token":"one","access_token":"two"}"#.into(), "trouble, unknown"),
        (200, r#"{"access_token":"x", "#.into(), "trouble, unknown"),
        (200, "\u{feff}{}".into(), "trouble, unknown"),
        (200, String::new(), "trouble, unknown"),
        (200, format!(r#"{{"a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000)), "trouble, unknown"),
        (200, r#"{"error":"bad_refresh_token"}"#.into(), r#"Grant("bad_refresh_token")"#),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"<script>"}"#.into(),
            r#"Grant("invalid_grant")"#,
        ),
        (400, r#"{"error":"invalid_client"}"#.into(), r#"Client("invalid_client")"#),
        (401, r#"{"error":"invalid_client"}"#.into(), r#"Client("invalid_client")"#),
        (401, "{}".into(), r#"Client("invalid_client")"#),
        (400, r#"{"error":"unauthorized_client"}"#.into(), r#"Client("unauthorized_client")"#),
        (400, r#"{"error":"invalid_scope"}"#.into(), r#"Request("invalid_scope")"#),
        (400, r#"{"error":"authorization_pending"}"#.into(), "Pending"),
        (400, r#"{"error":"slow_down"}"#.into(), "SlowDown"),
        (400, r#"{"error":"we_made_this_up"}"#.into(), "trouble"),
        (400, "{}".into(), "trouble"),
        (302, good(""), "trouble"),
        (418, "{}".into(), "trouble"),
        (429, r#"{"error":"invalid_grant"}"#.into(), "trouble"),
        (500, r#"{"error":"invalid_grant"}"#.into(), "trouble, unknown"),
        (503, String::new(), "trouble, unknown"),
        (200, good(r#","expires_in":0,"refresh_token":"r""#), "the refresh token alone"),
        (
            200,
            r#"{"access_token":"a","token_type":"mac","refresh_token":"r"}"#.into(),
            "the refresh token alone",
        ),
        (200, good(r#","scope":7"#), "yes, no end"),
        (200, good(r#","refresh_expires_in":5,"refresh_token_expires_in":5"#), "yes, no end"),
        (200, good(r#","refresh_token":"with a space""#), "yes, no end, refresh"),
    ] {
        assert_eq!(came(status, &body), expected, "{status} {}", &body[..body.len().min(80)]);
    }
}

#[test]
fn what_is_no_json_is_trouble_and_never_a_refusal() {
    let html = |status| Answered {
        status,
        is_json: false,
        headers: Default::default(),
        body: Zeroizing::new(br#"{"error":"invalid_grant"}"#.to_vec()),
        retry_after_ms: None,
    };
    for status in [200, 400, 403, 404] {
        assert!(matches!(tokens(Ok(html(status))), Answer::Trouble(_)), "{status}");
    }
    let asked = tokens(answered(429, ""));
    assert!(matches!(asked, Answer::Trouble(Trouble { wait_ms: Some(7000), is_unknown: false, .. })));
    for is_unsent in [true, false] {
        let lost = tokens(Err(Failure { why: "no connection", is_unsent }));
        let Answer::Trouble(trouble) = lost else { panic!("{lost:?}") };
        assert_eq!((trouble.is_unsent, trouble.is_unknown), (is_unsent, !is_unsent));
    }
}

#[test]
fn scopes_are_read_however_they_are_separated_and_nothing_else_is() {
    let scopes = |scope: serde_json::Value| {
        let body = json!({ "access_token": "a", "scope": scope }).to_string();
        match tokens(answered(200, &body)) {
            Answer::Yes(t) => t.scopes.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(scopes(json!("repo user")), ["repo", "user"]);
    assert_eq!(scopes(json!("user,repo,user")), ["repo", "user"]);
    assert_eq!(scopes(json!(["b", "a"])), ["a", "b"]);
    assert!(scopes(json!("")).is_empty());
    assert!(scopes(json!("\u{202e}evil")).is_empty());
}

#[test]
fn a_piece_of_a_token_is_no_scope() {
    let (access, refresh) = ("Ab9x-Q7".repeat(3), "Zr8_kW5".repeat(3));
    let said = ["repo", &access, &access[..6], &refresh[2..9], "b9x-...", &format!("x:{access}")].join(" ");
    let body = json!({ "access_token": access, "refresh_token": refresh, "scope": said }).to_string();

    let Answer::Yes(tokens) = tokens(answered(200, &body)) else { panic!("it is a yes") };

    assert_eq!(tokens.scopes.unwrap(), ["repo"]);
}

#[test]
fn o_11_the_consent_page_is_asked_with_s256_and_what_an_address_has_of_its_own_stays() {
    let challenge = Challenge::of(Zeroizing::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into()));
    // RFC 7636, appendix B.
    assert_eq!(challenge.challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let scopes = ["a".to_owned(), "b c".to_owned()];
    let ask = AskConsent {
        client_id: "me&you",
        redirect_uri: "http://127.0.0.1:8740/oauth/callback",
        scopes: &scopes,
        state: "s",
        challenge: &challenge.challenge,
        resource: "https://api.example/",
        login_hint: "",
    };

    let url = authorization_url(
        "https://id.example/a?tenant=t&state=theirs&response_type=token",
        &ask,
        &Quirks::default(),
    );

    let url = url.unwrap();
    let all: Vec<(String, String)> =
        url.query_pairs().map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
    let of = |name: &str| all.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
    assert_eq!(of("code_challenge_method"), ["S256"]);
    assert_eq!((of("state"), of("response_type"), of("tenant")), (vec!["s"], vec!["code"], vec!["t"]));
    assert_eq!(
        (of("client_id"), of("scope"), of("resource")),
        (vec!["me&you"], vec!["a b c"], vec!["https://api.example/"])
    );
    assert!(Challenge::fresh().unwrap().verifier.len() == 43);
}

#[test]
fn o_10_o_19_what_comes_back_is_read_once_and_its_words_are_ours() {
    let back = returned("code=abc&state=xyz&iss=https%3A%2F%2Fid.example&session_state=1").unwrap();
    assert_eq!((back.state.as_str(), back.code.unwrap().as_str()), ("xyz", "abc"));
    assert_eq!((back.iss.as_deref(), back.error), (Some("https://id.example"), None));

    let denied = returned("error=access_denied&error_description=%3Cscript%3E&state=x").unwrap();
    assert_eq!(denied.error, Some("access_denied"));
    assert_eq!(returned("error=%3Cscript%3E&state=x").unwrap().error, Some("other"));
    for twice in ["code=a&code=b&state=x", "code=a&state=x&state=y", "iss=a&iss=b", "error=a&error=b"] {
        assert!(returned(twice).is_none(), "{twice}");
    }
    assert!(returned(&format!("code={}", "a".repeat(9000))).is_none());
    assert!(returned("").unwrap().state.is_empty());
}

#[test]
fn a_client_proves_itself_in_one_way_and_any_character_survives_it() {
    let secret = || Some(SecretBytes::copied("s+/=%:& ü".as_bytes()));
    let url = Url::parse("https://id.example/token").unwrap();
    let token = SecretBytes::copied(b"r=1&x");
    let form = |auth, secret| {
        let client = Client { id: "me".into(), auth, secret };
        let ask = token_form(&url, &client, &Grant::Refresh { token: &token }, "", &Quirks::default());
        ask.shown()
    };
    let (headers, body) = form(ClientAuth::Basic, secret());
    let proof = headers.iter().find(|(name, _)| *name == "authorization").unwrap().1.clone();
    let pair = data_encoding::BASE64.decode(proof.strip_prefix("Basic ").unwrap().as_bytes()).unwrap();
    assert_eq!(pair, b"me:s%2B%2F%3D%25%3A%26+%C3%BC");
    assert_eq!(body, "grant_type=refresh_token&refresh_token=r%3D1%26x");

    let (headers, body) = form(ClientAuth::Post, secret());
    assert!(!headers.iter().any(|(name, _)| *name == "authorization"));
    assert!(body.ends_with("&client_id=me&client_secret=s%2B%2F%3D%25%3A%26+%C3%BC"), "{body}");

    let (headers, body) = form(ClientAuth::None, None);
    assert!(headers.len() == 1 && body.ends_with("&client_id=me"));
}

#[test]
fn o_23_an_account_is_told_apart_by_its_id_and_shown_by_its_name_and_never_guessed() {
    let of =
        |answer: serde_json::Value, path: Option<&str>| identity(&answer, path).map(|i| (i.subject, i.label));
    let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
    assert_eq!(of(json!({"sub": "1", "email": "a@b.example"}), None), pair("1", "a@b.example"));
    assert_eq!(of(json!({"id": 42, "login": "octo", "email": null}), None), pair("42", "octo"));
    assert_eq!(of(json!({"data": {"id": "7"}, "user": {"name": "n"}}), Some("/user/name")), pair("7", "n"));
    assert_eq!(of(json!({"sub": "1"}), None), None);
    assert_eq!(of(json!({"email": "a\nb"}), None), None);
    assert_eq!(of(json!({"email": "x".repeat(200)}), None), None);
    assert_eq!(of(json!([1]), None), None);
}

#[test]
fn o_21_a_device_s_codes_are_shown_only_where_a_person_could_type_them() {
    let of = |body: serde_json::Value| device(answered(200, &body.to_string()));
    let good = json!({"device_code": "d", "user_code": "ABCD-EFGH", "verification_uri": "https://id.example/d", "expires_in": 90});
    let Answer::Yes(found) = of(good.clone()) else { panic!() };
    assert_eq!((found.interval_s, found.expires_in_s, found.user_code.as_str()), (5, 90, "ABCD-EFGH"));
    for (name, value) in [
        ("verification_uri", "http://id.example/d"),
        ("verification_uri", "javascript:alert(1)"),
        ("user_code", "<b>"),
        ("user_code", ""),
        ("device_code", "a\nb"),
    ] {
        let mut bad = good.clone();
        bad[name] = value.into();
        assert!(matches!(of(bad), Answer::Trouble(_)), "{name} {value}");
    }
}
