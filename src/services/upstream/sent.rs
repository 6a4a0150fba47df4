//! The body of a request to a service.
use http_body::{Body, Frame, SizeHint};
use hyper::body::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

/// A body that comes in while it is sent.
pub type Inflow = Pin<Box<dyn Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>> + Send>>;

/// The body of a request. What may follow it (trailers) is left out.
pub enum Sent {
    Nothing,
    Whole(Bytes),
    Stream(Inflow, Progress),
}

/// Whether a body has moved on since it was asked last.
#[derive(Clone, Default)]
pub struct Progress(Arc<AtomicBool>);

impl Progress {
    pub(super) fn moved(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Sent {
    pub fn whole(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Nothing } else { Self::Whole(bytes) }
    }

    pub fn stream(body: Inflow) -> Self {
        Self::Stream(body, Progress::default())
    }

    pub(super) fn progress(&self) -> Progress {
        match self {
            Sent::Stream(_, progress) => progress.clone(),
            _ => Progress::default(),
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Sent::Nothing => Poll::Ready(None),
            Sent::Whole(bytes) => {
                let whole = std::mem::take(bytes);
                *self = Sent::Nothing;
                Poll::Ready((!whole.is_empty()).then(|| Ok(Frame::data(whole))))
            }
            Sent::Stream(stream, progress) => match ready!(stream.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) if frame.is_trailers() => Poll::Ready(None),
                other => {
                    progress.0.store(true, Ordering::Relaxed);
                    Poll::Ready(other)
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Sent::Nothing => true,
            Sent::Whole(bytes) => bytes.is_empty(),
            Sent::Stream(stream, _) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Sent::Nothing => SizeHint::with_exact(0),
            Sent::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Sent::Stream(stream, _) => stream.size_hint(),
        }
    }
}
