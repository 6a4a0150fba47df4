//! The pages of a server on standard input and output: a listener on loopback that starts when the first link is made
//! and stops when nothing was open for a while. Visitors show the code that the asker was shown.
use super::sessions::Sessions;
use super::{Site, by_code, seal, sign_in};
use crate::app::{App, Pages};
use crate::error::{Code, Error, Result, internal};
use crate::front::{Guard, Listener, Place, guarded, serve};
use crate::model::entry::ENTRY_LIFE_MS;
use axum::Router;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::{Host, Url};
use zeroize::Zeroizing;

/// How long the listener outlives the last link, so that a page that is open can still be sent.
const LINGER: Duration = Duration::from_millis(ENTRY_LIFE_MS as u64 + 60_000);
/// How often it is looked whether anything was open.
const LOOK: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(2);
/// Characters of codes: none that is taken for another.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// The pages of one process, and the key that its codes come from.
pub struct LocalPages {
    app: Weak<App>,
    key: Zeroizing<[u8; 32]>,
    running: Listening,
    /// Where browsers come back to after a consent: each on a port of its own, which a provider knows.
    backs: Mutex<Vec<(String, Listening)>>,
    /// What serves, until it has.
    servings: TaskTracker,
}

/// A listener, while there is one.
type Listening = Arc<Mutex<Option<Running>>>;

/// A listener. Whether it stops and whether a link is made for it are decided under one lock, or a link could be to a
/// port that closes.
struct Running {
    base: String,
    /// When the last link was made.
    wanted: Instant,
    stop: CancellationToken,
}

impl LocalPages {
    /// Pages over `app`, which nothing listens for yet.
    pub fn new(app: &Arc<App>) -> Result<Self> {
        let mut key = Zeroizing::new([0u8; 32]);
        getrandom::fill(&mut key[..]).map_err(|_| internal("the operating system gave no random bytes"))?;
        Ok(Self {
            app: Arc::downgrade(app),
            key,
            running: Arc::default(),
            backs: Mutex::default(),
            servings: TaskTracker::new(),
        })
    }

    /// Stops every listener, once the answers on their way are sent: for a program that ends.
    pub async fn finish(&self) {
        let backs = self.backs.lock().await;
        for listening in backs.iter().map(|(_, running)| running).chain([&self.running]) {
            if let Some(over) = listening.lock().await.take() {
                over.stop.cancel();
            }
        }
        self.servings.close();
        self.servings.wait().await;
    }

    async fn start(&self) -> Result<Running> {
        let any = "127.0.0.1:0".parse().map_err(|_| internal("the loopback address is one"))?;
        self.listen(any, &self.running, None, by_code).await
    }

    /// Listens at `at` until nothing was wanted for a while. `base`: what it is called, where not by its address.
    async fn listen(
        &self,
        any: SocketAddr,
        running: &Listening,
        base: Option<String>,
        router: fn(Arc<Site>) -> Router,
    ) -> Result<Running> {
        let app = self.app.clone();
        let place = Place { listen: any, public_url: None, has_tls: false, behind_proxy: false };
        let listener = Listener::bind(place.listen, None).await?;
        let address = place.address(listener.local()?);
        let vault: super::Vault = Arc::new(move || {
            let app = app.upgrade();
            Box::pin(async move { app.ok_or_else(|| Error::new(Code::Cancelled, "the server is stopping")) })
        });
        let site = Arc::new(Site {
            vault,
            sessions: Sessions::default(),
            seal: seal::SealKey::new()?,
            guesses: sign_in::Guesses::new(),
            is_https: false,
            is_local: true,
            by_code: true,
            base: base.clone().unwrap_or_else(|| address.base.clone()),
        });
        let guard = Guard { bodies: vec![("/u/", super::MOST_BODY)], ..Guard::at(&address, false) };
        let (running, app) = (running.clone(), self.app.clone());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                if rests(&running, &app).await {
                    return;
                }
            }
        });
        let stop = CancellationToken::new();
        let serving =
            serve(listener, guarded(router(site), guard), stop.clone(), std::future::ready(()), GRACE);
        self.servings.spawn(serving);
        Ok(Running { base: base.unwrap_or(address.base), wanted: Instant::now(), stop })
    }
}

/// Stops the listener where nothing was open for a while or the vault is gone, and says whether it has stopped.
async fn rests(running: &Mutex<Option<Running>>, app: &Weak<App>) -> bool {
    let mut running = running.lock().await;
    let is_wanted = |running: &Running| running.wanted.elapsed() <= LINGER && app.strong_count() > 0;
    match running.take() {
        Some(wanted) if is_wanted(&wanted) => {
            *running = Some(wanted);
            false
        }
        Some(over) => {
            over.stop.cancel();
            true
        }
        None => true,
    }
}

impl Pages for LocalPages {
    fn base(&self) -> BoxFuture<'_, Result<String>> {
        Box::pin(async {
            let mut running = self.running.lock().await;
            if let Some(running) = running.as_mut() {
                running.wanted = Instant::now();
                return Ok(running.base.clone());
            }
            let begun = self.start().await?;
            let base = begun.base.clone();
            *running = Some(begun);
            Ok(base)
        })
    }

    fn callback(&self) -> Option<String> {
        None
    }

    fn come_back<'a>(&'a self, redirect_uri: &'a str) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            let (at, base) = loopback(redirect_uri)?;
            let mut backs = self.backs.lock().await;
            let known = backs.iter().find(|(known, _)| *known == base).map(|(_, running)| running.clone());
            let running = match known {
                Some(running) => running,
                None => {
                    let running = Listening::default();
                    backs.push((base.clone(), running.clone()));
                    running
                }
            };
            let mut here = running.lock().await;
            if let Some(here) = here.as_mut() {
                here.wanted = Instant::now();
                return Ok(base);
            }
            match self.listen(at, &running, Some(base.clone()), super::consents_alone).await {
                Ok(begun) => {
                    *here = Some(begun);
                    Ok(base)
                }
                // A server of this very vault that listens there takes the answer as well as we do.
                Err(e) => match self.app.upgrade().map(|app| app.store.meta("server")) {
                    Some(Ok(Some(server))) if server == base => Ok(base),
                    _ => Err(e),
                },
            }
        })
    }

    /// 40 bits, of a key that never leaves this process: `ABCD-EFGH`.
    fn code(&self, link: &str) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key[..]).ok()?;
        mac.update(link.as_bytes());
        let mac = mac.finalize().into_bytes();
        let letters: Vec<u8> = mac.iter().take(8).map(|byte| ALPHABET[usize::from(byte % 32)]).collect();
        let text = String::from_utf8(letters).ok()?;
        Some(format!("{}-{}", &text[..4], &text[4..]))
    }
}

/// Where to listen for browsers that come back to `redirect_uri`, and what that is called (RFC 8252 §7.3).
///
/// Fails with `invalid_input` for what is not a path of ours on this machine.
fn loopback(redirect_uri: &str) -> Result<(SocketAddr, String)> {
    let elsewhere = || crate::error::invalid("the provider's callback is not on this machine");
    let url = Url::parse(redirect_uri).map_err(|_| elsewhere())?;
    let at: IpAddr = match url.host() {
        Some(Host::Domain("localhost")) => Ipv4Addr::LOCALHOST.into(),
        Some(Host::Ipv4(ip)) if ip.is_loopback() => ip.into(),
        Some(Host::Ipv6(ip)) if ip.is_loopback() => ip.into(),
        _ => return Err(elsewhere()),
    };
    let is_ours = url.path() == "/oauth/callback" || url.path().starts_with("/oauth/callback/");
    match (url.scheme(), url.port_or_known_default(), is_ours) {
        ("http", Some(port), true) => Ok(((at, port).into(), url.origin().ascii_serialization())),
        _ => Err(elsewhere()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[tokio::test]
    async fn a_link_that_is_made_as_the_listener_rests_is_to_one_that_listens() {
        let w = World::new().await;
        let pages = LocalPages::new(&w.app).unwrap();
        let first = pages.base().await.unwrap();
        assert!(!rests(&pages.running, &pages.app).await);
        assert_eq!(pages.base().await.unwrap(), first);

        pages.running.lock().await.as_mut().unwrap().wanted -= LINGER + Duration::from_secs(1);
        let stop = pages.running.lock().await.as_ref().unwrap().stop.clone();
        assert!(rests(&pages.running, &pages.app).await && stop.is_cancelled());
        let second = pages.base().await.unwrap();

        let at = second.strip_prefix("http://").unwrap();
        assert!(tokio::net::TcpStream::connect(at).await.is_ok());
        assert!(!pages.running.lock().await.as_ref().unwrap().stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_link_that_is_made_before_the_listener_rests_keeps_it() {
        let w = World::new().await;
        let pages = LocalPages::new(&w.app).unwrap();
        let first = pages.base().await.unwrap();
        pages.running.lock().await.as_mut().unwrap().wanted -= LINGER + Duration::from_secs(1);

        assert_eq!(pages.base().await.unwrap(), first);

        assert!(!rests(&pages.running, &pages.app).await);
    }
}
