//! Health and metrics over HTTP, for Kubernetes and Prometheus. A replica that waits for the Lease is healthy and
//! ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// Serves until it is dropped.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(address: SocketAddr, metrics: Metrics) -> std::io::Result<()> {
    axum::serve(listen(address).await?, routes(metrics)).await
}

/// Listens on an address. If IPv6 is switched off, `[::]` means every IPv4 address.
async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(_) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}

fn routes(metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(|| async { "ok" }))
        .route("/metrics", get(text))
        .with_state(metrics)
}

async fn text(State(metrics): State<Metrics>) -> (StatusCode, String) {
    match metrics.text() {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_address_is_listened_on_whether_there_is_ipv6_or_not() {
        let listener = listen("[::]:0".parse().expect("an address")).await.expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("IPv4 reaches it");
        let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok();
        let reached = tokio::net::TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.is_ok();
        assert_eq!(reached, has_ipv6);
    }
}
