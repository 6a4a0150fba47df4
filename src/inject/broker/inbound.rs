//! The body that the caller sends: read ahead as far as a second attempt needs, and streamed otherwise.
use super::asked::Refused;
use crate::error::invalid;
use crate::services::upstream::Inflow;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Bytes;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long the caller may take for a body that is kept, and for the first piece of one that is not.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// The body that the caller sends.
pub(super) struct Inbound {
    first: VecDeque<Bytes>,
    /// Nothing where there is none.
    rest: Option<Inflow>,
}

impl Inbound {
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let rest = (!body.is_end_stream()).then(|| Box::pin(Boxed(Box::pin(body))) as Inflow);
        Self { first: VecDeque::new(), rest }
    }

    /// Reads the first piece, and keeps it.
    pub async fn begin(&mut self) -> Result<(), Refused> {
        self.read(1).await
    }

    /// Reads all of it.
    pub async fn whole(&mut self) -> Result<Bytes, Refused> {
        self.read(usize::MAX).await?;
        Ok(match self.first.len() {
            1 => self.first.pop_front().unwrap_or_default(),
            _ => self.first.drain(..).flatten().collect(),
        })
    }

    async fn read(&mut self, pieces: usize) -> Result<(), Refused> {
        let reading = async {
            while self.first.len() < pieces
                && let Some(rest) = &mut self.rest
                && let Some(frame) = poll_fn(|cx| rest.as_mut().poll_frame(cx)).await
            {
                if let Ok(piece) = frame?.into_data() {
                    self.first.push_back(piece);
                }
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        };
        match tokio::time::timeout(BODY_PATIENCE, reading).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(invalid("the request's body did not arrive whole").into()),
            Err(_) => Err(Refused {
                status: Some(408),
                error: invalid("the request's body took too long to arrive"),
            }),
        }
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.first.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None => self.rest.as_mut().map_or(Poll::Ready(None), |rest| rest.as_mut().poll_frame(cx)),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let kept: u64 = self.first.iter().map(|piece| piece.len() as u64).sum();
        let rest = self.rest.as_ref().map_or(SizeHint::with_exact(0), |rest| rest.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(kept));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint
    }
}

/// A body whose errors are of one type.
struct Boxed<B>(Pin<Box<B>>);

impl<B> Body for Boxed<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.as_mut().poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
