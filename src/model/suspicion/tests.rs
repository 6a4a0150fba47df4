//! C-34, C-35, C-37 and X-22. Every secret here is made when the test runs.
use super::*;
use serde_json::json;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % most
    }
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
    fn text(&mut self, of: &str, size: usize) -> String {
        let of: Vec<char> = of.chars().collect();
        (0..size).map(|_| of[self.roll(of.len())]).collect()
    }
    fn hex(&mut self, size: usize) -> String {
        self.text("0123456789abcdef", size)
    }
    fn alnum(&mut self, size: usize) -> String {
        self.text(ALNUM, size)
    }
    fn upper(&mut self, size: usize) -> String {
        self.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", size)
    }
    fn url(&mut self, size: usize) -> String {
        self.text(&format!("{ALNUM}-_"), size)
    }
    fn uuid(&mut self) -> String {
        [8, 4, 4, 4, 12].map(|size| self.hex(size)).join("-")
    }
    fn ulid(&mut self) -> String {
        format!("01{}", self.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24))
    }
}

const ALNUM: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

fn detector() -> Detector {
    Detector::new(|| vec!["^zzq_[0-9a-z]{12}$".into(), "(".into(), r"^[0-9]{6}-[0-9A-Z]{20}$".into()])
}

fn all_free(_: &str) -> Kind {
    Kind::FreeText
}

fn check(arguments: Value) -> Option<Suspect> {
    detector().check_arguments(arguments.as_object().unwrap(), &all_free)
}

/// What each shape is called, and one of it.
fn secrets(dice: &mut Dice) -> Vec<(&'static str, String)> {
    let pem = |kind: &str, dice: &mut Dice| {
        let dashes = "-".repeat(5);
        format!("{dashes}BEGIN {kind}{dashes}\n{}\n{dashes}END {kind}{dashes}", dice.alnum(64))
    };
    let jwt = |dice: &mut Dice| format!("eyJ{}.eyJ{}.{}", dice.alnum(30), dice.alnum(60), dice.url(43));
    let at = "@";
    vec![
        ("aws access key", format!("AKIA{}", dice.upper(16))),
        ("aws session key", format!("ASIA{}", dice.upper(16))),
        ("aws secret key", dice.text(&format!("{ALNUM}+/"), 40)),
        ("github classic", format!("ghp_{}", dice.alnum(36))),
        ("github oauth", format!("gho_{}", dice.alnum(36))),
        ("github server", format!("ghs_{}", dice.alnum(36))),
        ("github fine-grained", format!("github_pat_{}_{}", dice.alnum(22), dice.alnum(59))),
        ("gitlab", format!("glpat-{}", dice.url(20))),
        ("gitlab deploy", format!("gldt-{}", dice.url(20))),
        (
            "slack bot",
            format!("xoxb-{}-{}-{}", dice.text("123456789", 12), dice.text("123456789", 12), dice.alnum(24)),
        ),
        ("slack user", format!("xoxp-{}-{}", dice.text("123456789", 12), dice.alnum(32))),
        (
            "slack webhook",
            format!(
                "https://hooks.slack.com/services/T{}/B{}/{}",
                dice.upper(8),
                dice.upper(8),
                dice.alnum(24)
            ),
        ),
        (
            "discord webhook",
            format!("https://discord.com/api/webhooks/{}/{}", dice.text("123456789", 18), dice.url(68)),
        ),
        ("stripe live", format!("sk_{}_{}", "live", dice.alnum(24))),
        ("stripe test", format!("sk_{}_{}", "test", dice.alnum(24))),
        ("stripe restricted", format!("rk_{}_{}", "live", dice.alnum(24))),
        ("webhook secret", format!("whsec_{}", dice.alnum(32))),
        ("jwt", jwt(dice)),
        ("rsa key", pem("RSA PRIVATE KEY", dice)),
        ("openssh key", pem("OPENSSH PRIVATE KEY", dice)),
        ("pgp key", pem("PGP PRIVATE KEY BLOCK", dice)),
        ("age key", format!("AGE-SECRET-KEY-1{}", dice.upper(58))),
        ("openai", format!("sk-proj-{}T3BlbkFJ{}", dice.url(40), dice.url(40))),
        ("anthropic", format!("sk-ant-api03-{}AA", dice.url(93))),
        ("google api", format!("AIza{}", dice.url(35))),
        ("google client secret", format!("GOCSPX-{}", dice.url(28))),
        ("google access", format!("ya29.{}", dice.url(80))),
        ("sendgrid", format!("SG.{}.{}", dice.url(22), dice.url(43))),
        ("npm", format!("npm_{}", dice.alnum(36))),
        ("pypi", format!("pypi-AgEIcHlwaS5vcmc{}", dice.url(80))),
        ("docker", format!("dckr_pat_{}", dice.url(27))),
        ("digitalocean", format!("dop_v1_{}", dice.hex(64))),
        ("vault", format!("hvs.{}", dice.url(40))),
        ("hugging face", format!("hf_{}", dice.text(&ALNUM[..52], 34))),
        ("shopify", format!("shpat_{}", dice.hex(32))),
        ("linear", format!("lin_api_{}", dice.alnum(40))),
        ("notion", format!("ntn_{}{}", dice.text("0123456789", 11), dice.alnum(35))),
        ("atlassian", format!("ATATT3{}", dice.url(180))),
        ("new relic", format!("NRAK-{}", dice.upper(27))),
        ("telegram", format!("{}:AA{}", dice.text("123456789", 9), dice.url(33))),
        ("postman", format!("PMAK-{}-{}", dice.hex(24), dice.hex(34))),
        ("databricks", format!("dapi{}", dice.hex(32))),
        ("postgres url", format!("postgres://app:{}{at}db.example.com/app", dice.alnum(10))),
        ("https url", format!("https://bob:{}{at}git.example.com/x.git", dice.alnum(9))),
        ("token as user", format!("https://{}{at}git.example.com/x.git", dice.alnum(40))),
        ("redis url", format!("redis://:{}{at}cache:6379/0", dice.alnum(12))),
        ("assignment", format!("password={}", dice.alnum(9))),
        ("yaml assignment", format!("client_secret: {}7x", dice.alnum(12))),
        ("bearer", format!("Authorization: Bearer {}4", dice.alnum(24))),
        ("ado connection", format!("Server=db;User Id=sa;Password={};", dice.alnum(10))),
        ("azure connection", format!("AccountName=x;AccountKey={}==", dice.alnum(86))),
        ("query", format!("https://api.example.com/v1/x?api_key={}", dice.alnum(24))),
        ("random 32", dice.alnum(32)),
        ("random 24", dice.alnum(24)),
        ("random 20", dice.alnum(20)),
        ("random base64url 43", dice.url(43)),
        ("random hex 32", dice.hex(32)),
        ("random hex 48", dice.hex(48)),
        ("random base36 32", dice.text("abcdefghijklmnopqrstuvwxyz0123456789", 32)),
        ("random base32 32", dice.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 32)),
        ("random base64 44", format!("{}=", dice.text(&format!("{ALNUM}+/"), 43))),
        ("generated password", format!("{}$7{}!kQ{}%2", dice.alnum(4), dice.alnum(3), dice.alnum(3))),
        ("catalogue", format!("zzq_{}4", dice.text("abcdefgh", 11))),
    ]
}

#[test]
fn c_34_secrets_are_found_whatever_stands_around_them() {
    const ROUNDS: usize = 200;
    let detector = detector();
    let mut dice = Dice(7);
    let mut missed: std::collections::BTreeMap<&str, usize> = Default::default();
    let mut total = 0;
    for round in 0..ROUNDS {
        for (name, secret) in secrets(&mut dice) {
            let text = match round % 5 {
                0 => secret.clone(),
                1 => format!("the key is {secret}, use it."),
                2 => format!("(“{secret}”)"),
                3 => format!("Produktion:\n{secret}\nbitte nicht teilen"),
                _ => format!("staging \"{secret}\""),
            };
            total += 1;
            if detector.check_text(&text, Kind::FreeText).is_none() {
                *missed.entry(name).or_default() += 1;
            }
        }
    }
    let misses: usize = missed.values().sum();
    println!("recall: {} of {total} found; missed of {ROUNDS} each: {missed:?}", total - misses);
    for (name, count) in &missed {
        let by_randomness =
            name.starts_with("random") || *name == "aws secret key" || *name == "generated password";
        assert!(by_randomness, "{name} was missed {count} times");
    }
    assert!(misses * 100 <= total, "recall under 99 %: {missed:?}");
}

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "deploys", "the", "billing", "service", "for", "production", "reads", "metrics", "from", "cluster",
    "owner", "ops", "team", "rotated", "quarterly", "internationalization", "authentication",
    "misconfiguration", "infrastructure", "Kubernetes", "PostgreSQL", "OpenTelemetry", "GitHub",
    "CircleCI", "BigQuery", "ElasticSearch", "CloudFormation", "JavaScript", "TypeScript",
    "accountability", "characteristics", "Rechnungsstellung", "Datenschutzgrundverordnung",
    "Donaudampfschifffahrtsgesellschaft", "Rindfleischetikettierungsgesetz", "Zugangsdaten",
    "Kraftfahrzeughaftpflichtversicherung", "Auftragsverarbeitungsvertrag", "Benutzerverwaltung", "für",
    "Übersicht", "nächste", "Straße", "Verschlüsselungsschlüssel", "Geschäftsführung", "token", "key",
    "secret", "password", "api", "scope", "read-only", "least-privilege", "self-hosted", "end-to-end",
    "third-party", "see", "runbook", "asks", "Anna", "Jürgen", "before", "expires", "never", "share", "—",
    "&", "CI/CD", "TCP/IP", "and/or", "24/7", "e.g.", "i.e.", "v2", "OAuth2", "S3", "EC2", "k8s", "i18n",
    "a11y", "UTF-8", "SHA-256", "x86_64", "HTTP/2", "TLS1.3", "AES-256-GCM", "RS256", "us-east-1",
    "eu-central-1", "(optional)", "10:30", "$250", "100%", "#4711", "PROD-1234",
];

#[rustfmt::skip]
const CODE: &[&str] = &[
    "getUserAccountByIdAndName", "setMaxConcurrentRequests2", "STRIPE_WEBHOOK_SIGNING_SECRET",
    "AWS_SECRET_ACCESS_KEY_PROD", "list_credentials", "create_oauth_provider",
    "kube-system/metrics-server", "src/services/oauth/client_v2.rs",
    "/etc/systemd/system/unsaid.service.d/10-env.conf", "~/.config/gh/hosts.yml",
    "C:\\Users\\Public\\Documents\\deploy-2024.ps1", "com.example.billing.InvoiceServiceImpl",
    "org.apache.kafka.clients.producer.KafkaProducer", "arn:aws:iam::123456789012:role/deploy-prod-eu1",
    "projects/my-project-123456/secrets/api-key/versions/3",
    "registry.example.com/team/app:1.24.3-alpine3.19", "node_modules/@types/node/index.d.ts",
    "https://github.com/example/service-api/pull/1234/files#diff",
    "https://docs.example.com/en/latest/how-to/rotate-keys.html?tab=2#step-3",
    "https://console.cloud.google.com/apis/credentials?project=my-project-12",
    "https://api.example.com/v1/users/{id}/tokens", "postgres://db.internal:5432/app_production",
    "redis://cache.internal:6379/0", "ops+alerts@example.com", "first.last-name@sub.example.co.uk",
    "billing-service-account@my-project-123456.iam.gserviceaccount.com", "deploy-bot-7@prod-eu-west-3",
    "repo:status,read:org,admin:repo_hook", "https://www.googleapis.com/auth/cloud-platform.read-only",
    "urn:ietf:params:oauth:grant-type:device_code", "application/vnd.github+json", "multipart/form-data",
    "Content-Type:", "token: see the wiki", "password: in the safe", "secret: rotated 2024-05-01",
    "api_key=optional", "token=${GITHUB_TOKEN}", "password=<your-password>",
    "Authorization: Bearer <token>", "Bearer authentication", "Basic auth",
    "client-v3.11.0-rc.1+build.20240501", "linux-x86_64-unknown-gnu", "aarch64-apple-darwin23.1.0",
    "my-app-7d4b9c6f5-x2x9z", "ip-10-0-12-34.eu-central-1.compute.internal", "ISO-27001:2022",
    "DE89 3704 0044 0532 0130 00", "+49 30 1234567", "2024-05-01T12:30:45.123Z",
    "2024-05-01T12:30:45+02:00", "Q3/2025", "SOC2/ISO27001", "CVE-2024-12345", "RFC6749#section-4.1.3",
    "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "sk_live_...", "AKIA****************", "expected:200",
    "retry=3,timeout=30s", "--max-old-space-size=4096", "sha256sum", "base64url-encoded",
    "client_credentials", "k8s-prod-eu1-v2-blue",
];

fn benign(dice: &mut Dice) -> String {
    let mut words: Vec<String> = (0..4 + dice.roll(14)).map(|_| dice.pick(WORDS).to_owned()).collect();
    for _ in 0..dice.roll(3) {
        let special = match dice.roll(13) {
            0 => dice.hex(40),
            1 => dice.hex(64),
            2 => dice.uuid(),
            3 => dice.ulid(),
            4 => format!("https://app.example.com/orgs/{}/items/{}", dice.uuid(), dice.ulid()),
            5 => format!("v{}.{}.{}-rc.{}", dice.roll(30), dice.roll(90), dice.roll(200), dice.roll(9)),
            6 => {
                let size = 7 + dice.roll(6);
                format!("commit {}", dice.hex(size))
            }
            7 => format!("image@sha256:{}", dice.hex(64)),
            8 => format!("{}-0{}", dice.pick(&["i", "vpc", "subnet", "sg", "vol"]), dice.hex(16)),
            9 => format!("2024-{:02}-{:02}", 1 + dice.roll(12), 1 + dice.roll(28)),
            10 => format!("/srv/{}/{}/config-{}.yaml", dice.pick(WORDS), dice.pick(WORDS), dice.roll(99)),
            _ => dice.pick(CODE).to_owned(),
        };
        words.insert(dice.roll(words.len() + 1), special);
    }
    words.join(" ")
}

#[test]
fn c_35_ten_thousand_ordinary_descriptions_pass() {
    let detector = detector();
    let mut dice = Dice(35);
    let refused: Vec<(String, &str)> = (0..10_000)
        .map(|_| benign(&mut dice))
        .filter_map(|text| detector.check_text(&text, Kind::FreeText).map(|why| (text, why)))
        .collect();

    println!("false positives: {} of 10000 ({:.2} %)", refused.len(), refused.len() as f64 / 100.0);
    assert!(refused.len() <= 50, "{:#?}", &refused[..refused.len().min(20)]);
}

#[test]
fn every_ordinary_word_and_piece_of_code_passes_alone() {
    let detector = detector();
    let refused: Vec<_> = WORDS
        .iter()
        .chain(CODE)
        .filter_map(|word| detector.check_text(word, Kind::FreeText).map(|why| (*word, why)))
        .collect();

    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn c_35_a_call_without_anything_suspicious_compiles_and_reads_no_expression() {
    let detector = Detector::new(|| panic!("the catalogue was read"));
    let mut dice = Dice(1);
    let call = json!({ "credential": dice.ulid(), "label": "work account", "tags": ["billing", "prod"], "limit": 50,
        "description": "Key of the billing service, rotated every quarter by the ops team", "name": "GITHUB_TOKEN" });

    assert_eq!(
        detector.check_arguments(call.as_object().unwrap(), &|_| panic!("asked for {}", "a kind")),
        None
    );
    assert_eq!(detector.compiled(), 0);
}

#[test]
fn only_the_expressions_with_the_right_beginning_are_compiled() {
    let detector = detector();
    let mut dice = Dice(2);

    assert!(detector.check_text(&format!("zzq_{}1", dice.text("abc", 11)), Kind::Identifier).is_some());
    assert_eq!(detector.compiled(), 1);
}

#[test]
fn c_34_keys_unknown_fields_and_depth_do_not_hide_a_secret_and_the_answer_does_not_repeat_it() {
    let mut dice = Dice(3);
    let secret = format!("ghp_{}", dice.alnum(36));
    let found = |arguments: Value| {
        let suspect = check(arguments).unwrap();
        assert!(!format!("{suspect:?}").contains(&secret[4..]));
        suspect.field
    };

    assert_eq!(found(json!({ "description": &secret })), "description");
    assert_eq!(found(json!({ "tags": ["a", &secret] })), "tags[1]");
    assert_eq!(found(json!({ "a": { "b": [{ "c": format!("x {secret}") }] } })), "a.b[0].c");
    assert_eq!(found(json!({ &secret: 1 })), "?");
    assert_eq!(found(json!({ "a": { &secret: { "b": 1 } } })), "a.?");
    assert_eq!(found(json!({ "hunter2": &secret })), "?");
    assert_eq!(found(json!({ "idempotency_key": &secret })), "idempotency_key");
}

#[test]
fn kinds_decide_where_randomness_counts() {
    let detector = detector();
    let mut dice = Dice(4);
    let client_id = dice.alnum(32);
    let key = format!("AKIA{}", dice.upper(16));
    let check = |text: &str, kind| detector.check_text(text, kind).is_some();

    assert!(check(&client_id, Kind::FreeText));
    assert!(!check(&client_id, Kind::Identifier));
    assert!(!check(&client_id, Kind::Cursor));
    assert!(!check(&format!("https://login.example.com/{client_id}/oauth2/token"), Kind::Url));
    assert!(check(&format!("https://x.example.com/?k={key}"), Kind::Url));
    assert!(check(&key, Kind::Identifier));
    assert!(!check(&key, Kind::Cursor));
    for id in [dice.ulid(), dice.uuid(), dice.hex(40), dice.hex(64)] {
        assert!(!check(&id, Kind::FreeText) && !check(&id, Kind::Identifier));
    }
}

#[test]
fn unseen_and_full_width_characters_do_not_hide_a_key() {
    let mut dice = Dice(5);
    let body = dice.alnum(36);
    let detector = detector();
    let wide: String =
        format!("ghp_{body}").chars().map(|c| char::from_u32(c as u32 + 0xFEE0).unwrap()).collect();

    assert!(detector.check_text(&format!("gh\u{200B}p_{body}"), Kind::Identifier).is_some());
    assert!(
        detector
            .check_text(&format!("ghp_{}\u{E0041}{}", &body[..9], &body[9..]), Kind::Identifier)
            .is_some()
    );
    assert!(detector.check_text(&wide, Kind::Identifier).is_some());
}

#[test]
fn x_22_no_text_makes_the_detector_panic() {
    let detector = detector();
    let mut dice = Dice(22);
    let pieces = [
        "password",
        "=",
        ":",
        "://",
        "@",
        "é",
        "ghp_",
        "\u{200B}",
        "🔐",
        "\"",
        " ",
        "/",
        "-----BEGIN ",
        "Bearer ",
        "aB3",
        "\\",
        "token:",
        "01",
        "İ",
        "K",
    ];
    for _ in 0..100_000 {
        let text: String = (0..dice.roll(12)).map(|_| dice.pick(&pieces)).collect();
        for kind in [Kind::FreeText, Kind::Identifier, Kind::Url] {
            detector.check_text(&text, kind);
        }
    }
}

#[test]
#[ignore = "a measurement: cargo test --release --lib suspicion -- --ignored --nocapture"]
fn an_ordinary_call_costs_under_two_microseconds() {
    let detector = detector();
    let mut dice = Dice(6);
    let call = json!({ "credential": dice.ulid(), "label": "work account", "tags": ["billing", "prod"], "limit": 50,
        "description": "Key of the billing service, rotated every quarter by the ops team" });
    let began = std::time::Instant::now();
    for _ in 0..100_000 {
        assert_eq!(
            detector.check_arguments(std::hint::black_box(call.as_object().unwrap()), &all_free),
            None
        );
    }
    println!("{:?} a call", began.elapsed() / 100_000);
}
