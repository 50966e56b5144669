//! `eddyline worker`: a job in a pod.
//!
//! The pod is configured by files ([`settings`]). It has two servers: the [`api`] with mutual TLS, and [`health`] for
//! probes and metrics. The process outlives its job: when the job has stopped, finished or failed, the controller reads
//! the outcome and then deletes the pod. Only SIGTERM ends the process, after a last checkpoint.

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

/// The default termination grace period of Kubernetes, in seconds.
const GRACE_PERIOD_SECONDS: u64 = 30;
/// The part of these seconds in which the process ends, after the last checkpoint was taken or abandoned.
const RESERVE_SECONDS: u64 = 5;

/// How long SIGTERM waits for the last checkpoint, in a pod with this grace period.
fn stop_timeout(grace_period_seconds: Option<&str>) -> Duration {
    let configured = grace_period_seconds.and_then(|seconds| seconds.trim().parse().ok());
    let seconds: u64 = configured.unwrap_or(GRACE_PERIOD_SECONDS);
    Duration::from_secs(seconds.saturating_sub(RESERVE_SECONDS.min(seconds / 2)))
}

/// Arguments of `eddyline worker`. The defaults are right in a pod.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder with the job's settings and its SQL.
    #[arg(long, default_value = mounts::CONFIG)]
    config_dir: PathBuf,
    /// The folder that has a folder for each Secret in the SQL.
    #[arg(long, default_value = mounts::SECRETS)]
    secrets_dir: PathBuf,
    /// The folder with the credentials of the checkpoint storage.
    #[arg(long, default_value = mounts::STORAGE)]
    storage_dir: PathBuf,
    /// The folder for copies of the latest checkpoint, if the job has a volume for them.
    #[arg(long, default_value = mounts::DATA)]
    data_dir: PathBuf,
    /// The folder with the worker's certificate, its key, and the authority that signs the controller's.
    #[arg(long, default_value = mounts::IDENTITY)]
    identity_dir: PathBuf,
    /// The address of the API, with mutual TLS.
    #[arg(long, default_value_t = SocketAddr::from((Ipv6Addr::UNSPECIFIED, mounts::API_PORT)))]
    api_addr: SocketAddr,
    /// The address of /healthz, /readyz and /metrics, open to everybody.
    #[arg(long, default_value_t = SocketAddr::from((Ipv6Addr::UNSPECIFIED, mounts::HEALTH_PORT)))]
    health_addr: SocketAddr,
}

/// Runs the job until SIGTERM.
///
/// # Errors
/// When the mounted files cannot be used or an address cannot be bound. A job that cannot run is not an error: the API says
/// why.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mounts = Mounts {
        config: arguments.config_dir,
        secrets: arguments.secrets_dir,
        storage: arguments.storage_dir,
        data: arguments.data_dir,
    };
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
    info!("SIGTERM: taking a last checkpoint");
    let timeout = stop_timeout(std::env::var(mounts::GRACE_PERIOD).ok().as_deref());
    if tokio::time::timeout(timeout, supervisor.stop_for_exit()).await.is_err() {
        warn!("the last checkpoint was not completed in time; the job resumes from its latest one");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_checkpoint_has_almost_all_the_time_that_the_pod_is_given() {
        for (given, seconds) in [(None, 25), (Some("30"), 25), (Some("600"), 595), (Some("4"), 2), (Some("soon"), 25)] {
            assert_eq!(stop_timeout(given), Duration::from_secs(seconds), "{given:?}");
        }
    }
}
