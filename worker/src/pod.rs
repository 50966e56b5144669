//! `eddyline worker`: a job in a pod.
//!
//! Everything the pod is told comes from files ([`settings`]); everything it tells goes through two servers: the [`api`] with
//! mutual TLS, and [`health`] for probes and metrics. The process outlives its job: one that has stopped, finished or failed is
//! asked why by the controller, which then lets the pod go. Only SIGTERM ends the process, after a last checkpoint.

pub mod api;
pub mod health;
pub mod progress;
pub mod secrets;
pub mod settings;
pub mod supervisor;
pub mod tls;

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eddyline_api::mounts;
use tracing::{info, warn};

use settings::{Mounts, Settings};
use supervisor::Supervisor;

/// How long SIGTERM waits for the last checkpoint: some seconds less than a pod is given by default.
const STOP_TIMEOUT: Duration = Duration::from_secs(25);

/// Arguments of `eddyline worker`. In a pod the defaults are right.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder with the job's settings and its SQL.
    #[arg(long, default_value = mounts::CONFIG)]
    config_dir: PathBuf,
    /// The folder with a folder for each Secret that the SQL refers to.
    #[arg(long, default_value = mounts::SECRETS)]
    secrets_dir: PathBuf,
    /// The folder with the credentials of the checkpoint storage.
    #[arg(long, default_value = mounts::STORAGE)]
    storage_dir: PathBuf,
    /// The folder with the worker's certificate, its key, and the authority that signs the controller's.
    #[arg(long, default_value = mounts::IDENTITY)]
    identity_dir: PathBuf,
    /// Where the API listens, with mutual TLS.
    #[arg(long, default_value_t = SocketAddr::from((Ipv6Addr::UNSPECIFIED, mounts::API_PORT)))]
    api_addr: SocketAddr,
    /// Where /healthz, /readyz and /metrics listen, for everybody.
    #[arg(long, default_value_t = SocketAddr::from((Ipv6Addr::UNSPECIFIED, mounts::HEALTH_PORT)))]
    health_addr: SocketAddr,
}

/// Runs the job until SIGTERM.
///
/// # Errors
/// When the mounted files cannot be used or an address cannot be bound. A job that cannot run is no error: the API says why.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mounts =
        Mounts { config: arguments.config_dir, secrets: arguments.secrets_dir, storage: arguments.storage_dir };
    let settings = Settings::read(&mounts)?;
    let identity = tls::Identity::watch(arguments.identity_dir)?;
    let supervisor = Arc::new(Supervisor::start(settings, mounts.secrets));
    let health = health::serve(arguments.health_addr, Arc::clone(&supervisor)).await?;
    let api = api::serve(arguments.api_addr, identity, Arc::clone(&supervisor)).await?;
    info!(%health, %api, "worker is up");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("asked to end: taking a last checkpoint");
    if tokio::time::timeout(STOP_TIMEOUT, supervisor.stop_for_exit()).await.is_err() {
        warn!("no last checkpoint in time; the job resumes from its latest one");
    }
    Ok(())
}
