//! The command line.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use eddyline_connectors::print::screen;

mod cleanup;
mod plan;
mod progress;
mod run;
mod savepoint;
mod worker;

/// Exit code for a job whose SQL or manifest is wrong.
const EXIT_INVALID_JOB: u8 = 2;

/// How long threads may still wait for answers after the job has ended.
const LAST_ANSWERS_WAIT: Duration = Duration::from_secs(2);

/// Flink SQL without a JVM.
#[derive(Debug, Parser)]
#[command(name = "eddyline", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a .sql file or a StreamJob manifest on this machine.
    Run(run::Arguments),
    /// Show the job graph: operators, uids, distribution, state.
    Explain {
        /// A .sql file or a StreamJob manifest.
        file: PathBuf,
    },
    /// Plan a job without running it. Errors name line and column.
    Validate {
        /// A .sql file or a StreamJob manifest.
        file: PathBuf,
    },
    /// Run the job of a pod, with the files that the controller mounts.
    Worker(crate::pod::Arguments),
    /// Delete the stored data of a job, or one savepoint.
    Cleanup(cleanup::Arguments),
    /// Inspect and copy checkpoints and savepoints.
    Savepoint {
        #[command(subcommand)]
        command: savepoint::Command,
    },
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Explain { file } => plan::explain(&file),
        Command::Validate { file } => plan::validate(&file),
        Command::Worker(arguments) => worker::run(arguments),
        Command::Cleanup(arguments) => cleanup::run(arguments),
        Command::Savepoint { command } => savepoint::run(command),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", crate::chain_of(&*error));
        ExitCode::FAILURE
    })
}

/// Standard error. Lines appear above the progress that a terminal shows.
struct AboveProgress;

impl Write for AboveProgress {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        screen::above(|| io::stderr().write_all(line)).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Starts logging to standard error. `RUST_LOG` chooses what is logged. Without it, `level` and above is logged.
fn start_logging(format: LogFormat, level: &str) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| AboveProgress)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
