//! `eddyline savepoint`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Subcommand;

/// What can be done with savepoints.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what is in a checkpoint or savepoint, per operator, table and key group.
    Inspect {
        /// A savepoint's folder, or a job's checkpoint folder for its latest checkpoint.
        uri: String,
        /// The endpoint of an S3 server that is not Amazon's.
        #[arg(long)]
        s3_endpoint: Option<String>,
    },
}

/// Carries it out.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let Command::Inspect { uri, s3_endpoint } = command;
    let options: BTreeMap<String, String> =
        s3_endpoint.map(|endpoint| ("s3.endpoint".to_owned(), endpoint)).into_iter().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let inspection = runtime.block_on(eddyline_checkpoint::inspect(&uri, &options))?;
    print!("{inspection}");
    Ok(ExitCode::SUCCESS)
}
