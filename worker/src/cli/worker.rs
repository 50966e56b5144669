//! `eddyline worker`.

use std::process::ExitCode;

use super::{LAST_ANSWERS_WAIT, LogFormat, start_logging};
use crate::pod::{self, Arguments};

/// Threads for I/O. The slots do the work.
const IO_THREADS: usize = 2;

/// Runs the job of a pod until SIGTERM.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    start_logging(LogFormat::Json, "info");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("io")
        .enable_all()
        .build()?;
    let ended = runtime.block_on(pod::run(arguments));
    // A broker or store that does not answer may still block threads. Their answers are no longer needed.
    runtime.shutdown_timeout(LAST_ANSWERS_WAIT);
    ended?;
    Ok(ExitCode::SUCCESS)
}
