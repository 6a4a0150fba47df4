//! A child between pipes: streams, environment, exit codes, signals, ends.
use super::*;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;

/// Starts `scene` and returns it when the child has printed `ready`.
fn when_ready(scene: &Scene) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut process = scene.command().stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim() != "ready" {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it ended before it was ready");
    }
    (process, lines)
}

fn send(process: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(process), signal).unwrap();
}

/// Whether process `pid` runs (a zombie does not).
fn runs(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

#[test]
fn r_12_the_exit_code_is_the_childs() {
    assert_eq!(sh("exit 0", &[]).play().status.code(), Some(0));
    assert_eq!(sh("exit 42", &[]).play().status.code(), Some(42));
    assert_eq!(sh("kill -9 $$", &[]).play().status.code(), Some(137));
    assert_eq!(sh("kill -TERM $$", &[]).play().status.code(), Some(143));
}

#[test]
fn r_12_signals_reach_the_child_and_its_answer_counts() {
    use rustix::process::Signal;
    for (signal, name) in [
        (Signal::INT, "INT"),
        (Signal::TERM, "TERM"),
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        let script =
            format!("trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.02; done");
        let (mut process, mut rest) = when_ready(&sh(&script, &[]));
        send(&process, signal);
        let mut out = String::new();
        rest.read_to_string(&mut out).unwrap();

        assert_eq!((out.trim(), process.wait().unwrap().code()), (format!("got {name}").as_str(), Some(9)));
    }
}

#[test]
fn r_12_a_signal_that_ends_the_child_is_our_exit_code() {
    let (mut process, _rest) = when_ready(&sh("echo ready; exec sleep 20", &[]));
    send(&process, rustix::process::Signal::TERM);

    assert_eq!(process.wait().unwrap().code(), Some(143));
}

#[test]
fn r_07_the_child_ends_when_we_are_killed() {
    let (mut process, mut rest) = when_ready(&sh("echo ready; echo $$; exec sleep 20", &[]));
    let mut pid = String::new();
    rest.read_line(&mut pid).unwrap();
    assert!(runs(pid.trim()));
    process.kill().unwrap();

    assert_eq!(process.wait().unwrap().signal(), Some(9));
    soon("the child ends", || !runs(pid.trim()));
}

#[test]
fn c_27_a_command_that_cannot_start_prints_its_name_and_no_value() {
    let value = a_value();
    for (program, code, name) in
        [("no-such-program-here", 127, "command_not_found"), ("/etc/passwd", 126, "command_not_executable")]
    {
        let mut scene = sh("", &[("CANARY", &value)]);
        scene.argv = vec![program.into(), "argument-of-mine".into()];
        let output = scene.play();

        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(program) && said.contains(name), "{said}");
        assert!(!said.contains(&value) && !said.contains("argument-of-mine") && output.stdout.is_empty());
    }
}

#[test]
fn r_03_arguments_are_handed_over_as_they_are() {
    let mut scene = sh("", &[]);
    scene.argv = ["/usr/bin/printf", "%s|", "a b", "$HOME;`id`", "*", "", "x\ny"].map(String::from).into();

    assert_eq!(text(&scene.play().stdout), "a b|$HOME;`id`|*||x\ny|");
}

#[test]
fn r_05_the_child_gets_our_environment_without_what_is_stripped_and_with_the_values() {
    let value = a_value();
    let scene = sh(
        "[ -z \"${STRIPPED+x}${UNSAID_KEY+x}${UNSAID_TEST_SCENE+x}\" ] && [ \"$KEPT\" = yes ] && [ ${#TAKEN} -gt 20 ]",
        &[("TAKEN", &value)],
    );
    let output = scene
        .command()
        .envs([("STRIPPED", "1"), ("UNSAID_KEY", "2"), ("KEPT", "yes"), ("TAKEN", "before")])
        .output()
        .unwrap();

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("TAKEN was set already") && !said.contains("before") && !said.contains(&value),
        "{said}"
    );
}

#[test]
fn r_06_the_child_has_three_handles_even_if_we_inherited_more() {
    for is_masked in [true, false] {
        let mut scene = sh("ls /proc/$$/fd", &[]);
        scene.is_masked = is_masked;
        let output = without_heading(scene.command_after("exec 7</dev/null 9</dev/null").output().unwrap());

        assert_eq!(text(&output.stdout), "0\n1\n2\n");
    }
}

/// Signals 1 to 31: the C library ignores its own 32 and 33 in what posix_spawn starts, as the test harness is.
const PROGRAMS_SIGNALS: u64 = 0x7fff_ffff;

/// The signals that this process ignores, without SIGPIPE, which every Rust program ignores for itself.
fn ignored_here() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
    u64::from_str_radix(mask, 16).unwrap() & PROGRAMS_SIGNALS & !(1 << (libc::SIGPIPE - 1))
}

#[test]
fn r_14_the_child_leaves_no_core_and_its_signals_are_as_we_found_them() {
    let output = sh("ulimit -c; ulimit -Hc; grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f2", &[]).play();

    let said = text(&output.stdout);
    let (limits_and_blocked, ignored) = said.trim().rsplit_once('\n').unwrap();
    assert_eq!(limits_and_blocked, format!("0\n0\n{:016x}", 0));
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & PROGRAMS_SIGNALS, ignored_here());
}

#[test]
fn a_hang_up_that_we_were_told_to_ignore_stays_ignored() {
    let scene = sh("grep SigIgn /proc/self/status | cut -f2", &[]);
    let output = without_heading(scene.command_after("trap '' HUP").output().unwrap());

    let ignored = u64::from_str_radix(text(&output.stdout).trim(), 16).unwrap();
    assert_eq!(ignored & PROGRAMS_SIGNALS, ignored_here() | 1);
}

#[test]
fn r_09_values_are_masked_in_both_streams_which_stay_apart() {
    let value = a_value();
    let script = "echo \"out $KEY\"; echo \"err $KEY\" >&2; printf %s \"$KEY\" | base64 -w0; echo; \
                  printf %s \"$KEY\" | od -An -tx1 | tr -d ' \\n'";
    let output = sh(script, &[("KEY", &value)]).play();

    assert_eq!(text(&output.stdout), "out [unsaid:key]\n[unsaid:key]\n[unsaid:key]");
    assert_eq!(text(&output.stderr), "err [unsaid:key]\n");
}

#[test]
fn r_09_a_value_printed_in_pieces_is_masked() {
    let script = "printf %.9s \"$KEY\"; sleep 0.3; printf %s \"${KEY#?????????}\"";
    let output = sh(script, &[("KEY", &a_value())]).play();

    assert_eq!(text(&output.stdout), "[unsaid:key]");
}

#[test]
fn r_10_a_short_value_passes_with_a_warning() {
    let output = sh("echo $PIN", &[("PIN", "1234")]).play();

    assert_eq!(text(&output.stdout), "1234\n");
    assert!(text(&output.stderr).contains("PIN is too short to be masked"));
}

#[test]
fn masking_off_hands_over_our_own_handles() {
    let value = a_value();
    let mut scene = sh("echo $KEY; to=$(readlink /proc/$$/fd/1); echo $to >&2", &[("KEY", &value)]);
    scene.is_masked = false;
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = scene.command().stdout(file.reopen().unwrap()).stderr(Stdio::piped()).output().unwrap();

    assert!(std::fs::read_to_string(&file).unwrap().contains(&value));
    assert_eq!(text(&output.stderr).trim(), file.path().to_str().unwrap());
}

#[test]
fn with_nothing_to_mask_the_child_gets_our_own_handles() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut scene = sh("to=$(readlink /proc/$$/fd/1); echo $to >&2", &[("PIN", "1234")]);
    scene.injected.retain(|(name, ..)| name == "PIN");
    let output = scene.command().stdout(file.reopen().unwrap()).stderr(Stdio::piped()).output().unwrap();

    assert!(text(&output.stderr).trim().ends_with(file.path().to_str().unwrap()));
}

#[test]
fn two_streams_that_are_one_keep_their_order() {
    let script = "for n in 1 2 3 4 5 6 7 8 9; do echo o$n; echo e$n >&2; done";
    let scene = sh(script, &[("KEY", &a_value())]);
    let output = without_heading(scene.command_after("exec 2>&1").output().unwrap());

    let expected: String = (1..10).map(|n| format!("o{n}\ne{n}\n")).collect();
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn what_we_are_given_to_read_is_the_childs() {
    let mut process =
        sh("cat; echo end", &[]).command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(b"line\0\xff\n").unwrap();

    assert_eq!(without_heading(process.wait_with_output().unwrap()).stdout, b"line\0\xff\nend\n");
}

#[test]
fn a_child_that_closes_its_output_is_still_waited_for() {
    let output = sh("exec >&- 2>&-; sleep 0.3; exit 3", &[]).play();

    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_child_whose_output_nobody_reads_gets_sigpipe() {
    let (mut process, rest) = when_ready(&sh("echo ready; exec yes", &[("KEY", &a_value())]));
    drop(rest);

    assert_eq!(process.wait().unwrap().code(), Some(128 + libc::SIGPIPE));
}

#[test]
fn a_grandchild_that_keeps_the_output_open_does_not_keep_us() {
    for script in ["echo done; sleep 6 & exit 4", "(timeout 6 yes 2>/dev/null) & echo done; exit 4"] {
        let start = Instant::now();
        let output = sh(script, &[]).play();

        assert_eq!(output.status.code(), Some(4));
        assert!(text(&output.stdout).contains("done\n"));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[test]
fn a_hundred_megabytes_pass_in_constant_memory_at_the_readers_pace() {
    let script = "echo ready; head -c 100000000 /dev/zero | tr '\\0' z";
    let (mut process, mut rest) = when_ready(&sh(script, &[("KEY", &a_value())]));
    let mut some = vec![0u8; 50_000_000];
    rest.read_exact(&mut some).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let most_kb = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let most_kb: u32 = most_kb.trim().trim_end_matches(" kB").parse().unwrap();
    let mut others = Vec::new();
    rest.read_to_end(&mut others).unwrap();

    assert!(most_kb < 64 * 1024, "{most_kb} KiB");
    assert_eq!(some.len() + others.len(), 100_000_000);
    assert!(some.iter().chain(&others).all(|&byte| byte == b'z'));
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

#[test]
fn r_12_a_signal_ends_us_when_the_child_has_ended_and_nobody_reads_its_output() {
    let script = "echo ready; head -c 100000 /dev/zero; echo $$ >\"$WHERE\"";
    let told = tempfile::NamedTempFile::new().unwrap();
    let (mut process, _unread) = when_ready(&sh(script, &[("WHERE", told.path().to_str().unwrap())]));
    let pid = || std::fs::read_to_string(&told).unwrap();
    soon("the child ends", || pid().ends_with('\n') && !runs(pid().trim()));
    send(&process, rustix::process::Signal::TERM);

    assert_eq!(process.wait().unwrap().code(), Some(143));
}
