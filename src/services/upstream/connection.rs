//! Connections to services, each with one request at a time, and kept for a moment between two.
use super::{KEPT, MOST_INTERIM, Sent, TIDY};
use http_body::{Body, Frame, SizeHint};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// A connection, which moves only while somebody who uses it waits: a task of its own would cost two changes of thread
/// for each request. Dropping it closes it.
pub(super) struct Connection {
    pub sender: SendRequest<Sent>,
    /// Nothing once it has ended.
    pub run: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Connection {
    /// Nothing where it sends more `interim` answers than anybody does.
    pub async fn send(
        &mut self,
        request: Request<Sent>,
        interim: &AtomicUsize,
    ) -> Option<Result<Response<Incoming>, TrySendError<Request<Sent>>>> {
        let mut answer = std::pin::pin!(self.sender.try_send_request(request));
        poll_fn(|cx| {
            self.run(cx);
            match interim.load(Ordering::Relaxed) {
                0..=MOST_INTERIM => answer.as_mut().poll(cx).map(Some),
                _ => Poll::Ready(None),
            }
        })
        .await
    }

    fn run(&mut self, cx: &mut Context<'_>) {
        if self.run.as_mut().is_some_and(|run| run.as_mut().poll(cx).is_ready()) {
            self.run = None;
        }
    }

    /// Whether it may be used again. Looks at what came meanwhile: its end, or what nobody asked for.
    fn is_ready(&mut self) -> bool {
        self.run(&mut Context::from_waker(Waker::noop()));
        self.run.is_some() && self.sender.is_ready()
    }
}

/// The body of an answer. Its connection is kept once it was read to the end.
pub struct Answered {
    pub(super) coming: Incoming,
    pub(super) home: Option<(Connection, String, Arc<Idle>)>,
}

impl Body for Answered {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let mut polled = Pin::new(&mut this.coming).poll_frame(cx);
        if polled.is_pending()
            && let Some((connection, ..)) = &mut this.home
        {
            connection.run(cx);
            polled = Pin::new(&mut this.coming).poll_frame(cx);
        }
        if matches!(polled, Poll::Ready(None)) {
            this.go_home();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.coming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.coming.size_hint()
    }
}

impl Answered {
    /// Keeps the connection, if nothing more is to come; for an answer that has no body.
    pub fn go_home(&mut self) {
        if let Some((mut connection, key, idle)) = self.home.take()
            && connection.is_ready()
        {
            idle.keep(key, connection);
        }
    }
}

#[derive(Default)]
pub(super) struct Idle {
    /// By scheme, host and port; the last used is the first taken.
    by_origin: Mutex<HashMap<String, Vec<(Instant, Connection)>>>,
    is_tidied: Mutex<bool>,
}

impl Idle {
    /// One that can be used at once.
    pub fn take(&self, origin: &str) -> Option<Connection> {
        loop {
            let kept = {
                let mut by_origin = self.by_origin.lock().unwrap_or_else(PoisonError::into_inner);
                by_origin.get_mut(origin)?.pop()?
            };
            let (_, mut connection) = kept;
            if connection.is_ready() {
                return Some(connection);
            }
        }
    }

    pub fn keep(self: &Arc<Self>, origin: String, connection: Connection) {
        let mut by_origin = self.by_origin.lock().unwrap_or_else(PoisonError::into_inner);
        by_origin.entry(origin).or_default().push((Instant::now(), connection));
        drop(by_origin);
        self.tidy();
    }

    /// Closes what was not used, until nothing is left.
    fn tidy(self: &Arc<Self>) {
        if std::mem::replace(&mut *self.is_tidied.lock().unwrap_or_else(PoisonError::into_inner), true) {
            return;
        }
        let idle = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TIDY).await;
                let mut is_tidied = idle.is_tidied.lock().unwrap_or_else(PoisonError::into_inner);
                let mut by_origin = idle.by_origin.lock().unwrap_or_else(PoisonError::into_inner);
                by_origin.retain(|_, kept| {
                    kept.retain(|(since, _)| since.elapsed() < KEPT);
                    !kept.is_empty()
                });
                if by_origin.is_empty() {
                    *is_tidied = false;
                    return;
                }
            }
        });
    }
}
