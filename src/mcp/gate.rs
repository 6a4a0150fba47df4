//! How many calls may be at work at once. The protocol library starts a task for each request and bounds nothing.
use crate::error::{Code, Error, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Calls at work at once.
const AT_WORK: usize = 64;
/// Calls that may wait for their turn; more are refused.
const WAITING: usize = 1024;

/// Lets a bounded number of calls in.
pub(super) struct Gate {
    places: Semaphore,
    at_work: usize,
    waiting: AtomicUsize,
    most_waiting: usize,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self::of(AT_WORK, WAITING)
    }

    pub(super) fn of(at_work: usize, most_waiting: usize) -> Self {
        Self { places: Semaphore::new(at_work), at_work, waiting: AtomicUsize::new(0), most_waiting }
    }

    /// Waits until nobody is at work: whoever comes meanwhile is waited for too.
    pub(super) async fn idle(&self) {
        // All places at once; they are given back at once too.
        let _all = self.places.acquire_many(u32::try_from(self.at_work).unwrap_or(u32::MAX)).await;
    }

    /// A place, kept until the permit is dropped. Fails with `too_many_requests` when the queue is full.
    pub(super) async fn enter(&self) -> Result<SemaphorePermit<'_>> {
        if let Ok(permit) = self.places.try_acquire() {
            return Ok(permit);
        }
        let _place = self.queue()?;
        self.places.acquire().await.map_err(|_| Error::new(Code::Cancelled, "the server is stopping"))
    }

    fn queue(&self) -> Result<Queued<'_>> {
        let queued = Queued(&self.waiting);
        match self.waiting.fetch_add(1, Ordering::Relaxed) < self.most_waiting {
            true => Ok(queued),
            false => Err(Error::new(Code::TooManyRequests, "too many calls are waiting already")),
        }
    }
}

/// A place in the queue; given back also when the call is dropped while it waits.
struct Queued<'a>(&'a AtomicUsize);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_freed_place_is_given_on() {
        let gate = Gate::of(1, 1);
        let first = gate.enter().await.unwrap();
        let mut second = Box::pin(gate.enter());
        assert!(futures_util::poll!(&mut second).is_pending());

        assert_eq!(gate.enter().await.unwrap_err().code, Code::TooManyRequests);
        drop(first);
        assert!(second.await.is_ok());
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_while_it_waits_leaves_its_place() {
        let gate = Gate::of(1, 1);
        let _first = gate.enter().await.unwrap();
        let mut second = Box::pin(gate.enter());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(second);

        let mut third = Box::pin(gate.enter());
        assert!(futures_util::poll!(&mut third).is_pending());
    }
}
