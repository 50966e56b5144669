//! Numbers about the controller itself, in the form that Prometheus reads. Those about jobs come from their workers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eddyline_crds::status::Phase;
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Numbers about the controller.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    passes: IntCounterVec,
    durations: HistogramVec,
    worker_failures: IntCounterVec,
    leader: IntGauge,
    jobs: IntGaugeVec,

    /// The phase of each job, by namespace and name.
    phases: Arc<Mutex<BTreeMap<String, Phase>>>,
}

impl Metrics {
    /// Numbers that start at zero.
    ///
    /// # Errors
    /// Two numbers have one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let passes = IntCounterVec::new(
            Opts::new("eddyline_operator_passes_total", "Passes over objects, by kind and result"),
            &["kind", "result"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new("eddyline_operator_pass_seconds", "How long passes took, by kind")
                .buckets(vec![0.005, 0.02, 0.1, 0.5, 2.0, 10.0]),
            &["kind"],
        )?;
        let worker_failures = IntCounterVec::new(
            Opts::new("eddyline_operator_worker_failures_total", "Requests to workers that have failed, by request"),
            &["request"],
        )?;
        let leader = IntGauge::new("eddyline_operator_leader", "Whether this replica leads")?;
        let jobs = IntGaugeVec::new(Opts::new("eddyline_operator_jobs", "Jobs by phase"), &["phase"])?;
        let registry = Registry::new();
        registry.register(Box::new(jobs.clone()))?;
        registry.register(Box::new(passes.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(worker_failures.clone()))?;
        registry.register(Box::new(leader.clone()))?;
        Ok(Self { registry, passes, durations, worker_failures, leader, jobs, phases: Arc::default() })
    }

    /// A pass has ended.
    pub fn pass_ended(&self, kind: &str, is_ok: bool, took: Duration) {
        self.passes.with_label_values(&[kind, if is_ok { "ok" } else { "error" }]).inc();
        self.durations.with_label_values(&[kind]).observe(took.as_secs_f64());
    }

    /// A job was seen, or has gone.
    pub fn job_seen(&self, job: &str, phase: Option<Phase>) {
        let mut phases = self.phases.lock().expect("no holder of the phases panics");
        let before = match phase {
            Some(phase) => phases.insert(job.to_owned(), phase),
            None => phases.remove(job),
        };
        if before == phase {
            return;
        }
        if let Some(before) = before {
            self.jobs.with_label_values(&[format!("{before:?}")]).dec();
        }
        if let Some(now) = phase {
            self.jobs.with_label_values(&[format!("{now:?}")]).inc();
        }
    }

    /// Who does not lead knows nothing of jobs.
    fn forget_jobs(&self) {
        self.phases.lock().expect("no holder of the phases panics").clear();
        self.jobs.reset();
    }

    /// A worker has not answered a request, or has refused it.
    pub fn worker_call_failed(&self, request: &str) {
        self.worker_failures.with_label_values(&[request]).inc();
    }

    /// Whether this replica leads.
    pub fn set_leader(&self, is_leader: bool) {
        if !is_leader {
            self.forget_jobs();
        }
        self.leader.set(i64::from(is_leader));
    }

    /// All numbers as text.
    ///
    /// # Errors
    /// A number that cannot be written.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut bytes = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_in_the_text() {
        let metrics = Metrics::new().expect("metrics");
        metrics.pass_ended("StreamJob", true, Duration::from_millis(3));
        metrics.worker_call_failed("status");
        metrics.job_seen("default/a", Some(Phase::Starting));
        metrics.job_seen("default/a", Some(Phase::Running));
        metrics.job_seen("default/b", Some(Phase::Running));
        metrics.job_seen("default/b", None);
        let text = metrics.text().expect("text");
        assert!(text.contains("eddyline_operator_passes_total{kind=\"StreamJob\",result=\"ok\"} 1"), "{text}");
        assert!(text.contains("eddyline_operator_jobs{phase=\"Running\"} 1"), "{text}");
        assert!(text.contains("eddyline_operator_jobs{phase=\"Starting\"} 0"), "{text}");
        metrics.set_leader(false);
        assert!(!metrics.text().expect("text").contains("eddyline_operator_jobs{"), "a replica that does not lead");
        assert!(text.contains("eddyline_operator_worker_failures_total{request=\"status\"} 1"), "{text}");
    }
}
