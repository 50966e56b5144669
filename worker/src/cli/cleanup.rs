//! `eddyline cleanup`: deletes what a job, or one savepoint, has in storage. The controller runs it in a pod of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use eddyline_api::mounts;
use eddyline_checkpoint::{JobStore, Storage};

use super::savepoint::worker_config;
use crate::pod::settings::credentials;

/// Arguments of `eddyline cleanup`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The settings of a worker: everything that its job has in storage is deleted, with its savepoints.
    #[arg(long, required_unless_present = "uri", conflicts_with = "uri")]
    config: Option<PathBuf>,
    /// A savepoint that stays although its job's are deleted; may be given several times.
    #[arg(long, value_name = "URI", requires = "config")]
    keep: Vec<String>,
    /// A savepoint to delete.
    #[arg(long)]
    uri: Option<String>,
    /// The endpoint of an S3 server that is not Amazon's, for a savepoint.
    #[arg(long)]
    endpoint: Option<String>,
    /// The folder with the credentials of the storage.
    #[arg(long, default_value = mounts::STORAGE)]
    storage_dir: PathBuf,
}

/// Carries it out.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut options = credentials(&arguments.storage_dir)?;
    let mut endpoint = arguments.endpoint;
    let config = match &arguments.config {
        Some(path) => {
            let config = worker_config(path)?;
            endpoint = endpoint.or_else(|| config.checkpoint.endpoint.clone());
            Some(config)
        }
        None => None,
    };
    if let Some(endpoint) = endpoint {
        options.insert("s3.endpoint".to_owned(), endpoint);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (what, objects) = runtime.block_on(async {
        if let Some(uri) = arguments.uri {
            let objects = eddyline_checkpoint::remove_savepoint(&uri, &options).await?;
            return anyhow::Ok((uri, objects));
        }
        let config = config.context("either --config or --uri must be given")?;
        let (Some(uri), Some(savepoints)) = (&config.checkpoint.uri, config.savepoint_folder()) else {
            return Ok(("a job without checkpoint storage".to_owned(), 0));
        };
        let mut objects = eddyline_checkpoint::remove_savepoints(&savepoints, &arguments.keep, &options).await?;
        objects += JobStore::open(Storage::open(uri, &options)?, &config.folder()).remove().await?;
        Ok((format!("{} in {uri}", config.folder()), objects))
    })?;
    println!("deleted {objects} objects of {what}");
    Ok(ExitCode::SUCCESS)
}
