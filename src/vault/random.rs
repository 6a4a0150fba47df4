//! Where random bytes come from, handed in: the operating system, or a seed when vectors are made.
//!
//! There is no generator state in this process that a fork or a restored snapshot could repeat.
use crate::error::{Result, internal};

/// A source of bytes nobody can predict.
pub trait Random: Send + Sync {
    /// Fills `out` wholly, or fails and leaves nothing to rely on.
    fn fill(&self, out: &mut [u8]) -> Result<()>;
}

/// The operating system's own generator.
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        getrandom::fill(out).map_err(|_| internal("the operating system gave no random bytes"))
    }
}

/// Repeatable bytes: SHA-256 of a seed and a counter. For tests and golden vectors only.
#[cfg(test)]
pub struct Seeded(std::sync::Mutex<(u64, u64)>);

#[cfg(test)]
impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(std::sync::Mutex::new((seed, 0)))
    }
}

#[cfg(test)]
impl Random for Seeded {
    fn fill(&self, out: &mut [u8]) -> Result<()> {
        use sha2::{Digest, Sha256};
        let mut state = self.0.lock().unwrap();
        for part in out.chunks_mut(32) {
            let block = Sha256::new().chain_update(state.0.to_be_bytes()).chain_update(state.1.to_be_bytes());
            part.copy_from_slice(&block.finalize()[..part.len()]);
            state.1 += 1;
        }
        Ok(())
    }
}
