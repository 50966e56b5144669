//! `eddyline savepoint`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use eddyline_api::savepoint::{CopiedSavepoint, Problem};
use eddyline_api::{WorkerConfig, mounts};
use eddyline_checkpoint::{Copied, JobStore, Storage};

use crate::pod::settings::credentials;

/// The commands on checkpoints and savepoints.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the content of a checkpoint or savepoint, by operator, table and key group.
    Inspect {
        /// A savepoint's folder, or a job's checkpoint folder for its latest checkpoint.
        uri: String,
        /// The endpoint of the S3 server, if it is not Amazon's.
        #[arg(long)]
        s3_endpoint: Option<String>,
    },
    /// Copy the latest complete checkpoint of a job into a savepoint. The worker of the job need not run. The same
    /// command again continues an interrupted copy.
    Copy(CopyArguments),
}

/// Arguments of `eddyline savepoint copy`.
#[derive(Debug, clap::Args)]
pub struct CopyArguments {
    /// The settings file of a worker: the latest checkpoint of its job is copied.
    #[arg(long, required_unless_present = "from", conflicts_with = "from")]
    config: Option<PathBuf>,
    /// What to copy: a job's checkpoint folder, for its latest checkpoint; or the folder of a checkpoint or savepoint.
    #[arg(long, value_name = "URI")]
    from: Option<String>,
    /// The folder of the new savepoint.
    #[arg(long, value_name = "URI")]
    to: String,
    /// The endpoint of the S3 server, if it is not Amazon's.
    #[arg(long)]
    endpoint: Option<String>,
    /// The folder with the credentials of the storage.
    #[arg(long, default_value = mounts::STORAGE)]
    storage_dir: PathBuf,
    /// A file for the result as JSON: the location of the savepoint, or why there is none.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Carries out a command.
pub fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Inspect { uri, s3_endpoint } => {
            let options: BTreeMap<String, String> =
                s3_endpoint.map(|endpoint| ("s3.endpoint".to_owned(), endpoint)).into_iter().collect();
            let inspection = runtime.block_on(eddyline_checkpoint::inspect(&uri, &options))?;
            print!("{inspection}");
        }
        Command::Copy(arguments) => {
            let copied = runtime.block_on(copy(&arguments));
            if let Some(file) = &arguments.report {
                report(file, &copied)?;
            }
            let copied = copied?;
            println!("{} holds checkpoint {}", copied.uri, copied.checkpoint);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn copy(arguments: &CopyArguments) -> anyhow::Result<Copied> {
    let mut options = credentials(&arguments.storage_dir)?;
    let mut endpoint = arguments.endpoint.clone();
    let from = match (&arguments.from, &arguments.config) {
        (Some(from), _) => from.clone(),
        (None, Some(path)) => {
            let config = worker_config(path)?;
            endpoint = endpoint.or_else(|| config.checkpoint.endpoint.clone());
            let uri = config.checkpoint.uri.as_deref().context("the job has no checkpoint storage to copy from")?;
            JobStore::open(Storage::open(uri, &options)?, &config.folder()).uri()
        }
        (None, None) => anyhow::bail!("give either --config or --from"),
    };
    if let Some(endpoint) = endpoint {
        options.insert("s3.endpoint".to_owned(), endpoint);
    }
    Ok(eddyline_checkpoint::copy_savepoint(&from, &arguments.to, &options).await?)
}

/// The settings of a worker in a file.
pub(super) fn worker_config(path: &Path) -> anyhow::Result<WorkerConfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no settings file of a worker", path.display()))
}

fn report(file: &Path, copied: &anyhow::Result<Copied>) -> anyhow::Result<()> {
    let text = match copied {
        Ok(copied) => serde_json::to_string(&CopiedSavepoint {
            uri: copied.uri.clone(),
            checkpoint: copied.checkpoint.number(),
            taken_at_ms: copied.taken_at_ms,
        })?,
        Err(error) => serde_json::to_string(&Problem { message: crate::chain_of(error.as_ref()) })?,
    };
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
