use std::sync::Arc;

use eddyline_api::Phase as WorkerPhase;
use eddyline_crds::StreamJob;
use eddyline_crds::status::{Operation, OperationKind, Phase, Revision};
use eddyline_crds::stream_job::{DesiredState, UpgradeMode};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::observed::{Pod, StatefulSet, Trouble, TroubleKind, Worker};
use crate::revision::Record;
use crate::status::events;
use crate::testing;
use crate::validate::{Accepted, Reason, Rejection};

/// The observation of a healthy job, and the verdict on its spec.
struct Case {
    seen: Observed,
    verdict: Verdict,
    now: Timestamp,
}

fn accepted(job: &StreamJob) -> Accepted {
    let record =
        Record { spec: job.spec.clone(), image: "w:1".to_owned(), storage: job.spec.checkpoint.storage.clone() };
    Accepted { hash: record.hash(), record, warnings: Vec::new() }
}

fn revision(number: u64, hash: &str) -> Revision {
    Revision {
        number,
        generation: 1,
        hash: hash.to_owned(),
        image: "w:1".to_owned(),
        from: "empty".to_owned(),
        started_at: Time(testing::start()),
        restored_from: None,
        was_ready: true,
        is_first: false,
    }
}

fn pod(revision: u64) -> Pod {
    Pod {
        name: "orders-worker-0".to_owned(),
        uid: format!("pod-of-{revision}"),
        ordinal: 0,
        revision: Some(revision),
        is_ready: true,
        created_at: None,
        node: Some("n1".to_owned()),
        going_since: None,
        node_lost_since: None,
        is_node_out: false,
        is_cut_off: false,
        trouble: None,
        last_end: None,
        has_run: true,
    }
}

impl Case {
    /// A job of which revision 1 runs.
    fn running() -> Self {
        let mut job = testing::job("orders");
        let accepted = accepted(&job);
        let status = eddyline_crds::StreamJobStatus {
            phase: Phase::Running,
            revision: Some(revision(1, &accepted.hash)),
            ..Default::default()
        };
        job.status = Some(status);
        let mut seen = testing::observed(job);
        seen.record = Some(Arc::new(accepted.record.clone()));
        seen.stateful_set = Some(StatefulSet { replicas: 1, revision: Some(1), ..StatefulSet::default() });
        seen.pods = vec![pod(1)];
        let mut case = Self { seen, verdict: Verdict::Accepted(Box::new(accepted)), now: testing::start() };
        case.says(1, WorkerPhase::Running);
        case
    }

    fn says(&mut self, revision: u64, phase: WorkerPhase) {
        let mut worker = testing::worker(revision, phase);
        worker.checkpoint = Some(testing::checkpoint(5, self.now));
        self.seen.worker = Worker::Says(Box::new(worker));
    }

    fn job(&mut self, change: impl FnOnce(&mut StreamJob)) {
        change(Arc::make_mut(&mut self.seen.job));
    }

    fn spec(&mut self, change: impl FnOnce(&mut StreamJob)) {
        self.job(change);
        self.verdict = Verdict::Accepted(Box::new(accepted(&self.seen.job)));
    }

    fn operation(&mut self, kind: OperationKind, previous: Option<Revision>) {
        let started_at = Time(self.now);
        self.job(|job| {
            let status = job.status.get_or_insert_default();
            status.operation = Some(Operation { kind, started_at, silent_since: None, savepoint: None, previous });
        });
    }

    fn later(&mut self, seconds: i64) {
        self.now = Timestamp::from_second(self.now.as_second() + seconds).expect("a time");
    }

    /// Sets the time since the operation began, and how long the worker has been silent by then.
    fn silent(&mut self, seconds: i64, silent_for: i64) {
        self.later(seconds);
        let since = Timestamp::from_second(self.now.as_second() - silent_for).expect("a time");
        self.job(|job| {
            let operation = job.status.as_mut().and_then(|status| status.operation.as_mut()).expect("an operation");
            operation.silent_since = Some(Time(since));
        });
    }

    fn plan(&self) -> Plan {
        plan(&self.verdict, &self.seen, &Settings::of_a_test(), self.now)
    }

    /// The operation, the phase and the decided steps, except for the children, which are always applied.
    fn decided(&self) -> (Option<OperationKind>, Phase, Vec<&'static str>) {
        let plan = self.plan();
        let steps = plan.steps.iter().map(Step::name);
        let steps = steps.filter(|name| !["apply the children", "ensure the identity"].contains(name)).collect();
        (plan.status.operation.map(|operation| operation.kind), plan.status.phase, steps)
    }
}

#[test]
fn what_a_user_does_begins_what_it_should() {
    type Change = fn(&mut Case);
    type Expected = (Option<OperationKind>, Phase, &'static [&'static str]);
    let cases: [(&str, Change, Expected); 9] = [
        ("nothing", |_| {}, (None, Phase::Running, &[])),
        (
            "parallelism",
            |c| c.spec(|j| j.spec.parallelism = 4),
            (Some(OperationKind::Rescale), Phase::Rescaling, &["rescale"]),
        ),
        (
            "image",
            |c| c.spec(|j| j.spec.workers.version = "2".into()),
            (Some(OperationKind::Stop), Phase::Savepointing, &["stop"]),
        ),
        (
            "image, from the last state",
            |c| {
                c.spec(|j| {
                    j.spec.workers.version = "2".into();
                    j.spec.upgrade.mode = UpgradeMode::LastState;
                });
            },
            (Some(OperationKind::Upgrade), Phase::Upgrading, &["delete a pod"]),
        ),
        (
            "image, without state",
            |c| {
                c.spec(|j| {
                    j.spec.workers.version = "2".into();
                    j.spec.upgrade.mode = UpgradeMode::Stateless;
                });
            },
            (Some(OperationKind::Stop), Phase::Upgrading, &["stop"]),
        ),
        (
            "suspension",
            |c| c.spec(|j| j.spec.state = DesiredState::Suspended),
            (Some(OperationKind::Suspend), Phase::Suspending, &["stop"]),
        ),
        (
            "both",
            |c| {
                c.spec(|j| {
                    j.spec.workers.version = "2".into();
                    j.spec.state = DesiredState::Suspended;
                });
            },
            (Some(OperationKind::Suspend), Phase::Suspending, &["stop"]),
        ),
        (
            "broken SQL, and parallelism",
            |c| {
                c.job(|j| j.spec.parallelism = 9);
                let message = "1:1: no".to_owned();
                c.verdict = Verdict::Rejected(Rejection { reason: Reason::SqlInvalid, message });
            },
            (Some(OperationKind::Rescale), Phase::Rescaling, &["rescale"]),
        ),
        (
            "another policy of deletion",
            |c| c.spec(|j| j.spec.savepoints.on_delete = eddyline_crds::stream_job::OnDelete::Final),
            (None, Phase::Running, &["set the finalizer"]),
        ),
    ];
    for (what, change, (operation, phase, steps)) in cases {
        let mut case = Case::running();
        change(&mut case);
        assert_eq!(case.decided(), (operation, phase, steps.to_vec()), "{what}");
    }
}

#[test]
fn a_decision_made_twice_is_the_same_decision() {
    let mut case = Case::running();
    case.spec(|job| job.spec.workers.version = "2".to_owned());
    let first = case.plan();
    case.job(|job| job.status = Some(first.status.clone()));
    let second = case.plan();
    assert_eq!(first.steps, second.steps, "the savepoint has the same name");
    assert_eq!(first.status.operation, second.status.operation);
    assert!(second.events.is_empty(), "{:?}", second.events);
}

#[test]
fn a_job_that_cannot_be_asked_right_now_is_waited_for_and_not_for_ever() {
    for (phase, silent_for, proceeds) in [
        (WorkerPhase::Starting, 0, false),
        (WorkerPhase::Restarting, 59, false),
        (WorkerPhase::Restarting, 60, true),
        (WorkerPhase::Stopping, 600, false),
        (WorkerPhase::Rescaling, 59, false),
        (WorkerPhase::Failed, 0, true),
    ] {
        let mut case = Case::running();
        case.spec(|job| job.spec.workers.version = "2".to_owned());
        case.operation(OperationKind::Stop, None);
        case.silent(300, silent_for);
        case.says(1, phase);
        let (operation, _, steps) = case.decided();
        let expected = if proceeds { OperationKind::Upgrade } else { OperationKind::Stop };
        assert_eq!(operation, Some(expected), "{phase:?} for {silent_for} s");
        assert!(!steps.contains(&"stop"), "{phase:?}: {steps:?}");
    }
}

#[test]
fn a_stop_has_a_deadline() {
    for (seconds, proceeds) in [(599, false), (600, true)] {
        let mut case = Case::running();
        case.spec(|job| job.spec.workers.version = "2".to_owned());
        case.operation(OperationKind::Stop, None);
        case.later(seconds);
        case.says(1, WorkerPhase::Stopping);
        let expected = if proceeds { OperationKind::Upgrade } else { OperationKind::Stop };
        assert_eq!(case.decided().0, Some(expected), "{seconds} s");
    }
}

#[test]
fn a_worker_that_misses_one_question_late_in_a_stop_is_not_abandoned() {
    let mut case = Case::running();
    case.spec(|job| job.spec.workers.version = "2".to_owned());
    case.operation(OperationKind::Stop, None);
    case.later(90);
    case.says(1, WorkerPhase::Stopping);
    assert_eq!(case.plan().status.operation.and_then(|operation| operation.silent_since), None);
    case.seen.worker = Worker::Silent("timed out".to_owned());
    let first = case.plan().status.operation.expect("the stop is still in progress");
    assert_eq!((first.kind, &first.silent_since), (OperationKind::Stop, &Some(Time(case.now))));
    case.job(|job| job.status.as_mut().expect("a status").operation = Some(first));
    case.later(59);
    assert_eq!(case.decided().0, Some(OperationKind::Stop));
    case.later(1);
    assert_eq!(case.decided().0, Some(OperationKind::Upgrade));
}

#[test]
fn a_job_that_cannot_start_is_looked_at_less_and_less_often() {
    let mut case = Case::running();
    case.seen.worker = Worker::Absent;
    case.seen.pods.clear();
    let started = case.plan().status;
    case.job(|job| job.status = Some(started));
    let mut last = Duration::ZERO;
    for (later, least, most) in [(0, 2, 2), (60, 7, 8), (600, 30, 30), (86_400, 30, 30)] {
        case.later(later);
        let requeue = case.plan().requeue;
        assert!(requeue >= last && (least..=most).contains(&requeue.as_secs()), "{later} s later: {requeue:?}");
        last = requeue;
    }
    // Once it runs, the controller waits for its first checkpoint again.
    case.seen.pods = vec![pod(1)];
    let mut worker = testing::worker(1, WorkerPhase::Running);
    worker.checkpoint = None;
    case.seen.worker = Worker::Says(Box::new(worker));
    let running = case.plan().status;
    case.job(|job| job.status = Some(running));
    assert_eq!(case.plan().requeue.as_secs(), 2);
    // Waiting before a revision began does not slow down the reconciles of that revision.
    case.job(|job| {
        let status = job.status.as_mut().expect("a status");
        status.conditions.clear();
        status.revision.as_mut().expect("a revision").started_at = Time(testing::start());
    });
    assert_eq!(case.plan().requeue.as_secs(), 30);
}

#[test]
fn a_new_revision_is_rolled_back_after_its_deadline() {
    for (seconds, enabled, expected) in [
        (299, true, (Some(OperationKind::Upgrade), 2)),
        (300, true, (Some(OperationKind::Rollback), 3)),
        (300, false, (Some(OperationKind::Upgrade), 2)),
    ] {
        let mut case = Case::running();
        let old = revision(1, &accepted(&case.seen.job).hash);
        case.seen.previous = case.seen.record.clone();
        case.spec(|job| {
            job.spec.workers.version = "2".to_owned();
            job.spec.upgrade.rollback.enabled = enabled;
        });
        case.operation(OperationKind::Upgrade, Some(old));
        let hash = accepted(&case.seen.job).hash;
        case.job(|job| {
            let status = job.status.get_or_insert_default();
            status.revision = Some(Revision { was_ready: false, from: "s3://sp".to_owned(), ..revision(2, &hash) });
        });
        case.seen.record = Some(Arc::new(accepted(&case.seen.job).record));
        case.seen.pods = vec![pod(2)];
        case.seen.worker = Worker::Absent;
        case.later(seconds);
        let status = case.plan().status;
        let number = status.revision.as_ref().map_or(0, |revision| revision.number);
        assert_eq!((status.operation.map(|operation| operation.kind), number), expected, "{seconds} s, {enabled}");
        if number == 3 {
            let revision = status.revision.expect("a revision");
            assert_eq!((revision.from.as_str(), revision.image.as_str()), ("s3://sp", "w:1"));
            assert!(status.rolled_back.is_some_and(|back| back.hash == hash));
        }
    }
}

#[test]
fn a_rollback_resumes_from_where_least_is_repeated() {
    const LOST: &str = "output that was committed since then is repeated";
    let objection = Some("TUMBLE(5 min) -> TUMBLE(1 min)".to_owned());
    for (from, has_own, objection, restored_from, expected, repeats) in [
        ("latest", true, None, Some("s3://chk"), Some("latest"), false),
        ("latest", false, None, None, Some("latest"), false),
        ("latest", true, objection.clone(), Some("s3://chk"), Some("s3://chk"), true),
        // It may have completed one that was not observed.
        ("latest", false, objection.clone(), Some("s3://chk"), Some("s3://chk"), true),
        // It was never observed to restore anything.
        ("latest", false, objection.clone(), None, Some("latest"), false),
        ("latest", true, objection.clone(), None, None, false),
        ("s3://sp", false, objection.clone(), Some("s3://sp"), Some("s3://sp"), false),
        ("s3://sp", true, None, Some("s3://sp"), Some("s3://sp"), true),
    ] {
        let mut case = Case::running();
        let old = revision(1, &accepted(&case.seen.job).hash);
        case.seen.previous = case.seen.record.clone();
        case.seen.objection_to_return = objection;
        case.spec(|job| job.spec.workers.version = "2".to_owned());
        case.operation(OperationKind::Upgrade, Some(old));
        let failed = Revision {
            was_ready: false,
            from: from.to_owned(),
            restored_from: restored_from.map(str::to_owned),
            ..revision(2, &accepted(&case.seen.job).hash)
        };
        case.job(|job| job.status.get_or_insert_default().revision = Some(failed));
        case.says(2, WorkerPhase::Failed);
        if let (Worker::Says(worker), false) = (&mut case.seen.worker, has_own) {
            worker.checkpoint = None;
        }
        let Plan { status, events, .. } = case.plan();
        let what = format!("{from}, {has_own}, {restored_from:?}");
        let revision = status.revision.expect("a revision");
        match (expected, status.rolled_back) {
            (Some(expected), Some(back)) => {
                assert_eq!((revision.number, revision.from.as_str()), (3, expected), "{what}");
                assert_eq!(back.message.contains(LOST), repeats, "{what}: {}", back.message);
            }
            (None, None) => {
                assert_eq!((revision.number, status.operation, status.phase), (2, None, Phase::Failed), "{what}");
                let event = events.iter().find(|event| event.reason == crate::events::Reason::RollbackFailed);
                assert!(event.is_some_and(|event| event.message.contains("TUMBLE(5 min)")), "{what}: {events:?}");
            }
            (_, back) => panic!("{what}: {back:?}"),
        }
    }
}

#[test]
fn pods_that_must_not_be_are_deleted() {
    let mut case = Case::running();
    let mut of_before = pod(0);
    of_before.uid = "other".to_owned();
    case.seen.pods.push(of_before);
    let steps = case.plan().steps;
    let deleted: Vec<_> = steps
        .iter()
        .filter_map(|step| match step {
            Step::DeletePod { uid, grace, .. } => Some((uid.as_str(), *grace)),
            _ => None,
        })
        .collect();
    assert_eq!(deleted, [("other", None)]);
}

#[test]
fn a_pod_of_a_lost_node_is_forced_to_go_after_half_a_minute() {
    for (seconds, is_forced) in [(29, false), (30, true)] {
        let mut case = Case::running();
        case.seen.worker = Worker::Silent("timed out".to_owned());
        case.seen.pods[0].is_ready = false;
        case.seen.pods[0].node_lost_since = Some(case.now);
        let message = "n1 does not answer".to_owned();
        case.seen.pods[0].trouble = Some(Trouble { kind: TroubleKind::NodeLost, message });
        case.later(seconds);
        let forced = case.plan().steps.iter().any(|step| matches!(step, Step::DeletePod { grace: Some(0), .. }));
        assert_eq!(forced, is_forced, "{seconds} s");
    }
}

#[test]
fn what_is_done_when_the_time_of_a_deletion_is_over_is_not_abandoned() {
    use eddyline_crds::stream_job::OnDelete;

    use crate::observed::BatchJob;
    for (policy, is_done) in [(OnDelete::Final, true), (OnDelete::Delete, true), (OnDelete::Final, false)] {
        let mut case = Case::running();
        let asked = Time(case.now);
        case.job(|job| {
            job.spec.savepoints.on_delete = policy;
            job.metadata.finalizers = Some(vec![crate::names::FINALIZER.to_owned()]);
            job.metadata.deletion_timestamp = Some(asked);
        });
        case.operation(OperationKind::Finalize, None);
        (case.seen.worker, case.seen.stateful_set) = (Worker::Absent, None);
        case.seen.pods.clear();
        let batch_job = if is_done { BatchJob::Done { checkpoint: Some(5) } } else { BatchJob::Absent };
        match policy {
            OnDelete::Final => case.seen.copy = batch_job,
            OnDelete::Delete | OnDelete::Retain => case.seen.cleanup = batch_job,
        }
        case.later(60);
        let plan = case.plan();
        assert!(plan.steps.contains(&Step::SetFinalizer(false)), "{:?}", plan.steps);
        let is_left = plan.events.iter().any(|event| event.reason == crate::events::Reason::StateLeft);
        assert_eq!(is_left, !is_done, "{policy:?}: {:?}", plan.events);
        let savepoint = plan.steps.iter().any(|step| matches!(step, Step::CreateSavepoint(_)));
        assert_eq!(savepoint, is_done && policy == OnDelete::Final, "{:?}", plan.steps);
    }
}

#[test]
fn a_revision_that_never_ran_hands_on_what_it_was_to_start_from() {
    let mut case = Case::running();
    case.spec(|job| job.spec.workers.version = "2".to_owned());
    case.operation(OperationKind::Stop, None);
    let message = "the image cannot be pulled".to_owned();
    case.seen.pods[0].trouble = Some(Trouble { kind: TroubleKind::ImagePullFailed, message });
    case.seen.worker = Worker::Absent;
    for (was_ready, from) in [(false, "s3://seed"), (true, "latest")] {
        case.job(|job| {
            let revision = job.status.as_mut().and_then(|status| status.revision.as_mut()).expect("a revision");
            revision.was_ready = was_ready;
            revision.from = "s3://seed".to_owned();
        });
        let revision = case.plan().status.revision.expect("a revision");
        assert_eq!((revision.number, revision.from.as_str()), (2, from), "{was_ready}");
    }
}

#[test]
fn conditions_keep_the_time_of_their_last_change() {
    let mut case = Case::running();
    let first = case.plan().status;
    case.job(|job| job.status = Some(first.clone()));
    case.later(20);
    let second = case.plan().status;
    assert_eq!(
        first.conditions.iter().map(|c| &c.last_transition_time).collect::<Vec<_>>(),
        second.conditions.iter().map(|c| &c.last_transition_time).collect::<Vec<_>>(),
    );
    case.says(1, WorkerPhase::Restarting);
    let third = case.plan().status;
    let ready =
        |status: &StreamJobStatus| status.conditions.iter().find(|c| c.type_ == "Ready").cloned().expect("Ready");
    assert_ne!(ready(&second).last_transition_time, ready(&third).last_transition_time);
    assert_eq!(ready(&third).status, "False");
    assert!(third.conditions.iter().all(|condition| condition.observed_generation == Some(1)));
    assert!(third.conditions.iter().all(|condition| !condition.reason.is_empty()));
}

#[test]
fn a_checkpoint_that_neither_completes_nor_fails_is_overdue() {
    let mut case = Case::running();
    let healthy = |case: &Case| {
        let conditions = case.plan().status.conditions;
        conditions.into_iter().find(|condition| condition.type_ == "CheckpointHealthy").expect("the condition")
    };
    assert_eq!(healthy(&case).status, "True");
    case.later(3_600);
    let overdue = healthy(&case);
    assert_eq!((overdue.status.as_str(), overdue.reason.as_str()), ("False", "Overdue"));
    assert!(overdue.message.contains("one is due every 10s"), "{}", overdue.message);
}

#[test]
fn a_source_that_cannot_be_read_is_a_warning_and_reported_once() {
    let mut case = Case::running();
    let before = case.plan().status;
    let mut worker = testing::worker(1, WorkerPhase::Running);
    worker.progress.unreachable_sources = vec!["Source: orders: no broker answers".to_owned()];
    case.seen.worker = Worker::Says(Box::new(worker));
    let during = case.plan().status;
    let warning = during.conditions.iter().find(|condition| condition.type_ == "Warning").expect("the condition");
    assert_eq!((warning.status.as_str(), warning.reason.as_str()), ("True", "SourceUnreachable"));
    assert_eq!(warning.message, "Source: orders: no broker answers");
    let reported = |from, to| events::between(from, to).into_iter().map(|event| event.reason).collect::<Vec<_>>();
    assert_eq!(reported(&before, &during), [crate::events::Reason::SourceUnreachable]);
    assert_eq!(reported(&during, &during), []);
}

#[test]
fn restarts_are_counted_over_processes() {
    let mut case = Case::running();
    let mut counted = Vec::new();
    for (process, restarts) in [(0, 0), (0, 2), (0, 3), (5, 0), (5, 1)] {
        let mut worker = testing::worker(1, WorkerPhase::Running);
        worker.started_at_ms += process * 1000;
        worker.restarts = restarts;
        case.seen.worker = Worker::Says(Box::new(worker));
        let status = case.plan().status;
        counted.push(status.restarts);
        case.job(|job| job.status = Some(status));
    }
    assert_eq!(counted, [0, 2, 3, 4, 5]);
}

#[test]
fn an_operation_that_is_recorded_is_carried_on_by_whoever_reads_it() {
    // A controller has recorded revision 2 and died: its ConfigMap does not exist, and the old pod does.
    let mut case = Case::running();
    let old = revision(1, &accepted(&case.seen.job).hash);
    case.seen.previous = case.seen.record.take();
    case.spec(|job| job.spec.workers.version = "2".to_owned());
    let hash = accepted(&case.seen.job).hash;
    case.operation(OperationKind::Upgrade, Some(old));
    case.job(|job| {
        job.status.get_or_insert_default().revision = Some(Revision { was_ready: false, ..revision(2, &hash) });
    });
    let plan = case.plan();
    let steps: Vec<_> = plan.steps.iter().map(Step::name).collect();
    assert_eq!(steps, ["ensure the identity", "apply the children", "delete a pod"]);
    assert_eq!(plan.status.revision.map(|revision| revision.number), Some(2));
}
