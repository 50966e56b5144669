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
    /// `table.local-time-zone`: an IANA name.
    pub local_time_zone: String,
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
            local_time_zone: "UTC".to_owned(),
        }
    }
}
