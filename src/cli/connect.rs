//! `unsaid connect NAME`: a person consents, and the connection is made. And what ends, renews and tests one.
use super::Context;
use super::output::{at, items, line, note, pairs, when};
use super::terminal::{Terminal, needs_terminal};
use crate::app::{App, Pages};
use crate::error::{Code, Error, Result, internal, invalid};
use crate::model::access::Caller;
use crate::model::connection::ConsentState;
use crate::model::credential::Environment;
use crate::ops::connection::{
    Begun, Finished, accept_other, adopt, begin, begin_device, consent_address, finish_pasted, poll_device,
    state_of,
};
use crate::secret::SecretBytes;
use crate::telemetry::escaped;
use crate::web::LocalPages;
use clap::Args;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The longest address or token that is read, bytes.
const MOST: usize = 16 * 1024;

/// Connect a credential of type oauth, or connect it again in place
#[derive(Args)]
#[command(after_help = "\
A browser on this machine comes back by itself. With --no-browser you consent on any machine, and paste the address
that its browser ended at. With --device you type a short code at the service, where it offers that.

Examples:
  unsaid set GITHUB --type oauth --provider github
  unsaid connect GITHUB
  unsaid connect GITHUB --no-browser
  unsaid connect GITHUB --device")]
pub struct Connect {
    /// Name or id; also team/NAME, NAME@account, NAME[prod]
    credential: String,
    /// Whose it is, where several have the name: personal, org or team:NAME
    #[arg(long, value_name = "SCOPE")]
    scope: Option<super::place::Place>,
    /// Which account, where several have the name
    #[arg(long)]
    account: Option<String>,
    /// Which environment, where several have the name: prod, staging or dev
    #[arg(long)]
    env: Option<Environment>,
    /// Ask for this scope too. Repeatable
    #[arg(long = "ask", value_name = "SCOPE")]
    more: Vec<String>,
    /// Type a code at the service instead of coming back with a browser
    #[arg(long, conflicts_with = "no_browser")]
    device: bool,
    /// Consent in a browser elsewhere, and paste the address it ended at
    #[arg(long)]
    no_browser: bool,
    /// Take a refresh token over that was got elsewhere: typed, nothing is shown, or from standard input
    #[arg(long, conflicts_with_all = ["device", "no_browser"])]
    refresh_token: bool,
}

impl Connect {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let wanted = self.wanted();
        let told = session.call("connect_credential", json!({ "credential": wanted })).await?;
        let id = at(&told, "/id");
        if told["connected"] == true {
            return cx.print(&told, |a| {
                line(&format!("{} is connected: {} asks no person", at(a, "/name"), at(a, "/provider")))
            });
        }
        let (app, caller) = (Arc::new(session.app), session.caller);
        let finished = match (self.device, self.refresh_token) {
            (true, _) => by_code(&app, &caller, &id).await?,
            (_, true) => {
                let token = typed("Refresh token (nothing is shown)")?;
                let token = token.expose(|bytes| SecretBytes::copied(bytes.trim_ascii()));
                sure(&app, &caller, adopt(&app, &caller, &id, token).await?).await?
            }
            (false, false) => self.by_browser(&app, &caller, &id).await?,
        };
        let answer =
            serde_json::to_value(&finished).map_err(|e| internal("the answer is no JSON").because(e))?;
        cx.print(&answer, connected)
    }

    fn wanted(&self) -> String {
        let scope = self.scope.as_ref().map(|place| format!("{}/", place.scope)).unwrap_or_default();
        let account = self.account.as_ref().map(|account| format!("@{account}")).unwrap_or_default();
        let environment = self.env.map(|env| format!("[{env}]")).unwrap_or_default();
        format!("{scope}{}{account}{environment}", self.credential)
    }

    async fn by_browser(&self, app: &Arc<App>, caller: &Caller, id: &str) -> Result<Finished> {
        let begun = begin(app, caller, id, None, &self.more).await?;
        tell(&begun);
        if self.no_browser {
            return pasted(app, caller, &begun).await;
        }
        let pages = LocalPages::new(app)?;
        match pages.come_back(&begun.redirect_uri).await {
            Ok(origin) => {
                note(&format!(
                    "open this in a browser on this machine: {origin}/oauth/start/{}",
                    begun.ticket
                ));
                note("waiting for you to consent there; with a browser elsewhere, stop and add --no-browser");
                let done = wait(app, caller, &begun).await;
                // The browser is told, too, before this program ends.
                pages.finish().await;
                done
            }
            Err(e) => {
                note(&format!(
                    "nothing here can listen at {}: {}; so consent in any browser, and paste where it ended",
                    begun.redirect_uri,
                    escaped(e.message())
                ));
                pasted(app, caller, &begun).await
            }
        }
    }
}

fn tell(begun: &Begun) {
    note(&format!(
        "you will sign in at {} ({}); it will be asked for: {}",
        begun.host,
        begun.provider,
        match begun.scopes.is_empty() {
            true => "what it gives by default".to_owned(),
            false => begun.scopes.join(", "),
        }
    ));
}

/// Waits for the browser to come back, to whichever process of this vault.
async fn wait(app: &App, caller: &Caller, begun: &Begun) -> Result<Finished> {
    let mut is_told = false;
    loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let consent = state_of(app, caller, &begun.id).await?;
        match consent.state {
            ConsentState::Done => return finished(app, caller, &consent.credential_id).await,
            ConsentState::Denied => {
                return Err(Error::new(
                    Code::ConsentDenied,
                    format!("{} answered: {}", begun.provider, consent.outcome),
                ));
            }
            ConsentState::Failed => return Err(Error::new(Code::ConsentInvalid, consent.outcome)),
            ConsentState::OtherAccount if !is_told => {
                note("that is another account than before: the page in your browser asks which is meant");
                is_told = true;
            }
            ConsentState::Open | ConsentState::Taken | ConsentState::OtherAccount => {}
        }
        if app.now() >= consent.expires_at {
            return Err(Error::new(Code::ConsentInvalid, "nobody consented within ten minutes"));
        }
    }
}

async fn finished(app: &App, caller: &Caller, id: &crate::ids::CredentialId) -> Result<Finished> {
    crate::ops::connection::found(app, caller, id).await
}

/// The browser is elsewhere: the person carries its answer here.
async fn pasted(app: &App, caller: &Caller, begun: &Begun) -> Result<Finished> {
    let address = consent_address(app, begun).await?;
    note(&format!("open this in any browser: {address}"));
    note(&format!(
        "it will end at {} …, which need not open: copy the whole address from its address bar",
        begun.redirect_uri
    ));
    let text = typed("That address (nothing is shown)")?;
    let text = text.expose(|bytes| zeroize::Zeroizing::new(String::from_utf8_lossy(bytes).into_owned()));
    let done = finish_pasted(app, caller, &text).await?;
    sure(app, caller, done).await
}

/// What the person types or pastes; a line of standard input where there is no terminal.
fn typed(question: &str) -> Result<SecretBytes> {
    if let Some(terminal) = Terminal::open() {
        return terminal.secret(question, MOST);
    }
    let mut text = String::with_capacity(MOST);
    let read =
        std::io::stdin().read_line(&mut text).map_err(|_| invalid("standard input could not be read"))?;
    match read {
        0 => Err(needs_terminal("it has to be pasted, and there is no terminal to paste it into")),
        _ => Ok(SecretBytes::new(text.into_bytes())),
    }
}

/// Another account than before is taken only where the person says so.
async fn sure(app: &App, caller: &Caller, done: Finished) -> Result<Finished> {
    let Some(was) = &done.was_account else { return Ok(done) };
    let other = || {
        Error::new(
            Code::OtherAccount,
            format!("it was connected as {was}, and this is {}: nothing was changed", done.account),
        )
    };
    let terminal = Terminal::open().ok_or_else(other)?;
    let question = format!(
        "It was connected as {}, and this is {}. Use the other account from now on?",
        escaped(was),
        escaped(&done.account)
    );
    match terminal.agrees(&question)? {
        true => accept_other(app, caller, &done.consent).await,
        false => Err(other()),
    }
}

async fn by_code(app: &App, caller: &Caller, id: &str) -> Result<Finished> {
    let begun = begin_device(app, caller, id, None).await?;
    note(&format!("open {} on any device (the host is {})", begun.verification_uri, begun.host));
    note(&format!("and type this code there: {}", begun.user_code));
    let mut pause = begun.interval_ms;
    loop {
        tokio::time::sleep(Duration::from_millis(pause.max(1000) as u64)).await;
        match poll_device(app, caller, &begun.id).await? {
            Ok(done) => return sure(app, caller, done).await,
            Err(ms) => pause = ms,
        }
    }
}

fn connected(a: &Value) -> String {
    let account = match at(a, "/account") {
        text if text.is_empty() => "the service does not say whose it is".to_owned(),
        text => text,
    };
    let mut all =
        line(&format!("{} is connected through {} ({account})", at(a, "/name"), at(a, "/provider")));
    let missing: Vec<_> = items(a, "/scopes_missing").iter().filter_map(Value::as_str).collect();
    if !missing.is_empty() {
        all.push_str(&line(&format!("not granted: {}", missing.join(", "))));
    }
    if a["is_short"] == true {
        all.push_str(&line(&format!(
            "the service gave no refresh token: it ends at {}",
            when(a, "/token_expires_at")
        )));
    }
    all
}

/// End a connection, here and at the service
#[derive(Args)]
pub struct Disconnect {
    /// Name or id
    credential: String,
    /// Do not ask the service to end the grant
    #[arg(long)]
    keep_at_service: bool,
    /// Why, for the audit log
    #[arg(long, default_value = "disconnected on the command line")]
    reason: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Disconnect {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let arguments =
            json!({ "credential": self.credential, "revoke": !self.keep_at_service, "reason": self.reason });
        let answer = session.call_with("disconnect_credential", arguments, self.yes).await?;
        cx.print(&answer, |a| {
            let next = at(a, "/next");
            let mut text = line(&at(a, "/message"));
            if !next.is_empty() {
                text.push_str(&line(&super::phrase::for_people(&next)));
            }
            text
        })
    }
}

/// Get new tokens for a connection now
#[derive(Args)]
pub struct Refresh {
    /// Name or id
    credential: String,
}

impl Refresh {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let answer = session.call("refresh_credential", json!({ "credential": self.credential })).await?;
        cx.print(&answer, |a| {
            let until = when(a, "/token_expires_at");
            let until = if until.is_empty() { String::new() } else { format!(", good until {until}") };
            line(&format!("{} has new tokens{until}", at(a, "/name")))
        })
    }
}

/// Ask its service whether a credential still works, and whose it is
#[derive(Args)]
#[command(after_help = "\
Sends the one harmless request that the catalogue knows for its service (`unsaid service show ID`), to that service and
nowhere else; a mail server, PostgreSQL or MySQL is signed in to, a private key of SSH is only read. The answer is one of
four: valid, refused, limited (it works, a permission is missing) and could_not_check, which says nothing against it.

Examples:
  unsaid test GITHUB_TOKEN
  unsaid test DATABASE_URL --json")]
pub struct Test {
    /// Name or id
    credential: String,
}

impl Test {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let answer = session.call("test_credential", json!({ "credential": self.credential })).await?;
        cx.print(&answer, |a| {
            pairs(&[
                ("verdict", at(a, "/verdict")),
                ("", at(a, "/message")),
                ("account", at(a, "/account")),
                ("may", at(a, "/scopes")),
                ("expires", when(a, "/expires_at")),
                ("status", at(a, "/status/status")),
                ("next", super::phrase::for_people(&at(a, "/next"))),
            ])
        })
    }
}
