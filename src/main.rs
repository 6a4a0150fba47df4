//! The program: makes itself hard to look into, then hands over to the command line.
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use std::alloc::System;
use std::process::ExitCode;
use zeroizing_alloc::ZeroAlloc;

/// Every block is wiped when it is freed, also those of libraries (H-05).
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    // What we make is ours alone; a program that we start gets the person's own setting back.
    let inherited = umask(rustix::fs::Mode::from_raw_mode(0o077));
    keep_others_out();
    unsaid::telemetry::report_panics();
    unsaid::cli::main(std::env::args_os().collect(), inherited)
}

/// No core dump, no debugger, no `/proc/PID/mem` for other processes of this account; before any key is read (H-12).
fn keep_others_out() {
    let core = getrlimit(Resource::Core);
    // Neither call is refused to a process about itself; if one were, the vault would still be worth opening.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: core.maximum });
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}
