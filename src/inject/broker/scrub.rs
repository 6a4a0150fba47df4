//! Looks through what a service answers for what was sent to it, and hands it on as it comes.
use super::Given;
use super::ending::Ending;
use crate::error::{Result, invalid};
use crate::inject::{MASKED_FROM_BYTES, Masker, Patterns};
use crate::secret::looked_up_by;
use crate::services::upstream::Answered;
use http::HeaderMap;
use http::header::HeaderValue;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Bytes;
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long the patterns of a value are kept after their last use: making them takes longer than a request.
const KEPT: Duration = Duration::from_millis(500);
const TIDY: Duration = Duration::from_millis(200);

/// When it was used last.
type Used = (Instant, Arc<Patterns>);

/// The patterns of values that were sent a moment ago.
#[derive(Default)]
pub(super) struct Known {
    /// By a hash of the values and what they are called.
    of: Mutex<HashMap<[u8; 32], Used>>,
    is_tidied: Mutex<bool>,
}

impl Known {
    /// What `values`, and what is `within` them, look like in an answer. Fails with `invalid_input` for a value that is
    /// too short to be told from other text (B-26).
    pub fn patterns(self: &Arc<Self>, values: &[Given], within: &[Given]) -> Result<Arc<Patterns>> {
        let secret = || values.iter().chain(within).filter(|given| given.is_secret);
        if let Some(short) =
            secret().find(|given| given.value.expose(|value| value.trim_ascii().len()) < MASKED_FROM_BYTES)
        {
            return Err(invalid(format!(
                "{} is too short to be found in answers, so it is not sent",
                short.label
            ))
            .next("Use a longer value, or give it to a program with `unsaid run`."));
        }
        let size: usize = secret().map(|given| given.label.len() + given.value.size_bytes() + 16).sum();
        let mut text = Zeroizing::new(Vec::with_capacity(size));
        for given in secret() {
            for part in [given.label.len(), given.value.size_bytes()] {
                text.extend_from_slice(&(part as u64).to_be_bytes());
            }
            text.extend_from_slice(given.label.as_bytes());
            given.value.expose(|value| text.extend_from_slice(value));
        }
        let key = looked_up_by(&text);
        if let Some((last, known)) = self.of.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&key) {
            *last = Instant::now();
            return Ok(known.clone());
        }
        let made = Arc::new(Patterns::new(secret().map(|given| (given.label.as_str(), &given.value))));
        self.of.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (Instant::now(), made.clone()));
        self.tidy();
        Ok(made)
    }

    /// Forgets what was not used, until nothing is left.
    fn tidy(self: &Arc<Self>) {
        if std::mem::replace(&mut *self.is_tidied.lock().unwrap_or_else(PoisonError::into_inner), true) {
            return;
        }
        let known = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TIDY).await;
                let mut is_tidied = known.is_tidied.lock().unwrap_or_else(PoisonError::into_inner);
                let mut of = known.of.lock().unwrap_or_else(PoisonError::into_inner);
                of.retain(|_, (last, _)| last.elapsed() < KEPT);
                if of.is_empty() {
                    *is_tidied = false;
                    return;
                }
            }
        });
    }
}

/// Masks header values; a header whose name gives a value away is left out. Says whether there was anything.
pub(super) fn headers(headers: &mut HeaderMap, patterns: &[Arc<Patterns>]) -> bool {
    let mut was_echoed = false;
    let mut telling = Vec::new();
    for (name, value) in headers.iter_mut() {
        for patterns in patterns {
            if patterns.may_be_in(name.as_str().as_bytes()) {
                telling.push(name.clone());
            }
            if patterns.may_be_in(value.as_bytes()) {
                let (text, masked) = whole(value.as_bytes(), patterns);
                was_echoed |= masked;
                *value = HeaderValue::from_maybe_shared(Bytes::from(text))
                    .unwrap_or(HeaderValue::from_static("[***]"));
            }
        }
    }
    for name in telling {
        was_echoed = true;
        while headers.remove(&name).is_some() {}
    }
    was_echoed
}

/// `text`, which is all there is, masked; and whether it had to be.
pub(in crate::inject) fn whole(text: &[u8], patterns: &Arc<Patterns>) -> (Vec<u8>, bool) {
    let mut masker = Masker::new(patterns.clone());
    let mut out = Vec::with_capacity(text.len() + 64);
    masker.push(text, &mut out);
    masker.finish(&mut out);
    (out, masker.has_masked())
}

/// The body of what the broker answers.
pub struct Answer {
    body: Coming,
    ending: Option<Ending>,
}

enum Coming {
    Whole(Bytes),
    Stream { first: VecDeque<Bytes>, rest: Option<Answered>, maskers: Vec<Masker> },
}

impl Answer {
    /// Of the broker itself.
    pub(super) fn own(text: String) -> Self {
        Self { body: Coming::Whole(text.into()), ending: None }
    }

    /// All that the service sent, looked through.
    pub(super) fn whole(pieces: VecDeque<Bytes>, patterns: &[Arc<Patterns>], mut ending: Ending) -> Self {
        let mut text = match pieces.len() {
            1 => pieces.into_iter().next().unwrap_or_default(),
            _ => pieces.iter().flat_map(|piece| piece.iter().copied()).collect(),
        };
        for patterns in patterns {
            if patterns.may_be_in(&text) {
                let (masked, was_echoed) = whole(&text, patterns);
                text = masked.into();
                ending.was_echoed |= was_echoed;
            }
        }
        Self { body: Coming::Whole(text), ending: Some(ending) }
    }

    /// What it sent first, and what follows.
    pub(super) fn stream(
        first: VecDeque<Bytes>,
        rest: Answered,
        patterns: &[Arc<Patterns>],
        ending: Ending,
    ) -> Self {
        let maskers = patterns.iter().map(|patterns| Masker::new(patterns.clone())).collect();
        Self { body: Coming::Stream { first, rest: Some(rest), maskers }, ending: Some(ending) }
    }
}

/// `piece` through one masker after the other.
fn masked(maskers: &mut [Masker], piece: Bytes) -> Bytes {
    maskers.iter_mut().fold(piece, |piece, masker| match masker.passes(&piece) {
        true => piece,
        false => {
            let mut out = Vec::with_capacity(piece.len() + 256);
            masker.push(&piece, &mut out);
            out.into()
        }
    })
}

/// What the maskers hold back, now that nothing follows.
fn last(maskers: &mut [Masker]) -> Bytes {
    maskers.iter_mut().fold(Bytes::new(), |piece, masker| {
        let mut out = Vec::new();
        masker.push(&piece, &mut out);
        masker.finish(&mut out);
        out.into()
    })
}

fn has_masked(maskers: &[Masker]) -> bool {
    maskers.iter().any(Masker::has_masked)
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        loop {
            let (first, rest, maskers) = match &mut this.body {
                Coming::Whole(text) => {
                    let text = std::mem::take(text);
                    if let Some(ending) = this.ending.take() {
                        drop(ending.answered());
                    }
                    return Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text))));
                }
                Coming::Stream { first, rest, maskers } => (first, rest, maskers),
            };
            let piece = match (first.pop_front(), rest.as_mut()) {
                (Some(piece), _) => piece,
                (None, None) => return Poll::Ready(None),
                (None, Some(coming)) => match ready!(Pin::new(coming).poll_frame(cx)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(piece) => piece,
                        // Trailers: no client of an API reads them.
                        Err(_) => continue,
                    },
                    Some(Err(e)) => {
                        *rest = None;
                        // What is held back is shown to nobody, and may be enough of a value to tell.
                        drop(last(maskers));
                        if let Some(mut ending) = this.ending.take() {
                            ending.was_echoed |= has_masked(maskers);
                            ending.failed("the answer broke off");
                        }
                        return Poll::Ready(Some(Err(e)));
                    }
                    None => {
                        *rest = None;
                        let text = last(maskers);
                        if let Some(mut ending) = this.ending.take() {
                            ending.was_echoed |= has_masked(maskers);
                            drop(ending.answered());
                        }
                        return Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text))));
                    }
                },
            };
            let shown = masked(maskers, piece);
            // At once: whoever asked may go away before the end (B-25).
            if let Some(ending) = &mut this.ending {
                ending.was_echoed |= has_masked(maskers);
            }
            if !shown.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(shown))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Coming::Whole(text) => text.is_empty(),
            Coming::Stream { rest, first, .. } => rest.is_none() && first.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Coming::Whole(text) => SizeHint::with_exact(text.len() as u64),
            Coming::Stream { .. } => SizeHint::default(),
        }
    }
}
