//! The `eddyline` binary: only wiring.

use std::process::ExitCode;

/// Compared with the system's allocator, it returns memory sooner, and needs less of it for many small buffers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// Sets an option of the allocator, at any time.
    safe fn mi_option_set(option: std::ffi::c_int, value: std::ffi::c_long);
}

/// `mi_option_purge_delay`: how many milliseconds the allocator keeps free memory before it returns it.
const PURGE_DELAY: std::ffi::c_int = 15;

fn main() -> ExitCode {
    eddyline_worker::memory::returns_at_once(|| mi_option_set(PURGE_DELAY, 0));
    eddyline_worker::cli::main()
}
