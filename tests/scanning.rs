//! A person looks for values of the vault in files, histories and what comes in: what is found, and what never is.
use crate::support::shell::Shell;
use crate::support::world::World;
use data_encoding::{BASE64, HEXLOWER};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use unsaid::error::{Code, Error};
use unsaid::model::access::Caller;
use unsaid::ops::credential::create::CreateCredential;
use unsaid::ops::credential::value::{Target, enter_value};
use unsaid::ops::scan::{Scan, Scanned, incomplete, scan};
use unsaid::secret::SecretBytes;

/// A value that looks live, made here so that none stands in the source.
fn live(seed: &str) -> String {
    format!("ghp_{seed}{}", "aB3dE6gH9jK2".repeat(3))
}

/// With every character that some encoding changes.
fn odd() -> String {
    format!("p\"a\\s/s {}<&>'é+=%", "Q7".repeat(6))
}

struct Place {
    w: World,
    folder: tempfile::TempDir,
}

impl Place {
    /// Ada's STRIPE_KEY, and nothing else.
    async fn new() -> Self {
        let place = Self { w: World::new().await, folder: tempfile::tempdir().unwrap() };
        place.w.add("ada", "personal", "STRIPE_KEY", &live("stripe")).await;
        place
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    async fn try_scan(&self, caller: &Caller, wanted: Scan) -> Result<Scanned, Error> {
        scan(&self.w.app, caller, wanted).await
    }

    async fn scan(&self) -> Scanned {
        let paths = vec![self.folder.path().to_owned()];
        self.try_scan(&self.w.person("ada"), Scan { paths, ..Scan::default() }).await.unwrap()
    }

    async fn scan_history(&self) -> Scanned {
        let paths = vec![self.folder.path().to_owned()];
        let wanted = Scan { paths, has_history: true, ..Scan::default() };
        self.try_scan(&self.w.person("ada"), wanted).await.unwrap()
    }

    fn git(&self, arguments: &[&str]) -> String {
        let out = Command::new("git")
            .arg("-C")
            .arg(self.folder.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgSign=false"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "words"]);
        self.git(&["rev-parse", "HEAD"])
    }

    async fn file_value(&self, name: &str, content: &[u8]) {
        let input = CreateCredential {
            name: name.into(),
            kind: Some(unsaid::model::credential::CredentialType::File),
            ..CreateCredential::default()
        };
        let values = vec![("content".to_owned(), SecretBytes::copied(content))];
        let target = Target::New(Box::new(input));
        enter_value(&self.w.app, &self.w.person("ada"), target, values, "key.pem".into()).await.unwrap();
    }
}

/// `NAME line` of everything found.
fn lines(done: &Scanned) -> Vec<String> {
    let line = |one: &unsaid::ops::scan::Finding| match one.line {
        Some(line) => format!("{} {line}", one.credential),
        None => format!("{} in the name", one.credential),
    };
    done.found.iter().map(line).collect()
}

/// Asserts that nothing of `value` is told: no eight characters of it.
fn keeps_quiet(done: &Scanned, value: &str) {
    let told = serde_json::to_string(done).unwrap();
    for window in value.as_bytes().windows(8) {
        assert!(!told.as_bytes().windows(8).any(|told| told == window), "{told}");
    }
}

#[tokio::test]
async fn a_value_is_found_with_its_file_and_line_and_nothing_of_it_is_told() {
    let place = Place::new().await;
    let value = live("stripe");
    place.file("src/a.rs", format!("one\ntwo\nlet key = \"{value}\";\n"));
    place.file("src/b.rs", "nothing of interest");

    let done = place.scan().await;

    assert_eq!(lines(&done), ["STRIPE_KEY 3"]);
    assert!(done.found[0].path.ends_with("src/a.rs") && !done.found[0].is_encoded);
    assert!(done.next.contains("Rotate first: STRIPE_KEY"), "{}", done.next);
    keeps_quiet(&done, &value);
    let log = place.w.log().await;
    assert_eq!(log[log.len() - 2..], ["use ok", "scan ok"]);
    assert!(place.w.chain_is_whole().await);
}

#[tokio::test]
async fn a_value_is_found_in_every_form_in_which_programs_write_it() {
    let place = Place::new().await;
    place.w.add("ada", "personal", "ODD_KEY", &odd()).await;
    let value = odd();
    let once = serde_json::to_string(&serde_json::json!({ "text": value })).unwrap();
    let twice = serde_json::to_string(&serde_json::json!({ "message": once })).unwrap();
    let thrice = serde_json::to_string(&serde_json::json!({ "line": twice })).unwrap();
    let percent: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
    let gson = ['<', '>', '&', '=', '\''].iter().fold(serde_json::to_string(&value).unwrap(), |text, c| {
        text.replace(*c, &format!("\\u{:04x}", u32::from(*c)))
    });
    for (name, content) in [
        ("plain", value.clone()),
        ("base64", BASE64.encode(value.as_bytes())),
        ("base64-inside", BASE64.encode(format!("user:{value}@host").as_bytes())),
        ("hex", HEXLOWER.encode(value.as_bytes())),
        ("percent", percent),
        ("json", once),
        ("json-in-json", twice),
        ("json-in-json-in-json", thrice),
        ("json-of-gson", gson),
        ("form", url::form_urlencoded::byte_serialize(value.as_bytes()).collect()),
    ] {
        let path = place.file("it", format!("x{{}}\n\n {content} \n"));
        let done = place.scan().await;

        assert_eq!(lines(&done), ["ODD_KEY 3"], "{name}");
        assert_eq!(done.found[0].is_encoded, name != "plain", "{name}");
        keeps_quiet(&done, "Q7Q7Q7Q7Q7Q7");
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn a_value_that_is_broken_over_lines_is_found_where_it_begins() {
    let place = Place::new().await;
    let value = live("stripe");
    let (one, two) = value.split_at(15);
    let (three, four) = two.split_at(12);
    for (name, content) in [
        ("a terminal's", format!("{one}\n{three}\n{four}")),
        ("windows", format!("{one}\r\n{three}\r\n{four}")),
        ("indented", format!("key: >-\n    {one}\n    {three}\n    {four}\n")),
        ("a shell's", format!("KEY={one}\\\n{three}\\\n{four}\n")),
        ("javascript", format!("const k = \"{one}\" +\n  \"{three}\" +\n  \"{four}\";\n")),
        ("a mail's", format!("> {one}\n> {three}\n> {four}\n")),
        ("a transcript's", format!("{{\"text\":\"first\\n{one}\\n{three}\\n{four}\\nlast\"}}\n")),
        ("base64 in lines of 20", {
            let text = BASE64.encode(value.as_bytes());
            text.as_bytes().chunks(20).map(|l| format!("{}\n", std::str::from_utf8(l).unwrap())).collect()
        }),
    ] {
        let path = place.file("it", &content);
        let done = place.scan().await;

        assert!(!done.found.is_empty(), "{name}");
        assert!(done.found.iter().all(|one| one.is_encoded && one.line <= Some(2)), "{name}: {done:?}");
        std::fs::remove_file(path).unwrap();
    }
}

#[tokio::test]
async fn a_key_file_is_found_by_each_of_its_lines_and_not_by_what_all_have() {
    let place = Place::new().await;
    let line = |n: u8| BASE64.encode(&(0..48).map(|i| i * 5 + n).collect::<Vec<u8>>());
    let begin = ["-----BEGIN ", "PRIVATE KEY-----"].concat();
    let end = ["-----END ", "PRIVATE KEY-----"].concat();
    let pem = format!("{begin}\n{}\n{}\n{}\n{end}\n", line(1), line(2), line(3));
    place.file_value("TLS_KEY", pem.as_bytes()).await;
    let config = format!(
        "apiVersion: v1\ncurrent-context: default\nkind: Config-of-something\ntoken: {}\n",
        live("kube")
    );
    place.file_value("KUBECONFIG_FILE", config.as_bytes()).await;

    place.file("1-whole.pem", &pem);
    place.file("2-crlf.pem", pem.replace('\n', "\r\n"));
    place.file("3-in-json", serde_json::to_string(&pem).unwrap());
    place.file("4-one-line", format!("…\n{}\n…", line(2)));
    place.file(
        "5-nobodys",
        format!(
            "{begin}\nAAAA\n{end}\napiVersion: v1\ncurrent-context: default\nkind: Config-of-something\n"
        ),
    );

    let done = place.scan().await;

    let found: Vec<_> = done.found.iter().map(|one| one.path.rsplit('/').next().unwrap()).collect();
    for name in ["1-whole.pem", "2-crlf.pem", "3-in-json", "4-one-line"] {
        assert!(found.contains(&name), "{name}: {found:?}");
    }
    assert!(!found.contains(&"5-nobodys"), "{done:?}");
    assert!(done.found.iter().all(|one| one.credential == "TLS_KEY"));
}

#[tokio::test]
async fn what_only_looks_like_a_value_is_not_found() {
    let place = Place::new().await;
    place.w.add("ada", "personal", "SHORT_WORD", "summer24").await;
    place.w.add("ada", "personal", "TOO_SHORT", "abcde").await;
    let value = live("stripe");
    place.file("cut", &value[..value.len() - 1]);
    place.file("case", value.to_uppercase());
    place.file("words", "midsummer24 summer240 xsummer24x summer_24 abcde");
    place.file("other", live("other"));
    place.file("empty", "");

    let done = place.scan().await;

    assert_eq!(lines(&done), [""; 0]);
    assert_eq!(done.left_out.values_too_short, 1);
    assert_eq!((done.next.as_str(), done.searched.files), ("", 5));
    place.file("word", "password=summer24;");
    assert_eq!(lines(&place.scan().await), ["SHORT_WORD 1"]);
}

#[tokio::test]
async fn the_value_before_the_last_is_looked_for_too() {
    let place = Place::new().await;
    let old = live("stripe");
    let values = vec![("value".to_owned(), SecretBytes::copied(live("new").as_bytes()))];
    let target = Target::Existing("STRIPE_KEY".into());
    enter_value(&place.w.app, &place.w.person("ada"), target, values, String::new()).await.unwrap();
    place.file("old", &old);

    let done = place.scan().await;

    assert_eq!(done.found.len(), 1);
    assert_eq!((done.found[0].version, done.found[0].stage.to_string().as_str()), (1, "previous"));
}

#[tokio::test]
async fn nothing_of_other_peoples_values_is_looked_for() {
    let place = Place::new().await;
    let w = &place.w;
    w.add("mia", "personal", "MIAS_KEY", &live("mia")).await;
    w.add("tess", "core", "CORES_KEY", &live("core")).await;
    w.add("ada", "org", "ORG_KEY", &live("org")).await;
    w.add("max", "ops", "OPS_KEY", &live("ops")).await;
    place.file("all", [live("mia"), live("core"), live("org"), live("ops"), live("stripe")].join("\n"));
    let paths = vec![place.folder.path().to_owned()];
    for (login, expected) in [
        ("ada", &["ORG_KEY 3", "STRIPE_KEY 5"][..]),
        ("tess", &["CORES_KEY 2", "ORG_KEY 3"]),
        ("mia", &["MIAS_KEY 1", "CORES_KEY 2", "ORG_KEY 3", "OPS_KEY 4"]),
        ("max", &["ORG_KEY 3", "OPS_KEY 4"]),
    ] {
        let wanted = Scan { paths: paths.clone(), ..Scan::default() };
        let done = place.try_scan(&w.person(login), wanted).await.unwrap();
        assert_eq!(lines(&done), expected, "{login}");
    }
    let uses = w.log().await.iter().filter(|line| *line == "use ok").count();
    assert_eq!(uses, 2 + 2 + 4 + 2);

    // An auditor uses nothing, a stranger has nothing here: neither gets a search.
    for caller in [w.person("otto"), {
        let mut c = w.stranger("ada");
        c.door = unsaid::model::access::Door::Cli;
        c
    }] {
        let wanted = Scan { paths: paths.clone(), ..Scan::default() };
        assert_eq!(place.try_scan(&caller, wanted).await.unwrap_err().code, Code::InvalidInput);
    }
}

#[tokio::test]
async fn names_that_the_caller_may_not_use_are_refused_and_nothing_is_opened() {
    let place = Place::new().await;
    let w = &place.w;
    w.add("mia", "personal", "MIAS_KEY", &live("mia")).await;
    w.add("tess", "core", "CORES_KEY", &live("core")).await;
    let file = place.file("all", live("mia"));
    let before = w.log().await.len();

    for (only, code) in [
        ("MIAS_KEY", Code::CredentialNotFound),
        ("NO_SUCH_KEY", Code::CredentialNotFound),
        ("CORES_KEY", Code::NotAllowed),
        (live("arg").as_str(), Code::SecretInArgument),
    ] {
        let wanted = Scan { paths: vec![file.clone()], only: vec![only.into()], ..Scan::default() };
        let e = place.try_scan(&w.person("ada"), wanted).await.unwrap_err();
        assert_eq!(e.code, code, "{only}");
        assert!(!e.to_json().to_string().contains(&live("arg")));
    }
    let log = w.log().await.split_off(before);
    assert_eq!(log.len(), 4);
    assert!(log.iter().all(|line| line.starts_with("scan refused")), "{log:?}");

    let wanted = Scan { paths: vec![file], only: vec!["STRIPE_KEY".into()], ..Scan::default() };
    assert_eq!(place.try_scan(&w.person("ada"), wanted).await.unwrap().searched.values, 1);
}

#[tokio::test]
async fn only_a_person_searches_and_only_what_is_there() {
    let place = Place::new().await;
    let here = vec![place.folder.path().to_owned()];
    for (caller, wanted, code) in [
        (place.w.caller("ada"), Scan { paths: here.clone(), ..Scan::default() }, Code::PeopleOnly),
        (place.w.person("ada"), Scan::default(), Code::InvalidInput),
        (
            place.w.person("ada"),
            Scan { paths: vec!["/no/such/place".into()], ..Scan::default() },
            Code::InvalidInput,
        ),
        (
            place.w.person("ada"),
            Scan { paths: here, has_history: true, ..Scan::default() },
            Code::InvalidInput,
        ),
    ] {
        let before = place.w.log().await.len();
        assert_eq!(place.try_scan(&caller, wanted).await.unwrap_err().code, code);
        let log = place.w.log().await.split_off(before);
        assert_eq!(log, [format!("scan refused {}", code.name())]);
    }
}

#[tokio::test]
async fn hostile_files_neither_hang_nor_leak() {
    let place = Place::new().await;
    let value = live("stripe");
    // A line of 40 MB with the value across where a block ends, bytes that are no text, and nothing but NUL.
    let mut huge = vec![b'a'; 40 << 20];
    for at in [(1 << 20) - 7, (2 << 20) - 2048, (5 << 20) - 1, (40 << 20) - value.len()] {
        huge[at..at + value.len()].copy_from_slice(value.as_bytes());
    }
    place.file("huge", &huge);
    place.file("bytes", [&[0xff, 0xfe, 0xc3, 0x28, 0, 0, b'\n'][..], value.as_bytes(), &[0x80; 9]].concat());
    place.file("nul", vec![0; 3 << 20]);
    let wide: Vec<u8> = format!("\u{feff}one\r\n{value}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    place.file("wide", wide);
    let fifo = place.folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    std::os::unix::net::UnixListener::bind(place.folder.path().join("socket")).unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    outside.as_file().write_all(value.as_bytes()).unwrap();
    std::os::unix::fs::symlink(outside.path(), place.folder.path().join("link")).unwrap();
    std::os::unix::fs::symlink(".", place.folder.path().join("loop")).unwrap();
    let odd = place.folder.path().join(std::ffi::OsStr::from_bytes(b"esc\x1b[2J\n\xff.txt"));
    std::fs::write(&odd, &value).unwrap();

    let done = place.scan().await;

    let in_file = |name: &str| done.found.iter().filter(|one| one.path.contains(name)).count();
    assert_eq!(
        (in_file("huge"), in_file("bytes"), in_file("wide"), in_file("esc")),
        (1, 1, 1, 1),
        "{done:?}"
    );
    assert_eq!(done.found.iter().find(|one| one.path.ends_with("wide")).unwrap().line, Some(2));
    assert_eq!((done.found.len(), done.left_out.special, done.left_out.unreadable), (4, 4, 0));
    keeps_quiet(&done, &value);
}

#[tokio::test]
async fn what_a_kernel_makes_up_is_left_out() {
    let place = Place::new().await;
    if !Path::new("/proc/self/environ").exists() {
        return;
    }

    for path in ["/proc/self/environ", "/proc/self", "/proc"] {
        let wanted = Scan { paths: vec![path.into()], ..Scan::default() };
        let done = place.try_scan(&place.w.person("ada"), wanted).await.unwrap();
        assert_eq!((done.found.len(), done.searched.bytes), (0, 0), "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_nothing_found_is_then_no_clean_bill() {
    let place = Place::new().await;
    let file = place.file(&format!("closed-{}", live("stripe")), "words");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o000)).unwrap();
    let is_read_anyway = std::fs::File::open(&file).is_ok();

    let done = place.scan().await;

    // Its name has the value: that is a find of its own, and it is not shown.
    assert_eq!(lines(&done), ["STRIPE_KEY in the name"]);
    assert!(done.found[0].path.ends_with("closed-[unsaid:STRIPE_KEY]"), "{done:?}");
    keeps_quiet(&done, &live("stripe"));
    if is_read_anyway {
        return;
    }
    assert_eq!(done.left_out.unreadable, 1);
    let wanted = Scan { paths: vec![place.file("a/b", "")], ..Scan::default() };
    assert!(incomplete(&place.try_scan(&place.w.person("ada"), wanted).await.unwrap()).is_none());
    std::fs::rename(&file, place.folder.path().join("closed")).unwrap();
    let done = place.scan().await;
    assert_eq!(incomplete(&done).unwrap().code, Code::ScanIncomplete);
}

#[tokio::test]
async fn what_is_too_large_and_what_gitignore_names_is_left_out_where_it_is_asked_for() {
    let place = Place::new().await;
    let value = live("stripe");
    place.git(&["init", "-q"]);
    place.file(".gitignore", ".env\n");
    place.file(".env", &value);
    place.file(".hidden/large", format!("{value}{}", "x".repeat(2 << 20)));
    let paths = vec![place.folder.path().to_owned()];

    assert_eq!(place.scan().await.found.len(), 2);
    let wanted = Scan { paths: paths.clone(), obeys_gitignore: true, ..Scan::default() };
    let done = place.try_scan(&place.w.person("ada"), wanted).await.unwrap();
    assert_eq!(done.found.len(), 1);
    assert!(done.found[0].path.ends_with("large"));
    let wanted = Scan { paths, most_bytes: 1 << 20, ..Scan::default() };
    let done = place.try_scan(&place.w.person("ada"), wanted).await.unwrap();
    assert_eq!((done.found.len(), done.left_out.too_large), (1, 1));
}

#[tokio::test]
async fn a_blob_that_was_deleted_later_is_found_with_its_commit_packed_or_not() {
    let place = Place::new().await;
    let value = live("stripe");
    place.git(&["init", "-q", "-b", "main"]);
    place.file("README", "words");
    place.commit();
    let path = place.file("conf/prod.env", format!("A=1\nKEY={value}\n"));
    let brought = place.commit();
    std::fs::remove_file(&path).unwrap();
    place.commit();
    assert_eq!(lines(&place.scan().await), [""; 0]);

    for packed in [false, true] {
        if packed {
            place.git(&["gc", "-q", "--aggressive", "--prune=now"]);
        }
        let done = place.scan_history().await;
        assert_eq!(lines(&done), ["STRIPE_KEY 2"], "packed {packed}");
        assert!(done.found[0].path.ends_with(": conf/prod.env"), "{done:?}");
        assert_eq!(done.found[0].commit, brought);
        keeps_quiet(&done, &value);
    }
}

#[tokio::test]
async fn a_dropped_commit_a_message_a_branch_and_a_file_name_are_searched_too() {
    let place = Place::new().await;
    let value = live("stripe");
    place.git(&["init", "-q", "-b", "main"]);
    place.file("a", "words");
    place.commit();
    place.file("b", &value);
    place.commit();
    place.git(&["reset", "-q", "--hard", "HEAD~1"]);
    place.git(&["reflog", "expire", "--expire=now", "--all"]);
    assert_eq!(lines(&place.scan_history().await), ["STRIPE_KEY 1"]);
    place.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(lines(&place.scan_history().await), [""; 0]);

    place.git(&["commit", "-q", "--allow-empty", "-m", &format!("words\n\nthe key is {value}")]);
    place.git(&["branch", &format!("fix-{value}")]);
    place.file(&format!("dir/{value}.txt"), "words");
    place.commit();
    std::fs::remove_dir_all(place.folder.path().join("dir")).unwrap();
    let done = place.scan_history().await;
    let paths: Vec<_> = done.found.iter().map(|one| one.path.as_str()).collect();
    assert!(paths.iter().any(|path| path.contains("(text of a commit)")), "{paths:?}");
    assert!(paths.iter().any(|path| path.contains("(name of a file)")), "{paths:?}");
    assert!(paths.iter().any(|path| path.ends_with("refs/heads/fix-[unsaid:STRIPE_KEY]")), "{paths:?}");
    keeps_quiet(&done, &value);
}

#[tokio::test]
async fn a_repository_that_would_run_programs_runs_none() {
    let place = Place::new().await;
    place.git(&["init", "-q", "-b", "main"]);
    place.file("a", live("stripe"));
    place.file(".gitattributes", "* diff=own filter=own\n");
    place.commit();
    let marker = place.folder.path().join("ran");
    let run = format!("touch {}", marker.display());
    let script = place.file(".git/hooks/post-index-change", format!("#!/bin/sh\n{run}\n"));
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    for name in [
        "core.fsmonitor",
        "core.pager",
        "pager.log",
        "diff.external",
        "diff.own.textconv",
        "diff.own.command",
        "filter.own.smudge",
        "filter.own.clean",
        "gpg.program",
        "core.sshCommand",
        "credential.helper",
        "core.alternateRefsCommand",
        "alias.log",
        "alias.cat-file",
    ] {
        let run = if name.starts_with("alias") { format!("!{run}") } else { run.clone() };
        place.git(&["config", name, &run]);
    }
    place.git(&["config", "log.showSignature", "true"]);
    place.git(&["config", "extensions.partialClone", "origin"]);
    place.git(&["config", "remote.origin.url", &format!("ext::{run}")]);
    place.git(&["config", "remote.origin.promisor", "true"]);

    let done = place.scan_history().await;

    assert_eq!(done.found.len(), 2, "{done:?}");
    assert!(!marker.exists());
}

#[test]
fn the_exit_code_says_what_was_found_and_the_output_never_what_it_is() {
    let shell = Shell::new();
    let value = live("cli");
    shell.ok(&["set", "GITHUB_TOKEN"], &value);
    shell.file("clean.txt", "words");
    let at_work = shell.file("log\u{1b}[2J.txt", &format!("first\nAuthorization: token {value}\n"));

    let clean = shell.run(&["scan", "clean.txt"], "");
    assert_eq!((clean.code, clean.error()), (0, ""), "{}", clean.err);
    assert!(clean.out.starts_with("Nothing was found."), "{}", clean.out);

    let found = shell.run(&["scan", at_work.to_str().unwrap()], "");
    assert_eq!(found.code, 1, "{}", found.err);
    assert!(found.out.contains("GITHUB_TOKEN") && found.out.contains("\\u{1b}[2J.txt"), "{}", found.out);
    assert!(found.out.contains("Rotate first: GITHUB_TOKEN"), "{}", found.out);

    let json = shell.run(&["scan", "--json", "-"], &format!("x {} y\n", BASE64.encode(value.as_bytes())));
    assert_eq!(json.code, 1);
    let answer: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (answer["found"][0]["path"].as_str(), answer["found"][0]["line"].as_i64()),
        (Some("-"), Some(1))
    );

    for (args, code, error) in [
        (&["scan", "nowhere.txt"][..], 2, "invalid_input"),
        (&["scan", "--only", "NO_SUCH_KEY", "clean.txt"], 4, "credential_not_found"),
        (&["scan"], 2, ""),
        (&["scan", "--git", "-"], 2, "invalid_input"),
    ] {
        let done = shell.run(args, "");
        assert_eq!((done.code, done.error()), (code, error), "{args:?} {}", done.err);
    }
    for done in [clean, found, json, shell.run(&["log", "--json"], "")] {
        assert!(!format!("{}{}", done.out, done.err).contains(&value));
    }
}
