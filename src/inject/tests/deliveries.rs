//! Values as files: who may read them, and that they are gone whatever happens.
use super::*;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The folders of runs below `scratch`.
fn folders(scratch: &Path) -> Vec<PathBuf> {
    let base = scratch.join(format!("unsaid-run-{}", rustix::process::getuid().as_raw()));
    std::fs::read_dir(base).map_or(Vec::new(), |entries| entries.map(|entry| entry.unwrap().path()).collect())
}

#[test]
fn r_08_a_file_is_ours_alone_whatever_the_umask_and_gone_afterwards() {
    let (scratch, value) = (scratch(), a_value());
    let script = "stat -c %a \"$F\" \"${F%/*}\" \"${F%/*/*}\"; cat \"$F\"; echo; echo \"${F##*/}\"";
    for umask in ["000", "022", "777"] {
        let scene = sh(script, &[]).with_file("F", &value, "key.json", scratch.path());
        let output = without_heading(scene.command_after(&format!("umask {umask}")).output().unwrap());

        assert_eq!(text(&output.stdout), "600\n700\n700\n[unsaid:f]\nkey.json\n", "{}", text(&output.stderr));
        assert!(folders(scratch.path()).is_empty());
    }
}

#[test]
fn two_files_of_one_name_keep_its_ending() {
    let scratch = scratch();
    let scene = sh("echo \"${A##*/} ${B##*/}\"; cmp -s \"$A\" \"$B\" || echo differ", &[])
        .with_file("A", "the first value", "key.json", scratch.path())
        .with_file("B", "the second value", "key.json", scratch.path());

    assert_eq!(text(&scene.play().stdout), "key.json 2-key.json\ndiffer\n");
}

#[test]
fn r_08_a_file_may_hold_what_no_variable_can() {
    let scratch = scratch();
    let scene = sh("od -An -c \"$F\"", &[]).with_file("F", "a\0b", "key", scratch.path());

    assert_eq!(text(&scene.play().stdout).split_whitespace().collect::<Vec<_>>(), ["a", "\\0", "b"]);
}

#[test]
fn r_08_the_file_is_gone_when_the_child_never_starts() {
    let scratch = scratch();
    let mut scene = sh("", &[]).with_file("F", &a_value(), "key", scratch.path());
    scene.argv = vec!["no-such-program-here".into()];

    assert_eq!(scene.play().status.code(), Some(127));
    assert!(folders(scratch.path()).is_empty());
}

#[test]
fn r_08_the_file_is_gone_after_a_signal_and_after_kill_9() {
    use rustix::process::{Pid, Signal, kill_process};
    for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
        let scratch = scratch();
        let scene = sh("echo \"$F\"; exec sleep 20", &[]).with_file("F", &a_value(), "key", scratch.path());
        let mut process = scene.command().stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let path = lines.map(|line| line.unwrap()).find(|line| line.starts_with('/')).unwrap();
        assert!(Path::new(&path).exists());
        kill_process(Pid::from_child(&process), signal).unwrap();
        let status = process.wait().unwrap();

        assert_eq!(status.signal().is_some(), signal == Signal::KILL);
        soon("the file is gone", || !Path::new(&path).exists() && folders(scratch.path()).is_empty());
    }
}

#[test]
fn r_08_a_sweep_removes_what_dead_runs_left_and_nothing_of_a_run_that_goes_on() {
    let scratch = scratch();
    let scene = sh("echo \"$F\"; read x; cat \"$F\" >/dev/null || exit 8", &[]).with_file(
        "F",
        &a_value(),
        "key",
        scratch.path(),
    );
    let mut process = scene.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let path = lines.map(|line| line.unwrap()).find(|line| line.starts_with('/')).unwrap();
    let left = Path::new(&path).parent().unwrap().with_file_name("1-LEFT");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("key"), "left").unwrap();

    assert_eq!(sweep(scratch.path()).unwrap(), 1);
    assert!(!left.exists() && Path::new(&path).exists());
    process.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(0));
    assert_eq!(sweep(scratch.path()).unwrap(), 0);
}

#[test]
fn r_08_a_sweep_where_nothing_ever_was_is_fine_and_follows_no_link() {
    let (scratch, elsewhere) = (scratch(), scratch());
    assert_eq!(sweep(scratch.path()).unwrap(), 0);
    let base = scratch.path().join(format!("unsaid-run-{}", rustix::process::getuid().as_raw()));
    std::fs::create_dir(&base).unwrap();
    std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(elsewhere.path().join("precious"), "x").unwrap();
    symlink(elsewhere.path(), base.join("1-LINK")).unwrap();

    assert_eq!(sweep(scratch.path()).unwrap(), 0);
    assert!(elsewhere.path().join("precious").exists());
}

#[test]
fn r_08_a_base_folder_that_is_a_link_or_open_to_others_is_refused() {
    let (scratch, elsewhere) = (scratch(), scratch());
    let base = scratch.path().join(format!("unsaid-run-{}", rustix::process::getuid().as_raw()));
    let attempt = || {
        let mut scene = sh("exit 0", &[]).launch();
        scene.scratch = scratch.path().to_owned();
        scene.injected = vec![injected("F", b"a value", Delivery::File { file_name: "key".into() })];
        launch(scene, &|_| {}).unwrap_err().code
    };

    symlink(elsewhere.path(), &base).unwrap();
    assert_eq!(attempt(), Code::StoreInsecure);
    std::fs::remove_file(&base).unwrap();
    std::fs::create_dir(&base).unwrap();
    std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o770)).unwrap();
    assert_eq!(attempt(), Code::StoreInsecure);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn r_08_the_scratch_folder_is_memory_where_there_is_some() {
    let (runtime, otherwise) = (scratch(), Path::new("/var/unsaid"));

    assert_eq!(scratch_folder(Some(runtime.path().as_os_str()), otherwise), runtime.path());
    for unusable in
        [None, Some(OsStr::new("")), Some(OsStr::new("relative")), Some(OsStr::new("/no/such/folder"))]
    {
        let expected = if Path::new("/dev/shm").is_dir() { Path::new("/dev/shm") } else { otherwise };
        assert_eq!(scratch_folder(unusable, otherwise), expected);
    }
}
