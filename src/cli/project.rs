//! `.unsaid.toml`: the names a project's programs get, committed beside the code. Names only, never a value.
use crate::error::{Code, Error, Result};
use crate::model::credential::Environment;
use crate::model::name::CredentialName;
use crate::model::suspicion::{Detector, Kind};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The file's name, looked for in this folder and those above it.
pub const FILE: &str = ".unsaid.toml";
/// A list of names is short.
const MOST_BYTES: u64 = 64 * 1024;

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Project {
    #[serde(default)]
    pub run: Run,
}

/// What `unsaid run` gives its program in this project.
#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Names of credentials.
    #[serde(default)]
    pub only: Vec<CredentialName>,
    pub env: Option<Environment>,
    pub account: Option<String>,
}

/// The nearest file at or above `folder`, with what it says; `None` where there is none.
///
/// Fails with `invalid_file`, naming the file and the line but nothing of its text, and with `secret_in_argument`
/// where a value seems to stand in it.
pub fn find(folder: &Path, detector: &Detector) -> Result<Option<(PathBuf, Project)>> {
    for folder in folder.ancestors() {
        let path = folder.join(FILE);
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() && found.len() <= MOST_BYTES => {
                let text = std::fs::read_to_string(&path)
                    .map_err(|e| broken(&path, "it cannot be read").because(e))?;
                let project = read(&path, &text, detector)?;
                return Ok(Some((path, project)));
            }
            Ok(_) => return Err(broken(&path, "it is not a short text file")),
            Err(_) => {}
        }
    }
    Ok(None)
}

fn read(path: &Path, text: &str, detector: &Detector) -> Result<Project> {
    // Comments too: whatever is in the file is committed with it.
    if let Some((line, _)) =
        text.lines().enumerate().find(|(_, line)| detector.check_text(line, Kind::FreeText).is_some())
    {
        let what = format!(
            "{}, line {}: this looks like a value, and only names belong here",
            path.display(),
            line + 1
        );
        return Err(Error::new(Code::SecretInArgument, what).next(
            "Take it out of the file and its history, treat it as leaked, and enter the new one with `unsaid set NAME`.",
        ));
    }
    toml::from_str(text).map_err(|e| {
        let before = e.span().map_or(0, |span| span.start.min(text.len()));
        let line = 1 + text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count();
        broken(path, &format!("line {line} is not understood"))
    })
}

fn broken(path: &Path, why: &str) -> Error {
    Error::new(Code::InvalidFile, format!("{}: {why}", path.display()))
        .next("It holds [run] with only = [\"NAME\", …] and perhaps env or account; names only.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detector() -> Detector {
        Detector::new(Vec::new)
    }

    fn of(text: &str) -> Result<Project> {
        read(Path::new("/x/.unsaid.toml"), text, &detector())
    }

    #[test]
    fn names_environment_and_account_are_read() {
        let project = of("[run]\nonly = [\"GITHUB_TOKEN\", \"STRIPE_KEY\"]\nenv = \"prod\"\n").unwrap();

        assert_eq!(project.run.only.len(), 2);
        assert_eq!(project.run.env, Some(Environment::Prod));
    }

    #[test]
    fn a_value_is_refused_wherever_it_stands_and_not_repeated() {
        let planted = format!("ghp_{}", "aB3dE6gH9jK2".repeat(3));
        for text in [
            format!("[run]\nonly = [\"A\"]\n# token {planted}\n"),
            format!("[run]\naccount = \"{planted}\"\n"),
            format!("GITHUB_TOKEN = \"{planted}\"\n"),
        ] {
            let refused = of(&text).unwrap_err();
            assert_eq!(refused.code, Code::SecretInArgument);
            assert!(!format!("{refused:?} {}", refused.to_json()).contains(&planted));
        }
    }

    #[test]
    fn anything_but_names_is_refused_with_its_line() {
        for text in [
            "[run]\nonly = [\"A\"]\nvalues = {}\n",
            "[run]\nonly = [\"A=hunter2\"]\n",
            "GITHUB_TOKEN = \"x\"\n",
        ] {
            let refused = of(text).unwrap_err();
            assert_eq!(refused.code, Code::InvalidFile);
            assert!(
                refused.message().contains("line ") && !refused.message().contains("hunter2"),
                "{refused}"
            );
        }
    }

    #[test]
    fn the_nearest_file_above_counts() {
        let top = tempfile::tempdir().unwrap();
        let below = top.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(top.path().join(FILE), "[run]\nonly = [\"A\"]\n").unwrap();

        let (path, project) = find(&below, &detector()).unwrap().expect("it is found");

        assert_eq!(path, top.path().join(FILE));
        assert_eq!(project.run.only[0].as_str(), "A");
    }
}
