//! The types of a job's conditions, and the reasons of each.

use crate::observed::TroubleKind;
use crate::validate;
use crate::vocabulary::named;

named! {
    /// The types, in the order in which conditions are listed. `Stalled` comes before `Reconciling`, because tools that
    /// know both take the first that is true.
    Type {
        /// What runs is what the spec asks for, and it can be recovered.
        Ready = "Ready",
        /// The job needs attention.
        Stalled = "Stalled",
        /// The controller is carrying out the spec.
        Reconciling = "Reconciling",
        /// The spec can be run.
        Accepted = "Accepted",
        /// Rows are processed.
        Running = "Running",
        /// All workers run their part of the job.
        WorkersReady = "WorkersReady",
        /// Checkpoints complete.
        CheckpointHealthy = "CheckpointHealthy",
        /// Event time advances.
        WatermarkAdvancing = "WatermarkAdvancing",
        /// An operator slows down the operators before it.
        Backpressured = "Backpressured",
        /// There is a warning. The job runs.
        Warning = "Warning",
    }
}

named! {
    /// Reasons of `Ready`, beside those of `WorkersReady` and of operations.
    Ready {
        /// All is well.
        Running = "Running",
        /// The first checkpoint of the attempt is in progress.
        WaitingForCheckpoint = "WaitingForCheckpoint",
    }
}

named! {
    /// Reasons of a job that needs no worker.
    Rest {
        /// The job has not started yet.
        Pending = "Pending",
        /// The spec suspends the job.
        Suspended = "Suspended",
        /// All input has been read.
        Finished = "Finished",
        /// It is being deleted.
        Deleting = "Deleting",
    }
}

named! {
    /// Reasons of `WorkersReady` and `Running`.
    Workers {
        /// All of them run.
        Running = "Running",
        /// A worker starts and restores.
        Starting = "Starting",
        /// An attempt has failed; another one follows.
        Restarting = "Restarting",
        /// The tasks are being replaced.
        Rescaling = "Rescaling",
        /// A last checkpoint is in progress, or complete.
        Stopping = "Stopping",
        /// The job has failed for good.
        JobFailed = "JobFailed",
        /// The pod is ready, but the controller cannot reach the worker.
        WorkerNotReachable = "WorkerNotReachable",
    }
}

named! {
    /// Reasons of `Reconciling` and `Ready`: operations.
    Operations {
        /// The number of slots is being changed.
        Rescaling = "Rescaling",
        /// The old revision takes a savepoint for a new one.
        Savepointing = "Savepointing",
        /// A new revision is being started.
        Upgrading = "Upgrading",
        /// The previous spec is being started again.
        RollingBack = "RollingBack",
        /// The job is being stopped with a savepoint.
        Suspending = "Suspending",
        /// The job is being started again.
        Resuming = "Resuming",
        /// The job is being deleted.
        Deleting = "Deleting",
    }
}

named! {
    /// Reasons of `Reconciling`, beside operations.
    Reconciling {
        /// Nothing is in progress.
        Settled = "Settled",
        /// The job is about to start.
        Pending = "Pending",
        /// The savepoint of `restoreFrom` is not completed.
        WaitingForSavepoint = "WaitingForSavepoint",
        /// A batch job still deletes or copies the data of an earlier job of this name.
        WaitingForCleanup = "WaitingForCleanup",
        /// A worker starts.
        Starting = "Starting",
        /// An attempt has failed; another one follows.
        Restarting = "Restarting",
        /// The first checkpoint of the attempt is in progress.
        WaitingForCheckpoint = "WaitingForCheckpoint",
    }
}

named! {
    /// Reasons of `Stalled`, beside those of pods that do not run and of a refused spec.
    Stalled {
        /// Nothing is wrong.
        Progressing = "Progressing",
        /// The newest spec did not work and was rolled back.
        RolledBack = "RolledBack",
        /// The newest spec did not work, and the previous one does not run either.
        RollbackFailed = "RollbackFailed",
        /// The job has failed for good.
        JobFailed = "JobFailed",
        /// Kubernetes refuses an object of the job.
        ChildRefused = "ChildRefused",
    }
}

named! {
    /// Reasons of `Accepted`, beside those of a refused spec.
    Accepted {
        /// The spec can be run.
        Accepted = "Accepted",
    }
}

named! {
    /// Reasons of conditions that only a worker can give, while none does.
    Unknown {
        /// No worker runs.
        NotRunning = "NotRunning",
        /// A worker runs, but the controller cannot reach it.
        WorkerNotReachable = "WorkerNotReachable",
    }
}

named! {
    /// Reasons of `CheckpointHealthy`.
    Checkpoints {
        /// Checkpoints complete.
        Completing = "Completing",
        /// The latest ones were abandoned.
        Failing = "Failing",
        /// No checkpoint completes, and none is abandoned.
        Overdue = "Overdue",
        /// No checkpoint was completed yet.
        NoneYet = "NoneYet",
    }
}

named! {
    /// Reasons of `WatermarkAdvancing`.
    Watermark {
        /// Results become complete.
        Advancing = "Advancing",
        /// Records are read, but event time stands still.
        Stuck = "Stuck",
        /// No source has a watermark.
        NoWatermark = "NoWatermark",
    }
}

named! {
    /// Reasons of `Backpressured`.
    Pressure {
        /// Every operator keeps up.
        KeepingUp = "KeepingUp",
        /// An operator does not keep up.
        SlowOperator = "SlowOperator",
    }
}

named! {
    /// Reasons of `Warning`.
    Warning {
        /// There is no warning.
        NothingToReport = "NothingToReport",
        /// Checkpoints end with the process.
        NoCheckpointStorage = "NoCheckpointStorage",
        /// Something in the SQL or the settings has no effect.
        SqlWarnings = "SqlWarnings",
        /// A source cannot be read at the moment.
        SourceUnreachable = "SourceUnreachable",
    }
}

/// The names of all reasons that a condition of a type can give, in order and once each.
pub fn of(kind: Type) -> Vec<&'static str> {
    let rest = || Rest::ALL.iter().map(|reason| reason.as_str());
    let workers = || Workers::ALL.iter().map(|reason| reason.as_str());
    let operations = || Operations::ALL.iter().map(|reason| reason.as_str());
    let trouble = || TroubleKind::ALL.iter().map(|reason| reason.as_str());
    let refused = || validate::Reason::ALL.iter().map(|reason| reason.as_str());
    let unknown = || Unknown::ALL.iter().map(|reason| reason.as_str());
    let mut names: Vec<&'static str> = match kind {
        Type::Ready => Ready::ALL
            .iter()
            .map(|reason| reason.as_str())
            .chain(rest())
            .chain(workers())
            .chain(operations())
            .chain(trouble())
            .collect(),
        Type::Stalled => Stalled::ALL.iter().map(|reason| reason.as_str()).chain(refused()).chain(trouble()).collect(),
        Type::Reconciling => Reconciling::ALL.iter().map(|reason| reason.as_str()).chain(operations()).collect(),
        Type::Accepted => Accepted::ALL.iter().map(|reason| reason.as_str()).chain(refused()).collect(),
        Type::Running | Type::WorkersReady => rest().chain(workers()).chain(trouble()).collect(),
        Type::CheckpointHealthy => Checkpoints::ALL.iter().map(|reason| reason.as_str()).chain(unknown()).collect(),
        Type::WatermarkAdvancing => Watermark::ALL.iter().map(|reason| reason.as_str()).chain(unknown()).collect(),
        Type::Backpressured => Pressure::ALL.iter().map(|reason| reason.as_str()).chain(unknown()).collect(),
        Type::Warning => Warning::ALL.iter().map(|reason| reason.as_str()).collect(),
    };
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use eddyline_crds::status::Phase;

    use super::*;
    use crate::events;

    /// Every word, a line each.
    fn words() -> String {
        let conditions = Type::ALL.iter().map(|kind| format!("{}: {}\n", kind.as_str(), of(*kind).join(" ")));
        let mut events: Vec<&str> = events::Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        events.sort_unstable();
        let phases = Phase::ALL.map(Phase::as_str);
        format!("{}events: {}\nphases: {}\n", conditions.collect::<String>(), events.join(" "), phases.join(" "))
    }

    #[test]
    fn the_words_that_others_write_rules_on_stay_the_same() {
        insta::assert_snapshot!(words());
    }

    #[test]
    fn the_guide_lists_every_word_that_can_be_met_and_no_other() {
        let guide = include_str!("../../../docs/kubernetes/conditions-and-events.md");
        let section = |title: &str| {
            let from = guide.find(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("no section {title}"));
            let rest = &guide[from + 4..];
            &rest[..rest.find("\n## ").unwrap_or(rest.len())]
        };
        // The first cells of tables.
        let listed = |text: &str| -> Vec<String> {
            let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
            let mut words: Vec<String> =
                cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
            words.sort_unstable();
            words.dedup();
            words
        };
        for kind in Type::ALL {
            assert_eq!(listed(section(kind.as_str())), of(*kind), "{}", kind.as_str());
        }
        let mut events: Vec<&str> = events::Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        events.sort_unstable();
        assert_eq!(listed(section("Events")), events, "events");
        for phase in Phase::ALL {
            assert!(section("Phases").contains(&format!("`{}`", phase.as_str())), "{}", phase.as_str());
        }
    }
}
