//! `/metrics` in Prometheus form, and `/healthz`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};
use tokio::net::TcpListener;

use crate::coordinator::job::View;
use crate::memory;
use crate::runtime::metrics::{OperatorMetrics, Role};

/// Listens on an address. If IPv6 is switched off, `[::]` means every IPv4 address.
///
/// # Errors
/// When the address cannot be bound; the message names it.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let bound = match TcpListener::bind(address).await {
        Err(_) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

/// Starts serving. Ends with the runtime.
///
/// # Errors
/// When the address cannot be bound; the message names it.
pub async fn serve(address: SocketAddr, view: Arc<View>) -> std::io::Result<SocketAddr> {
    serve_with(address, view, Router::new()).await
}

/// As [`serve`], with further routes.
///
/// # Errors
/// When the address cannot be bound; the message names it.
pub async fn serve_with(address: SocketAddr, view: Arc<View>, more: Router) -> std::io::Result<SocketAddr> {
    let listener = bind(address).await?;
    let bound = listener.local_addr()?;
    let registry = Registry::new();
    registry.register(Box::new(JobCollector::new(view))).expect("the only collector of a new registry");
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(Arc::new(registry))
        .merge(more);
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the metrics endpoint has stopped");
        }
    });
    Ok(bound)
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Result<String, String> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).map_err(|error| error.to_string())?;
    String::from_utf8(text).map_err(|error| error.to_string())
}

const OPERATOR_LABELS: [&str; 3] = ["operator", "name", "slot"];

/// Reads a metric of a subtask. `None` if the subtask does not have it.
type Read = fn(&OperatorMetrics) -> Option<u64>;

const COUNTERS: [(&str, &str, Read); 9] = [
    ("eddyline_rows_in_total", "Rows received.", |m| Some(m.rows_in.get())),
    ("eddyline_rows_out_total", "Rows emitted.", |m| (m.role != Role::Sink).then(|| m.rows_out.get())),
    ("eddyline_bytes_in_total", "Bytes read from external systems.", |m| {
        (m.role == Role::Source).then(|| m.bytes.get())
    }),
    ("eddyline_bytes_out_total", "Bytes written to external systems.", |m| {
        (m.role == Role::Sink).then(|| m.bytes.get())
    }),
    ("eddyline_busy_nanoseconds_total", "Time at work.", |m| Some(m.busy_ns.get())),
    ("eddyline_idle_nanoseconds_total", "Time without input.", |m| Some(m.idle_ns.get())),
    ("eddyline_backpressured_nanoseconds_total", "Time waiting for room downstream.", |m| {
        Some(m.backpressured_ns.get())
    }),
    ("eddyline_late_records_total", "Rows dropped because all their windows had fired.", |m| {
        (m.role == Role::Operator).then(|| m.late_rows.get())
    }),
    ("eddyline_bad_records_total", "Records skipped because they could not be read.", |m| {
        (m.role == Role::Source).then(|| m.bad_records.get())
    }),
];

const GAUGES: [(&str, &str, Read); 3] = [
    ("eddyline_state_bytes", "State in memory.", |m| (m.role == Role::Operator).then(|| m.state_bytes.get())),
    ("eddyline_spilled_bytes", "State on the local disk that does not fit in memory.", |m| {
        (m.role == Role::Operator).then(|| m.spilled_bytes.get())
    }),
    ("eddyline_source_lag_records", "Records that the source knows of and has not read yet.", |m| {
        (m.role == Role::Source && m.source_lag.get() != u64::MAX).then(|| m.source_lag.get())
    }),
];

/// Reads the job's counters on request, so that counting has no other cost.
struct JobCollector {
    view: Arc<View>,
}

impl JobCollector {
    fn new(view: Arc<View>) -> Self {
        Self { view }
    }

    fn job_gauges(&self) -> Vec<(&'static str, &'static str, i64)> {
        let status = &self.view.status;
        let state = status.snapshot();
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut gauges = vec![
            ("eddyline_attempt", "The number of the running attempt.", number(state.attempt)),
            ("eddyline_restarts", "Restarts by this process.", number(state.restarts)),
            (
                "eddyline_checkpoints_completed",
                "Checkpoints completed by this process.",
                number(state.checkpoints_completed),
            ),
            ("eddyline_checkpoints_failed", "Checkpoints abandoned by this process.", number(state.checkpoints_failed)),
        ];
        if let Some(limit) = self.view.memory_limit {
            gauges.push(("eddyline_memory_limit_bytes", "Memory above which the process is killed.", number(limit)));
        }
        if let Some(resident) = memory::resident() {
            gauges.push(("eddyline_memory_resident_bytes", "Resident memory of the process.", number(resident)));
        }
        if let Some(copies) = &state.local_copies {
            gauges.extend([
                (
                    "eddyline_local_copy_bytes",
                    "Copies of the latest checkpoint on a local disk.",
                    number(copies.bytes()),
                ),
                (
                    "eddyline_local_copy_failures",
                    "Copies that this process could not write.",
                    number(copies.failures()),
                ),
            ]);
        }
        if let Some(last) = &state.last_restore {
            gauges.extend([
                (
                    "eddyline_restore_local_bytes",
                    "State that the last restore has read from local copies.",
                    number(last.bytes_from_local_copies),
                ),
                (
                    "eddyline_restore_storage_bytes",
                    "State that the last restore has read from storage.",
                    number(last.bytes_from_storage),
                ),
                (
                    "eddyline_restore_duration_milliseconds",
                    "Time until operators had their state.",
                    number(last.duration_ms),
                ),
            ]);
        }
        if let Some(last) = status.last_checkpoint() {
            let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            gauges.extend([
                ("eddyline_checkpoint_last_id", "The last completed checkpoint.", number(last.status.id)),
                (
                    "eddyline_checkpoint_duration_milliseconds",
                    "Time from the barrier until the last checkpoint was stored.",
                    number(last.status.duration_ms),
                ),
                (
                    "eddyline_checkpoint_barrier_milliseconds",
                    "Time until the barrier of the last checkpoint had passed all tasks.",
                    number(last.status.barrier_ms),
                ),
                (
                    "eddyline_checkpoint_alignment_milliseconds",
                    "Longest alignment of a task for the last checkpoint.",
                    number(last.status.alignment_ms),
                ),
                ("eddyline_checkpoint_bytes", "Bytes written for the last checkpoint.", number(last.status.bytes)),
                (
                    "eddyline_checkpoint_age_milliseconds",
                    "Time since the last checkpoint was stored.",
                    millis(last.at.elapsed()),
                ),
            ]);
        }
        gauges
    }
}

impl Collector for JobCollector {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let operators = self.view.operators.read().expect("no holder of the metrics panics").clone();
        let mut families = Vec::new();
        for (name, help, read) in COUNTERS {
            let counters = IntCounterVec::new(Opts::new(name, help), &OPERATOR_LABELS).expect("a valid metric");
            for (metrics, value) in operators.iter().filter_map(|metrics| Some((metrics, read(metrics)?))) {
                counters.with_label_values(&labels(metrics)).inc_by(value);
            }
            families.extend(counters.collect());
        }
        for (name, help, read) in GAUGES {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &OPERATOR_LABELS).expect("a valid metric");
            for (metrics, value) in operators.iter().filter_map(|metrics| Some((metrics, read(metrics)?))) {
                gauges.with_label_values(&labels(metrics)).set(i64::try_from(value).unwrap_or(i64::MAX));
            }
            families.extend(gauges.collect());
        }
        families.extend(watermark_lag(&operators));
        for (name, help, value) in self.job_gauges() {
            let gauge = prometheus::IntGauge::new(name, help).expect("a valid metric");
            gauge.set(value);
            families.extend(gauge.collect());
        }
        families
    }
}

fn labels(metrics: &OperatorMetrics) -> [String; 3] {
    [metrics.uid.to_string(), metrics.label.clone(), metrics.slot.to_string()]
}

/// How far the watermark of each subtask is behind the clock. Absent before the first row and after the end of input.
fn watermark_lag(operators: &[Arc<OperatorMetrics>]) -> Vec<MetricFamily> {
    let opts = Opts::new("eddyline_watermark_lag_milliseconds", "How far event time is behind the clock.");
    let gauges = IntGaugeVec::new(opts, &OPERATOR_LABELS).expect("a valid metric");
    let now = chrono::Utc::now().timestamp_millis();
    for metrics in operators {
        let watermark = metrics.watermark();
        if watermark != eddyline_stream::Watermark::MIN && watermark != eddyline_stream::Watermark::MAX {
            gauges.with_label_values(&labels(metrics)).set(now.saturating_sub(watermark.time_ms()));
        }
    }
    gauges.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_address_is_listened_on_whether_there_is_ipv6_or_not() {
        let listener = bind("[::]:0".parse().expect("an address")).await.expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("IPv4 reaches it");
        let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok();
        let reached = tokio::net::TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.is_ok();
        assert_eq!(reached, has_ipv6);
    }
}
