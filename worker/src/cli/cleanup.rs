//! `eddyline cleanup`: deletes the stored data of a job, or one savepoint. The controller runs it in a pod of its own.

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
    /// The settings file of a worker: all stored data of its job is deleted, including its savepoints.
    #[arg(long, required_unless_present = "uri", conflicts_with = "uri")]
    config: Option<PathBuf>,
    /// A savepoint of the job to keep. Can be given more than once.
    #[arg(long, value_name = "URI", requires = "config")]
    keep: Vec<String>,
    /// A savepoint to delete.
    #[arg(long)]
    uri: Option<String>,
    /// The endpoint of the S3 server of a savepoint, if it is not Amazon's.
    #[arg(long)]
    endpoint: Option<String>,
    /// The folder with the credentials of the storage.
    #[arg(long, default_value = mounts::STORAGE)]
    storage_dir: PathBuf,
}

/// Deletes the data.
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
        let config = config.context("give either --config or --uri")?;
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
