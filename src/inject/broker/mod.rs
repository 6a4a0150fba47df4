//! Speaks for a consumer to the services it is bound to: takes its request, adds the credential, and streams the answer
//! back without it.
//!
//! A caller names a consumer, a service and a path, never a host. Nothing is sent before somebody decided
//! ([`Doorkeeper`]) and the use is on record; no redirect is followed; nothing of a body is kept beyond what a second
//! attempt needs. What a service does on purpose to a value it was sent (reverses it, encrypts it) is not found in its
//! answer.
mod answer;
mod asked;
mod ending;
mod inbound;
mod links;
mod places;
mod put;
mod refusal;
mod scrub;
mod target;
mod way;

use crate::error::{Result, internal};
use crate::inject::Patterns;
use crate::secret::SecretBytes;
use crate::services::Placement;
use crate::services::client::Outbound;
use crate::services::upstream::{Answered, Patience, Sent, Upstream};
use asked::Refused;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header, request};
use http_body::Body;
use hyper::body::Bytes;
use inbound::Inbound;
use places::{Place, Places};
use refusal::{bad_gateway, refusal, unanswered};
use scrub::Known;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use zeroize::Zeroizing;

pub(super) use answer::is_packed;
pub(super) use ending::Ending;
pub use ending::{Ended, Outcome};
pub(super) use put::{put, within};
pub use scrub::Answer;
pub(super) use scrub::whole;
pub use target::PREFIX;
pub use way::{Asked, Limits, Route, Way};

/// The largest body that is kept for a second attempt, bytes; and the largest answer that is waited for as a whole, so
/// that its length can be told, and how long.
const KEPT_BODY: u64 = 64 * 1024;
const WHOLE_ANSWER: u64 = 64 * 1024;
const WHOLE_PATIENCE: Duration = Duration::from_millis(20);

/// Who decides. Implemented where consumers, bindings and the audit log are known.
pub trait Doorkeeper: Send + Sync + 'static {
    /// What was decided on, handed back when it is renewed and when it has ended.
    type Use: Send + Sync + 'static;

    /// Who calls, whether they may, and what is added. A use is recorded, and committed, before this returns one.
    ///
    /// Fails with `token_invalid` for a token that opens nothing here, with what [`Asked::way`] says, or as a hand-over
    /// does. The caller is told; nothing is sent.
    fn admit(&self, asked: &Asked<'_>) -> impl Future<Output = Result<Passage<Self::Use>>> + Send;

    /// After the service answered 401: the same with a fresh value. `None` where there is none to be had.
    fn renew(
        &self,
        used: &Self::Use,
        way: &Way,
    ) -> impl Future<Output = Result<Option<Passage<Self::Use>>>> + Send;

    /// How it ended. Called once for each passage, also when the caller went away; must not block.
    fn ended(&self, used: &Self::Use, ended: Ended);
}

/// One request may go out, with this.
pub struct Passage<U> {
    pub way: Way,
    pub placement: Placement,
    pub values: Vec<Given>,
    /// There may be a fresh value after a 401.
    pub is_renewable: bool,
    pub used: U,
}

/// One field of the credential.
pub struct Given {
    /// As templates name it: `token`, `username`.
    pub field: String,
    /// As `[unsaid:…]` shows it where it was found in an answer.
    pub label: String,
    pub value: SecretBytes,
    /// Looked for in answers; an account name need not be.
    pub is_secret: bool,
}

/// What an admin may set.
#[derive(Clone, Debug)]
pub struct Settings {
    pub outbound: Outbound,
    pub patience: Patience,
    /// What clients type before [`PREFIX`], for links; nothing for links that are paths.
    pub base: String,
    /// Pages that may call, as `Origin` names them.
    pub origins: Vec<String>,
    /// Requests on their way: in all, and of one token.
    pub most: usize,
    pub most_of_one: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            outbound: Outbound::default(),
            patience: Patience::default(),
            base: String::new(),
            origins: Vec::new(),
            most: 1024,
            most_of_one: 128,
        }
    }
}

/// The engine. A `tower` service, to be mounted at [`PREFIX`].
pub struct Broker<D>(Arc<Engine<D>>);

struct Engine<D> {
    door: D,
    upstream: Upstream,
    known: Arc<Known>,
    places: Arc<Places>,
    base: String,
    origins: Vec<String>,
}

impl<D> Clone for Broker<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D: Doorkeeper> Broker<D> {
    pub fn new(door: D, settings: Settings) -> Self {
        Self(Arc::new(Engine {
            door,
            upstream: Upstream::new(settings.outbound, settings.patience),
            known: Arc::default(),
            places: Arc::new(Places::new(settings.most, settings.most_of_one)),
            base: settings.base,
            origins: settings.origins,
        }))
    }

    /// Answers one request; its refusals are `{code, message, next}`.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Answer>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let is_head = request.method() == Method::HEAD;
        let (parts, body) = request.into_parts();
        self.0
            .clone()
            .brokered(parts, Inbound::new(body))
            .await
            .unwrap_or_else(|refused| refusal(refused, is_head))
    }
}

impl<D, B> tower::Service<Request<B>> for Broker<D>
where
    D: Doorkeeper,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let broker = self.clone();
        Box::pin(async move { Ok(broker.answer(request).await) })
    }
}

/// What one attempt sends, and what must not come back.
struct Round {
    way: Way,
    placement: Placement,
    head: Request<()>,
    patterns: Arc<Patterns>,
}

impl<D: Doorkeeper> Engine<D> {
    async fn brokered(
        self: Arc<Self>,
        mut parts: request::Parts,
        mut body: Inbound,
    ) -> Result<Response<Answer>, Refused> {
        let mut target = asked::check(&parts, &self.origins)?;
        let token = asked::take_token(&mut parts.headers, &mut target.query)?;
        let place = self.places.take(&token)?;
        if body.size_hint().exact().is_none() {
            // What comes in pieces may turn out to be malformed at once: then nothing was sent.
            body.begin().await?;
        }
        let asked = Asked { token: &token, method: &parts.method, target: &target };
        let passage = self.door.admit(&asked).await?;
        drop((token, target));
        let is_renewable = passage.is_renewable;
        let (used, ending) = self.watched(passage.used, Some(place));
        let kept_head = is_renewable.then(|| parts.headers.clone());
        let round = self.round(&parts.method, parts.headers, passage.way, passage.placement, passage.values);
        let round = match round {
            Ok(round) => round,
            Err(e) => {
                ending.failed("the credential could not be sent");
                return Err(e.into());
            }
        };
        let again = match body.size_hint().exact() {
            Some(0) => Some(Bytes::new()),
            Some(size) if is_renewable && size <= KEPT_BODY => Some(body.whole().await?),
            _ => None,
        };
        let sent = match &again {
            Some(whole) => Sent::whole(whole.clone()),
            None => Sent::stream(Box::pin(body)),
        };
        let (response, round, mut ending) = self.send(round, sent, ending).await?;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(headers) = kept_head
            // One that cannot be had leaves the caller with the 401, which says what is wrong.
            && let Ok(Some(fresh)) = self.door.renew(&used, &round.way).await
            && let Some(whole) = again
        {
            ending.status = Some(401);
            let (_, ending) = self.watched(fresh.used, ending.answered());
            let second = self.round(&parts.method, headers, fresh.way, fresh.placement, fresh.values);
            let second = match second {
                Ok(second) => second,
                Err(e) => {
                    ending.failed("the credential could not be sent");
                    return Err(e.into());
                }
            };
            let first = round.patterns;
            let (response, second, ending) = self.send(second, Sent::whole(whole), ending).await?;
            return self.pass_on(response, &second, &[first, second.patterns.clone()], ending).await;
        }
        self.pass_on(response, &round, std::slice::from_ref(&round.patterns), ending).await
    }

    /// From here on its end is told, whatever it is.
    fn watched(self: &Arc<Self>, used: D::Use, place: Option<Place>) -> (Arc<D::Use>, Ending) {
        let used = Arc::new(used);
        let (engine, told) = (self.clone(), used.clone());
        (used, Ending::new(Box::new(move |ended| engine.door.ended(&told, ended)), place))
    }

    fn round(
        &self,
        method: &Method,
        mut headers: HeaderMap,
        way: Way,
        placement: Placement,
        values: Vec<Given>,
    ) -> Result<Round> {
        let patterns = self.known.patterns(&values, &within(&placement, &values)?)?;
        asked::clean(&mut headers, &placement, way.limits.cookies);
        let query = put(&placement, &values, &mut headers, way.query.as_deref())?;
        headers.insert(header::HOST, way.route.origin.host.clone());
        let mut target =
            Zeroizing::new(Vec::with_capacity(way.path.len() + 1 + query.as_ref().map_or(0, |q| q.len())));
        target.extend_from_slice(way.path.as_bytes());
        if let Some(query) = &query {
            target.push(b'?');
            target.extend_from_slice(query.as_bytes());
        }
        let target = http::Uri::from_maybe_shared(Bytes::from(std::mem::take(&mut *target)))
            .map_err(|_| internal("a path that was checked makes no request"))?;
        let mut head = Request::new(());
        *head.method_mut() = method.clone();
        *head.uri_mut() = target;
        *head.headers_mut() = headers;
        Ok(Round { way, placement, head, patterns })
    }

    async fn send(
        &self,
        mut round: Round,
        body: Sent,
        ending: Ending,
    ) -> Result<(Response<Answered>, Round, Ending), Refused> {
        // Kept for its method alone: the credential goes with what is sent.
        let mut method_only = Request::new(());
        *method_only.method_mut() = round.head.method().clone();
        let request = std::mem::replace(&mut round.head, method_only).map(|()| body);
        match self.upstream.send(&round.way.route.origin, request).await {
            Ok(response) => Ok((response, round, ending)),
            Err(failed) => {
                ending.failed(failed.why);
                Err(unanswered(failed, &round.way))
            }
        }
    }

    /// The service's answer as the caller gets it.
    async fn pass_on(
        &self,
        response: Response<Answered>,
        round: &Round,
        patterns: &[Arc<Patterns>],
        mut ending: Ending,
    ) -> Result<Response<Answer>, Refused> {
        let (mut parts, mut body) = response.into_parts();
        ending.status = Some(parts.status.as_u16());
        let has_no_body = answer::has_no_body(parts.status, *round.head.method() == Method::HEAD);
        if !has_no_body && answer::is_packed(&parts.headers) {
            ending.failed("its answer is packed");
            return Err(bad_gateway(format!(
                "{} sent a packed answer, which was not asked for: it cannot be looked through for the credential",
                round.way.host()
            )));
        }
        let length = parts.headers.remove(header::CONTENT_LENGTH);
        answer::clean(&mut parts.headers, &round.way, &round.placement, &self.base);
        ending.was_echoed |= scrub::headers(&mut parts.headers, patterns);
        // What the library knows of the answer, such as its reason phrase, stays here.
        parts.extensions.clear();
        parts.version = Version::HTTP_11;
        if has_no_body {
            if let Some(length) = length.filter(|_| parts.status != StatusCode::NO_CONTENT) {
                parts.headers.insert(header::CONTENT_LENGTH, length);
            }
            body.go_home();
            return Ok(Response::from_parts(parts, Answer::whole(VecDeque::new(), patterns, ending)));
        }
        let size = body.size_hint().exact();
        let mut first = VecDeque::new();
        if size.is_some_and(|size| size <= WHOLE_ANSWER) {
            let read = tokio::time::timeout(WHOLE_PATIENCE, read_into(&mut body, &mut first)).await;
            match read {
                Ok(Ok(())) => return Ok(Response::from_parts(parts, Answer::whole(first, patterns, ending))),
                Ok(Err(_)) => {
                    ending.failed("the answer broke off");
                    return Err(bad_gateway(format!("{} broke its answer off", round.way.host())));
                }
                Err(_) => {}
            }
        }
        Ok(Response::from_parts(parts, Answer::stream(first, body, patterns, ending)))
    }
}

async fn read_into(body: &mut Answered, pieces: &mut VecDeque<Bytes>) -> Result<(), hyper::Error> {
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        if let Ok(piece) = frame?.into_data() {
            pieces.push_back(piece);
        }
    }
    Ok(())
}
