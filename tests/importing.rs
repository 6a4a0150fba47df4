//! Files of other programs are taken over whole, or not at all; nothing of them is ever told but names and places.
use crate::support::imports::*;
use crate::support::world::World;
use serde_json::Value;
use std::collections::HashSet;
use unsaid::error::Code;
use unsaid::import::{At, Format, detect_format};
use unsaid::ops::import::{OnClash, import, plan};

const NOTE: &str = "line one\nline \"two\", with comma\n\tthird";
const OTP: &str = "otpauth://totp/GitHub:alice?secret=JBSWY3DPEHPK3PXP&issuer=GitHub";
const SEED: &str = "JBSWY3DPEHPK3PXP";
const PASSWORD: &str = "p@ss,w\"ord;1";
const FORMULA: &str = "=HYPERLINK(\"http://127.0.0.1:9/x\",\"y\")";

/// What a program keeps of an entry besides its name, user and password.
#[derive(Clone, Copy)]
struct Keeps {
    note: bool,
    /// The first entry's one-time code, and the one of the entry without a user.
    totp: Option<(&'static str, Option<&'static str>)>,
    folder: Folder,
}

#[derive(Clone, Copy, PartialEq)]
enum Folder {
    None,
    Path,
    Tags,
}

/// The entries behind the password managers' samples, as they must be in the vault.
fn records(keeps: Keeps) -> Vec<Stored> {
    let tags = |path: &'static str| -> Vec<&'static str> {
        match keeps.folder {
            Folder::None => Vec::new(),
            _ if path.is_empty() => Vec::new(),
            Folder::Path => vec![path],
            Folder::Tags => path.split('/').collect(),
        }
    };
    let mut github = Stored::login("GITHUB", "alice@example.test", PASSWORD)
        .of("alice@example.test")
        .described("GitHub; github.com", &tags("dev/web"));
    let mut aws = Stored::key("AWS_ROOT", "@AWS@").described("AWS root; console.aws.amazon.com", &[]);
    let mut formula =
        Stored::login("FORMULA", "=1+1", FORMULA).described("formula; example.test", &tags("sheets"));
    if keeps.note {
        github = github.with("notes", NOTE);
        formula = formula.with("notes", "@SUM(A1)");
    }
    if let Some((first, other)) = keeps.totp {
        github = github.with("totp", first);
        if let Some(other) = other {
            aws = Stored::custom("AWS_ROOT", &[("password", "@AWS@"), ("totp", other)])
                .described("AWS root; console.aws.amazon.com", &[]);
        }
    }
    vec![
        github,
        Stored::login("UNICODE", "ålice", "пароль-密码-🔐")
            .described("Ünïcødé 測試 🔑; xn--test.example.test", &tags("dev")),
        aws,
        formula,
        Stored::login("SPACES", " lead", "trail ").described("spaces; example.test", &[]),
        Stored::login("GITHUB", "bob", "dup-title-2")
            .of("bob")
            .described("GitHub; github.com", &tags("dev/web")),
    ]
}

/// What must be in the vault after each sample, field by field.
fn expected(sample: &str) -> Vec<Stored> {
    let keeps = |note, totp, folder| records(Keeps { note, totp, folder });
    let key = |name: &str, value: &str, about: &str| Stored::key(name, value).described(about, &[]);
    let pem = "-----BEGIN X-----\nabc\n-----END X-----";
    match sample {
        "chrome.csv" | "edge.csv" => keeps(true, None, Folder::None),
        "chrome-old.csv" => {
            let mut all = keeps(false, None, Folder::None);
            let app = Stored::login("COM_EXAMPLE_APP", "alice", "android-pw");
            all.push(app.described("com.example.app", &[]));
            all
        }
        "safari.csv" => keeps(true, Some((OTP, None)), Folder::None),
        "1password8.csv" => keeps(true, Some((OTP, None)), Folder::Tags),
        "keepassxc.csv" => {
            let otp = "otpauth://totp/GitHub:alice%40example.test?secret=JBSWY3DPEHPK3PXP&period=30&digits=6&issuer=GitHub";
            keeps(true, Some((otp, None)), Folder::Path)
        }
        "keepass.xml" => {
            let mut all = keeps(true, Some((OTP, None)), Folder::Path);
            all[0] = all[0].clone().with("API_KEY", "kp-synthetic").with("env", "prod");
            all[0].tags = vec!["dev/web".into(), "rig".into(), "t0".into()];
            all
        }
        "lastpass.csv" => {
            let mut all = keeps(true, Some((SEED, Some(SEED))), Folder::Path);
            let server = [("username", "root"), ("password", "sn-secret-1"), ("notes", "multi\nline")];
            all.push(Stored::custom("PROD_DB", &server).described("prod db", &["secure-notes"]));
            all
        }
        "bitwarden.csv" => {
            let mut all = keeps(true, Some((OTP, Some(SEED))), Folder::Path);
            all[0] = all[0].clone().with("env", "prod").with("team", "infra");
            all
        }
        "bitwarden.json" => {
            let mut all = keeps(true, Some((OTP, Some(SEED))), Folder::Path);
            all[0] = all[0].clone().with("env", "prod").with("api_key", "hidden-value").with("flag", "true");
            let ssh = "-----@BEGIN@-----\nSYNTHETIC\n-----@END@-----\n";
            all.push(Stored::file("SSH", ssh).named("id").described("ssh", &[]).serving("ssh-key"));
            all
        }
        "bitwarden-org.json" => {
            let mut all = keeps(true, Some((OTP, None)), Folder::Path);
            all.truncate(1);
            all[0] = all[0]
                .clone()
                .with("env", "prod")
                .with("api_key", "hidden-value")
                .with("flag", "true")
                .of("");
            all[0].tags = vec!["infra/prod".into()];
            all
        }
        "firefox.csv" => {
            let about = |s: Stored, address: &str| s.described(address, &[]);
            let github = "github.com";
            vec![
                about(Stored::login("GITHUB_COM", "alice@example.test", PASSWORD), github)
                    .of("alice@example.test"),
                about(
                    Stored::login("XN_TEST_EXAMPLE_TEST", "ålice", "пароль-密码-🔐"),
                    "xn--test.example.test",
                ),
                about(Stored::key("CONSOLE_AWS_AMAZON_COM", "@AWS@"), "console.aws.amazon.com"),
                about(Stored::login("EXAMPLE_TEST", "=1+1", FORMULA), "example.test").of("=1+1"),
                about(Stored::login("EXAMPLE_TEST", " lead", "trail "), "example.test").of("lead"),
                about(Stored::login("GITHUB_COM", "bob", "dup-title-2"), github).of("bob"),
            ]
        }
        "1password7-mac.csv" => {
            let login = Stored::login("GITHUB", "alice@example.test", PASSWORD).with("notes", "line \"two\"");
            vec![login.described("GitHub; github.com", &[])]
        }
        "1password.1pux" => {
            let mut all = keeps(true, Some((OTP, Some(SEED))), Folder::Tags);
            for one in &mut all {
                one.tags.push("personal".into());
                one.tags.sort();
            }
            for at in [0, 2] {
                all[at] = all[at].clone().with("api_token", "tok-synthetic");
            }
            let mut again = all[0].clone();
            again.name = "GITHUB_2".into();
            again.tags = vec!["dev".into(), "shared".into(), "web".into()];
            let api = [
                ("username", "svc"),
                ("credential", "@SK@"),
                ("type", "bearer"),
                ("valid_from", "2023-11-14T22:13:20Z"),
            ];
            let api = Stored::custom("OPENAI_KEY", &api).until("2027-01-15T08:00:00Z");
            let document = Stored::file("DEPLOY_FILE", "attachment").named("readme.txt");
            all.extend([
                api.described("OpenAI key", &["personal"]),
                document.described("Deploy file", &["personal"]),
                again,
            ]);
            all
        }
        "op-item-get.json" => {
            let fields = [
                ("username", "alice"),
                ("password", "op-secret"),
                ("totp", "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP"),
            ];
            vec![Stored::custom("GITHUB", &fields).described("GitHub; github.com", &[])]
        }
        "doppler-download.json" => vec![
            Stored::key("API_KEY", "dop-synthetic"),
            Stored::key("DATABASE_URL", "@DSN@").serving("postgres"),
            Stored::key("MULTI", "l1\nl2"),
        ],
        "doppler-secrets.json" => {
            vec![Stored::key("API_KEY", "dop-synthetic"), Stored::key("URL", "https://h.example.test/")]
        }
        "doppler-api.json" => vec![Stored::key("API_KEY", "dop-synthetic")],
        "infisical.json" => vec![
            Stored::key("API_KEY", "inf-synthetic").described("a comment", &["prod"]),
            Stored::key("PEM", pem).described("", &["tls"]),
        ],
        "infisical.csv" => vec![Stored::key("API_KEY", "inf-synthetic"), Stored::key("PEM", pem)],
        "vault-kv1-get.json" => {
            let fields = [("api_key", "vault1-synthetic")];
            vec![Stored::custom("VAULT_KV1_GET", &fields).described("vault-kv1-get", &[])]
        }
        "vault-kv2-get.json" => {
            let fields = [
                ("api_key", "vault-synthetic"),
                ("nested", "{\"a\":1}"),
                ("port", "5432"),
                ("multi", "l1\nl2"),
            ];
            vec![Stored::custom("VAULT_KV2_GET", &fields).described("vault-kv2-get", &[])]
        }
        "aws-get-secret-value.json" => {
            let fields = [
                ("username", "dbuser"),
                ("password", "aws-synthetic"),
                ("engine", "postgres"),
                ("port", "5432"),
                ("dbname", "rig"),
            ];
            vec![Stored::custom("PROD_DB", &fields).described("prod/db", &[])]
        }
        "aws-get-secret-value-epoch.json" => vec![key("PLAIN", "not json", "plain")],
        "aws-get-secret-value-binary.json" => {
            let mut file = Stored::file("BIN", "").named("binary").described("bin", &[]);
            file.fields.insert("content".into(), (0..32).collect());
            vec![file]
        }
        "aws-batch-get-secret-value.json" => vec![key("A", "sa", "a")],
        "azure-secret-show.json" => {
            let secret = Stored::key("API_KEY", "az-synthetic").described("api-key", &["env:prod"]);
            vec![secret.until("2027-01-02T03:04:05Z")]
        }
        "gcp-access.json" => vec![key("API", "gcp-synthetic", "api")],
        other => crate::importing_files::expected(other),
    }
}

#[tokio::test]
async fn every_sample_arrives_complete_field_by_field() {
    for (name, format) in SAMPLES {
        let (w, bytes) = (World::new().await, sample(name));
        assert_eq!(detect_format(name, &bytes).unwrap(), *format, "{name}");

        let plan = planned(&w, name, *format, &bytes).await.unwrap();
        let done = imported(&w, plan, OnClash::Skip).await.unwrap();

        let expected = expected(name);
        assert_eq!(done.len(), expected.len(), "{name}");
        expect_same(name, &stored(&w).await, &expected);
        assert!(w.chain_is_whole().await);
    }
}

/// What a sample holds that no message may repeat.
fn values(sample: &str) -> Vec<String> {
    let fields = expected(sample).into_iter().flat_map(|s| s.fields.into_values());
    let text = fields.filter_map(|v| String::from_utf8(v).ok());
    text.flat_map(|v| v.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|v| v.len() >= 6 && !["postgres", "bearer"].contains(&v.as_str()))
        .collect()
}

/// Imports a file that may be damaged: it is refused, and then nothing is there; or it is a whole file all the same,
/// and then every entry of it is accounted for. Returns whether it was read.
async fn whole_or_nothing(
    w: &World,
    what: &str,
    name: &str,
    format: Format,
    bytes: &[u8],
    secrets: &[String],
) -> bool {
    let before = count(w).await;
    let batch = match read_sample(w, name, format, bytes) {
        Ok(batch) => batch,
        Err(e) => {
            assert!(matches!(e.code, Code::InvalidFile | Code::TooLarge), "{what}: {:?}", e.code);
            let told = format!("{} {}", e.message(), e.next_step());
            let place = ["line ", "entry ", "archive", "1PUX", "UTF-", "export"];
            assert!(place.iter().any(|p| told.contains(p)), "{what}: {told}");
            assert!(!secrets.iter().any(|s| told.contains(s.as_str())), "{what} repeats a value");
            assert_eq!(count(w).await, before, "{what}");
            return false;
        }
    };
    if name.ends_with(".json") {
        assert!(serde_json::from_slice::<Value>(bytes).is_ok(), "{what} is no JSON");
    } else {
        let is_text = std::str::from_utf8(bytes).is_ok();
        assert!(is_text || name.ends_with(".1pux"), "{what} is no text");
    }
    let told: HashSet<At> = batch.items.iter().map(|i| i.at).chain(batch.left.iter().map(|l| l.at)).collect();
    assert!(told.len() >= batch.entries, "{what}: an entry is told nowhere: {told:?} of {}", batch.entries);
    for l in &batch.left {
        assert!(!secrets.iter().any(|s| l.why.contains(s.as_str())), "{what} repeats a value");
    }
    let mut plan = plan(&w.app, &w.person(ADA), format, batch, personal(), Vec::new()).await.unwrap();
    plan.decide(OnClash::Rename);
    let wanted = plan.to_store();
    assert_eq!(wanted, plan.planned.len(), "{what}");
    let done = import(&w.app, &w.person(ADA), plan, None).await.unwrap();
    assert_eq!(done.len(), wanted, "{what}");
    assert_eq!(count(w).await, before + wanted as i64, "{what}");
    true
}

/// 200 damaged variants of every sample of one kind of file.
pub async fn damage(wanted: impl Fn(&str) -> bool) {
    for (s, (name, format)) in SAMPLES.iter().enumerate().filter(|(_, (name, _))| wanted(name)) {
        let (w, bytes, secrets) = (World::new().await, sample(name), values(name));
        let mut dice = Dice::new(s as u64 + 1);
        let (mut refused, mut read) = (0, 0);
        for n in 0..200 {
            let broken = match *format {
                // Half of them inside the archive, half of them the archive itself.
                Format::OnePux if n % 2 == 0 => {
                    let data = damaged(export_data().as_bytes(), n / 2, &mut dice);
                    let attributes = b"{\"version\": 3}";
                    zipped(&[
                        ("export.attributes", attributes),
                        ("export.data", &data),
                        ("files/doc1__readme.txt", b"attachment"),
                    ])
                }
                _ => damaged(&bytes, n, &mut dice),
            };
            match whole_or_nothing(&w, &format!("{name}, variant {n}"), name, *format, &broken, &secrets)
                .await
            {
                true => read += 1,
                false => refused += 1,
            }
        }
        assert_eq!(refused + read, 200);
        assert!(refused >= 60, "{name}: {refused} of 200 refused");
        assert!(w.chain_is_whole().await, "{name}");
    }
}

#[tokio::test]
async fn a_damaged_table_is_refused_whole_or_taken_over_whole() {
    damage(|name| name.ends_with(".csv")).await;
}

#[tokio::test]
async fn damaged_json_is_refused_whole_or_taken_over_whole() {
    damage(|name| name.ends_with(".json")).await;
}

#[tokio::test]
async fn a_damaged_archive_is_refused_whole_or_taken_over_whole() {
    damage(|name| name.ends_with(".1pux")).await;
}

#[tokio::test]
async fn damaged_xml_is_refused_whole_or_taken_over_whole() {
    damage(|name| name.ends_with(".xml")).await;
}

#[tokio::test]
async fn hostile_files_are_refused_with_a_place_and_nothing_of_their_content() {
    let w = World::new().await;
    let version = b"{\"version\": 3}".as_slice();
    let archive = |data: &[u8], more: &[(&str, &[u8])]| {
        let mut members = vec![("export.attributes", version), ("export.data", data)];
        members.extend(more);
        zipped(&members)
    };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_map = format!("{{\"encrypted\":false,\"items\":{deep}}}");
    let mut lying = archive(&vec![b' '; 100_000], &[]);
    // The list of members at the end says that each is 100 bytes long.
    let at = lying.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    lying[at + 24..at + 28].copy_from_slice(&100u32.to_le_bytes());
    let nested = format!(
        "<KeePassFile><Root>{}{}</Root></KeePassFile>",
        "<Group>".repeat(900),
        "</Group>".repeat(900)
    );
    let laughs = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><KeePassFile><Root><Group/></Root></KeePassFile>";
    let sealed = "<KeePassFile><Root><Group><Entry><String><Key>Password</Key><Value Protected=\"True\">c2VjcmV0</Value></String></Entry></Group></Root></KeePassFile>";
    let header = "name,url,username,password\n";
    let cases: &[(&str, Format, Vec<u8>, &str)] = &[
        ("deep.json", Format::BitwardenJson, deep_map.clone().into_bytes(), "nested"),
        ("deep.json", Format::Doppler, deep.clone().into_bytes(), "nested"),
        ("twice.json", Format::Doppler, b"{\"A\":\"x\",\"A\":\"hunter22\"}".to_vec(), "twice"),
        (
            "sealed.json",
            Format::BitwardenJson,
            sample("bitwarden-encrypted-passwordprotected.json"),
            "encrypted",
        ),
        ("gone.json", Format::Vault, sample("vault-kv2-deleted.json"), "deleted"),
        (
            "open.csv",
            Format::Browser,
            format!("{header}A,https://x,\"u,hunter22\nB,y,u,p\n").into_bytes(),
            "line 2",
        ),
        ("short.csv", Format::Browser, format!("{header}hunter22\na,b\n").into_bytes(), "line 2"),
        ("stray.csv", Format::Browser, format!("{header}a,b,c\"d,hunter22\n").into_bytes(), "line 2"),
        ("after.csv", Format::Browser, format!("{header}a,b,\"c\"d,hunter22\n").into_bytes(), "line 2"),
        ("nul.csv", Format::Browser, format!("{header}a,b,c,hunter\0\n").into_bytes(), "NUL"),
        (
            "semicolons.csv",
            Format::Browser,
            b"name;url;username;password\na;b;c;hunter22\n".to_vec(),
            "line 1",
        ),
        (
            "column.csv",
            Format::Browser,
            b"name,url,username,password,hunter22\na,b,c,d,e\n".to_vec(),
            "column 5",
        ),
        ("latin1.csv", Format::Browser, [header.as_bytes(), b"Caf\xE9,b,c,hunter22\n"].concat(), "line 2"),
        ("utf16.csv", Format::Browser, b"\xFF\xFEn\0a\0".to_vec(), "UTF-16"),
        ("out.1pux", Format::OnePux, archive(b"{}", &[("../../etc/x", b"hunter22")]), "leads out"),
        ("root.1pux", Format::OnePux, archive(b"{}", &[("/etc/x", b"hunter22")]), "leads out"),
        ("back.1pux", Format::OnePux, archive(b"{}", &[("files\\..\\x", b"hunter22")]), "leads out"),
        ("bomb.1pux", Format::OnePux, archive(&vec![b' '; 65 << 20], &[]), "64 MiB"),
        ("lying.1pux", Format::OnePux, lying, "damaged"),
        ("empty.1pux", Format::OnePux, archive(b"{}", &[]), "accounts"),
        (
            "old.1pux",
            Format::OnePux,
            zipped(&[("export.attributes", b"{\"version\": 2}"), ("export.data", b"{}")]),
            "version 3",
        ),
        ("none.1pux", Format::OnePux, b"hunter22".to_vec(), "1PUX"),
        ("nested.xml", Format::KeepassXml, nested.into_bytes(), "line 1"),
        ("laughs.xml", Format::KeepassXml, laughs.as_bytes().to_vec(), "line 1"),
        ("sealed.xml", Format::KeepassXml, sealed.as_bytes().to_vec(), "encrypted"),
    ];
    for (name, format, bytes, says) in cases {
        let e = match read_sample(&w, name, *format, bytes) {
            Err(e) => e,
            Ok(_) => panic!("{name} was read"),
        };

        assert!(matches!(e.code, Code::InvalidFile | Code::TooLarge), "{name}: {:?}", e.code);
        assert!(e.message().contains(says), "{name}: {}", e.message());
        assert!(!format!("{} {}", e.message(), e.next_step()).contains("hunter"), "{name}");
    }
    assert_eq!(count(&w).await, 0);
}
