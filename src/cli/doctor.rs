//! `unsaid doctor`: one line for each thing that was looked at, and what to do.
use super::init::prompt;
use super::phrase::for_people;
use super::{Context, output};
use crate::clock::SystemClock;
use crate::error::{Result, internal};
use crate::ops::lifecycle::doctor::{self, Check, Level};
use std::sync::Arc;

#[derive(clap::Args)]
#[command(after_help = "\
Changes nothing. Exits with 0 where everything is ok or could only be better, else as the first failure would:
7 where the vault cannot be used as it is, 70 where something in it was changed or is damaged.")]
pub struct Doctor {
    /// Read every page and every row, which takes longer
    #[arg(long)]
    thorough: bool,
}

impl Doctor {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let found = doctor::doctor(&cx.config, Arc::new(SystemClock), self.thorough, prompt()).await;
        let answer = serde_json::to_value(&found).map_err(|e| internal("a check is not JSON").because(e))?;
        cx.print(&answer, |_| found.iter().map(line).collect())?;
        match doctor::failure(&found) {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }
}

fn line(check: &Check) -> String {
    let level = match check.level {
        Level::Ok => "ok  ",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    let mut text = output::line(&format!("{level}  {}: {}", check.name, check.what));
    if !check.next.is_empty() {
        text.push_str(&output::line(&format!("      {}", for_people(&check.next))));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_stands_below_what_is_wrong() {
        let text = line(&Check::warn("backup", "there has never been one", "Run `unsaid backup FILE`."));

        assert_eq!(text, "warn  backup: there has never been one\n      Run `unsaid backup FILE`.\n");
        assert_eq!(line(&Check::ok("clock", "fine")), "ok    clock: fine\n");
    }
}
