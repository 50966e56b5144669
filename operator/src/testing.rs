//! Fixtures of tests: a job, a savepoint, and the answer of a worker.

use std::sync::Arc;

use eddyline_api::status::{CheckpointStatus, Memory, Progress};
use eddyline_api::{JobStatus, Phase};
use eddyline_crds::savepoint::DeletionPolicy;
use eddyline_crds::stream_job::{CheckpointStorage, NameRef};
use eddyline_crds::{Savepoint, SavepointSpec, StreamJob};
use serde_json::json;

use crate::clock::Timestamp;
use crate::names;
use crate::observed::{BatchJob, Observed, Sql, Worker};

mod cluster;
pub(crate) mod health;
mod objects;
pub(crate) mod workers;
pub(crate) mod world;

/// SQL that plans.
pub(crate) const SQL: &str = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '10');\n\
     CREATE TABLE out (n BIGINT) WITH ('connector' = 'blackhole');\n\
     INSERT INTO out SELECT n FROM numbers;\n";

/// The uid of jobs.
pub(crate) const UID: &str = "11111111-2222-3333-4444-555555555555";

/// The time at which tests begin.
pub(crate) fn start() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().expect("a time")
}

/// A job with storage.
pub(crate) fn job(name: &str) -> StreamJob {
    let mut job: StreamJob = serde_json::from_value(json!({
        "apiVersion": "eddyline.io/v1alpha1",
        "kind": "StreamJob",
        "metadata": {
            "name": name, "namespace": "shop", "uid": UID, "generation": 1,
            "creationTimestamp": "2026-05-01T11:00:00Z",
        },
        "spec": {"sql": SQL, "parallelism": 2, "maxParallelism": 128},
    }))
    .expect("a job");
    job.spec.checkpoint.storage = Some(CheckpointStorage {
        uri: "s3://bucket/jobs".to_owned(),
        endpoint: Some("http://s3:7070".to_owned()),
        secret_ref: Some(NameRef { name: "s3".to_owned() }),
    });
    job
}

/// A savepoint of a job.
pub(crate) fn savepoint(name: &str, job: &str) -> Savepoint {
    let spec =
        SavepointSpec { job_ref: NameRef { name: job.to_owned() }, uri: None, deletion_policy: DeletionPolicy::Delete };
    let mut savepoint = Savepoint::new(name, spec);
    savepoint.metadata.namespace = Some("shop".to_owned());
    savepoint.metadata.uid = Some(format!("uid-of-{name}"));
    savepoint
}

/// The answer of a worker that starts a revision of [`job`].
pub(crate) fn worker(revision: u64, phase: Phase) -> JobStatus {
    JobStatus {
        job: "orders".to_owned(),
        start: names::start_token(UID, revision),
        phase,
        message: None,
        is_restart_limit_reached: false,
        attempt: revision,
        parallelism: 2,
        max_parallelism: 128,
        restarts: 0,
        started_at_ms: u64::try_from(start().as_millisecond()).expect("a time") + revision,
        restored_from: None,
        checkpoint: None,
        checkpoint_failures: 0,
        checkpoint_error: None,
        progress: Progress::default(),
        memory: Memory::default(),
        last_restore: None,
        last_rescale: None,
        last_failure: None,
        stopped_with: None,
    }
}

/// A checkpoint of the running attempt.
pub(crate) fn checkpoint(id: u64, at: Timestamp) -> CheckpointStatus {
    CheckpointStatus {
        id,
        attempt: 1,
        completed_at_ms: u64::try_from(at.as_millisecond()).expect("a time"),
        duration_ms: 12,
        barrier_ms: 2,
        alignment_ms: 1,
        bytes: 4096,
        uri: format!("s3://bucket/jobs/shop.orders/chk-{id}"),
        is_of_this_attempt: true,
    }
}

/// An observation with only the job itself.
pub(crate) fn observed(job: StreamJob) -> Observed {
    Observed {
        sql: Sql::Text(job.spec.sql.clone().unwrap_or_default()),
        stateful_set: None,
        refusal: None,
        pods: Vec::new(),
        worker: Worker::Absent,
        has_missed: false,
        address: None,
        record: None,
        previous: None,
        objection_to_return: None,
        identity: None,
        restore_from: None,
        scheduled: Vec::new(),
        retained: Vec::new(),
        cleanup: BatchJob::Absent,
        copy: BatchJob::Absent,
        predecessors: Vec::new(),
        applied: None,
        objection: None,
        is_namespace_going: false,
        job: Arc::new(job),
    }
}
