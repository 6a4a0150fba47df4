//! Wrong command lines: told as every other error, without repeating what may be a secret.
use crate::error::{Code, Error};
use crate::model::suspicion::{Detector, Kind};
use crate::services::Catalogue;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

/// The first word that is no option: which command was meant, also where the line does not parse.
pub fn subcommand(args: &[OsString]) -> Option<&str> {
    let mut words = args.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        match word {
            "--org" | "--as" => drop(words.next()),
            _ if word.starts_with('-') => {}
            _ => return Some(word),
        }
    }
    None
}

/// Shows help and version on standard output, and anything else as an error of kind Input.
pub fn answer(e: clap::Error, args: &[OsString], status_of: impl Fn(u8) -> u8) -> ExitCode {
    if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Where standard output is gone there is nobody to tell.
        let _ = e.print();
        return ExitCode::SUCCESS;
    }
    let json = args.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let error = error_of(&e);
    if error.code == Code::SecretInArgument || json {
        super::report(&error, json);
    } else {
        // clap's own text names the command's usage and the options that are close.
        let _ = write!(std::io::stderr(), "{}", e.render());
    }
    ExitCode::from(status_of(error.kind().exit_code()))
}

/// What was wrong, in a line. A word that looks like a secret is in the shell's history by now, so say so.
fn error_of(e: &clap::Error) -> Error {
    let shapes = || Catalogue::embedded().known_shapes().map(str::to_owned).collect();
    let detector = Detector::new(shapes);
    let is_suspect = [ContextKind::InvalidArg, ContextKind::InvalidValue, ContextKind::InvalidSubcommand]
        .into_iter()
        .filter_map(|kind| e.get(kind))
        .any(|value| match value {
            ContextValue::String(text) => detector.check_text(text, Kind::FreeText).is_some(),
            ContextValue::Strings(texts) => {
                texts.iter().any(|text| detector.check_text(text, Kind::FreeText).is_some())
            }
            _ => false,
        });
    if is_suspect {
        return secret_on_the_command_line("a word of the command line looks like a secret");
    }
    let text = e.render().to_string();
    let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    Error::new(Code::InvalidInput, first).next("Run the command with --help to see what it takes.")
}

/// The error for a value that stands among the arguments, where the history and other programs can read it.
pub fn secret_on_the_command_line(what: &'static str) -> Error {
    Error::new(Code::SecretInArgument, what).next(
        "Treat it as leaked, for it is in the shell's history: rotate it at its service. Then run `unsaid set NAME` \
         and enter the new one when asked, or give it by --stdin or --file.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn refused(line: &str) -> Error {
        error_of(&super::super::Cli::try_parse_from(words(line)).err().expect("it does not parse"))
    }

    #[test]
    fn the_command_is_found_behind_global_options() {
        assert_eq!(subcommand(&words("unsaid --org acme --json run -- ls")), Some("run"));
        assert_eq!(subcommand(&words("unsaid list run")), Some("list"));
        assert_eq!(subcommand(&words("unsaid --version")), None);
    }

    #[test]
    fn a_wrong_option_is_named_and_a_secret_is_not() {
        let planted = format!("ghp_{}", "aB3dE6gH9jK2".repeat(3));

        assert!(refused("unsaid list --colour").message().contains("--colour"));
        let suspect = refused(&format!("unsaid list --type {planted}"));
        assert_eq!(suspect.code, Code::SecretInArgument);
        assert!(!format!("{} {}", suspect.message(), suspect.next_step()).contains(&planted));
    }
}
