//! Memory for long-lived keys: locked, kept out of core dumps and of children, wiped when given back.
//!
//! One arena of shared pages holds many 32-byte keys, so that a thousand orgs stay far below `RLIMIT_MEMLOCK`.
//! The strongest memory the machine grants is taken, and [`guarantee`] says which one that was: this module
//! never fails a start because the machine is weak, and never claims more than it got.
#![allow(unsafe_code)]
use crate::error::Result;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Bytes of one key.
pub const KEY: usize = 32;
/// Bytes of one mapping: a whole number of pages on every platform we build for.
const CHUNK: usize = 16 * 1024;
const SLOTS: usize = CHUNK / KEY;

/// What protects the keys of this process, from strongest to weakest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// `memfd_secret`: not in the kernel's own map either, so absent from a dump made by root.
    SecretMemory,
    /// `mmap` + `mlock`, excluded from core dumps: never swapped; root can still read it.
    Locked,
    /// Ordinary heap, wiped on free: it may be swapped out or dumped.
    Plain,
}

impl Guarantee {
    /// One sentence for `doctor`.
    pub const fn sentence(self) -> &'static str {
        match self {
            Guarantee::SecretMemory => {
                "keys live in secret memory: not swapped, not dumped, unmapped from the kernel"
            }
            Guarantee::Locked => "keys live in locked memory: not swapped and not in core dumps",
            Guarantee::Plain => {
                "keys live in ordinary memory that is wiped when freed: it may be swapped out"
            }
        }
    }
}

/// The weakest protection any key of this process has had to accept so far.
pub fn guarantee() -> Guarantee {
    let mut arena = ARENA.lock().unwrap_or_else(PoisonError::into_inner);
    if arena.chunks.is_empty() {
        arena.grow();
    }
    arena.chunks.iter().map(|chunk| chunk.kind).max().unwrap_or(Guarantee::Plain)
}

/// A 32-byte key in the arena. It cannot be copied or printed; dropping it wipes it.
pub struct LockedKey {
    at: NonNull<[u8; KEY]>,
    chunk: usize,
    slot: usize,
}

// SAFETY: a `LockedKey` is the only owner of its slot; the arena hands a slot out once until it is given back.
unsafe impl Send for LockedKey {}
// SAFETY: through `&LockedKey` the slot is only read.
unsafe impl Sync for LockedKey {}

impl LockedKey {
    /// A slot that `fill` writes in place, so the key need not be anywhere else. It starts as zeros.
    pub fn filled(fill: impl FnOnce(&mut [u8; KEY]) -> Result<()>) -> Result<Self> {
        let mut key = take();
        // SAFETY: the slot is ours alone (see `take`), aligned for bytes, and inside a live mapping.
        fill(unsafe { key.at.as_mut() })?;
        Ok(key)
    }

    /// A copy of bytes that somebody else owns and wipes.
    pub fn copied(bytes: &[u8; KEY]) -> Self {
        let mut key = take();
        // SAFETY: as in `filled`.
        unsafe { key.at.as_mut() }.copy_from_slice(bytes);
        key
    }

    /// Lends the key for the length of one closure.
    pub fn expose<R>(&self, use_it: impl FnOnce(&[u8; KEY]) -> R) -> R {
        // SAFETY: the slot lives until `self` is dropped, and nobody writes it meanwhile.
        use_it(unsafe { self.at.as_ref() })
    }
}

impl Drop for LockedKey {
    fn drop(&mut self) {
        // SAFETY: still ours; it is wiped before the arena may hand it out again.
        unsafe { self.at.as_mut() }.zeroize();
        let mut arena = ARENA.lock().unwrap_or_else(PoisonError::into_inner);
        arena.chunks[self.chunk].give_back(self.slot);
    }
}

impl std::fmt::Debug for LockedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LockedKey(..)")
    }
}

impl PartialEq for LockedKey {
    fn eq(&self, other: &Self) -> bool {
        self.expose(|a| other.expose(|b| a.ct_eq(b).into()))
    }
}

struct Chunk {
    base: NonNull<u8>,
    kind: Guarantee,
    used: [u64; SLOTS / 64],
}

// SAFETY: a chunk is only touched under the arena's lock; its mapping is never unmapped.
unsafe impl Send for Chunk {}

impl Chunk {
    fn take(&mut self) -> Option<usize> {
        let word = self.used.iter().position(|bits| *bits != u64::MAX)?;
        let bit = self.used[word].trailing_ones() as usize;
        self.used[word] |= 1 << bit;
        Some(word * 64 + bit)
    }

    fn give_back(&mut self, slot: usize) {
        self.used[slot / 64] &= !(1 << (slot % 64));
    }
}

struct Arena {
    chunks: Vec<Chunk>,
}

impl Arena {
    fn grow(&mut self) {
        let (base, kind) = secret_memory()
            .map(|base| (base, Guarantee::SecretMemory))
            .or_else(|| locked_memory().map(|base| (base, Guarantee::Locked)))
            .unwrap_or_else(|| (plain_memory(), Guarantee::Plain));
        self.chunks.push(Chunk { base, kind, used: [0; SLOTS / 64] });
    }
}

static ARENA: Mutex<Arena> = Mutex::new(Arena { chunks: Vec::new() });

fn take() -> LockedKey {
    let mut arena = ARENA.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        for (chunk, held) in arena.chunks.iter_mut().enumerate() {
            if let Some(slot) = held.take() {
                // SAFETY: slot < SLOTS, so the address stays inside the chunk's CHUNK bytes.
                let at = unsafe { held.base.add(slot * KEY) }.cast::<[u8; KEY]>();
                return LockedKey { at, chunk, slot };
            }
        }
        arena.grow();
    }
}

/// memfd_secret(2), Linux 5.14 and later where it is switched on. Children do not inherit the mapping.
#[cfg(target_os = "linux")]
fn secret_memory() -> Option<NonNull<u8>> {
    // SAFETY: plain system calls; each result is checked before it is used, and the descriptor is closed once.
    unsafe {
        let fd = libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) as libc::c_int;
        if fd < 0 {
            return None;
        }
        if libc::ftruncate(fd, CHUNK as libc::off_t) != 0 {
            libc::close(fd);
            return None;
        }
        let flags = libc::MAP_SHARED;
        let at = libc::mmap(std::ptr::null_mut(), CHUNK, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0);
        libc::close(fd);
        if at == libc::MAP_FAILED {
            return None;
        }
        if libc::madvise(at, CHUNK, libc::MADV_DONTFORK) != 0 {
            libc::munmap(at, CHUNK);
            return None;
        }
        NonNull::new(at.cast())
    }
}

#[cfg(not(target_os = "linux"))]
fn secret_memory() -> Option<NonNull<u8>> {
    None
}

/// An anonymous mapping, locked and (on Linux) left out of core dumps and wiped in a child.
#[cfg(unix)]
fn locked_memory() -> Option<NonNull<u8>> {
    // SAFETY: plain system calls; each result is checked before it is used.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
        let at = libc::mmap(std::ptr::null_mut(), CHUNK, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if at == libc::MAP_FAILED {
            return None;
        }
        #[cfg(target_os = "linux")]
        let advised = libc::madvise(at, CHUNK, libc::MADV_DONTDUMP) == 0
            && libc::madvise(at, CHUNK, libc::MADV_WIPEONFORK) == 0;
        #[cfg(not(target_os = "linux"))]
        let advised = true;
        if !advised || libc::mlock(at, CHUNK) != 0 {
            libc::munmap(at, CHUNK);
            return None;
        }
        NonNull::new(at.cast())
    }
}

#[cfg(not(unix))]
fn locked_memory() -> Option<NonNull<u8>> {
    None
}

/// Heap that is never given back, so that its slots can be reused; each slot is wiped when it is free.
fn plain_memory() -> NonNull<u8> {
    NonNull::from(Box::leak(vec![0u8; CHUNK].into_boxed_slice())).cast()
}

/// Whether a mapping is one of the arena's.
#[cfg(test)]
pub(crate) fn is_arena(from: usize, to: usize) -> bool {
    let arena = ARENA.lock().unwrap_or_else(PoisonError::into_inner);
    arena.chunks.iter().any(|chunk| (from..to).contains(&(chunk.base.as_ptr() as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_holds_its_key_and_is_zero_when_it_comes_back() {
        let key = LockedKey::copied(&[7; KEY]);
        let (chunk, slot) = (key.chunk, key.slot);
        assert!(key.expose(|k| k == &[7; KEY]));

        drop(key);

        let arena = ARENA.lock().unwrap();
        // SAFETY: inside the chunk; only read while the lock is held, and the slot may be in use by another test,
        // whose key is not sevens.
        let now = unsafe { arena.chunks[chunk].base.add(slot * KEY).cast::<[u8; KEY]>().as_ref() };
        assert_ne!(now, &[7; KEY]);
    }

    #[test]
    fn more_keys_than_one_chunk_holds_stay_apart() {
        let keys: Vec<_> =
            (0..SLOTS as u32 + 40).map(|n| LockedKey::copied(&[(n % 251) as u8; KEY])).collect();

        assert!(keys.iter().enumerate().all(|(n, key)| key.expose(|k| k == &[(n % 251) as u8; KEY])));
    }

    #[test]
    fn h_10_the_guarantee_is_told_and_every_fallback_gives_writable_memory() {
        assert!(!guarantee().sentence().is_empty());
        for memory in [locked_memory(), Some(plain_memory())].into_iter().flatten() {
            // SAFETY: a fresh mapping of CHUNK bytes that nobody else knows.
            unsafe { memory.add(CHUNK - 1).write(1) };
        }
    }

    #[test]
    fn debug_text_shows_no_key() {
        assert_eq!(format!("{:?}", LockedKey::copied(&[1; KEY])), "LockedKey(..)");
    }
}
