//! Files of other programs are taken over whole, or not at all; nothing of them is ever told but names and places.
use crate::support::imports::*;
use crate::support::shell::Shell;
use crate::support::world::World;
use serde_json::Value;
use std::collections::HashSet;
use unsaid::error::Code;
use unsaid::import::{At, Format, detect_format};
use unsaid::model::access::Door;
use unsaid::ops::import::{Action, OnClash, Wish, import, plan, read};

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
        .described("GitHub; https://github.com/login", &tags("dev/web"));
    let mut aws =
        Stored::key("AWS_ROOT", "@AWS@").described("AWS root; https://console.aws.amazon.com/", &[]);
    let mut formula =
        Stored::login("FORMULA", "=1+1", FORMULA).described("formula; https://example.test", &tags("sheets"));
    if keeps.note {
        github = github.with("notes", NOTE);
        formula = formula.with("notes", "@SUM(A1)");
    }
    if let Some((first, other)) = keeps.totp {
        github = github.with("totp", first);
        if let Some(other) = other {
            aws = Stored::custom("AWS_ROOT", &[("password", "@AWS@"), ("totp", other)])
                .described("AWS root; https://console.aws.amazon.com/", &[]);
        }
    }
    vec![
        github,
        Stored::login("UNICODE", "ålice", "пароль-密码-🔐")
            .described("Ünïcødé 測試 🔑; https://xn--test.example.test/", &tags("dev")),
        aws,
        formula,
        Stored::login("SPACES", " lead", "trail ").described("spaces; example.test", &[]),
        Stored::login("GITHUB", "bob", "dup-title-2")
            .of("bob")
            .described("GitHub; https://github.com/login", &tags("dev/web")),
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
            all.push(app.described("com.example.app; android://com.example.app/", &[]));
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
            let github = "https://github.com/login";
            vec![
                about(Stored::login("GITHUB_COM", "alice@example.test", PASSWORD), github)
                    .of("alice@example.test"),
                about(
                    Stored::login("XN_TEST_EXAMPLE_TEST", "ålice", "пароль-密码-🔐"),
                    "https://xn--test.example.test/",
                ),
                about(Stored::key("CONSOLE_AWS_AMAZON_COM", "@AWS@"), "https://console.aws.amazon.com/"),
                about(Stored::login("EXAMPLE_TEST", "=1+1", FORMULA), "https://example.test").of("=1+1"),
                about(Stored::login("EXAMPLE_TEST", " lead", "trail "), "example.test").of("lead"),
                about(Stored::login("GITHUB_COM", "bob", "dup-title-2"), github).of("bob"),
            ]
        }
        "1password7-mac.csv" => {
            let login = Stored::login("GITHUB", "alice@example.test", PASSWORD).with("notes", "line \"two\"");
            vec![login.described("GitHub; https://github.com/login", &[])]
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
            vec![Stored::custom("GITHUB", &fields).described("GitHub; https://github.com", &[])]
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
        other => panic!("nothing is written down for {other}"),
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
async fn damage(wanted: impl Fn(&str) -> bool) {
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

#[tokio::test]
async fn a_title_note_or_address_that_holds_a_secret_is_shown_nowhere() {
    let (w, key) = (World::new().await, format!("ghp_{}", "aB3dE6gH9jK2".repeat(3)));
    let header = "Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes\n";
    let rows = format!(
        "{key},https://one.example.test/{key}?t={key},{key},p1,,false,false,{key},{key}\n\
         Two,https://u:{key}@two.example.test/x,,p2,,false,false,,password: {key}\n\
         ,,,p3,,false,false,,\n"
    );

    let plan =
        planned(&w, "x.csv", Format::OnePasswordCsv, format!("{header}{rows}").as_bytes()).await.unwrap();
    let told = format!("{plan:?}");
    imported(&w, plan, OnClash::Skip).await.unwrap();

    assert!(!told.contains(&key[..12]) && !told.to_uppercase().contains(&key.to_uppercase()[..12]));
    assert!(told.contains("no variable name can be made"), "an entry without title and address is told");
    let all = stored(&w).await;
    let names: Vec<_> = all.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["ONE_EXAMPLE_TEST", "TWO"]);
    for one in all {
        let shown = format!("{}{}{}{:?}{}", one.name, one.account, one.description, one.tags, one.file_name);
        assert!(!shown.contains(&key[..12]), "{}", one.name);
        assert!(one.fields.contains_key("notes"), "a note is kept, as a secret");
    }
}

#[tokio::test]
async fn a_service_is_told_by_the_shape_of_a_value() {
    let w = World::new().await;
    let key = format!("ghp_{}", "aB3dE6gH9jK2".repeat(3));
    let text = format!("name,url,username,password\nDeploy,https://x.example.test,,{key}\n");

    let plan = planned(&w, "x.csv", Format::Browser, text.as_bytes()).await.unwrap();

    assert_eq!(plan.planned[0].service(), Some("github"));
}

#[tokio::test]
async fn clashes_are_skipped_replaced_or_kept_under_another_name() {
    let w = World::new().await;
    for (name, value) in [("A", "before-a"), ("C", "before-c")] {
        w.add(ADA, "personal", name, value).await;
    }
    let text = b"{\"A\":\"after-a\",\"B\":\"after-b\",\"DOPPLER_PROJECT\":\"x\"}";
    let wanted = || planned(&w, "x.json", Format::Doppler, text);

    let plan = wanted().await.unwrap();
    assert!(matches!(&plan.planned[0].action, Action::Undecided(clash) if clash.why_not.is_none()));
    assert_eq!((plan.undecided(), plan.to_store()), (1, 1));
    assert_eq!(imported(&w, plan, OnClash::Skip).await.unwrap().len(), 1);
    expect_same("skip", &stored(&w).await, &["A:before-a", "B:after-b", "C:before-c"].map(parsed));

    let done = imported(&w, wanted().await.unwrap(), OnClash::Rename).await.unwrap();
    assert_eq!(done.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["A_2", "B_2"]);

    let done = imported(&w, wanted().await.unwrap(), OnClash::Replace).await.unwrap();
    assert!(done.iter().all(|d| d.replaced && d.version == 2));
    let all = ["A:after-a", "A_2:after-a", "B:after-b", "B_2:after-b", "C:before-c"].map(parsed);
    expect_same("replace", &stored(&w).await, &all);
}

fn parsed(text: &str) -> Stored {
    let (name, value) = text.split_once(':').unwrap();
    Stored::key(name, value)
}

#[tokio::test]
async fn what_is_of_another_type_is_never_replaced() {
    let w = World::new().await;
    w.add(ADA, "personal", "GITHUB", "before").await;
    let text = b"name,url,username,password\nGitHub,https://github.com,u,p\n";
    let wanted = || planned(&w, "x.csv", Format::Browser, text);

    let done = imported(&w, wanted().await.unwrap(), OnClash::Replace).await.unwrap();

    assert!(done.is_empty());
    expect_same("other type", &stored(&w).await, &[Stored::key("GITHUB", "before")]);
}

#[tokio::test]
async fn a_name_that_is_taken_meanwhile_ends_the_whole_import() {
    let w = World::new().await;
    let plan =
        planned(&w, "x.json", Format::Doppler, b"{\"A\":\"1\",\"B\":\"2\",\"C\":\"3\"}").await.unwrap();
    w.add(ADA, "personal", "B", "mine").await;

    let e = imported(&w, plan, OnClash::Skip).await.unwrap_err();

    assert_eq!(e.code, Code::AlreadyExists);
    expect_same("nothing", &stored(&w).await, &[Stored::key("B", "mine")]);
    assert!(w.log().await.last().unwrap().starts_with("enter_value refused"));
}

#[tokio::test]
async fn each_credential_has_its_event_with_where_it_came_from() {
    let w = World::new().await;
    let plan = planned(&w, "x.json", Format::Doppler, b"{\"A\":\"1\",\"B\":\"2\"}").await.unwrap();
    imported(&w, plan, OnClash::Skip).await.unwrap();

    let org = w.org.clone();
    let rows = w.app.store.read(move |tx| tx.audit_after(&org, 0, 1000)).await.unwrap();

    for name in ["A", "B"] {
        let of: Vec<_> = rows.iter().filter(|r| r.object_name == name).collect();
        let operations: Vec<_> = of.iter().map(|r| r.operation.as_str()).collect();
        assert_eq!(operations, ["create_credential", "enter_value"]);
        assert!(of.iter().all(|r| r.details.contains("\"imported_from\":\"doppler\"")));
    }
}

#[tokio::test]
async fn only_a_person_imports_and_only_where_they_may() {
    let w = World::new().await;
    let bytes = b"{\"A\":\"1\",\"DOPPLER_PROJECT\":\"x\"}";
    let batch = || read(&w.app, Format::Doppler, bytes, &Wish::default()).unwrap();
    let org = || unsaid::ops::import::Into { scope: unsaid::model::credential::Scope::Org, ..personal() };

    for door in [Door::Stdio, Door::Http] {
        let caller = unsaid::model::access::Caller { door, ..w.person(ADA) };
        let e = plan(&w.app, &caller, Format::Doppler, batch(), personal(), Vec::new()).await.unwrap_err();
        assert_eq!(e.code, Code::PeopleOnly);
    }
    for (login, into) in [("mia", org()), ("otto", org())] {
        let e = plan(&w.app, &w.person(login), Format::Doppler, batch(), into, Vec::new()).await.unwrap_err();
        assert_eq!(e.code, Code::NotAllowed, "{login}");
    }
    let made = plan(&w.app, &w.person(ADA), Format::Doppler, batch(), personal(), Vec::new()).await.unwrap();
    let model = w.caller(ADA);
    assert_eq!(import(&w.app, &model, made, None).await.unwrap_err().code, Code::PeopleOnly);
}

#[tokio::test]
async fn a_secret_store_is_split_and_notes_are_taken_where_that_is_asked_for() {
    let w = World::new().await;
    let wish = Wish { split: true, notes: true, name: "app".into() };
    let vault = b"{\"lease_id\":\"\",\"data\":{\"API_TOKEN\":\"t1\",\"db password\":\"t2\",\"PATH\":\"/x\",\"ratio\":0.5,\"none\":null}}";
    let batch = read(&w.app, Format::Vault, vault, &wish).unwrap();
    assert_eq!(batch.left.len(), 3, "a reserved name, a fraction and a null");
    let plan = plan(&w.app, &w.person(ADA), Format::Vault, batch, personal(), Vec::new()).await.unwrap();
    imported(&w, plan, OnClash::Skip).await.unwrap();

    let notes = read(&w.app, Format::BitwardenCsv, &sample("bitwarden.csv"), &wish).unwrap();

    let about = |s: Stored| s.described("app", &[]);
    let all = [about(Stored::key("API_TOKEN", "t1")), about(Stored::key("APP_DB_PASSWORD", "t2"))];
    expect_same("split", &stored(&w).await, &all);
    let note = notes.items.iter().find(|i| i.name == "A_NOTE").unwrap();
    assert_eq!(note.fields.len(), 1);
}

#[tokio::test]
async fn attachments_of_keepass_are_files_and_its_bin_is_left_out() {
    use std::io::Write as _;
    let w = World::new().await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"zipped content").unwrap();
    let base64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
    let text = String::from_utf8(sample("keepass.xml")).unwrap();
    let binaries = format!(
        "<Binaries><Binary ID=\"0\" Compressed=\"True\">{}</Binary></Binaries></Meta>",
        base64(&gzip.finish().unwrap())
    );
    let text = text.replacen("</Meta>", &binaries, 1);
    // The group Sheets becomes the bin.
    let sheets = text.split("<Name>Sheets</Name>").next().unwrap().rsplit("<UUID>").next().unwrap();
    let sheets = sheets.split('<').next().unwrap();
    let text =
        text.replacen("<RecycleBinUUID>AAAAAAAAAAAAAAAAAAAAAA==", &format!("<RecycleBinUUID>{sheets}"), 1);

    let plan = planned(&w, "x.xml", Format::KeepassXml, text.as_bytes()).await.unwrap();
    let left: Vec<_> = plan.left.iter().filter_map(|l| l.name.clone()).collect();
    imported(&w, plan, OnClash::Skip).await.unwrap();

    assert!(left.contains(&"FORMULA".to_owned()), "{left:?}");
    let all = stored(&w).await;
    let file = all.iter().find(|s| s.name == "GITHUB_A_TXT").unwrap();
    assert!(file.fields["content"] == b"zipped content" && file.file_name == "a.txt");
}

/// A .env file for a shell, with a value that must not show.
fn env_file(shell: &Shell, name: &str) -> (std::path::PathBuf, String) {
    let value = format!("value-{}", "7f3k".repeat(4));
    (shell.file(name, &format!("A={value}\nB=other-{value}\n")), value)
}

#[test]
fn a_file_is_shredded_only_where_all_of_it_is_in_the_vault() {
    let shell = Shell::new();
    let (whole, value) = env_file(&shell, "whole.env");
    let part = shell.file("part.env", "C=one\nPATH=/x\n");

    let done = shell.run(&["import", "whole.env", "--yes", "--shred"], "");
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("whole.env is shredded") && done.err.contains("backup may keep it"));
    assert!(!whole.exists() && !format!("{}{}", done.out, done.err).contains(&value));

    let done = shell.run(&["import", "part.env", "--yes", "--shred"], "");
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("is not shredded: 1 entries are in it only"), "{}", done.err);
    assert!(part.exists());
}

#[test]
fn links_and_standard_input_are_never_shredded_and_then_nothing_is_imported() {
    let shell = Shell::new();
    let (file, _) = env_file(&shell, "real.env");
    std::os::unix::fs::symlink(&file, shell.folder().join("soft.env")).unwrap();

    for (name, says) in [("soft.env", "symbolic link"), ("-", "standard input")] {
        let done = shell.run(&["import", name, "--yes", "--shred"], "A=x\n");
        assert_eq!(done.code, 2, "{name}: {}", done.err);
        assert!(done.err.contains(says), "{name}: {}", done.err);
    }
    std::fs::hard_link(&file, shell.folder().join("hard.env")).unwrap();
    let done = shell.run(&["import", "hard.env", "--yes", "--shred"], "");
    assert_eq!((done.code, done.error()), (2, "invalid_file"));
    assert!(done.err.contains("hard links"), "{}", done.err);

    assert!(file.exists());
    assert!(shell.ok(&["list"], "").contains("no credential"));
}

#[test]
fn without_a_terminal_what_is_there_stays_and_is_told() {
    let shell = Shell::new();
    let (_, value) = env_file(&shell, "x.env");
    shell.ok(&["set", "A"], "before");

    let done = shell.run(&["import", "x.env", "--yes"], "");
    assert!(done.err.contains("A") && done.err.contains("is there already"), "{}", done.err);
    assert!(done.out.contains("1 credentials imported") && done.out.contains("1 entries were not"));
    let again = shell.run(&["import", "x.env", "--yes", "--on-clash", "rename", "--json"], "");
    let answer: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((&answer["imported"], &answer["plan"][0]["name"]), (&Value::from(2), &Value::from("A_2")));
    let versions = shell.ok(&["import", "x.env", "--yes", "--replace", "--only", "A"], "");
    assert!(versions.contains("1 credentials imported"));

    let check = format!("test \"$A\" = '{value}' && test \"$A_2\" = '{value}' && echo same");
    let run = shell.run(&["run", "--only", "A,A_2", "--", "sh", "-c", &check], "");
    assert_eq!(run.out, "same\n", "{}", run.err);
}

#[test]
fn at_a_terminal_clashes_are_asked_about_and_the_file_is_offered_to_be_shredded() {
    let shell = Shell::new();
    let (file, value) = env_file(&shell, "x.env");
    shell.ok(&["set", "A"], "before");

    let mut screen = shell.at_terminal(&["import", "x.env"]);
    screen.until("[s]kip/[r]eplace/[b]oth/[o]ne by one");
    screen.keys("b\r");
    screen.until("import 2 credentials of a .env file into personal?");
    screen.keys("y\r");
    screen.until("shred x.env?");
    screen.keys("y\r");
    let (code, text) = screen.end();

    assert_eq!(code, 0, "{text}");
    assert!(!text.contains(&value) && !file.exists());
    assert!(shell.ok(&["list"], "").contains("A_2"));
}

#[test]
fn a_file_that_is_no_known_export_is_refused_in_words() {
    let shell = Shell::new();
    for (name, content, says) in [
        ("x.csv", "one,two\nhunter22,b\n", "header of no export"),
        ("x.yaml", "A: hunter22\n", "YAML is not read"),
        ("x.json", "{\"mcpServers\":{\"x\":{\"env\":{\"K\":\"hunter22\"}}}}", "MCP client"),
        ("y.json", "{\"encrypted\":true,\"data\":\"hunter22\"}", "encrypted"),
    ] {
        shell.file(name, content);
        let done = shell.run(&["import", name, "--yes"], "");
        assert_eq!((done.code, done.error()), (2, "invalid_file"), "{name}");
        assert!(done.err.contains(says) && !done.err.contains("hunter22"), "{name}: {}", done.err);
    }
    let done = shell.run(&["import", "x.csv", "--from", "excel"], "");
    assert_eq!(done.code, 2);
}

#[tokio::test]
async fn names_that_no_number_may_follow_still_get_one() {
    let w = World::new().await;
    let text = b"name,url,username,password\nSSH,x,u,p1\nSSH,x,u,p2\n";

    for expected in [["SSH", "SSH2"], ["SSH3", "SSH2_2"]] {
        let plan = planned(&w, "x.csv", Format::Browser, text).await.unwrap();
        let done = imported(&w, plan, OnClash::Rename).await.unwrap();
        assert_eq!(done.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), expected);
    }
}
