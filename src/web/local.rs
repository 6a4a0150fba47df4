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
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How long the listener outlives the last link, so that a page that is open can still be sent.
const LINGER: Duration = Duration::from_millis(ENTRY_LIFE_MS as u64 + 60_000);
const MOST_BODY: usize = 2 * 1024 * 1024;
const GRACE: Duration = Duration::from_secs(2);
/// Characters of codes: none that is taken for another.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// The pages of one process, and the key that its codes come from.
pub struct LocalPages {
    app: Weak<App>,
    key: Zeroizing<[u8; 32]>,
    running: tokio::sync::Mutex<Option<Running>>,
    wanted: Arc<Mutex<Instant>>,
}

struct Running {
    base: String,
    ended: CancellationToken,
}

impl LocalPages {
    /// Pages over `app`, which nothing listens for yet.
    pub fn new(app: &Arc<App>) -> Result<Self> {
        let mut key = Zeroizing::new([0u8; 32]);
        getrandom::fill(&mut key[..]).map_err(|_| internal("the operating system gave no random bytes"))?;
        Ok(Self {
            app: Arc::downgrade(app),
            key,
            running: tokio::sync::Mutex::new(None),
            wanted: Arc::new(Mutex::new(Instant::now())),
        })
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
        let guard = Guard { bodies: vec![("/u/", MOST_BODY)], ..Guard::at(&address, false) };
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let (wanted, stopping, gone) = (self.wanted.clone(), stop.clone(), self.app.clone());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(5)).await;
                let last = *wanted.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() > LINGER || gone.strong_count() == 0 {
                    stopping.cancel();
                    return;
                }
            }
        });
        let over = ended.clone();
        tokio::spawn(async move {
            serve(listener, guarded(by_code(site), guard), stop, std::future::ready(()), GRACE).await;
            over.cancel();
        });
        Ok(Running { base: address.base, ended })
    }
}

impl Pages for LocalPages {
    fn base(&self) -> BoxFuture<'_, Result<String>> {
        Box::pin(async {
            *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            let mut running = self.running.lock().await;
            if let Some(running) = running.as_ref().filter(|running| !running.ended.is_cancelled()) {
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
