//! Requests to a provider's own addresses: what is sent there holds secrets, and what comes back does too.
//!
//! As strict as the outbound client below it, and stricter: no redirect is followed, answers are small, no connection is
//! kept (its buffers would keep a token), and a host's address is looked up and checked anew every minute.
use super::client::Outbound;
use crate::clock::Millis;
use crate::error::{Code, Error};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_rustls::rustls::ClientConfig;
use url::Url;
use zeroize::Zeroizing;

/// The largest answer, bytes.
const MOST_BODY: usize = 64 * 1024;
/// How long a request may take from its first byte to the last of the answer. A lease of a connection outlives it.
pub const WHOLE: Duration = Duration::from_secs(10);
/// How long looked-up addresses count.
const PINNED: Duration = Duration::from_secs(60);
/// The longest wait that a provider may ask for, milliseconds.
const MOST_WAIT_MS: i64 = 15 * 60 * 1000;

/// One request, used up by sending it.
pub struct Ask {
    method: Method,
    url: Url,
    headers: Vec<(HeaderName, Zeroizing<String>)>,
    body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
}

impl Ask {
    pub fn get(url: Url, headers: Vec<(&'static str, Zeroizing<String>)>) -> Self {
        Self { method: Method::GET, url, headers: named(headers), body: None }
    }
    pub fn post(
        url: Url,
        headers: Vec<(&'static str, Zeroizing<String>)>,
        kind: &'static str,
        body: Zeroizing<Vec<u8>>,
    ) -> Self {
        Self { method: Method::POST, url, headers: named(headers), body: Some((kind, body)) }
    }

    /// Whatever a manifest describes.
    pub fn of(
        method: Method,
        url: Url,
        headers: Vec<(HeaderName, Zeroizing<String>)>,
        body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
    ) -> Self {
        Self { method, url, headers, body }
    }

    /// As [`Ask::post`], by DELETE.
    pub fn delete(
        url: Url,
        headers: Vec<(&'static str, Zeroizing<String>)>,
        kind: &'static str,
        body: Zeroizing<Vec<u8>>,
    ) -> Self {
        Self { method: Method::DELETE, ..Self::post(url, headers, kind, body) }
    }
}

fn named(headers: Vec<(&'static str, Zeroizing<String>)>) -> Vec<(HeaderName, Zeroizing<String>)> {
    headers.into_iter().map(|(name, value)| (HeaderName::from_static(name), value)).collect()
}

#[cfg(test)]
impl Ask {
    /// Its headers and its body.
    pub fn shown(&self) -> (Vec<(String, String)>, String) {
        let headers =
            self.headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let body =
            self.body.as_ref().map_or(String::new(), |(_, body)| String::from_utf8_lossy(body).into_owned());
        (headers, body)
    }
}

/// An answer, whatever its status.
pub struct Answered {
    pub status: u16,
    /// It says that it is JSON.
    pub is_json: bool,
    pub headers: HeaderMap,
    pub body: Zeroizing<Vec<u8>>,
    pub retry_after_ms: Option<i64>,
}

/// No answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub why: &'static str,
    /// The request surely did not arrive.
    pub is_unsent: bool,
}

/// The way out, with what is worth keeping from one request to the next.
pub struct Wire {
    outbound: Outbound,
    /// By `host:port`: the client that is tied to the addresses found, and since when.
    clients: Mutex<HashMap<String, (Instant, Client)>>,
    /// Whose certificates count: read once, for it takes a while.
    tls: Mutex<Option<ClientConfig>>,
    #[cfg(test)]
    provider: std::sync::OnceLock<Provided>,
}

/// What a test answers in a provider's place: by the path, from the form or body that was sent there.
#[cfg(test)]
pub type Provided = Box<
    dyn Fn(String, String) -> futures_util::future::BoxFuture<'static, Result<Answered, Failure>>
        + Send
        + Sync,
>;

impl Wire {
    pub fn new(outbound: Outbound) -> Self {
        Self {
            outbound,
            clients: Mutex::default(),
            tls: Mutex::default(),
            #[cfg(test)]
            provider: std::sync::OnceLock::new(),
        }
    }

    /// Answers every request by `provider`; nothing leaves this process then.
    #[cfg(test)]
    pub fn answered_by(&self, provider: Provided) {
        assert!(self.provider.set(provider).is_ok(), "a wire has one provider");
    }

    /// Sends `ask` and reads the whole answer, within ten seconds.
    pub async fn send(&self, ask: Ask, now: Millis) -> Result<Answered, Failure> {
        // Also over what the client does not count: looking the name up.
        match tokio::time::timeout(WHOLE + Duration::from_secs(3), self.sent(ask, now)).await {
            Ok(answered) => answered,
            Err(_) => Err(Failure { why: "it did not answer in time", is_unsent: false }),
        }
    }

    async fn sent(&self, ask: Ask, now: Millis) -> Result<Answered, Failure> {
        #[cfg(test)]
        if let Some(provider) = self.provider.get() {
            return provider(ask.url.path().to_owned(), ask.shown().1).await;
        }
        let unsent = |why| Failure { why, is_unsent: true };
        let client = self.client(&ask.url).await.map_err(|e| unsent(cause(&e)))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &ask.headers {
            let mut value =
                HeaderValue::from_str(value).map_err(|_| unsent("what would be sent is no header"))?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
        }
        headers.insert("accept-encoding", HeaderValue::from_static("identity"));
        let mut request = client.request(ask.method, ask.url).headers(headers);
        if let Some((kind, body)) = ask.body {
            request = request.header(CONTENT_TYPE, kind).body(body.to_vec());
        }
        let mut response = request.send().await.map_err(|e| Failure {
            why: super::client::kind(&e),
            is_unsent: e.is_connect() || e.is_builder(),
        })?;
        let status = response.status().as_u16();
        let retry_after_ms = response.headers().get(RETRY_AFTER).and_then(|v| wait_ms(v.to_str().ok()?, now));
        let is_json =
            response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_some_and(|kind| {
                let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                kind == "application/json" || kind.ends_with("+json") || kind == "text/javascript"
            });
        let broken = |why| Failure { why, is_unsent: false };
        // Asked for none; an answer that is packed all the same is not unpacked.
        if response.headers().get("content-encoding").is_some_and(|v| v != "identity") {
            return Err(broken("its answer is packed, which was not asked for"));
        }
        let told = std::mem::take(response.headers_mut());
        let mut body = Zeroizing::new(Vec::with_capacity(MOST_BODY));
        while let Some(chunk) = response.chunk().await.map_err(|e| broken(super::client::kind(&e)))? {
            if body.len() + chunk.len() > MOST_BODY {
                return Err(broken("its answer is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answered { status, is_json, headers: told, body, retry_after_ms })
    }

    async fn client(&self, url: &Url) -> Result<Client, Error> {
        let key =
            format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(0));
        {
            let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((since, client)) = clients.get(&key)
                && since.elapsed() < PINNED
                && url.scheme() == "https"
            {
                return Ok(client.clone());
            }
        }
        let addresses = self.outbound.resolve(url).await?;
        let client = self.outbound.client(url, &addresses, self.tls()?, WHOLE)?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|_, (since, _)| since.elapsed() < PINNED);
        clients.insert(key, (Instant::now(), client.clone()));
        Ok(client)
    }

    fn tls(&self) -> Result<ClientConfig, Error> {
        let mut tls = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        match &*tls {
            Some(tls) => Ok(tls.clone()),
            None => Ok(tls.insert(self.outbound.tls()?).clone()),
        }
    }
}

/// Why nothing was sent, as a text that may be kept.
fn cause(e: &Error) -> &'static str {
    match e.code {
        Code::InvalidInput => "its address may not be called: it is not in the public network",
        Code::ConfigInvalid => "the [outbound] settings cannot be used",
        _ => "its name has no address, or it is not to be reached",
    }
}

/// `Retry-After` in milliseconds: seconds, or a date (RFC 9110 §10.2.3); at most fifteen minutes.
fn wait_ms(text: &str, now: Millis) -> Option<i64> {
    let text = text.trim();
    let ms = match text.parse::<i64>() {
        Ok(seconds) => seconds.checked_mul(1000)?,
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
            at.saturating_sub(now.0)
        }
    };
    (ms >= 0).then_some(ms.min(MOST_WAIT_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_believed_up_to_fifteen_minutes() {
        let now = Millis(1_790_000_000_000);
        for (text, expected) in [
            ("1", Some(1000)),
            ("0", Some(0)),
            ("86400", Some(MOST_WAIT_MS)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(wait_ms(text, now), expected, "{text}");
        }
        assert_eq!(wait_ms("Fri, 31 Dec 2100 23:59:59 GMT", now), Some(MOST_WAIT_MS));
        assert_eq!(wait_ms("Fri, 31 Dec 1999 23:59:59 GMT", now), None);
    }
}
