//! A key file: one line, mode 0600, own account, in a folder of its own away from the database.
//!
//! Whatever is not exactly so is refused with the defect by name (K-20), and no file is ever overwritten.
use super::super::locked::{KEY, LockedKey};
use super::super::random::Random;
use crate::error::{Code, Error, Result};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::{Zeroize, Zeroizing};

const MAGIC: &[u8] = b"unsaid-key-1 ";
/// Magic, 64 hex digits of key, a space, 8 hex digits of checksum, a line feed.
const SIZE: usize = MAGIC.len() + 64 + 1 + 8 + 1;

/// The key in `path`; made together with its folder if it is not there.
pub(crate) fn make(path: &Path, data_dir: &Path, random: &dyn Random) -> Result<LockedKey> {
    let dir = path.parent().ok_or_else(|| insecure(path, "has no folder"))?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|_| insecure(path, "has a folder that cannot be made"))?;
    check_folder(path, data_dir)?;
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(FLAGS).open(path);
    let mut file = match options {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return read(path, data_dir),
        Err(_) => return Err(insecure(path, "cannot be written")),
    };
    let key = LockedKey::filled(|out| random.fill(out))?;
    let written = key.expose(|k| {
        let line = line(k);
        file.write_all(line.as_slice())?;
        file.sync_all()?;
        File::open(dir)?.sync_all()
    });
    if written.is_err() {
        // The half-written file would be refused for ever; if it cannot be removed either, `read` names it.
        let _ = std::fs::remove_file(path);
        return Err(insecure(path, "could not be written to the disk"));
    }
    read(path, data_dir)
}

/// The key in `path`.
///
/// Fails with `key_not_found` if there is none and with `key_insecure` if anything about it is wrong.
pub(crate) fn read(path: &Path, data_dir: &Path) -> Result<LockedKey> {
    let missing = || Error::new(Code::KeyNotFound, format!("the key file {} is not there", shown(path)));
    let mut file = match OpenOptions::new().read(true).custom_flags(FLAGS).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(missing()),
        Err(e) if e.raw_os_error() == Some(libc::ELOOP) => return Err(insecure(path, "is a symbolic link")),
        Err(_) => return Err(insecure(path, "cannot be opened")),
    };
    let about = file.metadata().map_err(|_| insecure(path, "cannot be inspected"))?;
    if !about.is_file() {
        return Err(insecure(path, "is not a regular file"));
    }
    if about.uid() != own_uid() {
        return Err(insecure(path, "belongs to another account"));
    }
    if about.mode() & 0o177 != 0 {
        return Err(insecure(path, "can be read or changed by others").next(repair("600", path)));
    }
    if about.nlink() != 1 {
        return Err(insecure(path, "has more than one name (hard link)"));
    }
    check_folder(path, data_dir)?;
    let mut line = Zeroizing::new([0u8; SIZE + 1]);
    let mut size = 0;
    while size < line.len() {
        match file.read(&mut line[size..]) {
            Ok(0) => break,
            Ok(n) => size += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(insecure(path, "cannot be read")),
        }
    }
    parse(&line[..size])
        .map_err(|defect| insecure(path, defect))?
        .ok_or_else(|| insecure(path, "is damaged: its checksum does not match"))
}

const FLAGS: i32 = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The path, with anything unusual escaped: it may come from a row that nobody has verified yet.
fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    if is_plain(&text) { text.into_owned() } else { format!("{text:?}") }
}

/// A command to copy, but only for a path that no shell reads as anything else.
fn repair(mode: &str, path: &Path) -> String {
    let text = path.to_string_lossy();
    if is_plain(&text) { format!("Run `chmod {mode} {text}`.") } else { format!("Give it the mode {mode}.") }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+@".contains(&b))
}

/// A defect of the key file, by name.
pub(crate) fn insecure(path: &Path, defect: &str) -> Error {
    Error::new(Code::KeyInsecure, format!("the key file {} {defect}", shown(path)))
}

fn check_folder(path: &Path, data_dir: &Path) -> Result<()> {
    let dir = path.parent().ok_or_else(|| insecure(path, "has no folder"))?;
    let dir = dir.canonicalize().map_err(|_| insecure(path, "has a folder that cannot be opened"))?;
    let about = dir.metadata().map_err(|_| insecure(path, "has a folder that cannot be inspected"))?;
    if about.uid() != own_uid() {
        return Err(insecure(path, "is in a folder of another account"));
    }
    if about.mode() & 0o077 != 0 {
        return Err(insecure(path, "is in a folder that others can enter").next(repair("700", &dir)));
    }
    // A backup of the data folder must not carry the key to it.
    let data = data_dir.canonicalize().or_else(|_| std::path::absolute(data_dir));
    if data.is_ok_and(|data| dir.starts_with(data)) {
        return Err(
            insecure(path, "is in the folder of the database").next("Keep the key file somewhere else.")
        );
    }
    Ok(())
}

fn line(key: &[u8; KEY]) -> Zeroizing<[u8; SIZE]> {
    let mut line = Zeroizing::new([0u8; SIZE]);
    let at = MAGIC.len();
    line[..at].copy_from_slice(MAGIC);
    HEXLOWER.encode_mut(key, &mut line[at..at + 64]);
    line[at + 64] = b' ';
    HEXLOWER.encode_mut(&checksum(key), &mut line[at + 65..at + 73]);
    line[SIZE - 1] = b'\n';
    line
}

/// The key of a line; `None` if only its checksum is wrong.
fn parse(line: &[u8]) -> Result<Option<LockedKey>, &'static str> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.is_empty() {
        return Err("is empty");
    }
    if !line.starts_with(&MAGIC[..MAGIC.len().min(line.len())]) {
        return Err("is not a key file of unsaid");
    }
    if line.len() < SIZE - 1 {
        return Err("is cut short");
    }
    let at = MAGIC.len();
    if line.len() > SIZE - 1 || line[at + 64] != b' ' {
        return Err("is not a key file of unsaid");
    }
    let mut sum = [0u8; 4];
    let readable = HEXLOWER.decode_mut(&line[at + 65..at + 73], &mut sum) == Ok(4);
    let key = LockedKey::filled(|out| {
        let read = HEXLOWER.decode_mut(&line[at..at + 64], out);
        if read != Ok(KEY) {
            out.zeroize();
        }
        Ok(())
    })
    .map_err(|_| "cannot be kept in memory")?;
    let sound = readable && key.expose(|k| checksum(k) == sum);
    Ok(sound.then_some(key))
}

/// Tells a damaged key from a whole one; four bytes that say nothing useful about the key.
fn checksum(key: &[u8; KEY]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(b"cv1/key-file/").chain_update(key).finalize();
    std::array::from_fn(|n| hash[n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::random::OsRandom;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    struct Place {
        _dir: tempfile::TempDir,
        data: PathBuf,
        key: PathBuf,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let (data, key) = (dir.path().join("data"), dir.path().join("keys/root.key"));
        std::fs::create_dir(&data).unwrap();
        make(&key, &data, &OsRandom).unwrap();
        Place { _dir: dir, data, key }
    }

    fn refusal(place: &Place) -> Error {
        let refused = read(&place.key, &place.data).unwrap_err();
        assert_eq!(refused.code, Code::KeyInsecure, "{refused:?}");
        refused
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn h_20_a_new_key_file_is_0600_in_a_0700_folder_and_is_read_back_and_kept() {
        let at = place();
        let first = read(&at.key, &at.data).unwrap();

        assert_eq!(std::fs::metadata(&at.key).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(at.key.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert!(make(&at.key, &at.data, &OsRandom).unwrap() == first);
    }

    /// Under `umask 000`, in a process of its own, for a umask belongs to the whole process.
    #[test]
    fn h_20_a_umask_of_zero_does_not_open_the_key_file() {
        let own = std::env::current_exe().unwrap();
        let test = "vault::sources::file::tests::h_20_a_new_key_file_is_0600_in_a_0700_folder_and_is_read_back_and_kept";
        let script = "umask 000; exec \"$0\" --exact \"$1\"";

        let ran =
            std::process::Command::new("/bin/sh").args(["-c", script]).arg(own).arg(test).output().unwrap();

        assert!(ran.status.success() && String::from_utf8_lossy(&ran.stdout).contains("1 passed"));
    }

    #[test]
    fn a_path_that_a_terminal_or_a_shell_would_act_on_is_shown_escaped_and_never_put_into_a_command() {
        let odd = Path::new("/tmp/\u{1b}[2J$(reboot)/key");

        assert!(!insecure(odd, "is empty").message().contains('\u{1b}'));
        assert!(!repair("600", odd).contains("reboot"));
    }

    #[test]
    fn k_20_a_missing_key_file_is_not_found() {
        let at = place();
        std::fs::remove_file(&at.key).unwrap();

        assert_eq!(read(&at.key, &at.data).unwrap_err().code, Code::KeyNotFound);
    }

    #[test]
    fn k_20_open_modes_are_refused_with_the_repair() {
        let at = place();
        for open in [0o644, 0o640, 0o602, 0o700] {
            mode(&at.key, open);
            assert!(refusal(&at).next_step().contains("chmod 600"));
        }
        mode(&at.key, 0o600);
        mode(at.key.parent().unwrap(), 0o755);
        assert!(refusal(&at).next_step().contains("chmod 700"));
    }

    #[test]
    fn k_20_another_owner_is_refused() {
        let at = place();
        if own_uid() != 0 {
            return; // only root can give a file away
        }
        std::os::unix::fs::chown(&at.key, Some(1), None).unwrap();
        assert!(refusal(&at).message().contains("another account"));
        std::os::unix::fs::chown(&at.key, Some(0), None).unwrap();
        std::os::unix::fs::chown(at.key.parent().unwrap(), Some(1), None).unwrap();
        assert!(refusal(&at).message().contains("folder of another account"));
    }

    #[test]
    fn k_20_links_and_things_that_are_no_file_are_refused() {
        let at = place();
        let other = at.key.with_file_name("other");
        std::fs::hard_link(&at.key, &other).unwrap();
        assert!(refusal(&at).message().contains("hard link"));
        std::fs::remove_file(&at.key).unwrap();
        symlink(&other, &at.key).unwrap();
        assert!(refusal(&at).message().contains("symbolic link"));
        std::fs::remove_file(&at.key).unwrap();
        std::fs::create_dir(&at.key).unwrap();
        assert!(refusal(&at).message().contains("not a regular file"));
    }

    #[test]
    fn k_20_the_folder_of_the_database_and_those_below_it_are_refused() {
        let at = place();
        for place in ["root.key", "keys/root.key"] {
            let inside = at.data.join(place);
            mode(&at.data, 0o700);
            let refused = make(&inside, &at.data, &OsRandom).unwrap_err();
            assert!(refused.message().contains("folder of the database"));
            assert!(!inside.exists());
        }
    }

    #[test]
    fn k_20_an_empty_a_short_a_foreign_and_a_damaged_file_each_have_their_own_refusal() {
        let at = place();
        let whole = std::fs::read(&at.key).unwrap();
        let mut damaged = whole.clone();
        damaged[20] = if damaged[20] == b'0' { b'1' } else { b'0' };
        let long = [&whole[..], b"more"].concat();
        for (content, says) in [
            (&b""[..], "is empty"),
            (&whole[..40], "is cut short"),
            (&whole[..3], "is cut short"),
            (b"-----BEGIN SOMETHING ELSE-----", "is not a key file"),
            (&long, "is not a key file"),
            (&damaged, "checksum"),
        ] {
            std::fs::write(&at.key, content).unwrap();
            assert!(refusal(&at).message().contains(says), "{says}");
        }
    }
}
