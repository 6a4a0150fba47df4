//! What the allocator keeps back after much was freed.
#![allow(unsafe_code)]

/// Gives free memory back to the system, after something that took a lot of it for a moment.
///
/// glibc keeps what each thread has freed for that thread's next call: work that goes round a pool of threads would hold its
/// peak once for each of them. Where another allocator is linked, nothing is done.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim(3) takes no pointer, changes nothing that is in use, and may be called from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
