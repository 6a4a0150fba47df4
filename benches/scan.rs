//! `unsaid scan` for 1,000 stored values over source-like text, beside ripgrep over the same.
//!
//! `cargo bench --bench scan [-- MIB]`. Whole processes that take turns, one core each, timed by the processor time that the
//! system charges them, so that a busy machine does not count. ripgrep looks for the same values as they are (`-F -f`), and
//! then for a single one, which is as fast as reading gets; `unsaid scan` looks for every encoding as well. Every value that
//! was planted must be found, and nothing else.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/rig.rs"]
#[allow(dead_code)]
mod rig;

use data_encoding::BASE64;
use rig::Dice;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const VALUES: usize = 1000;
const PLANTED: usize = 200;
const FILE_BYTES: usize = 64 << 10;
const TURNS: usize = 7;

fn main() {
    let mib: usize = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(256);
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let values = values();
    fill(&home, folder.path(), &values);
    let corpus = folder.path().join("corpus");
    let planted = write_corpus(&corpus, mib, &values);
    let (all, one, empty) =
        (folder.path().join("values.txt"), folder.path().join("one.txt"), folder.path().join("empty"));
    std::fs::write(&all, values.join("\n")).unwrap();
    std::fs::write(&one, &values[0]).unwrap();
    std::fs::create_dir(&empty).unwrap();

    let scan = |place: &Path| {
        let mut command = unsaid(&home);
        command.args(["scan", "--json"]).arg(place);
        command
    };
    let found = scan(&corpus).output().unwrap();
    assert_eq!(found.status.code(), Some(1), "{}", String::from_utf8_lossy(&found.stderr));
    check(&found.stdout, &planted);

    let rg = |patterns: &Path| {
        let mut command = Command::new("rg");
        command.args(["-j1", "-uuu", "-a", "-F", "-c", "--no-config", "-f"]).arg(patterns).arg(&corpus);
        command
    };
    let has_rg = Command::new("rg").arg("--version").stdout(Stdio::null()).status().is_ok();
    let mut times: [Vec<(f64, f64)>; 4] = Default::default();
    for _ in 0..TURNS {
        times[0].push(timed(scan(&corpus)));
        times[1].push(timed(scan(&empty)));
        if has_rg {
            times[2].push(timed(rg(&all)));
            times[3].push(timed(rg(&one)));
        }
    }

    println!(
        "{VALUES} values, {mib} MiB in files of 64 KiB; medians of {TURNS} turns, processor time (wall)"
    );
    let [whole, start, rg_all, rg_one] = times.map(|all| (median(&all, |t| t.0), median(&all, |t| t.1)));
    let speed = |seconds: f64| mib as f64 * 1.048_576 / seconds;
    println!("unsaid scan            {:7.3} s ({:.3} s)  {:6.0} MB/s", whole.0, whole.1, speed(whole.0));
    println!("  opening the values   {:7.3} s ({:.3} s)", start.0, start.1);
    println!(
        "  searching alone      {:7.3} s            {:6.0} MB/s",
        whole.0 - start.0,
        speed(whole.0 - start.0)
    );
    match has_rg {
        true => {
            for (name, (cpu, wall)) in [("rg, all values as they are", rg_all), ("rg, one value", rg_one)] {
                println!("{name:26} {cpu:.3} s ({wall:.3} s)  {:6.0} MB/s", speed(cpu));
            }
            println!("searching, beside rg with all values: {:.2} ×", rg_all.0 / (whole.0 - start.0));
        }
        false => {
            println!("ripgrep is not installed: there is nothing to stand beside (`apt install ripgrep`)")
        }
    }
    assert!(speed(whole.0 - start.0) >= 100.0, "less than 100 MB/s a core");
}

fn unsaid(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unsaid"));
    command.env("UNSAID_HOME", home).stdin(Stdio::null());
    command
}

/// Keys as services make them, and passwords.
fn values() -> Vec<String> {
    let mut dice = Dice(7);
    let mut random = |of: &[u8], count: usize| -> String {
        (0..count).map(|_| char::from(of[dice.below(of.len() as u64) as usize])).collect()
    };
    let all = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    (0..VALUES)
        .map(|n| match n % 8 {
            0 => format!("ghp_{}", random(all, 36)),
            1 => format!("sk_{}_{}", "live", random(all, 24)),
            2 => format!("{}{}", "AKIA", random(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
            3 => random(b"0123456789abcdef", 40),
            4 => format!("xoxb-{}-{}", random(b"0123456789", 12), random(all, 24)),
            5 => format!("{}-{}", random(b"0123456789abcdef", 8), random(b"0123456789abcdef", 12)),
            6 => random(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789!%&/()=?+*", 14),
            _ => format!("postgres://app:{}@db.internal:5432/app", random(all, 20)),
        })
        .collect()
}

fn fill(home: &Path, folder: &Path, values: &[String]) {
    let run = |args: &[&str]| {
        let done = unsaid(home).args(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    run(&["init", "--org", "Acme", "--user", "ada", "--key", "file"]);
    let mut text = String::new();
    for (n, value) in values.iter().enumerate() {
        writeln!(text, "KEY_{n:04}='{value}'").unwrap();
    }
    let file = folder.join("all.env");
    std::fs::write(&file, text).unwrap();
    run(&["import", file.to_str().unwrap(), "--yes"]);
    std::fs::remove_file(file).unwrap();
}

/// Source-like text: indented lines of words, numbers, quotes, a transcript now and then. What was planted: path, value.
fn write_corpus(corpus: &Path, mib: usize, values: &[String]) -> BTreeSet<(String, String)> {
    let mut dice = Dice(11);
    let words: Vec<String> = (0..4000)
        .map(|_| (0..2 + dice.below(9)).map(|_| char::from(b'a' + (dice.below(26) as u8))).collect())
        .collect();
    let files = mib * (1 << 20) / FILE_BYTES;
    let mut planted = BTreeSet::new();
    for n in 0..files {
        let mut text = String::with_capacity(FILE_BYTES + 4096);
        while text.len() < FILE_BYTES {
            line(&mut text, &mut dice, &words);
        }
        if n % (files / PLANTED).max(1) == 0 && planted.len() < PLANTED {
            let which = dice.below(values.len() as u64) as usize;
            let value = match n % 3 {
                0 => BASE64.encode(format!("user:{}", values[which]).as_bytes()),
                _ => values[which].clone(),
            };
            let at = text[..FILE_BYTES / 2].rfind('\n').unwrap();
            text.insert_str(at, &format!("\n  key = \"{value}\""));
            planted.insert((format!("{n:06}.txt"), format!("KEY_{which:04}")));
        }
        let path = corpus.join(format!("{:03}", n / 100)).join(format!("{n:06}.txt"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    planted
}

fn line(text: &mut String, dice: &mut Dice, words: &[String]) {
    let word = |dice: &mut Dice| words[dice.below(words.len() as u64) as usize].clone();
    let indent = " ".repeat(4 * dice.below(5) as usize);
    let written = match dice.below(12) {
        0 => writeln!(text),
        1 => writeln!(text, "{indent}// {} {} {} {}", word(dice), word(dice), word(dice), word(dice)),
        2 => writeln!(text, "{indent}let {} = \"{:032x}\";", word(dice), u128::from(dice.next()) << 50),
        3 => writeln!(
            text,
            "{indent}\"url\": \"https://{}.example.com/{}?{}={}\",",
            word(dice),
            word(dice),
            word(dice),
            dice.next()
        ),
        4 => writeln!(
            text,
            "{{\"type\":\"{}\",\"text\":\"{} {}\\n{}\"}}",
            word(dice),
            word(dice),
            word(dice),
            word(dice)
        ),
        5 => writeln!(text, "{indent}{}", BASE64.encode(&dice.next().to_be_bytes().repeat(5))),
        _ => writeln!(text, "{indent}{}.{}({}, {});", word(dice), word(dice), word(dice), dice.below(1000)),
    };
    written.unwrap();
}

fn check(answer: &[u8], planted: &BTreeSet<(String, String)>) {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap();
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let found: BTreeSet<_> = answer["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (name(one["path"].as_str().unwrap()), one["credential"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(found, *planted);
    println!("{} planted values, all found and nothing else", planted.len());
}

/// Seconds of processor time and of wall time.
fn timed(mut command: Command) -> (f64, f64) {
    let (before, began) = (children(), Instant::now());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
    (children() - before, began.elapsed().as_secs_f64())
}

/// Processor time of the children that have ended, from /proc: its unit is 10 ms.
fn children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let rest: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (rest[13].parse::<f64>().unwrap() + rest[14].parse::<f64>().unwrap()) / 100.0
}

fn median(all: &[(f64, f64)], of: impl Fn(&(f64, f64)) -> f64) -> f64 {
    let mut figures: Vec<f64> = all.iter().map(of).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
