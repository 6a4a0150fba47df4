//! `unsaid init`: makes the vault and says how it opens.
use super::terminal::{self, Terminal, needs_terminal};
use super::{Context, output};
use crate::app::Prompt;
use crate::clock::SystemClock;
use crate::error::{Code, Error, Result, internal};
use crate::ops::lifecycle::init::{self, Initialised};
use crate::ops::lifecycle::{Keep, Kept, KeySource};
use crate::secret::Secret;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// How many of the code's groups a person types again.
const GROUPS_ASKED: usize = 4;

#[derive(clap::Args)]
#[command(after_help = "\
Where there is no terminal it asks nothing: it takes a key file, and makes a recovery code only for --recovery-file.
The name of the org is given with --org, as everywhere.")]
pub struct Init {
    /// Your login in the vault; the one of this machine where left out
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// How people call you
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// What opens the vault: keyring, file[:PATH], passphrase, env:NAME, systemd:NAME or command;
    /// the safest that works here where left out
    #[arg(long, value_name = "SOURCE")]
    key: Option<KeySource>,
    /// Write the recovery code to this new file instead of showing it
    #[arg(long, value_name = "PATH")]
    recovery_file: Option<PathBuf>,
}

impl Init {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let login = self.user.unwrap_or_else(os_login);
        let request = init::Init {
            org: cx.org.clone().unwrap_or_else(|| "home".into()),
            display_name: self.display_name.unwrap_or_else(|| login.clone()),
            login,
            key: self.key.unwrap_or_default(),
        };
        let keep = keep(self.recovery_file);
        let (app, made) =
            init::init(cx.config.clone(), Arc::new(SystemClock), request, keep, prompt()).await?;
        drop(app);
        cx.print(&answer(&made), |_| told(&made))
    }
}

/// Asks for passphrases where there is a terminal.
pub fn prompt() -> Prompt {
    Terminal::open().map(|_| terminal::passphrase as fn(&str) -> Result<Secret>)
}

/// Where a recovery code goes: the file that was named, else the terminal, else nowhere.
pub fn keep(file: Option<PathBuf>) -> Keep<'static> {
    match file {
        Some(path) => Keep::File(path),
        None if Terminal::open().is_some() => Keep::Show(&show_code),
        None => Keep::Nowhere,
    }
}

/// The login of the person at this machine.
pub fn os_login() -> String {
    let named = |name: &str| std::env::var(name).ok().filter(|login| !login.is_empty());
    let listed = || {
        let me = rustix::process::geteuid().as_raw().to_string();
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let mine = fields.into_iter().find(|fields| fields.get(2) == Some(&me.as_str()))?;
        mine.first().map(|login| (*login).to_owned())
    };
    named("USER").or_else(|| named("LOGNAME")).or_else(listed).unwrap_or_else(|| "admin".into())
}

/// Shows the code once, on a screen of its own that is gone afterwards, and asks for some of its groups.
///
/// Fails with `declined` where they do not match three times, `needs_terminal` where nobody answers.
pub fn show_code(code: &Secret) -> Result<()> {
    let terminal = Terminal::open()
        .ok_or_else(|| needs_terminal("there is no terminal to show the recovery code on"))?;
    let own_screen = std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb");
    if own_screen {
        terminal.tell("\x1b[?1049h\x1b[2J\x1b[H");
    }
    terminal.tell("This is the recovery code of the vault. It opens the vault when every other key is lost.\nIt is shown this once. Write it down, and keep it away from this machine.\n\n");
    code.expose(|code| {
        for (n, groups) in code.as_bytes().chunks(35).enumerate() {
            let mut line = Zeroizing::new(String::with_capacity(64));
            line.push_str("    ");
            line.push_str(std::str::from_utf8(groups).unwrap_or_default().trim_matches('-'));
            line.push('\n');
            terminal.tell(&line);
            if n == 0 {
                terminal.tell("\n");
            }
        }
    });
    terminal.tell("\n");
    let written = terminal.answer("Press Enter when you have it; a few of its 14 groups are asked for then");
    if own_screen {
        terminal.tell("\x1b[2J\x1b[?1049l");
    }
    written?;
    let mut wrong = 0;
    for group in some_groups()? {
        loop {
            let typed = Zeroizing::new(terminal.answer(&format!("Group {} of 14", group + 1))?);
            if is_group(code, group, &typed) {
                break;
            }
            wrong += 1;
            if wrong == 3 {
                return Err(Error::new(Code::Declined, "what was typed is not in the recovery code")
                    .next("Nothing was changed. Run the command again: it makes another code."));
            }
            terminal.tell("That is not it. Look again: O is 0, and I and L are 1.\n");
        }
    }
    Ok(())
}

fn is_group(code: &Secret, group: usize, typed: &str) -> bool {
    let plain = |text: &str| -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(text.len()));
        out.extend(text.chars().filter(|c| c.is_ascii_alphanumeric()).map(
            |c| match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                c => c,
            },
        ));
        out
    };
    code.expose(|code| code.split('-').nth(group).is_some_and(|wanted| plain(wanted) == plain(typed)))
}

/// Different groups, in their order.
fn some_groups() -> Result<Vec<usize>> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random)
        .map_err(|e| internal("the operating system gives no random bytes").because(e))?;
    let mut groups: Vec<usize> = (0..14).collect();
    for (at, byte) in random.iter().take(GROUPS_ASKED).enumerate() {
        // Which groups are asked for is no secret: a slight bias does not matter.
        let other = at + usize::from(*byte) % (groups.len() - at);
        groups.swap(at, other);
    }
    groups.truncate(GROUPS_ASKED);
    groups.sort_unstable();
    Ok(groups)
}

/// Where a recovery code went, for programs.
pub fn kept(recovery: &Kept) -> serde_json::Value {
    match recovery {
        Kept::Shown => json!({ "made": true, "shown": true }),
        Kept::File(path) => json!({ "made": true, "file": path }),
        Kept::Nowhere => json!({ "made": false }),
    }
}

fn answer(made: &Initialised) -> serde_json::Value {
    json!({
        "instance": made.instance,
        "org": made.org,
        "user": made.user,
        "login": made.login,
        "unlock": { "kind": made.unlock.as_str(), "place": made.place, "why": made.why, "warning": made.warning },
        "recovery_code": kept(&made.recovery),
        "database": made.database,
        "config": made.config,
        "next": next(made),
    })
}

fn next(made: &Initialised) -> Vec<String> {
    let mut steps = Vec::new();
    match &made.recovery {
        Kept::Shown => {}
        Kept::File(path) => {
            steps.push(format!(
                "Move {} away from this machine: whoever has it and the database opens the vault.",
                path.display()
            ));
        }
        Kept::Nowhere => {
            steps.push("Run `unsaid key add recovery` in a terminal: there is no recovery code yet.".into())
        }
    }
    steps.push("Run `unsaid mcp-config` to let an assistant find the vault.".into());
    steps.push("Run `unsaid set NAME` to enter a first value.".into());
    steps.push("Run `unsaid backup FILE` now and then.".into());
    steps
}

fn told(made: &Initialised) -> String {
    let mut text = output::pairs(&[
        ("vault", made.database.display().to_string()),
        ("config", made.config.display().to_string()),
        ("you", format!("{} (admin)", made.login)),
        ("opened by", format!("{} {}", made.unlock.as_str(), made.place)),
        ("because", made.why.clone()),
        ("note", made.warning.unwrap_or_default().to_owned()),
        (
            "recovery",
            match &made.recovery {
                Kept::Shown => "the code was shown to you".to_owned(),
                Kept::File(path) => format!("the code is in {}", path.display()),
                Kept::Nowhere => "THERE IS NO RECOVERY CODE: what loses the key loses the vault".to_owned(),
            },
        ),
    ]);
    text.push_str("\nNext:\n");
    for step in next(made) {
        text.push_str("  ");
        text.push_str(&output::line(&step));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> Secret {
        Secret::new((0..14).map(|n| format!("A{n:02}0")).collect::<Vec<_>>().join("-"))
    }

    #[test]
    fn a_group_is_known_in_either_case_and_with_the_usual_confusions() {
        for (group, typed) in [(0, "A000"), (0, "aooo"), (11, "a110"), (11, "AILO"), (13, " a13 0 ")] {
            assert!(is_group(&code(), group, typed), "{typed}");
        }
        for (group, typed) in [(0, "A010"), (0, ""), (1, "A000"), (14, "A000"), (0, "A000A")] {
            assert!(!is_group(&code(), group, typed), "{typed}");
        }
    }

    #[test]
    fn four_different_groups_are_asked_for() {
        for _ in 0..100 {
            let groups = some_groups().unwrap();
            assert_eq!(groups.len(), GROUPS_ASKED);
            assert!(groups.windows(2).all(|pair| pair[0] < pair[1]) && groups[3] < 14);
        }
    }
}
