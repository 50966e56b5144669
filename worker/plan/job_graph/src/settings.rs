//! What SET statements and `spec.config` say, typed.

use std::time::Duration;

use eddyline_stream::MaxParallelism;
use serde::Serialize;

/// Settings of a job. `None` leaves the decision to the command line or the default.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// `pipeline.name`.
    pub name: Option<String>,
    /// `parallelism.default`, `table.exec.resource.default-parallelism`.
    pub parallelism: Option<u16>,
    /// `pipeline.max-parallelism`.
    pub max_parallelism: MaxParallelism,
    /// `execution.checkpointing.interval`.
    pub checkpoint_interval: Option<Duration>,
    /// `execution.checkpointing.timeout`.
    pub checkpoint_timeout: Duration,
    /// `execution.checkpointing.dir`, `state.checkpoints.dir`.
    pub checkpoint_dir: Option<String>,
    /// `state.checkpoints.num-retained`, `execution.checkpointing.num-retained`.
    pub checkpoints_retained: usize,
    /// `table.exec.source.idle-timeout`; zero is never.
    pub source_idle_timeout: Duration,
    /// `execution.buffer-timeout.*`.
    pub buffer_timeout: BufferTimeout,
    /// `table.local-time-zone`: a name that a time zone is found by.
    pub local_time_zone: String,
    /// `table.optimizer.reuse-sub-plan-enabled`: what is computed twice is computed once.
    pub reuse_sub_plans: bool,
    /// `table.optimizer.reuse-source-enabled`: a table has one source, however often it is read.
    pub reuse_sources: bool,
    /// `table.optimizer.agg-phase-strategy`: subtasks aggregate their own rows in front of the exchange where they can.
    pub two_phase_aggregation: bool,
    /// `table.exec.sink.*-enforcer`.
    pub sink_constraints: SinkConstraints,
}

/// How long rows that a source has read wait for others, to be handed on as one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BufferTimeout {
    /// `execution.buffer-timeout.interval`; zero is not at all.
    pub interval: Duration,
    /// `execution.buffer-timeout.enabled`: without it they wait until the batch is whole.
    pub is_enabled: bool,
}

impl BufferTimeout {
    /// The longest wait; `None` if there is no limit.
    pub fn limit(self) -> Option<Duration> {
        self.is_enabled.then_some(self.interval)
    }
}

impl Default for BufferTimeout {
    /// Flink has 100 ms.
    fn default() -> Self {
        Self { interval: Duration::from_millis(5), is_enabled: true }
    }
}

/// What a table that is written does about values that are not as declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SinkConstraints {
    /// `table.exec.sink.not-null-enforcer`.
    pub not_null: NotNullEnforcer,
    /// `table.exec.sink.type-length-enforcer`.
    pub type_length: TypeLengthEnforcer,
    /// `table.exec.sink.nested-constraint-enforcer`.
    pub nested: NestedConstraintEnforcer,
}

/// What happens to a NULL in a NOT NULL column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum NotNullEnforcer {
    /// The job fails.
    #[default]
    Error,
    /// Its row is dropped.
    Drop,
}

/// What happens to a value that is longer, or for CHAR and BINARY shorter, than declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum TypeLengthEnforcer {
    /// It is written as it is.
    #[default]
    Ignore,
    /// It is cut, or filled with blanks or zeros.
    TrimPad,
    /// The job fails.
    Error,
}

/// Where inside of a column's value declarations count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum NestedConstraintEnforcer {
    /// Nowhere.
    #[default]
    Ignore,
    /// In the fields of a ROW.
    Rows,
    /// In a ROW, an ARRAY and a MAP.
    RowsAndCollections,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            name: None,
            parallelism: None,
            max_parallelism: MaxParallelism::DEFAULT,
            checkpoint_interval: None,
            checkpoint_timeout: Duration::from_secs(600),
            checkpoint_dir: None,
            checkpoints_retained: 3,
            source_idle_timeout: Duration::ZERO,
            buffer_timeout: BufferTimeout::default(),
            local_time_zone: "UTC".to_owned(),
            reuse_sub_plans: true,
            reuse_sources: true,
            two_phase_aggregation: true,
            sink_constraints: SinkConstraints::default(),
        }
    }
}
