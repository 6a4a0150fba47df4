//! A person at a terminal (R-11): each test plays the terminal with a pseudo-terminal of its own.
use super::super::spawn;
use super::super::terminal::Pty;
use super::*;
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;

/// A terminal with a process in its foreground.
struct Screen {
    pty: Pty,
    process: Child,
    seen: Vec<u8>,
    modes: Termios,
}

/// Which of the process's handles are not the terminal.
#[derive(Default)]
struct Redirected {
    stdin: Option<Stdio>,
    stdout: Option<Stdio>,
    stderr: Option<Stdio>,
}

impl Screen {
    fn of(scene: &Scene) -> Self {
        Self::redirected(scene, Redirected::default())
    }

    fn redirected(scene: &Scene, redirected: Redirected) -> Self {
        let model =
            rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
        let pty = Pty::like(std::os::fd::AsFd::as_fd(&model)).unwrap();
        tcsetwinsize(&pty.our_end, Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let modes = tcgetattr(&pty.child_end).unwrap();
        let mut command = scene.command();
        let end = || Stdio::from(pty.child_end.try_clone().unwrap());
        command.stdin(redirected.stdin.unwrap_or_else(end));
        command.stdout(redirected.stdout.unwrap_or_else(end));
        command.stderr(redirected.stderr.unwrap_or_else(end));
        spawn::prepare(&mut command, Some(pty.child_end.as_raw_fd()));
        let process = command.spawn().unwrap();
        Self { pty, process, seen: Vec::new(), modes }
    }

    /// Reads until `expected` is on the screen.
    fn until(&mut self, expected: &str) {
        let seen = &mut self.seen;
        let our_end = &self.pty.our_end;
        let start = Instant::now();
        while !text(seen).contains(expected) {
            assert!(start.elapsed() < Duration::from_secs(10), "no {expected:?} in {:?}", text(seen));
            let mut bytes = [0u8; 4096];
            match rustix::io::read(our_end, &mut bytes) {
                Ok(size) => seen.extend_from_slice(&bytes[..size]),
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    fn type_keys(&self, keys: &str) {
        assert_eq!(rustix::io::write(&self.pty.our_end, keys.as_bytes()).unwrap(), keys.len());
    }

    /// Whether keys are passed on as they are.
    fn is_raw(&self) -> bool {
        !tcgetattr(&self.pty.child_end).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    /// Waits for the end; the terminal must be as it was.
    fn ends_with(&mut self, code: i32) {
        soon("the process ends", || self.process.try_wait().unwrap().is_some());
        assert_eq!(self.process.wait().unwrap().code(), Some(code), "{:?}", text(&self.seen));
        let now = tcgetattr(&self.pty.child_end).unwrap();
        assert_eq!(now.local_modes, self.modes.local_modes);
        assert_eq!((now.input_modes, now.output_modes), (self.modes.input_modes, self.modes.output_modes));
    }
}

const HANDLES: &str = "for n in 0 1 2; do if [ -t $n ]; then printf t; else printf -; fi; done";

#[test]
fn r_11_on_a_terminal_the_child_is_on_a_terminal_of_the_same_size() {
    let mut screen = Screen::of(&sh(&format!("{HANDLES}; echo; stty size; tty; : </dev/tty && exit 5"), &[]));

    screen.until("ttt\r\n33 77\r\n/dev/pts/");
    screen.ends_with(5);
}

#[test]
fn r_11_a_prompt_is_seen_and_answered() {
    let script = "printf 'Name? '; read x; echo \"hello <$x>\"; stty -echo; read y; echo \"<$y>\"";
    let mut screen = Screen::of(&sh(script, &[("KEY", &a_value())]));
    screen.until("Name? ");
    screen.type_keys("Ada\r");
    screen.until("Ada\r\nhello <Ada>\r\n");
    screen.type_keys("unseen\r");

    screen.until("\n<unseen>\r\n");
    screen.ends_with(0);
}

#[test]
fn r_11_a_prompt_that_ends_like_a_value_begins_does_not_hang() {
    let mut screen =
        Screen::of(&sh("printf 'Go on? s'; read x; echo yes", &[("KEY", "sesame-open-thyself")]));

    screen.until("Go on? s");
    screen.type_keys("s\r");
    screen.until("yes");
    screen.ends_with(0);
}

#[test]
fn r_11_values_are_masked_also_where_the_terminal_changes_line_ends() {
    let value = format!("{}\n{}", "ab".repeat(6), "cd".repeat(6));
    let mut screen = Screen::of(&sh("echo \"<$KEY>\"; echo \"<$KEY>\" >&2", &[("KEY", &value)]));

    screen.until("<[unsaid:key]>\r\n<[unsaid:key]>\r\n");
    screen.ends_with(0);
}

#[test]
fn r_11_a_change_of_size_reaches_the_child() {
    let script = "trap 'stty size; exit 0' WINCH; echo ready.; while :; do sleep 0.02; done";
    let mut screen = Screen::of(&sh(script, &[]));
    screen.until("ready.");
    tcsetwinsize(&screen.pty.our_end, Winsize { ws_row: 20, ws_col: 50, ws_xpixel: 0, ws_ypixel: 0 })
        .unwrap();

    screen.until("20 50");
    screen.ends_with(0);
}

#[test]
fn r_12_control_c_and_backslash_reach_the_child_as_signals() {
    for (key, signal) in [("\x03", "INT"), ("\x1c", "QUIT")] {
        let script =
            format!("trap 'echo got {signal}; exit 6' {signal}; echo ready.; while :; do sleep 0.02; done");
        let mut screen = Screen::of(&sh(&script, &[]));
        screen.until("ready.");
        assert!(screen.is_raw());
        screen.type_keys(key);

        screen.until(&format!("got {signal}"));
        screen.ends_with(6);
    }
}

#[test]
fn r_12_control_z_stops_the_child_and_us_and_both_continue() {
    let mut screen = Screen::of(&sh("echo ready.; read x; echo \"<$x>\"; exit 7", &[]));
    screen.until("ready.");
    screen.type_keys("\x1a");
    let pid = rustix::process::Pid::from_child(&screen.process);
    soon("it stops", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", screen.process.id())).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
    });
    assert!(!screen.is_raw());
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    soon("the keys are passed on again", || screen.is_raw());
    screen.type_keys("again\r");

    screen.until("<again>");
    screen.ends_with(7);
}

#[test]
fn r_11_the_terminal_is_given_back_after_a_signal_and_a_command_that_never_ran() {
    let mut screen = Screen::of(&sh("echo ready.; exec sleep 20", &[]));
    screen.until("ready.");
    let pid = rustix::process::Pid::from_child(&screen.process);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    screen.ends_with(143);

    let mut scene = sh("", &[]);
    scene.argv = vec!["no-such-program-here".into()];
    Screen::of(&scene).ends_with(127);
}

#[test]
fn r_11_the_terminal_is_given_back_after_a_panic() {
    let model =
        rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
    let pty = Pty::like(std::os::fd::AsFd::as_fd(&model)).unwrap();
    let panicked = std::panic::catch_unwind(|| {
        let _raw = super::super::terminal::RawMode::set(std::os::fd::AsFd::as_fd(&pty.child_end)).unwrap();
        std::panic::resume_unwind(Box::new(()));
    });

    assert!(panicked.is_err());
    assert!(tcgetattr(&pty.child_end).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
}

#[test]
fn r_07_the_child_hangs_up_when_we_are_killed() {
    let mut screen = Screen::of(&sh("echo pid=$$.; exec sleep 20", &[]));
    screen.until(".\r\n");
    let seen = text(&screen.seen);
    let pid = seen.split("pid=").nth(1).unwrap().split('.').next().unwrap().to_owned();
    screen.process.kill().unwrap();

    assert_eq!(screen.process.wait().unwrap().signal(), Some(9));
    soon("the child ends", || {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_or(true, |stat| stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
    });
}

#[test]
fn r_11_each_redirection_stays_what_it_was() {
    let script = "[ -t 0 ] && a=t || a=-; [ -t 1 ] && b=t || b=-; [ -t 2 ] && c=t || c=-; \
                  echo $a$b$c >\"$WHERE\"; echo out $KEY; echo err $KEY >&2";
    for (stdin, stdout, stderr, handles) in [
        (true, true, false, "tt-"),
        (true, false, true, "t-t"),
        (false, true, true, "-tt"),
        (false, true, false, "-t-"),
        (false, false, true, "--t"),
    ] {
        let file = |is_terminal: bool| (!is_terminal).then(|| tempfile::NamedTempFile::new().unwrap());
        let handle =
            |file: &Option<tempfile::NamedTempFile>| file.as_ref().map(|f| Stdio::from(f.reopen().unwrap()));
        let (input, out, err) = (file(stdin), file(stdout), file(stderr));
        let told = tempfile::NamedTempFile::new().unwrap();
        let scene = sh(script, &[("KEY", &a_value()), ("WHERE", told.path().to_str().unwrap())]);
        let redirected = Redirected { stdin: handle(&input), stdout: handle(&out), stderr: handle(&err) };
        let mut screen = Screen::redirected(&scene, redirected);
        for (is_terminal, file, expected) in
            [(stdout, &out, "out [unsaid:key]"), (stderr, &err, "err [unsaid:key]")]
        {
            match file {
                _ if is_terminal => screen.until(&format!("{expected}\r\n")),
                Some(file) => soon(expected, || {
                    std::fs::read_to_string(file).unwrap().contains(&format!("{expected}\n"))
                }),
                None => unreachable!(),
            }
        }

        screen.ends_with(0);
        assert_eq!(std::fs::read_to_string(&told).unwrap().trim(), handles);
        assert!(!text(&screen.seen).contains("\r\r"));
    }
}
