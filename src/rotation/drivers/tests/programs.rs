//! Own programs: what they are told, what they may say, and which are not started.
use super::super::command::Own;
use super::{credential, fields, text};
use crate::config::Rotated;
use crate::error::Code;
use crate::model::credential::Credential;
use crate::model::rotation::Finding;
use crate::rotation::driver::{Call, Created, Driver, Ended, Fields};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A script in a folder of its own.
fn script(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rotate");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    allow(&path, 0o700);
    (folder, path)
}

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn own(path: &Path, seconds: u32) -> Own {
    let command = vec![path.display().to_string(), "fixed".to_owned()];
    Own::new(Rotated { command, command_seconds: Some(seconds), ..Rotated::default() })
}

fn subject() -> (Credential, Fields, Fields) {
    let c = credential("own", &[".NAME", "PASSWORD"]);
    (c, fields(&[("NAME", "n"), ("PASSWORD", "old-one")]), fields(&[("NAME", "n"), ("PASSWORD", "new-one")]))
}

async fn set(own: &Own) -> crate::Result<Ended> {
    let (c, old, new) = subject();
    own.set(Call { credential: &c, admin: None, old: &old, new: Some(&new) }).await
}

#[tokio::test]
async fn it_gets_values_on_its_input_and_nothing_else_of_ours() {
    let (folder, path) = script(
        "cat > \"$(dirname \"$0\")/in\"; env > \"$(dirname \"$0\")/env\"; echo \"$*\" > \"$(dirname \"$0\")/args\"; pwd >> \"$(dirname \"$0\")/args\"\n\
         echo noise >&2; echo '{\"outcome\":\"confirmed\"}'",
    );

    assert_eq!(set(&own(&path, 20)).await.unwrap(), Ended::Confirmed);

    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let told: serde_json::Value = serde_json::from_str(&read("in")).unwrap();
    assert_eq!(told["old"]["PASSWORD"], "old-one");
    assert_eq!(told["new"]["PASSWORD"], "new-one");
    assert_eq!(told["name"], "KEY");
    assert_eq!(read("args"), "fixed set\n/\n");
    assert!(!read("env").contains("CARGO") && !read("env").contains("HOME=") && !read("env").contains("one"));
}

#[tokio::test]
async fn whatever_is_no_clear_word_is_unsure() {
    for said in [
        "exit 1",
        "echo '{\"outcome\":\"confirmed\"}'; exit 3",
        "echo confirmed",
        "echo '{\"outcome\":\"maybe\"}'",
        "echo '{\"outcome\":\"confirmed\",\"more\":1}'",
        "echo '{}'",
        "head -c 100000 /dev/zero",
        "kill -9 $$",
        "exec sleep 60",
        "sleep 60 & wait",
    ] {
        let (_folder, path) = script(said);
        let began = std::time::Instant::now();

        assert_eq!(set(&own(&path, 2)).await.unwrap(), Ended::Unsure, "{said}");
        assert!(began.elapsed().as_secs() < 20, "{said}");
    }
    let (_folder, path) = script("echo '{\"outcome\":\"refused\"}'");
    assert_eq!(set(&own(&path, 20)).await.unwrap(), Ended::Refused);
}

#[tokio::test]
async fn a_program_that_others_could_have_changed_is_not_started() {
    let (folder, path) = script("touch \"$(dirname \"$0\")/ran\"; echo '{\"outcome\":\"confirmed\"}'");
    for mode in [0o722, 0o770, 0o702] {
        allow(&path, mode);
        assert_eq!(set(&own(&path, 20)).await.unwrap_err().code, Code::ConfigInvalid, "{mode:o}");
    }
    allow(&path, 0o700);
    allow(folder.path(), 0o777);
    assert_eq!(set(&own(&path, 20)).await.unwrap_err().code, Code::ConfigInvalid);
    allow(folder.path(), 0o700);

    for other in [Path::new("rotate"), Path::new("./rotate"), &folder.path().join("none"), folder.path()] {
        assert_eq!(set(&own(other, 20)).await.unwrap_err().code, Code::ConfigInvalid, "{}", other.display());
    }
    assert!(!folder.path().join("ran").exists());
}

#[tokio::test]
async fn what_it_makes_is_taken_whole_or_is_lost() {
    let (c, old, _) = subject();
    let asked = |said: &str| {
        let (folder, path) = script(&format!("echo '{said}'"));
        let said = Rotated {
            command: vec![path.display().to_string()],
            command_creates: Some(true),
            ..Rotated::default()
        };
        (folder, Own::new(said))
    };
    let (_folder, own) = asked(r#"{"fields":{"PASSWORD":"made"}}"#);
    let call = Call { credential: &c, admin: None, old: &old, new: None };
    let Created::Made(made) = own.create(call).await.unwrap() else { panic!("it was made") };
    assert_eq!((text(&made.fields, "PASSWORD"), text(&made.fields, "NAME")), ("made".into(), "n".into()));

    for said in [
        "{}",
        r#"{"fields":{"PASSWORD":"old-one"}}"#,
        r#"{"fields":{"OTHER":"x","PASSWORD":"made"}}"#,
        "made",
    ] {
        let (_folder, own) = asked(said);
        let call = Call { credential: &c, admin: None, old: &old, new: None };
        assert!(matches!(own.create(call).await.unwrap(), Created::Unsure), "{said}");
    }
    let (_folder, own) = asked(r#"{"outcome":"refused"}"#);
    assert!(own.create(Call { credential: &c, admin: None, old: &old, new: None }).await.is_err());
}

#[tokio::test]
async fn a_test_tells_an_account_and_never_a_value() {
    let (c, old, _) = subject();
    let (_folder, path) = script(
        r#"echo '{"outcome":"valid","account":"acme","scopes":["read","has old-one in it","write"]}'"#,
    );

    let told = own(&path, 20).test(&c, &old).await.unwrap();

    assert_eq!((told.finding, told.account.as_str()), (Finding::Valid, "acme"));
    assert_eq!(told.scopes, ["read", "write"]);
    let (_folder, path) = script("exit 1");
    assert_eq!(own(&path, 20).test(&c, &old).await.unwrap().finding, Finding::CouldNotCheck);
}

#[test]
fn which_field_is_new_must_be_clear() {
    let two = credential("own", &["ONE", "TWO"]);
    let old = fields(&[("ONE", "1"), ("TWO", "2")]);
    let own = Own::new(Rotated::default());

    assert!(own.invent(Call { credential: &two, admin: None, old: &old, new: None }).is_err());

    let (c, old, _) = subject();
    let made = own.invent(Call { credential: &c, admin: None, old: &old, new: None }).unwrap().fields;
    assert!(text(&made, "NAME") == "n" && text(&made, "PASSWORD").len() == 32);
}
