//! Wipes the stack that cryptography has used.
//!
//! `zeroize` wipes a value where it is dropped, but not the places it was moved from, and every hash state is
//! moved when it is finished. A test of ours found data keys there (H-04), so the frames are overwritten.

/// More than any of our primitives uses; measured, see the test in `residue`.
const DEPTH: usize = 16 * 1024;

/// Runs `work` and overwrites the stack below this call. What it returns must not hold a key by value.
pub(crate) fn clean<R>(work: impl FnOnce() -> R) -> R {
    let done = deeper(work);
    overwrite();
    done
}

#[inline(never)]
fn deeper<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[inline(never)]
fn overwrite() {
    std::hint::black_box(&mut [0u64; DEPTH / 8]);
}
