//! `/healthz`, `/readyz` and `/metrics`, open to everybody.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use eddyline_api::Phase;

use super::supervisor::Supervisor;
use crate::metrics_server;

/// Starts serving. Ends with the runtime.
///
/// # Errors
/// When the address cannot be bound; the message names it.
pub async fn serve(address: SocketAddr, supervisor: Arc<Supervisor>) -> std::io::Result<SocketAddr> {
    let ready = {
        let supervisor = Arc::clone(&supervisor);
        move || async move { readiness(supervisor.phase()) }
    };
    let router = Router::new().route("/readyz", get(ready));
    metrics_server::serve_with(address, supervisor.view(), router).await
}

/// The readiness in a phase: a worker is ready while its job runs, and after the job has finished.
fn readiness(phase: Phase) -> (StatusCode, String) {
    let code = match phase {
        Phase::Running | Phase::Rescaling | Phase::Stopping | Phase::Finished => StatusCode::OK,
        Phase::Starting | Phase::Restarting | Phase::Stopped | Phase::Canceled | Phase::Failed | Phase::Fenced => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    (code, format!("{phase:?}\n"))
}
