//! Metrics for Prometheus: about the controller itself, and about jobs as the controller knows them. So they also exist
//! for jobs without a worker. Workers export the metrics that only they know.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eddyline_crds::StreamJobStatus;
use eddyline_crds::status::Phase;
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// The metrics of the controller and its jobs.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    durations: HistogramVec,
    worker_failures: IntCounterVec,
    leader: IntGauge,
    jobs: IntGaugeVec,
    conditions: IntGaugeVec,
    restarts: IntGaugeVec,

    /// What is exported of each job, by namespace and name.
    exported: Arc<Mutex<BTreeMap<(String, String), Exported>>>,
}

/// What is exported of a job.
#[derive(Debug)]
struct Exported {
    phase: Phase,
    /// Type and status.
    conditions: Vec<(String, String)>,
}

impl Metrics {
    /// Metrics that start at zero.
    ///
    /// # Errors
    /// Two metrics have the same name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let reconciles = IntCounterVec::new(
            Opts::new("eddyline_operator_reconciles_total", "Reconciles of objects, by kind and result"),
            &["kind", "result"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new("eddyline_operator_reconcile_seconds", "How long reconciles took, by kind")
                .buckets(vec![0.005, 0.02, 0.1, 0.5, 2.0, 10.0]),
            &["kind"],
        )?;
        let worker_failures = IntCounterVec::new(
            Opts::new("eddyline_operator_worker_failures_total", "Requests to workers that have failed, by request"),
            &["request"],
        )?;
        let leader = IntGauge::new("eddyline_operator_leader", "Whether this replica leads")?;
        let jobs = IntGaugeVec::new(Opts::new("eddyline_operator_jobs", "Jobs by phase"), &["phase"])?;
        let conditions = IntGaugeVec::new(
            Opts::new("eddyline_streamjob_condition", "1 for the status that each condition of a job has"),
            &["namespace", "streamjob", "type", "status"],
        )?;
        let restarts = IntGaugeVec::new(
            Opts::new(
                "eddyline_streamjob_restarts",
                "Restarts of a job by any of its processes, since its revision began",
            ),
            &["namespace", "streamjob"],
        )?;
        let registry = Registry::new();
        registry.register(Box::new(jobs.clone()))?;
        registry.register(Box::new(conditions.clone()))?;
        registry.register(Box::new(restarts.clone()))?;
        registry.register(Box::new(reconciles.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(worker_failures.clone()))?;
        registry.register(Box::new(leader.clone()))?;
        let exported = Arc::default();
        Ok(Self { registry, reconciles, durations, worker_failures, leader, jobs, conditions, restarts, exported })
    }

    /// A reconcile has ended.
    pub fn reconciled(&self, kind: &str, is_ok: bool, took: Duration) {
        self.reconciles.with_label_values(&[kind, if is_ok { "ok" } else { "error" }]).inc();
        self.durations.with_label_values(&[kind]).observe(took.as_secs_f64());
    }

    fn exported(&self) -> MutexGuard<'_, BTreeMap<(String, String), Exported>> {
        self.exported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job has this status.
    pub fn job_seen(&self, namespace: &str, job: &str, status: &StreamJobStatus) {
        let conditions = status.conditions.iter().map(|known| (known.type_.clone(), known.status.clone())).collect();
        let now = Exported { phase: status.phase, conditions };
        let mut exported = self.exported();
        let before = exported.remove(&(namespace.to_owned(), job.to_owned()));
        if before.as_ref().map(|before| before.phase) != Some(now.phase) {
            if let Some(before) = &before {
                self.jobs.with_label_values(&[before.phase.as_str()]).dec();
            }
            self.jobs.with_label_values(&[now.phase.as_str()]).inc();
        }
        for (kind, status) in before.iter().flat_map(|before| &before.conditions) {
            if !now.conditions.iter().any(|known| (&known.0, &known.1) == (kind, status)) {
                self.forget_condition(namespace, job, kind, status);
            }
        }
        for (kind, status) in &now.conditions {
            self.conditions.with_label_values(&[namespace, job, kind, status]).set(1);
        }
        let restarts = i64::try_from(status.restarts).unwrap_or(i64::MAX);
        self.restarts.with_label_values(&[namespace, job]).set(restarts);
        exported.insert((namespace.to_owned(), job.to_owned()), now);
    }

    fn forget_condition(&self, namespace: &str, job: &str, kind: &str, status: &str) {
        // It was set with these labels, so it can be removed.
        let _ = self.conditions.remove_label_values(&[namespace, job, kind, status]);
    }

    /// A job is gone.
    pub fn job_gone(&self, namespace: &str, job: &str) {
        let Some(before) = self.exported().remove(&(namespace.to_owned(), job.to_owned())) else { return };
        self.jobs.with_label_values(&[before.phase.as_str()]).dec();
        for (kind, status) in &before.conditions {
            self.forget_condition(namespace, job, kind, status);
        }
        let _ = self.restarts.remove_label_values(&[namespace, job]);
    }

    /// Removes all jobs of a namespace, or of all namespaces, except these.
    pub fn jobs_left(&self, scope: Option<&str>, exists: impl Fn(&str, &str) -> bool) {
        let known: Vec<(String, String)> = self.exported().keys().cloned().collect();
        for (namespace, job) in known {
            if scope.is_none_or(|scope| scope == namespace) && !exists(&namespace, &job) {
                self.job_gone(&namespace, &job);
            }
        }
    }

    /// Removes all jobs: a replica that does not lead exports none.
    fn forget_jobs(&self) {
        self.exported().clear();
        self.jobs.reset();
        self.conditions.reset();
        self.restarts.reset();
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

    /// All metrics as text.
    ///
    /// # Errors
    /// A metric that cannot be written.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut bytes = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests;
