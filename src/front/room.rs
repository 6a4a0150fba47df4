//! Room for the bodies of requests, counted in what has come of them: who sends slowly takes little, and who sends much
//! from one address leaves room to others.
//!
//! Room is waited for, for a few seconds; what is in it is given back when its request is answered.
use super::Peer;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What room is counted in, bytes.
pub(super) const PIECE: usize = 16 * 1024;
/// Pieces in all: 64 MiB.
const ALL: usize = 4096;
/// Pieces of one network: 8 MiB.
const OF_ONE: usize = 512;
/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The room there is, and who has some of it.
#[derive(Clone, Debug)]
pub struct Room(Arc<Rooms>);

#[derive(Debug)]
struct Rooms {
    all: Semaphore,
    most: usize,
    of_one: usize,
    /// As long as a request of theirs is there.
    of: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

impl Default for Room {
    fn default() -> Self {
        Self::of(ALL, OF_ONE)
    }
}

/// There was no room in time.
#[derive(Debug, PartialEq)]
pub(super) struct NoRoom;

impl Room {
    /// Room for `most` pieces, and for `of_one` of them from one network.
    pub(super) fn of(most: usize, of_one: usize) -> Self {
        Self(Arc::new(Rooms { all: Semaphore::new(most), most, of_one, of: Mutex::default() }))
    }

    /// The share of one more request, which has nothing in it yet.
    pub(super) fn share(&self, peer: Option<Peer>) -> Share {
        let network = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), Peer::network);
        // Everybody on this machine has the same address.
        let most = if network.is_loopback() { self.0.most } else { self.0.of_one };
        let mut of = self.0.of.lock().unwrap_or_else(PoisonError::into_inner);
        let own = of.entry(network).or_insert_with(|| Arc::new(Semaphore::new(most))).clone();
        Share { room: self.clone(), network, own: Some(own), pieces: 0 }
    }
}

/// What one request has of the room; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Room,
    network: IpAddr,
    /// Always there until it is dropped.
    own: Option<Arc<Semaphore>>,
    pieces: usize,
}

impl Share {
    /// Makes it large enough for `bytes`.
    pub async fn hold(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let more = bytes.div_ceil(PIECE).saturating_sub(self.pieces);
        if more == 0 {
            return Ok(());
        }
        let (own, all) = (self.own.as_ref().ok_or(NoRoom)?, &self.room.0.all);
        let pieces = u32::try_from(more).map_err(|_| NoRoom)?;
        // The network's own first: who waits for that keeps nothing from others.
        let both = async { (own.acquire_many(pieces).await, all.acquire_many(pieces).await) };
        match tokio::time::timeout(PATIENCE, both).await {
            Ok((Ok(own), Ok(all))) => {
                own.forget();
                all.forget();
                self.pieces += more;
                Ok(())
            }
            _ => Err(NoRoom),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.0.all.add_permits(self.pieces);
        let mut of = self.room.0.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = self.own.take() {
            own.add_permits(self.pieces);
        }
        // Ours is gone: one that is left in the map alone is nobody's.
        if of.get(&self.network).is_some_and(|own| Arc::strong_count(own) == 1) {
            of.remove(&self.network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ip: &str) -> Option<Peer> {
        Some(Peer(ip.parse().unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn one_network_leaves_room_to_others_and_gets_more_once_it_gives_some_back() {
        let room = Room::of(4, 2);
        let (mut first, mut second) = (room.share(peer("2001:db8::1")), room.share(peer("2001:db8::2")));
        let (mut other, mut local) = (room.share(peer("192.0.2.1")), room.share(peer("127.0.0.1")));
        first.hold(PIECE + 1).await.unwrap();

        assert_eq!(second.hold(1).await, Err(NoRoom));
        assert_eq!(other.hold(1).await, Ok(()));
        drop(first);
        assert_eq!(second.hold(1).await, Ok(()));
        // On this machine everybody is one network, which may have all that there is.
        assert_eq!(local.hold(3 * PIECE).await, Err(NoRoom));
        drop((second, other));
        assert_eq!(local.hold(4 * PIECE).await, Ok(()));
    }

    #[tokio::test]
    async fn what_was_held_already_is_not_counted_again_and_nobody_is_remembered_who_has_nothing() {
        let room = Room::of(2, 2);
        let mut share = room.share(peer("192.0.2.1"));
        for bytes in [0, 1, 100, PIECE, PIECE + 1, 2 * PIECE] {
            assert_eq!(share.hold(bytes).await, Ok(()), "{bytes}");
        }
        assert_eq!(room.0.all.available_permits(), 0);

        drop(share);

        assert_eq!(room.0.all.available_permits(), 2);
        assert!(room.0.of.lock().unwrap().is_empty());
    }
}
