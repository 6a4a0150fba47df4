//! A person at the command line: the real binary, a vault of its own, with or without a terminal.
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A vault in a folder of its own.
pub struct Shell {
    folder: tempfile::TempDir,
}

/// What a command came to.
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Shell {
    /// An empty folder: there is no vault yet.
    pub fn without_vault() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A vault with a key file; `ada` is its admin.
    pub fn new() -> Self {
        let this = Self::without_vault();
        let made = this.run(&["init", "--org", "Acme", "--user", "ada", "--key", "file"], "");
        assert_eq!(made.code, 0, "{}", made.err);
        this
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder()).env("UNSAID_HOME", self.folder().join("home"));
        for name in ["UNSAID_LOG", "RUST_LOG", "XDG_RUNTIME_DIR"] {
            command.env_remove(name);
        }
        command.env("TERM", "xterm");
        command
    }

    /// Runs `unsaid` with `stdin` and without any terminal.
    pub fn run(&self, args: &[&str], stdin: &str) -> Done {
        let mut command = self.command("setsid");
        command.arg("--wait").arg(env!("CARGO_BIN_EXE_unsaid")).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that needs no input may be gone already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        Done::of(child.wait_with_output().unwrap())
    }

    /// As [`Shell::run`]; must end with 0. Returns standard output.
    pub fn ok(&self, args: &[&str], stdin: &str) -> String {
        let done = self.run(args, stdin);
        assert_eq!(done.code, 0, "{args:?}: {}", done.err);
        done.out
    }

    /// Starts `unsaid` on a terminal of its own.
    pub fn at_terminal(&self, args: &[&str]) -> Screen {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
        let theirs = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
        let end = || Stdio::from(theirs.try_clone().unwrap());
        let mut command = self.command("setsid");
        command.args(["--wait", "--ctty", env!("CARGO_BIN_EXE_unsaid")]).args(args);
        let process = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        rustix::io::ioctl_fionbio(&ours, true).unwrap();
        Screen { ours, theirs, process, seen: Vec::new() }
    }
}

impl Done {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
        Self { code, out: text(output.stdout), err: text(output.stderr) }
    }

    /// The error's name, as `error[name]: …` shows it.
    pub fn error(&self) -> &str {
        self.err.split("error[").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or("")
    }
}

/// A terminal with the command in its foreground.
pub struct Screen {
    ours: OwnedFd,
    theirs: OwnedFd,
    process: Child,
    seen: Vec<u8>,
}

impl Screen {
    fn look(&mut self) -> bool {
        let mut bytes = [0u8; 4096];
        match rustix::io::read(&self.ours, &mut bytes) {
            Ok(size) if size > 0 => self.seen.extend_from_slice(&bytes[..size]),
            _ => return false,
        }
        true
    }

    /// Waits until `expected` is on the screen, and returns all that was.
    pub fn until(&mut self, expected: &str) -> String {
        let began = Instant::now();
        while !self.text().contains(expected) {
            assert!(began.elapsed() < Duration::from_secs(20), "no {expected:?} in {:?}", self.text());
            if !self.look() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        self.text()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    pub fn keys(&mut self, keys: &str) {
        rustix::io::write(&self.ours, keys.as_bytes()).unwrap();
    }

    /// Whether what is typed would be shown by the terminal itself.
    pub fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.theirs).unwrap().local_modes;
        modes.contains(LocalModes::ECHO) && modes.contains(LocalModes::ICANON)
    }

    /// Types the challenge that is on the screen.
    pub fn take_challenge(&mut self) {
        let text = self.until("(anything else stops): ");
        let digits = text.rsplit("type ").next().unwrap().split(' ').next().unwrap().to_owned();
        self.keys(&format!("{digits}\r"));
    }

    /// Waits for the end: the exit code, and all that was on the screen.
    pub fn end(mut self) -> (i32, String) {
        let began = Instant::now();
        let status = loop {
            self.look();
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "it goes on: {:?}", self.text());
            std::thread::sleep(Duration::from_millis(2));
        };
        while self.look() {}
        (status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)), self.text())
    }
}
