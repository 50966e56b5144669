//! The controller's binary: wiring only.

use std::sync::Arc;

use anyhow::Context as _;
use eddyline_operator::clock::SystemClock;
use eddyline_operator::context::Context;
use eddyline_operator::leader::Leadership;
use eddyline_operator::metrics::Metrics;
use eddyline_operator::settings::{LogFormat, Settings};
use eddyline_operator::worker_client::Https;
use eddyline_operator::{controller, server};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let settings = Settings::of_process()?;
    start_logging(settings.log);
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a cryptography provider is already installed"))?;
    // Two threads are enough: most of the time the controller waits.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(run(settings));
    // Requests in progress are dropped: every request may be repeated.
    runtime.shutdown_background();
    result
}

fn start_logging(format: LogFormat) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,kube_client::client::builder=off"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        LogFormat::Text => lines.init(),
    }
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let client = kube::Client::try_default().await.context("failed to find the API server")?;
    let metrics = Metrics::new()?;
    let clock = Arc::new(SystemClock);
    info!(version = env!("CARGO_PKG_VERSION"), identity = settings.identity, "started");
    let (listen, elects) = (settings.listen, settings.leader_elect);
    let mut leadership = Leadership::new(client.clone(), &settings, &*clock);
    let context = Arc::new(Context::new(client, settings, clock.clone(), Arc::new(Https), metrics.clone()));
    let act = async {
        if !elects {
            metrics.set_leader(true);
            controller::run(context).await;
            return;
        }
        loop {
            leadership.acquire(&context.claims).await;
            metrics.set_leader(true);
            // Once the lease is lost, this replica stops at once: the next holder decides what to do.
            tokio::select! {
                () = leadership.keep(&context.claims) => {}
                () = controller::run(context.clone()) => {}
            }
            metrics.set_leader(false);
            context.forget_all();
        }
    };
    let result = tokio::select! {
        served = server::serve(listen, metrics.clone()) => {
            served.with_context(|| format!("failed to serve health and metrics on {listen}"))
        }
        () = act => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    if elects {
        leadership.release().await;
    }
    info!("ended");
    result
}
