//! A command that prints the key: the way to another password store or a key service.
//!
//! It runs without a shell, without input, without our environment, and for ten seconds at most.
use super::super::locked::LockedKey;
use crate::error::{Code, Error, Result};
use std::ffi::OsString;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use zeroize::Zeroizing;

const LIMIT: Duration = Duration::from_secs(10);
/// The longest output read, bytes.
const OUTPUT: usize = 4096;

/// The key that `argv` prints: 32 bytes in base64 or hex, or at least 32 characters of text.
pub(crate) fn read(argv: &[String], environment: &dyn Fn(&str) -> Option<OsString>) -> Result<LockedKey> {
    run(argv, environment, LIMIT)
}

fn run(
    argv: &[String],
    environment: &dyn Fn(&str) -> Option<OsString>,
    limit: Duration,
) -> Result<LockedKey> {
    let failed = |why: &str| Error::new(Code::KeyNotFound, format!("the key command {why}"));
    let (program, arguments) =
        argv.split_first().ok_or_else(|| Error::new(Code::ConfigInvalid, "the key command is empty"))?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    for name in ["PATH", "HOME"] {
        if let Some(value) = environment(name) {
            command.env(name, value);
        }
    }
    let mut child = command.spawn().map_err(|_| failed("could not be started"))?;
    let output = child.stdout.take().ok_or_else(|| failed("could not be read"))?;
    let (done, wait) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut printed = Zeroizing::new(Vec::with_capacity(OUTPUT + 1));
        let read = output.take(OUTPUT as u64).read_to_end(&mut printed).map(|_| printed);
        // After the limit nobody listens any more, and the buffer is wiped here.
        let _ = done.send(read);
    });
    let printed = wait.recv_timeout(limit);
    if printed.is_err() {
        // It may have ended in between; either way it is reaped below.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|_| failed("could not be waited for"))?;
    let printed =
        printed.map_err(|_| failed("took longer than it may"))?.map_err(|_| failed("could not be read"))?;
    if !status.success() {
        return Err(failed("failed"));
    }
    super::material(&printed, "the output of the key command")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit_ms: u64) -> Result<LockedKey> {
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        run(&argv, &|name| (name == "PATH").then(|| "/usr/bin:/bin".into()), Duration::from_millis(limit_ms))
    }

    #[test]
    fn its_output_is_the_key_and_its_failure_is_ours() {
        assert!(sh("printf 'kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\\n'", 5000).is_ok());
        assert!(
            sh("echo kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk; exit 3", 5000)
                .unwrap_err()
                .message()
                .contains("failed")
        );
        assert!(run(&["/nowhere/key".to_owned()], &|_| None, LIMIT).is_err());
        assert_eq!(run(&[], &|_| None, LIMIT).unwrap_err().code, Code::ConfigInvalid);
    }

    #[test]
    fn it_sees_path_and_home_and_nothing_else_of_our_environment() {
        assert!(
            sh("test -z \"$CARGO_MANIFEST_DIR$USER\" && echo kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", 5000)
                .is_ok()
        );
    }

    #[test]
    fn it_is_stopped_when_it_takes_too_long() {
        assert!(sh("exec /bin/sleep 30", 100).unwrap_err().message().contains("longer"));
    }
}
