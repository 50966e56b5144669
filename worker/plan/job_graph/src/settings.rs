//! Settings from SET statements and `spec.config`, as types.

use std::time::Duration;

use eddyline_stream::MaxParallelism;
use serde::Serialize;

/// Settings of a job. `None`: the command line or a default decides.
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
    /// `table.exec.source.idle-timeout`; zero: splits never become idle by time.
    pub source_idle_timeout: Duration,
    /// `execution.buffer-timeout.*`.
    pub buffer_timeout: BufferTimeout,
    /// `table.local-time-zone`: the name of a time zone.
    pub local_time_zone: String,
    /// `table.optimizer.reuse-sub-plan-enabled`: equal sub-plans become one.
    pub reuse_sub_plans: bool,
    /// `table.optimizer.reuse-source-enabled`: all places that read a table share one source.
    pub reuse_sources: bool,
    /// `table.optimizer.agg-phase-strategy`: subtasks aggregate their own rows before the exchange, if possible.
    pub two_phase_aggregation: bool,
    /// `table.exec.sink.*-enforcer`.
    pub sink_constraints: SinkConstraints,
}

/// How long the rows that a source has read wait for further rows of the same batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BufferTimeout {
    /// `execution.buffer-timeout.interval`. Zero: rows do not wait.
    pub interval: Duration,
    /// `execution.buffer-timeout.enabled`. If it is false, rows wait until the batch is full.
    pub is_enabled: bool,
}

impl BufferTimeout {
    /// The longest wait. `None` if there is no limit.
    pub fn limit(self) -> Option<Duration> {
        self.is_enabled.then_some(self.interval)
    }
}

impl Default for BufferTimeout {
    /// The defaults. Flink's interval is 100 ms.
    fn default() -> Self {
        Self { interval: Duration::from_millis(5), is_enabled: true }
    }
}

/// How a sink enforces the constraints that its columns declare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SinkConstraints {
    /// `table.exec.sink.not-null-enforcer`.
    pub not_null: NotNullEnforcer,
    /// `table.exec.sink.type-length-enforcer`.
    pub type_length: TypeLengthEnforcer,
    /// `table.exec.sink.nested-constraint-enforcer`.
    pub nested: NestedConstraintEnforcer,
}

/// The treatment of a NULL in a NOT NULL column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum NotNullEnforcer {
    /// The job fails.
    #[default]
    Error,
    /// The row is dropped.
    Drop,
}

/// The treatment of a value that is longer than declared; for CHAR and BINARY also of a shorter one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum TypeLengthEnforcer {
    /// It is written as it is.
    #[default]
    Ignore,
    /// It is cut, or padded with blanks (CHAR) or zeros (BINARY).
    TrimPad,
    /// The job fails.
    Error,
}

/// Where constraints inside of a column's value are enforced.
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
