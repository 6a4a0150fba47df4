//! `unsaid completions SHELL`: what a shell needs to complete commands and options. No name of the vault is in it.
use super::output::put;
use crate::error::Result;
use clap::Args;
use clap_complete::Shell;
use std::process::ExitCode;

/// Print completions for a shell
#[derive(Args)]
#[command(after_help = "\
Examples:
  unsaid completions bash > ~/.local/share/bash-completion/completions/unsaid
  unsaid completions zsh > ~/.zfunc/_unsaid
  unsaid completions fish > ~/.config/fish/completions/unsaid.fish")]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub fn run(self, command: &mut clap::Command) -> Result<ExitCode> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, command, "unsaid", &mut text);
        put(&String::from_utf8_lossy(&text))?;
        Ok(ExitCode::SUCCESS)
    }
}
