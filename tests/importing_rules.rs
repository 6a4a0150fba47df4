//! What becomes of an import beyond its reading: names, clashes, rights, events, and the file itself.
use crate::support::imports::*;
use crate::support::shell::Shell;
use crate::support::world::World;
use serde_json::Value;
use unsaid::error::Code;
use unsaid::import::Format;
use unsaid::model::access::Door;
use unsaid::ops::import::{Action, OnClash, Wish, import, plan, read};

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
    assert_eq!(note.fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["notes"]);
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

/// Files that hold more than becomes credentials: the file's name, its format, its text, how many are in it only.
#[rustfmt::skip]
const WITH_MORE: &[(&str, &str, &str, usize)] = &[
    ("config.json", "docker-config", r#"{"auths":{"r.test":{"auth":"bWlhOnBhc3N3b3JkLTEy"}},"plugins":{"deploy":{"token":"hunter22-open"}}}"#, 1),
    ("config.json", "docker-config", r#"{"auths":{"r.test":{"auth":"bWlhOnBhc3N3b3JkLTEy"}},"plugins":{"p":"hunter22"},"features":{"password":"hunter22"}}"#, 2),
    ("s.yaml", "kubernetes", "apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\n  annotations:\n    backup-password: hunter22-open\n    other: \"x\"\ndata: {A: YWJj}\n", 2),
    ("s.yaml", "kubernetes", "apiVersion: v1\nkind: Secret\nmetadata: {name: x, labels: {password: hunter22}}\ndata: {A: YWJj}\n", 1),
    (".npmrc", "npmrc", "//r.test/:_authToken=abcdefgh\nmy-deploy-token=hunter22-open\nsonar_password=hunter22hunter\nkey=48213377\n", 3),
    ("credentials", "aws-credentials", "[default]\naws_access_key_id=A\naws_secret_access_key=B\ncredential_process = /bin/get --password hunter22\ns3 =\n   password = hunter22\n   addressing_style = path\n", 2),
    ("credentials", "aws-credentials", "[default]\naws_access_key_id=A\naws_secret_access_key=B\nendpoint_url = https://u:hunter22@h.test\ns3 =\n hunter22\n", 2),
    (".netrc", "netrc", "# old: password hunter22-open\nmachine a.test login mia password abcdefgh # login mia password hunteropen\n", 2),
    (".pgpass", "pgpass", "# prod:5432:db:mia:hunteropen\nlocalhost:5432:db:mia:abcdefgh\n", 1),
    ("a.env", "dotenv", "#DB_PASSWORD=hunteropen\nA=b\n  # export API_KEY='hunter22'\nC=d # was token: hunter22\nE=\"f\" # DB_PASSWORD=hunter22\n", 4),
    ("b.env", "docker", "# DB_PASSWORD=hunteropen\nA=b\n", 1),
    ("c.env", "systemd", "; DB_PASSWORD=hunteropen\nA=b\n", 1),
    ("d.sh", "shell", "export A=b # DB_PASSWORD=hunteropen\n# API_KEY=hunter22\n", 2),
    ("e.yaml", "yaml", "A: b # password: hunter22\n# API_KEY: hunter22\n", 2),
    ("i.json", "infisical", r#"[{"key":"A","value":"b","secretMetadata":[{"key":"old","value":"hunter22"}]}]"#, 1),
];

#[test]
fn a_file_with_more_in_it_than_becomes_credentials_is_not_shredded() {
    let shell = Shell::new();
    for (name, format, text, missing) in WITH_MORE {
        let file = shell.file(name, text);

        let done =
            shell.run(&["import", name, "--from", format, "--yes", "--shred", "--on-clash", "replace"], "");

        assert_eq!(done.code, 0, "{text}: {}", done.err);
        let says = format!("is not shredded: {missing} entries are in it only");
        assert!(done.err.contains(&says), "{text}: {} {}", done.out, done.err);
        assert!(file.exists() && !format!("{}{}", done.out, done.err).contains("hunter"), "{text}");
    }
    // Nor is it where only some of it is wanted.
    shell.file("a.env", "# DB_PASSWORD=hunteropen\nA=b\n");
    let done = shell.run(&["import", "a.env", "--only", "A", "--yes", "--shred", "--replace"], "");
    assert!(done.err.contains("is not shredded: 1 entries are in it only"), "{}", done.err);
}

#[test]
#[rustfmt::skip]
fn comments_and_settings_without_a_secret_keep_no_file() {
    let shell = Shell::new();
    for (name, format, text) in [
        ("config.json", "docker-config", r#"{"auths":{"r.test":{"auth":"bWlhOnBhc3N3b3JkLTEy"}},"plugins":{"-x-cli-hints":{"enabled":"true"},"debug":{"hooks":"exec"}},"detachKeys":"ctrl-e,e"}"#),
        ("s.yaml", "kubernetes", "# made by hand\napiVersion: v1\nkind: Secret\nmetadata:\n  name: x\n  uid: 6e3b34e5-9f1d-4c2b-a7e8-0123456789ab\n  labels: {app: token-service}\n  annotations:\n    meta.helm.sh/release-name: x\n    kubectl.kubernetes.io/last-applied-configuration: '{\"data\":{\"password\":\"YWJj\"}}'\ndata: {A: YWJj}\n"),
        (".npmrc", "npmrc", "# a token for CI\n//r.test/:_authToken=abcdefgh\nauth-type=legacy\nother-token=${CI_TOKEN}\nstrict-ssl=false\n"),
        ("credentials", "aws-credentials", "# keys of mia\n[default]\naws_access_key_id=A\naws_secret_access_key=B\nregion=eu-west-1\ns3 =\n  addressing_style = path\n"),
        (".netrc", "netrc", "# the password is in the vault\nmachine a.test login mia password abcdefgh\n"),
        ("a.env", "dotenv", "# the key of the billing service, see https://wiki.test/keys2024\nA=b # rotate monthly\n# API_KEY=your-key-here\n# DEBUG=true\n# MAX_TOKENS=4096\n"),
    ] {
        let file = shell.file(name, text);

        let done = shell.run(&["import", name, "--from", format, "--yes", "--shred", "--on-clash", "replace"], "");

        assert!(done.code == 0 && !file.exists(), "{text}: {} {}", done.out, done.err);
    }
}

#[test]
fn a_name_that_is_a_key_is_not_shown() {
    let shell = Shell::new();
    let key = format!("ghp_{}", "aB3dE6gH9jK2".repeat(3));
    for (name, format, text) in [
        ("x.yaml", "yaml", format!("{key}: {{a: b}}\nA: b\n")),
        ("x.yaml", "yaml", format!("{key}:\nA: b\n")),
        ("x.yaml", "yaml", format!("{key}: ''\nA: b\n")),
        ("x.yaml", "yaml", format!("{key}: text\nA: b\n")),
        ("x.json", "json", format!(r#"{{"{key}": [1], "A": "b"}}"#)),
        ("x.json", "doppler", format!(r#"{{"{key}": "text", "A": "b"}}"#)),
        ("x.env", "dotenv", format!("{key}=\"a\" b\n{key}=\nA=b\n")),
        ("x.env", "docker", format!("{key}='text'\nA=b\n")),
        (
            "s.yaml",
            "kubernetes",
            format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: x, annotations: {{{key}: x}}}}\nstringData: {{{key}: text, A: b}}\ndata: {{{key}: YQ==}}\n"
            ),
        ),
        ("v.json", "vault", format!(r#"{{"data": {{"{key}": "text", "A": "b"}}}}"#)),
    ] {
        shell.file(name, &text);
        for more in [&["--dry-run"][..], &["--json", "--yes"], &["--yes", "--split"]] {
            let args = [&["import", name, "--from", format, "--on-clash", "replace"], more].concat();

            let done = shell.run(&args, "");

            let told = format!("{}{}", done.out, done.err);
            assert!(done.code == 0 && !told.to_lowercase().contains("ghp_ab3de6"), "{text}: {told}");
        }
    }
    assert!(!shell.ok(&["list", "--json"], "").to_lowercase().contains("ghp_ab3de6"));
    assert!(!shell.ok(&["log", "export"], "").to_lowercase().contains("ghp_ab3de6"));
}

#[test]
fn a_file_that_holds_earlier_passwords_is_kept_and_a_description_has_no_path_of_an_address() {
    let shell = Shell::new();
    let value = |which: &str| format!("{which}-{}", "pass".repeat(3));
    let file = shell.file(
        "vault.json",
        &format!(
            r#"{{"encrypted": false, "items": [{{"type": 1, "name": "Forum", "passwordHistory":
                [{{"lastUsedDate": "2024-01-01T00:00:00.000Z", "password": "{}"}}],
                "login": {{"username": "mia", "password": "{}",
                "uris": [{{"uri": "https://forum.example.test/invited/by-link"}}]}}}}]}}"#,
            value("before"),
            value("now")
        ),
    );

    let done = shell.run(&["import", "vault.json", "--yes", "--shred"], "");

    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("is not shredded: 1 entries are in it only"), "{}", done.err);
    assert!(file.exists());
    let shown = shell.ok(&["show", "FORUM", "--json"], "");
    assert!(shown.contains("forum.example.test") && !shown.contains("by-link"), "{shown}");
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
        ("x.yaml", "A: &a hunter22\n", "an anchor"),
        (
            "x.json",
            "{\"mcpServers\":{\"x\":{\"env\":{\"K\":\"hunter22\"}}}}",
            "unsaid mcp-config --wrap FILE",
        ),
        ("config.toml", "[mcp_servers.x.env]\nK = \"hunter22\"\n", "unsaid mcp-config --wrap FILE"),
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
