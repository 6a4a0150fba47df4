//! The pages of a server on standard input and output: a listener on loopback that starts when the first link is made
//! and stops when nothing was open for a while. Visitors show the code that the asker was shown.
use super::sessions::Sessions;
use super::{Site, by_code, seal, sign_in};
use crate::app::{App, Pages};
use crate::error::{Code, Error, Result, internal};
use crate::front::{Guard, Listener, Place, guarded, serve};
use crate::model::entry::ENTRY_LIFE_MS;
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
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
    running: Arc<Mutex<Option<Running>>>,
}

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
        Ok(Self { app: Arc::downgrade(app), key, running: Arc::default() })
    }

    async fn start(&self) -> Result<Running> {
        let app = self.app.clone();
        let any = "127.0.0.1:0".parse().map_err(|_| internal("the loopback address is one"))?;
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
            base: address.base.clone(),
        });
        let guard = Guard { bodies: vec![("/u/", super::MOST_BODY)], ..Guard::at(&address, false) };
        let (running, app) = (self.running.clone(), self.app.clone());
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
            serve(listener, guarded(by_code(site), guard), stop.clone(), std::future::ready(()), GRACE);
        tokio::spawn(serving);
        Ok(Running { base: address.base, wanted: Instant::now(), stop })
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
