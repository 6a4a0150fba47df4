//! `unsaid open`: signs the browser of the local person in, once.
use super::Context;
use super::output;
use super::terminal::Terminal;
use crate::error::{Code, Error, Result, invalid};
use crate::ops::entry::offer_sign_in;
use clap::Args;
use serde_json::json;

/// Sign a browser in to the pages of a running server, once
#[derive(Args)]
#[command(after_help = "\
Prints an address that works once, within two minutes. Open it in your browser: it signs you in as the person of this
vault's configuration (or of --as, for admins). On a terminal it asks for a challenge first; without one, what it makes
enters values and approves nothing.

Examples:
  unsaid open
  unsaid open http://127.0.0.1:8740/e/…      sign in, and go on to what the assistant asked for
  unsaid open --server https://vault.example.com")]
pub struct Open {
    /// An entry link that the assistant showed, to go on to after signing in
    link: Option<String>,
    /// Where the pages are; the server that was started last on this vault says it itself
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

impl Open {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let link = self.link.as_deref().map(entry_link).transpose()?;
        let known = session.app.store.meta("server")?.filter(|url| !url.is_empty());
        // A link is shown by an assistant: it does not choose where this sign-in goes.
        if let (None, Some((named, _))) = (&self.server, &link)
            && known.as_deref() != Some(named.as_str())
        {
            return Err(invalid("that link is not of the server that runs on this vault")
                .next("If you know the server and trust it, name it with --server URL."));
        }
        let server = self.server.or(known).ok_or_else(|| {
            Error::new(Code::NothingToDo, "no server with pages runs on this vault")
                .next("Start one with `unsaid serve --http 127.0.0.1:8740`, or name it with --server URL.")
        })?;
        let url = url::Url::parse(&server).map_err(|_| invalid("--server is no address"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(invalid("--server is an address as http://127.0.0.1:8740"));
        }
        if url.scheme() == "http" && !matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")) {
            return Err(invalid("a server on another machine is reached by https"));
        }
        let is_assured = at_a_terminal()?;
        let (ticket, expires_at) = offer_sign_in(&session.app, &session.caller, is_assured).await?;
        ticket.expose(|ticket| {
            let mut link_in = format!("{}/sign-in/{ticket}", server.trim_end_matches('/'));
            if let Some((_, link)) = &link {
                link_in.push_str(&format!("?link={link}"));
            }
            let link = link_in;
            match cx.json {
                true => cx.print(&json!({ "url": link, "expires_at": expires_at }), |_| String::new()),
                false => {
                    output::note("Open this in your browser within two minutes; it works once.");
                    output::put(&format!("{link}\n"))
                }
            }
        })
    }
}

/// Whether a person passed the terminal's challenge; not where there is no terminal, which is said.
pub(super) fn at_a_terminal() -> Result<bool> {
    match Terminal::open() {
        Some(terminal) => match terminal.passes_challenge()? {
            true => Ok(true),
            false => Err(Error::new(Code::ChallengeFailed, "the challenge was not typed as shown")),
        },
        None => {
            output::note("made without a terminal: it enters values, and approves nothing");
            Ok(false)
        }
    }
}

/// Server and name of an entry link.
fn entry_link(text: &str) -> Result<(String, String)> {
    let wrong = || invalid("that is no entry link").next("Give it as the assistant showed it: http://…/e/….");
    let url = url::Url::parse(text).map_err(|_| wrong())?;
    let link = url.path().strip_prefix("/e/").filter(|link| link.len() == 43).ok_or_else(wrong)?;
    Ok((url.origin().ascii_serialization(), link.to_owned()))
}
