//! A secret in the wrong place: planted in every text of every operation's input, it is refused or harmless; it is not
//! repeated, not stored and not logged.
use crate::support::arguments::{texts, valid, with};
use crate::support::world::{FormYes, PersonYes, World};
use serde_json::{Value, json};
use unsaid::error::Code;
use unsaid::ops::catalog;

/// Random text, as a value has it.
fn random(alphabet: &str, length: usize) -> String {
    let letters: Vec<char> = alphabet.chars().collect();
    let mut bytes = vec![0u8; length];
    getrandom::fill(&mut bytes).unwrap();
    bytes.iter().map(|b| letters[*b as usize % letters.len()]).collect()
}

const ALL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Shapes of known services: (what, text, the part that is secret).
fn known() -> Vec<(&'static str, String, String)> {
    let (github, aws, stripe) = (random(ALL, 36), random(UPPER, 16), random(ALL, 24));
    let (head, body) = (random(ALL, 60), random(ALL, 64));
    let (payload, signature) = (random(ALL, 40), random(ALL, 43));
    vec![
        ("GitHub", format!("{}{github}", ["gh", "p_"].concat()), github),
        ("AWS", format!("{}{aws}", ["AK", "IA"].concat()), aws),
        ("Stripe", format!("{}{stripe}", ["sk_", "live_"].concat()), stripe),
        (
            "PEM",
            format!("-----BEGIN {} KEY-----\n{head}\n{body}\n-----END {} KEY-----", "PRIVATE", "PRIVATE"),
            body,
        ),
        ("JWT", format!("{}{}.{}{payload}.{signature}", "eyJ", "hbGciOiJIUzI1NiJ9", "eyJ"), signature),
    ]
}

async fn world() -> World {
    let w = World::new().await;
    w.add("ada", "org", "ORG_KEY", "words").await;
    w.add("ada", "org", "BIN_KEY", "words").await;
    let bin = json!({"credential": "BIN_KEY", "reason": "a test"});
    w.call_with(&w.person("ada"), "delete_credential", bin, &FormYes).await.unwrap();
    let hub = json!({"service": "github", "name": "hub", "client_id": "abc"});
    w.call(&w.person("ada"), "create_oauth_provider", hub).await.unwrap();
    w
}

/// The raw files of the database, and everything the world's folder holds.
fn files(w: &World) -> Vec<u8> {
    fn gather(folder: &std::path::Path, all: &mut Vec<u8>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => gather(&path, all),
                false => all.extend(std::fs::read(&path).unwrap()),
            }
        }
    }
    let mut all = Vec::new();
    gather(w.folder.path(), &mut all);
    assert!(all.len() > 100_000);
    all
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    // Any eight characters of it.
    let windows: Vec<&[u8]> = secret.as_bytes().windows(8).collect();
    let finder = aho_corasick::AhoCorasick::new(windows).unwrap();
    finder.is_match(bytes)
}

#[tokio::test]
async fn c_20_c_34_c_37_a_known_key_in_any_argument_is_refused_and_forgotten() {
    let w = world().await;
    let (mut planted, mut secrets) = (0, Vec::new());
    for e in catalog() {
        for path in texts(e) {
            for (what, text, secret) in known() {
                for text in [text.clone(), format!("it is {text} for now")] {
                    let arguments = with(valid(e.name), &path, &text);
                    // Cursors are our own opaque marks; what does not fit one is refused without a look at it.
                    let is_cursor = path.last().is_some_and(|p| p == "cursor");
                    match w.call_with(&w.person("ada"), e.name, arguments, &PersonYes).await {
                        Err(refused) => {
                            let told = format!("{} {refused:?}", refused.to_json());
                            assert!(
                                !holds(told.as_bytes(), &secret),
                                "{} {path:?} {what} repeats it",
                                e.name
                            );
                            assert!(
                                refused.code == Code::SecretInArgument || is_cursor,
                                "{} {path:?} {what}: {refused:?}",
                                e.name
                            );
                            if refused.code == Code::SecretInArgument {
                                assert!(refused.next_step().contains("rotate"), "{}", refused.next_step());
                            }
                        }
                        Ok(answer) => {
                            assert!(is_cursor, "{} {path:?} took {what}", e.name);
                            assert!(!holds(answer.to_string().as_bytes(), &secret));
                        }
                    }
                    planted += 1;
                }
                secrets.push(secret);
            }
        }
    }
    assert!(planted > 500, "{planted}");
    let log = w.log().await;
    assert!(log.iter().filter(|l| l.ends_with("refused secret_in_argument")).count() > 400);
    let kept = files(&w);
    for secret in secrets {
        assert!(!holds(&kept, &secret), "a planted secret is on disk");
    }
}

#[tokio::test]
async fn c_20_c_34_random_text_in_any_argument_is_not_repeated() {
    let w = world().await;
    let (mut free, mut secrets) = (0, Vec::new());
    for e in catalog() {
        for path in texts(e) {
            let secret = random(ALL, 44);
            // Public by its nature, and random by habit: it is what a provider is asked by.
            if path.last().is_some_and(|p| p == "client_id") || path.first().is_some_and(|p| p == "scopes") {
                continue;
            }
            let arguments = with(valid(e.name), &path, &secret);
            let before = w.log().await.len();
            match w.call_with(&w.person("ada"), e.name, arguments, &PersonYes).await {
                Err(refused) => {
                    let told = format!("{} {refused:?}", refused.to_json());
                    assert!(!holds(told.as_bytes(), &secret), "{} {path:?} repeats it: {told}", e.name);
                    free += usize::from(refused.code == Code::SecretInArgument);
                }
                Ok(answer) => {
                    assert!(!holds(answer.to_string().as_bytes(), &secret), "{} {path:?} repeats it", e.name);
                    assert!(
                        e.effect == unsaid::ops::Effect::Reads || w.log().await.len() > before,
                        "{} {path:?}",
                        e.name
                    );
                }
            }
            secrets.push((e.name, path, secret));
        }
    }
    assert!(free > 20, "{free}");
    let kept = files(&w);
    for (name, path, secret) in secrets {
        assert!(!holds(&kept, &secret), "{name} {path:?} left it on disk");
    }
}

#[tokio::test]
async fn c_21_a_key_in_a_wrong_shape_is_not_repeated() {
    let w = world().await;
    let mut secrets = Vec::new();
    for e in catalog() {
        let fields: Vec<String> = e.input["properties"].as_object().unwrap().keys().cloned().collect();
        for field in fields.into_iter().chain(["no_such_field".into()]) {
            let secret = random(ALL, 44);
            let mut deep = json!(secret);
            for _ in 0..60 {
                deep = json!([deep]);
            }
            for wrong in [
                json!([secret]),
                json!({&secret: 1}),
                json!({"a": {"b": secret}}),
                deep,
                json!([[secret], 7]),
            ] {
                let mut arguments = valid(e.name);
                arguments[&field] = wrong;
                if let Err(refused) = w.call_with(&w.person("ada"), e.name, arguments, &PersonYes).await {
                    let told = format!("{} {refused:?}", refused.to_json());
                    assert!(!holds(told.as_bytes(), &secret), "{} {field} repeats it: {told}", e.name);
                }
            }
            let mut arguments = valid(e.name).as_object().cloned().unwrap();
            arguments.insert(secret.clone(), Value::from(1));
            let refused = w.refused(&w.person("ada"), e.name, Value::Object(arguments)).await;
            let told = format!("{} {refused:?}", refused.to_json());
            assert!(!holds(told.as_bytes(), &secret), "{} repeats a name: {told}", e.name);
            // A list of scopes holds public names, random or not: that one shape is not wrong.
            if field != "scopes" {
                secrets.push((e.name, field, secret));
            }
        }
    }
    let kept = files(&w);
    for (name, field, secret) in secrets {
        assert!(!holds(&kept, &secret), "{name} {field} left it on disk");
    }
}
