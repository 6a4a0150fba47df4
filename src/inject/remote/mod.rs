//! Speaks to a remote MCP server for a client that started us as a local one: lines of JSON-RPC on this side, streamable
//! HTTP on the other.
//!
//! The credential goes into headers, to the one address that was agreed to, and nowhere else: no redirect is followed.
//! Nothing is sent before its use is on record ([`Keys`]). Nothing of the server reaches the client but messages of the
//! protocol, looked through for the credential; whatever else it says is told by its status alone.
mod answer;
mod events;
mod lines;
mod masks;
mod message;

use crate::error::{Code, Error, Result, invalid};
use crate::inject::broker::{Ended, Ending, Given, put};
use crate::services::Placement;
use crate::services::client::{Outbound, is_safe};
use crate::services::upstream::{Answered, Failed, Origin, Patience, Sent, Upstream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::body::Bytes;
use masks::Masks;
use message::Spoken;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use url::Url;

pub use lines::serve;

/// The largest message, bytes, in either direction.
const MOST_MESSAGE: usize = 16 << 20;

/// Who gives the credential. Implemented where consumers, bindings and the audit log are known.
pub trait Keys: Send + Sync + 'static {
    /// One use, handed back when it is renewed and when it has ended.
    type Use: Send + Sync + 'static;

    /// What goes with one request. The use is recorded, and committed, before this returns it.
    fn admit(&self, operation: &str) -> impl Future<Output = Result<Admitted<Self::Use>>> + Send;

    /// After a 401: whether there is a fresh value now.
    fn renew(&self, used: &Self::Use) -> impl Future<Output = Result<bool>> + Send;

    /// The server sent this value back, and it was masked; `which` as [`Header`] has it. Called once for each use and
    /// value, as soon as it is known; must not block.
    fn echoed(&self, used: &Self::Use, which: &str);

    /// How it ended. Called once for each use; must not block.
    fn ended(&self, used: &Self::Use, ended: Ended);
}

/// One request may go out, with this.
pub struct Admitted<U> {
    pub headers: Vec<Header>,
    /// There may be a fresh value after a 401.
    pub is_renewable: bool,
    /// What a person does where the server refuses it.
    pub remedy: String,
    pub used: U,
}

/// One header.
pub struct Header {
    pub name: String,
    /// With `{token}` where the value goes.
    pub format: String,
    /// None for plain text.
    pub given: Option<Given>,
    /// Which value it is: the credential and its version.
    pub which: String,
}

impl Header {
    fn placement(&self) -> Placement {
        Placement::Header { name: self.name.clone(), format: self.format.clone() }
    }
}

/// The session with the server, as far as each request says it.
#[derive(Clone, Default)]
struct Session {
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
}

/// The way between one client and one server.
struct Bridge<K> {
    keys: K,
    upstream: Upstream,
    origin: Origin,
    target: Uri,
    session: Mutex<Session>,
    masks: Masks,
    said: mpsc::Sender<Vec<u8>>,
}

/// An answer's head, and what it answers to.
struct Got<U> {
    response: Response<Answered>,
    ending: Ending,
    used: Arc<U>,
    /// The values that it had in it so far.
    echoed: Vec<String>,
    remedy: String,
    /// The request named a session.
    had_session: bool,
}

impl<K: Keys> Bridge<K> {
    /// Fails with `invalid_input` for an address that a credential must not be sent to.
    fn new(keys: K, url: &Url, outbound: Outbound, said: mpsc::Sender<Vec<u8>>) -> Result<Self> {
        if !is_safe(url) {
            return Err(invalid("the server's address is neither https nor on this machine")
                .next("Give it another: `unsaid consumer edit NAME --url URL`."));
        }
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        Ok(Self {
            keys,
            upstream: Upstream::new(outbound.with(url), Patience::default()),
            target: target.parse().map_err(|_| invalid("the server's address makes no request"))?,
            origin: Origin::of(url.clone())?,
            session: Mutex::default(),
            masks: Masks::default(),
            said,
        })
    }

    fn host(&self) -> &str {
        self.origin.host.to_str().unwrap_or_default()
    }

    fn session(&self) -> Session {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends one request with the credential; after a 401 once more, with a fresh one where there is one to be had.
    async fn ask(
        self: &Arc<Self>,
        method: Method,
        spoken: Option<&Spoken>,
        body: Bytes,
        last_id: Option<&str>,
    ) -> Result<Got<K::Use>> {
        let operation = match (spoken, &method) {
            (Some(spoken), _) => spoken.operation(),
            (None, &Method::DELETE) => "mcp end".to_owned(),
            (None, _) => "mcp listen".to_owned(),
        };
        let session = match spoken.is_some_and(Spoken::is_initialize) {
            true => Session::default(),
            false => self.session(),
        };
        let mut is_second = false;
        loop {
            let Admitted { headers, is_renewable, remedy, used } = self.keys.admit(&operation).await?;
            let used = Arc::new(used);
            let (bridge, told) = (self.clone(), used.clone());
            let mut ending = Ending::of(Box::new(move |ended| bridge.keys.ended(&told, ended)));
            let mut head = self.head(&method, spoken, &session, last_id);
            if let Err(e) = self.masks.add(&headers).and_then(|()| fill(&headers, &mut head)) {
                ending.failed("the credential could not be sent");
                return Err(e);
            }
            drop(headers);
            let mut request = Request::new(Sent::whole(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = self.target.clone();
            *request.headers_mut() = head;
            let response = match self.upstream.send(&self.origin, request).await {
                Ok(response) => response,
                Err(failed) => {
                    ending.failed(failed.why);
                    return Err(self.unanswered(failed));
                }
            };
            ending.status = Some(response.status().as_u16());
            if response.status() == StatusCode::UNAUTHORIZED && is_renewable && !is_second {
                ending.well();
                is_second = true;
                if self.keys.renew(&used).await? {
                    continue;
                }
                return Err(self.refused(&remedy));
            }
            let had_session = session.id.is_some();
            return Ok(Got { response, ending, used, echoed: Vec::new(), remedy, had_session });
        }
    }

    /// What the server said, as the client may read it.
    fn masked(&self, said: Vec<u8>, got: &mut Got<K::Use>) -> Vec<u8> {
        let (told, echoed) = self.masks.whole(said);
        for which in echoed {
            if !got.echoed.contains(&which) {
                self.keys.echoed(&got.used, &which);
                got.echoed.push(which);
            }
        }
        got.ending.was_echoed = !got.echoed.is_empty();
        told
    }

    /// What every request says, but for the credential.
    fn head(
        &self,
        method: &Method,
        spoken: Option<&Spoken>,
        session: &Session,
        last_id: Option<&str>,
    ) -> HeaderMap {
        let mut head = HeaderMap::new();
        head.insert(header::HOST, self.origin.host.clone());
        let agent = HeaderValue::from_static(concat!("unsaid/", env!("CARGO_PKG_VERSION")));
        head.insert(header::USER_AGENT, agent);
        head.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if *method == Method::POST {
            head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            head.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        } else {
            head.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        let own = [("mcp-session-id", &session.id), ("mcp-protocol-version", &session.version)];
        for (name, value) in own.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))) {
            head.insert(HeaderName::from_static(name), value);
        }
        if let Some(last) = last_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            head.insert(HeaderName::from_static("last-event-id"), last);
        }
        if let Some(spoken) = spoken {
            spoken.say(&mut head);
        }
        head
    }

    fn unanswered(&self, failed: Failed) -> Error {
        let error = Error::new(Code::Unreachable, format!("{} gave no answer: {}", self.host(), failed.why));
        match failed.is_forbidden {
            true => error.next("An admin can allow it: `[outbound] allow = [\"host:port\"]` in unsaid.toml."),
            false => error,
        }
    }

    fn refused(&self, remedy: &str) -> Error {
        Error::new(Code::NotAllowed, format!("{} refused the credential (status 401)", self.host()))
            .next(remedy.to_owned())
    }
}

/// Puts what was handed over into `head`.
fn fill(headers: &[Header], head: &mut HeaderMap) -> Result<()> {
    for header in headers {
        put(&header.placement(), header.given.as_slice(), head, None)?;
    }
    Ok(())
}
