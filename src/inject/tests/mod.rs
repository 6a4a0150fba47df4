//! The tests of `inject`, by what a person sees: refusals, masking, processes, files, terminals.
//!
//! Handles, signals and kill -9 concern a whole process, so most tests start this test binary again as the
//! process that launches (see [`Scene`]).
#[cfg(target_os = "linux")]
mod deliveries;
mod masking;
#[cfg(target_os = "linux")]
mod processes;
mod refusals;
#[cfg(target_os = "linux")]
mod terminals;

use super::*;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const SCENE: &str = "UNSAID_TEST_SCENE";

/// What the other process is to launch.
#[derive(Clone, Serialize, Deserialize)]
struct Scene {
    argv: Vec<String>,
    /// Variable, value, and the file name if it goes into one; the label is the variable in lower case.
    injected: Vec<(String, String, Option<String>)>,
    is_masked: bool,
    scratch: PathBuf,
}

/// `sh -c script`, masked, with `values` in its environment and one more, so that there is something to mask.
fn sh(script: &str, values: &[(&str, &str)]) -> Scene {
    let mut injected = vec![("ANOTHER".to_owned(), a_value(), None)];
    injected.extend(values.iter().map(|(name, value)| ((*name).into(), (*value).into(), None)));
    Scene {
        argv: ["/bin/sh", "-c", script].map(String::from).into(),
        injected,
        is_masked: true,
        scratch: std::env::temp_dir(),
    }
}

fn injected(variable: &str, value: &[u8], delivery: Delivery) -> Injected {
    let label = variable.to_lowercase();
    Injected { variable: variable.into(), label, value: SecretBytes::copied(value), delivery }
}

impl Scene {
    fn launch(self) -> Launch {
        let delivery = |file| match file {
            Some(file_name) => Delivery::File { file_name },
            None => Delivery::Environment,
        };
        let values = self.injected.into_iter();
        Launch {
            plain: Vec::new(),
            control: None,
            argv: self.argv.into_iter().map(OsString::from).collect(),
            injected: values
                .map(|(name, value, file)| injected(&name, value.as_bytes(), delivery(file)))
                .collect(),
            masking: if self.is_masked { Masking::On } else { Masking::Off },
            scratch: self.scratch,
            strip: vec!["UNSAID_*".into(), "STRIPPED".into()],
        }
    }

    fn with_file(mut self, variable: &str, value: &str, file: &str, scratch: &Path) -> Self {
        self.injected.push((variable.into(), value.into(), Some(file.into())));
        self.scratch = scratch.to_owned();
        self
    }

    /// The command that plays it in a process of its own.
    fn command(&self) -> Command {
        self.command_after("")
    }

    /// The same, after a shell has done `first`.
    fn command_after(&self, first: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("{first}\nexec \"$0\" \"$@\"")).arg(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "inject::tests::this_process_launches"]);
        command.env(SCENE, serde_json::to_string(self).unwrap()).env_remove("RUST_TEST_THREADS");
        command
    }

    fn play(&self) -> Output {
        without_heading(self.command().stdin(Stdio::null()).output().unwrap())
    }
}

/// Drops what the test harness prints before the test.
fn without_heading(mut output: Output) -> Output {
    let heading = b"\nrunning 1 test\n";
    assert!(output.stdout.starts_with(heading));
    output.stdout.drain(..heading.len());
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits for something that another process does.
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A value that nobody could guess, made at run time.
fn a_value() -> String {
    format!("sk+{}/{}", crate::ids::fresh(), crate::ids::fresh())
}

#[test]
#[ignore = "the other tests start it"]
fn this_process_launches() {
    let Ok(scene) = std::env::var(SCENE) else { return };
    let scene: Scene = serde_json::from_str(&scene).unwrap();
    let say = |sentence: &str| writeln!(std::io::stderr(), "{sentence}").unwrap();
    std::process::exit(match launch(scene.launch(), &say) {
        Ok(ended) => ended.exit_code,
        Err(error) => {
            say(&format!("{error} {error:?} {}", error.to_json()));
            exit_code(&error).into()
        }
    });
}
