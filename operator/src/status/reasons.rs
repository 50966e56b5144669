//! The types of a job's conditions, and for each the reasons that it can give.

use crate::observed::TroubleKind;
use crate::validate;
use crate::vocabulary::named;

named! {
    /// What a condition is about, in the order in which conditions are listed. `Stalled` comes before `Reconciling`: tools
    /// that know the two take the first that is true.
    Type {
        /// What runs is what the spec asks for, and could be recovered.
        Ready = "Ready",
        /// It needs attention.
        Stalled = "Stalled",
        /// The controller is on its way to what the spec asks for.
        Reconciling = "Reconciling",
        /// The spec can be run.
        Accepted = "Accepted",
        /// Rows are processed.
        Running = "Running",
        /// All workers that there should be run their part of the job.
        WorkersReady = "WorkersReady",
        /// Checkpoints complete.
        CheckpointHealthy = "CheckpointHealthy",
        /// Event time advances.
        WatermarkAdvancing = "WatermarkAdvancing",
        /// An operator holds up those before it.
        Backpressured = "Backpressured",
        /// Something is worth saying that stops nothing.
        Warning = "Warning",
    }
}

named! {
    /// Of `Ready`, beside those of `WorkersReady` and of what is under way.
    Ready {
        /// All is well.
        Running = "Running",
        /// The first checkpoint of the attempt is on its way.
        WaitingForCheckpoint = "WaitingForCheckpoint",
    }
}

named! {
    /// Of a job that has no worker because it needs none.
    Rest {
        /// Nothing was started yet.
        Pending = "Pending",
        /// The spec asks for it.
        Suspended = "Suspended",
        /// All input has been read.
        Finished = "Finished",
        /// It is being deleted.
        Deleting = "Deleting",
    }
}

named! {
    /// Of `WorkersReady` and `Running`.
    Workers {
        /// All of them run.
        Running = "Running",
        /// A worker starts and restores.
        Starting = "Starting",
        /// An attempt has failed; another one follows.
        Restarting = "Restarting",
        /// The tasks are being replaced.
        Rescaling = "Rescaling",
        /// A last checkpoint is on its way, or complete.
        Stopping = "Stopping",
        /// The job has failed for good.
        JobFailed = "JobFailed",
        /// The pod is ready, and the controller cannot ask it.
        WorkerNotReachable = "WorkerNotReachable",
    }
}

named! {
    /// Of `Reconciling` and `Ready`: an operation.
    UnderWay {
        /// Another number of slots.
        Rescaling = "Rescaling",
        /// A savepoint for a new revision.
        Savepointing = "Savepointing",
        /// A new revision.
        Upgrading = "Upgrading",
        /// The revision before.
        RollingBack = "RollingBack",
        /// Stopping with a savepoint.
        Suspending = "Suspending",
        /// Starting again.
        Resuming = "Resuming",
        /// The end.
        Deleting = "Deleting",
    }
}

named! {
    /// Of `Reconciling`, beside operations.
    Reconciling {
        /// Nothing is under way.
        Settled = "Settled",
        /// About to be started.
        Pending = "Pending",
        /// The savepoint of `restoreFrom` is not completed.
        WaitingForSavepoint = "WaitingForSavepoint",
        /// A batch job still deals with the data of a job that had this name before.
        WaitingForCleanup = "WaitingForCleanup",
        /// A worker starts.
        Starting = "Starting",
        /// An attempt has failed; another one follows.
        Restarting = "Restarting",
        /// The first checkpoint of the attempt is on its way.
        WaitingForCheckpoint = "WaitingForCheckpoint",
    }
}

named! {
    /// Of `Stalled`, beside what keeps pods from running and what is wrong with a spec.
    Stalled {
        /// Nothing is in the way.
        Progressing = "Progressing",
        /// The newest spec did not work and was taken back.
        RolledBack = "RolledBack",
        /// The newest spec did not work, and neither does what it replaced.
        RollbackFailed = "RollbackFailed",
        /// The job has failed for good.
        JobFailed = "JobFailed",
        /// Kubernetes refuses an object of the job.
        ChildRefused = "ChildRefused",
    }
}

named! {
    /// Of `Accepted`, beside what is wrong with a spec.
    Accepted {
        /// It can be run.
        Accepted = "Accepted",
    }
}

named! {
    /// Of conditions that only a worker can speak to, while none does.
    Unknown {
        /// None runs.
        NotRunning = "NotRunning",
        /// One runs and cannot be asked.
        WorkerNotReachable = "WorkerNotReachable",
    }
}

named! {
    /// Of `CheckpointHealthy`.
    Checkpoints {
        /// They complete.
        Completing = "Completing",
        /// The latest ones were abandoned.
        Failing = "Failing",
        /// None completes, and none is abandoned.
        Overdue = "Overdue",
        /// None was completed yet.
        NoneYet = "NoneYet",
    }
}

named! {
    /// Of `WatermarkAdvancing`.
    Watermark {
        /// Results become complete.
        Advancing = "Advancing",
        /// Records are read and event time stands still.
        Stuck = "Stuck",
        /// No source has one.
        NoWatermark = "NoWatermark",
    }
}

named! {
    /// Of `Backpressured`.
    Pressure {
        /// Every operator keeps up.
        KeepingUp = "KeepingUp",
        /// One does not.
        SlowOperator = "SlowOperator",
    }
}

named! {
    /// Of `Warning`.
    Warning {
        /// There is nothing to say.
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
    let under_way = || UnderWay::ALL.iter().map(|reason| reason.as_str());
    let trouble = || TroubleKind::ALL.iter().map(|reason| reason.as_str());
    let refused = || validate::Reason::ALL.iter().map(|reason| reason.as_str());
    let unknown = || Unknown::ALL.iter().map(|reason| reason.as_str());
    let mut names: Vec<&'static str> = match kind {
        Type::Ready => Ready::ALL
            .iter()
            .map(|reason| reason.as_str())
            .chain(rest())
            .chain(workers())
            .chain(under_way())
            .chain(trouble())
            .collect(),
        Type::Stalled => Stalled::ALL.iter().map(|reason| reason.as_str()).chain(refused()).chain(trouble()).collect(),
        Type::Reconciling => Reconciling::ALL.iter().map(|reason| reason.as_str()).chain(under_way()).collect(),
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
