//! How a person at the command line says yes.
//!
//! `--yes` answers what can be undone and nothing else; a challenge is typed on the controlling terminal and never
//! comes from standard input. Where nobody can be asked, an approval request is stored instead.
use super::terminal::{Terminal, needs_terminal};
use crate::error::{Code, Error, Result};
use crate::ops::{Answer, Confirmer, Question};
use crate::telemetry::escaped;
use futures_util::future::BoxFuture;

/// Asks on the controlling terminal.
pub struct AtTerminal {
    /// The person said yes on the command line.
    pub yes: bool,
}

impl Confirmer for AtTerminal {
    fn form<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            if self.yes {
                return Answer::Yes;
            }
            let Some(terminal) = Terminal::open() else { return Answer::CannotAsk };
            terminal.tell(&told(question));
            answer(terminal.agrees("Do it?"))
        })
    }

    fn person<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let Some(terminal) = Terminal::open() else { return Answer::CannotAsk };
            terminal.tell(&told(question));
            answer(terminal.passes_challenge())
        })
    }
}

/// Asks before something that `--yes` may answer and that no operation asks about itself.
///
/// Fails with `declined`, and with `needs_terminal` where there is neither a yes nor a terminal.
pub fn ask(what: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    let terminal = Terminal::open().ok_or_else(|| {
        needs_terminal("this asks first, and there is no terminal to ask on")
            .next("Run it in a terminal of your own, or say --yes.")
    })?;
    match terminal.agrees(&format!("{what}?"))? {
        true => Ok(()),
        false => Err(Error::new(Code::Declined, "nothing was changed")
            .next("Run the command again if you want it after all.")),
    }
}

/// Whoever does not answer has not agreed.
fn answer(agreed: Result<bool>) -> Answer {
    match agreed {
        Ok(true) => Answer::Yes,
        Ok(false) | Err(_) => Answer::No,
    }
}

/// The question as lines for a terminal.
pub fn told(question: &Question) -> String {
    let mut text = format!("{}\n", escaped(&question.summary));
    for line in &question.impact {
        text.push_str(&format!("  - {}\n", escaped(line)));
    }
    if !question.reason.is_empty() {
        text.push_str(&format!("  stated reason: {}\n", escaped(&question.reason)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_cannot_drive_the_terminal_or_add_lines_of_its_own() {
        let question = Question {
            summary: "delete A\u{1b}[2J".into(),
            impact: vec!["one\ntwo".into()],
            reason: "because\r\nType: yes".into(),
            ..Question::default()
        };

        let text = told(&question);

        assert_eq!(text.lines().count(), 3);
        assert!(!text.contains('\u{1b}') && !text.contains('\r'));
    }
}
