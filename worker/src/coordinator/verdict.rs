//! Classifies the error of an attempt: whether another attempt can succeed, and what the cause is. Pure functions.

use eddyline_api::status::FailureCause;
use eddyline_job_graph::{JobGraph, NodeKind};
use eddyline_stream::OperatorUid;

use super::attempt;
use super::job::Error;
use crate::runtime::build;
use crate::runtime::connectors::OpenError;
use crate::runtime::task;

/// What a failure means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An external system does not answer, has no room, or refuses access. Attempts fail while that lasts.
    Outage,
    /// The next attempt may succeed. If attempts keep failing, something is wrong.
    Failure,
    /// Every attempt would fail in the same way.
    Mistake,
}

/// What an error means for the next attempt.
pub fn verdict(error: &Error) -> Verdict {
    match error {
        Error::Checkpoint(error) => of_checkpoint(error),
        Error::Attempt(attempt::Error::Checkpoint(error)) => of_checkpoint(error),
        Error::Build(build::Error::Open { source, .. }) => match &**source {
            OpenError::Connector(error) => of_connector(error),
            OpenError::Options(_) => Verdict::Mistake,
        },
        Error::Attempt(attempt::Error::Task(task::Error::Connector { source, .. })) => of_connector(source),
        Error::Attempt(
            attempt::Error::Stage { source, .. }
            | attempt::Error::Commit { source, .. }
            | attempt::Error::Discover { source, .. },
        ) => of_connector(source),
        // Another attempt begins with an empty disk, and may find room.
        Error::Attempt(attempt::Error::Task(task::Error::Operator { source, .. })) if is_of_disk(source) => {
            Verdict::Failure
        }
        Error::Attempt(attempt::Error::Task(_) | attempt::Error::Gather { .. } | attempt::Error::Lost)
        | Error::Build(_)
        | Error::Decode { .. }
        | Error::OpenOutput { .. }
        | Error::ForeignOutput { .. } => Verdict::Mistake,
    }
}

/// Whether the local disk failed.
fn is_of_disk(error: &eddyline_operators::Error) -> bool {
    matches!(error, eddyline_operators::Error::Spill(_))
}

fn of_checkpoint(error: &eddyline_checkpoint::Error) -> Verdict {
    use eddyline_checkpoint::Error as E;
    match error {
        E::Storage(error) | E::Unresolved { source: Some(error), .. } if error.is_outage() => Verdict::Outage,
        E::Unresolved { .. } => Verdict::Failure,
        error if error.is_retryable() => Verdict::Failure,
        _ => Verdict::Mistake,
    }
}

pub(super) fn of_connector(error: &eddyline_connectors::Error) -> Verdict {
    match error {
        eddyline_connectors::Error::Unavailable { retryable: true, .. } => match storage_error_of(error) {
            Some(storage) => of_checkpoint(storage),
            None if error.is_outage() => Verdict::Outage,
            None => Verdict::Failure,
        },
        _ => Verdict::Mistake,
    }
}

/// The error of the checkpoint storage that caused the error of a connector. Connectors stage output there.
fn storage_error_of(error: &eddyline_connectors::Error) -> Option<&eddyline_checkpoint::Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<eddyline_checkpoint::Error>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The cause of an error.
pub fn cause(error: &Error, graph: &JobGraph) -> FailureCause {
    match error {
        Error::Checkpoint(error) => cause_of_checkpoint(error),
        Error::Decode { .. } => FailureCause::Storage,
        Error::OpenOutput { .. } | Error::ForeignOutput { .. } => FailureCause::State,
        Error::Build(build::Error::Open { operator, .. }) => cause_of_operator(graph, operator),
        Error::Build(_) => FailureCause::Job,
        Error::Attempt(error) => match error {
            attempt::Error::Checkpoint(error) => cause_of_checkpoint(error),
            attempt::Error::Stage { sink: operator, source, .. }
            | attempt::Error::Commit { sink: operator, source, .. }
            | attempt::Error::Discover { operator, source }
            | attempt::Error::Task(task::Error::Connector { operator, source }) => {
                match (&**source, storage_error_of(source)) {
                    (eddyline_connectors::Error::BadRecord { .. }, _) => FailureCause::Record,
                    (_, Some(error)) => cause_of_checkpoint(error),
                    (_, None) => cause_of_operator(graph, operator),
                }
            }
            attempt::Error::Task(task::Error::Operator { source, .. }) => match **source {
                eddyline_operators::Error::Evaluate { .. }
                | eddyline_operators::Error::Overflow(_)
                | eddyline_operators::Error::InvalidRow(_) => FailureCause::Evaluation,
                eddyline_operators::Error::Spill(_) => FailureCause::Storage,
                _ => FailureCause::Job,
            },
            attempt::Error::Task(_) | attempt::Error::Gather { .. } | attempt::Error::Lost => FailureCause::Job,
        },
    }
}

fn cause_of_checkpoint(error: &eddyline_checkpoint::Error) -> FailureCause {
    use eddyline_checkpoint::Error as E;
    match error {
        E::MaxParallelismDiffers { .. } | E::KeyHashDiffers { .. } | E::StateMismatch(_) | E::TooNew { .. } => {
            FailureCause::State
        }
        E::Fenced { .. } | E::InvalidSnapshot { .. } | E::InvalidCheckpoint { .. } => FailureCause::Job,
        _ => FailureCause::Storage,
    }
}

fn cause_of_operator(graph: &JobGraph, operator: &OperatorUid) -> FailureCause {
    let node = graph.nodes.iter().find(|node| node.uid == *operator);
    match node.map(|node| &node.kind) {
        Some(NodeKind::Source(_)) => FailureCause::Source,
        Some(NodeKind::Sink(_)) => FailureCause::Sink,
        _ => FailureCause::Job,
    }
}

#[cfg(test)]
mod tests {
    use eddyline_checkpoint::storage;
    use eddyline_stream::{Attempt, CheckpointId, MaxParallelism};

    use super::*;

    fn graph() -> JobGraph {
        let text = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO results SELECT n FROM numbers;"
            .to_owned();
        let script = eddyline_plan::Script { name: "job.sql".to_owned(), text };
        eddyline_plan::plan(&script, &eddyline_plan::PlanOptions::default()).expect("a job").graph
    }

    fn access(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> eddyline_checkpoint::Error {
        let object = "s3://bucket/x".to_owned();
        eddyline_checkpoint::Error::Storage(storage::Error::Access { action: "write", object, source: source.into() })
    }

    fn io(kind: std::io::ErrorKind) -> eddyline_checkpoint::Error {
        access(std::io::Error::from(kind))
    }

    fn unavailable(
        retryable: bool,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Box<eddyline_connectors::Error> {
        Box::new(eddyline_connectors::Error::Unavailable { what: "topic t".to_owned(), source, retryable })
    }

    #[test]
    fn outages_are_waited_out_mistakes_are_not_and_each_is_called_what_it_is() {
        use std::io::ErrorKind;
        let graph = graph();
        let uid_of = |is_sink: bool| {
            let found = graph.nodes.iter().find(|node| matches!(node.kind, NodeKind::Sink(_)) == is_sink);
            found.expect("a source and a sink").uid.clone()
        };
        let (operator, sink) = (uid_of(false), uid_of(true));
        let checkpoint = CheckpointId::new(7);
        let connector = |source| {
            Error::Attempt(attempt::Error::Task(task::Error::Connector { operator: operator.clone(), source }))
        };
        let stage = |source| Error::Attempt(attempt::Error::Stage { sink: sink.clone(), checkpoint, source });
        let commit = |source| Error::Attempt(attempt::Error::Commit { sink: sink.clone(), checkpoint, source });
        let evaluate = |source| {
            let source = Box::new(source);
            let label = "calc".to_owned();
            Error::Attempt(attempt::Error::Task(task::Error::Operator { operator: operator.clone(), label, source }))
        };
        let max = |groups| MaxParallelism::try_from(groups).expect("a power of two");
        let bad = eddyline_connectors::Error::BadRecord { place: "file, line 3".into(), reason: "no JSON".into() };
        let wide = eddyline_checkpoint::Error::MaxParallelismDiffers { recorded: max(64), job: max(128) };
        let (mine, other) = (Attempt::new(1), Attempt::new(2));
        let fenced = eddyline_checkpoint::Error::Fenced { job: "j".into(), mine, other };
        let unresolved = |source| eddyline_checkpoint::Error::Unresolved { record: "control/7".into(), source };
        let lost = storage::Error::Access { action: "create", object: "x".into(), source: "no answer".into() };
        let staged = |error: eddyline_checkpoint::Error| unavailable(true, Some(Box::new(error)));
        let mistyped = storage::Error::Location { uri: "gs://b".into(), reason: "not supported".into() };
        let full = eddyline_state::spill::Error::Full { directory: "/state".into(), bytes_max: 1 };
        use FailureCause::{Evaluation, Job, Record, Sink, Source, State, Storage};
        use Verdict::{Failure, Mistake, Outage};
        let table = [
            ("storage does not answer", Error::Checkpoint(access("connection refused")), Outage, Storage),
            ("a network file system", Error::Checkpoint(io(ErrorKind::TimedOut)), Outage, Storage),
            ("a path that is no folder", Error::Checkpoint(io(ErrorKind::NotADirectory)), Failure, Storage),
            ("a folder of others", Error::Checkpoint(io(ErrorKind::PermissionDenied)), Failure, Storage),
            ("an unknown scheme", Error::Checkpoint(mistyped.into()), Mistake, Storage),
            ("a lost answer to a record", Error::Checkpoint(unresolved(Some(lost))), Outage, Storage),
            ("an unknown record", Error::Checkpoint(unresolved(None)), Failure, Storage),
            ("another maxParallelism", Error::Checkpoint(wide), Mistake, State),
            ("another process", Error::Checkpoint(fenced), Mistake, Job),
            ("staging during an outage of storage", stage(staged(access("refused"))), Outage, Storage),
            ("staging during an outage of a sink", stage(unavailable(true, None)), Outage, Sink),
            ("a commit during an outage of storage", commit(staged(access("refused"))), Outage, Storage),
            ("an outage of a broker", connector(unavailable(true, None)), Outage, Source),
            ("a topic that does not exist", connector(unavailable(false, None)), Mistake, Source),
            ("a record that is no JSON", connector(Box::new(bad)), Mistake, Record),
            ("a full local disk", evaluate(full.into()), Failure, Storage),
            (
                "a sum that is too large",
                evaluate(eddyline_operators::Error::Overflow("SUM".into())),
                Mistake,
                Evaluation,
            ),
            ("a defect", Error::Attempt(attempt::Error::Lost), Mistake, Job),
        ];
        for (what, error, expected, about) in table {
            assert_eq!((verdict(&error), cause(&error, &graph)), (expected, about), "{what}");
        }
    }
}
