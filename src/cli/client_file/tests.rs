use super::*;

/// 2026-11-18 11:06:40.
const NOW: Millis = Millis(1_795_000_000_000);

fn file_with(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("mcp.json");
    std::fs::write(&path, text).expect("the file is written");
    std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode is set");
    (folder, path)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("it can be read")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").mode() & 0o7777
}

fn new() -> SecretBytes {
    SecretBytes::copied(b"new")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_with_its_permissions_and_the_backup_is_private() {
    for bits in [0o600, 0o644, 0o640] {
        let (folder, path) = file_with("old", bits);

        let backup =
            ClientFile::read(&path).expect("it is read").replace(&new(), NOW).expect("it is replaced");

        assert_eq!((text(&path).as_str(), mode(&path)), ("new", bits));
        assert_eq!((text(&backup).as_str(), mode(&backup)), ("old", 0o600));
        assert_eq!(names(folder.path()), ["mcp.json", "mcp.json.unsaid-backup-20261118T110640Z"]);
    }
}

#[test]
fn undo_restores_every_byte_and_keeps_what_stood_there() {
    let old = "\u{FEFF}{\r\n  // c\r\n}\0 \n\n";
    let (_folder, path) = file_with(old, 0o644);
    let first = ClientFile::read(&path).expect("it is read").replace(&new(), NOW).expect("it is replaced");

    let second = undo(&path, &first, NOW).expect("it is undone");

    assert_eq!((text(&path).as_str(), mode(&path)), (old, 0o644));
    assert_eq!((text(&second).as_str(), text(&first).as_str()), ("new", old));
    assert_eq!(backups(&path).expect("they are listed"), [first, second]);
}

#[test]
fn a_forgotten_backup_is_overwritten_before_it_is_gone() {
    let (folder, path) = file_with(&"secret ".repeat(3000), 0o600);
    let backup = ClientFile::read(&path).expect("it is read").replace(&new(), NOW).expect("it is replaced");
    let mut still_open = File::open(&backup).expect("it is there");

    forget(&backup).expect("it is forgotten");

    let mut left = Vec::new();
    still_open.read_to_end(&mut left).expect("it can be read");
    assert!(left.len() == 21_000 && left.iter().all(|byte| *byte == 0));
    assert_eq!(names(folder.path()), ["mcp.json"]);
    assert_eq!(forget(&path).expect_err("no backup").code, Code::InvalidFile);
    assert_eq!(text(&path), "new");
}

#[test]
fn what_a_crash_left_half_written_is_no_backup_and_is_forgotten_with_them() {
    let (folder, path) = file_with("old", 0o600);
    let read = ClientFile::read(&path).expect("it is read");
    let left = folder.path().join(format!("{}zzzzzz", read.part()));
    std::fs::write(&left, "half").expect("it is written");
    assert_eq!(newest(&path).expect("they are listed"), None);

    let backup = read.replace(&new(), NOW).expect("it is replaced");

    assert_eq!(newest(&path).expect("they are listed"), Some(backup.clone()));
    for one in backups(&path).expect("they are listed") {
        forget(&one).expect("it is forgotten");
    }
    assert!(!left.exists() && !backup.exists());
}

#[test]
fn a_file_that_changed_meanwhile_is_left_alone() {
    let (folder, path) = file_with("old", 0o600);
    let read = ClientFile::read(&path).expect("it is read");
    std::fs::write(&path, "theirs").expect("it is written");

    let error = read.replace(&new(), NOW).expect_err("refused");

    assert_eq!((error.code, text(&path).as_str()), (Code::Changed, "theirs"));
    assert_eq!(names(folder.path()), ["mcp.json"]);
}

#[test]
fn a_file_that_was_swapped_for_an_equal_one_is_left_alone() {
    let (folder, path) = file_with("old", 0o600);
    let read = ClientFile::read(&path).expect("it is read");
    std::fs::write(folder.path().join("other"), "old").expect("it is written");
    std::fs::rename(folder.path().join("other"), &path).expect("it is swapped");

    assert_eq!(read.replace(&new(), NOW).expect_err("refused").code, Code::Changed);
}

#[test]
fn a_link_is_not_followed_and_its_target_is_named() {
    let (folder, path) = file_with("old", 0o600);
    let link = folder.path().join("link.json");
    std::os::unix::fs::symlink(&path, &link).expect("it is linked");
    let planted = folder.path().join("link.json.unsaid-backup-1");
    std::os::unix::fs::symlink(&path, &planted).expect("it is linked");

    let error = ClientFile::read(&link).expect_err("refused");

    assert_eq!(error.code, Code::InvalidFile);
    assert!(error.message().contains(path.to_str().expect("UTF-8")), "{error}");
    assert!(undo(&path, &planted, NOW).is_err() && forget(&planted).is_err());
    assert_eq!(text(&path), "old");
}

#[test]
fn a_link_in_the_place_of_the_backup_is_not_written_through() {
    let (folder, path) = file_with("old", 0o600);
    let victim = folder.path().join("victim");
    std::os::unix::fs::symlink(&victim, folder.path().join("mcp.json.unsaid-backup-20261118T110640Z"))
        .expect("it is linked");

    let backup = ClientFile::read(&path).expect("it is read").replace(&new(), NOW).expect("it is replaced");

    assert!(!victim.exists() && backup.to_str().expect("UTF-8").ends_with("Z-01"));
}

#[test]
fn what_is_no_single_regular_file_is_refused() {
    let (folder, path) = file_with("old", 0o600);
    std::fs::hard_link(&path, folder.path().join("second")).expect("it is linked");
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .expect("a pipe is made");

    for bad in [path.as_path(), folder.path(), &pipe, &folder.path().join("none")] {
        assert_eq!(ClientFile::read(bad).expect_err("refused").code, Code::InvalidFile, "{}", bad.display());
    }
}

#[test]
fn a_huge_file_is_refused_by_its_size() {
    let (_folder, path) = file_with("", 0o600);
    let file = OpenOptions::new().write(true).open(&path).expect("it opens");
    file.set_len(MAX_FILE_BYTES as u64 + 1).expect("it grows");

    assert_eq!(ClientFile::read(&path).expect_err("refused").code, Code::TooLarge);
}

#[test]
fn a_folder_that_cannot_be_written_leaves_everything_as_it_was() {
    if rustix::process::geteuid().is_root() {
        return; // nothing is unwritable
    }
    let (folder, path) = file_with("old", 0o600);
    let read = ClientFile::read(&path).expect("it is read");
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o500)).expect("its mode is set");

    let refused = read.replace(&new(), NOW);

    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).expect("its mode is set");
    assert!(refused.is_err() && text(&path) == "old");
    assert_eq!(names(folder.path()), ["mcp.json"]);
}
