//! What can go wrong with checkpoints and savepoints.

use arrow::error::ArrowError;
use eddyline_stream::{Attempt, CheckpointId, MaxParallelism, OperatorUid};

use crate::storage;

/// The result of checkpoint work.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with checkpoints and savepoints.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the storage failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A newer attempt of the job has taken over. This process must stop, because nothing that it does has an effect.
    #[error("attempt {mine} of job {job} is fenced off: attempt {other} has taken over")]
    Fenced {
        /// The job.
        job: String,
        /// The attempt that this process runs.
        mine: Attempt,
        /// The attempt that runs now.
        other: Attempt,
    },
    /// The storage gave no answer to the create of a control record, so it is unknown whether a checkpoint is complete.
    /// A new attempt finds out, or [`crate::Writer::resolve`] when the storage is back.
    #[error("it is unknown whether {record} was written; a new attempt finds out")]
    Unresolved {
        /// The control record.
        record: String,
        /// The last answer of the storage.
        source: Option<storage::Error>,
    },
    /// Too many attempts are started at the same time.
    #[error("other processes start attempts of job {job} at the same time")]
    Contended {
        /// The job.
        job: String,
    },
    /// The control log has an entry that its protocol rules out.
    #[error("the control log of job {job} is broken: {reason}")]
    BrokenLog {
        /// The job.
        job: String,
        /// What was found.
        reason: String,
    },
    /// The control log of a running job is gone, and so are the files of its checkpoints. A new attempt would treat the
    /// job as one that has never run.
    #[error(
        "the checkpoints of job {job} in {folder} have vanished: the folder was removed or emptied while the job ran; put \
         them back, or start the job from a savepoint"
    )]
    Vanished {
        /// The job.
        job: String,
        /// The folder of its records.
        folder: String,
    },
    /// The store ignores the condition of a create and overwrites the object, so two processes that believe they run
    /// the job could both complete checkpoints.
    #[error(
        "the storage at {folder} writes over objects that it was asked to create only if they are absent (If-None-Match), so \
         it cannot keep two processes of a job apart; use a store that honours conditional writes"
    )]
    OverwritingStore {
        /// The job's folder.
        folder: String,
    },
    /// The bytes are not those that were written.
    #[error("{object} is corrupt: {part}: {reason}")]
    Corrupt {
        /// The full name of the object.
        object: String,
        /// Which part: "footer", "block 17 (…)".
        part: String,
        /// What does not fit.
        reason: String,
    },
    /// A manifest names a run file that does not exist.
    #[error("run file {object} of checkpoint {checkpoint} is missing")]
    MissingRunFile {
        /// The full name of the object.
        object: String,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// A manifest does not exist.
    #[error("there is no checkpoint or savepoint at {object}")]
    MissingManifest {
        /// The full name of the object.
        object: String,
    },
    /// The object was written by a later release, in a format that this one does not know.
    #[error("{object} needs version {needed} of the reader; this release has version {known}")]
    TooNew {
        /// The full name of the object.
        object: String,
        /// The version that can read it.
        needed: u32,
        /// The newest version that this release knows.
        known: u32,
    },
    /// The state has another number of key groups.
    #[error(
        "the state has max parallelism {recorded}, the job has {job}: max parallelism is fixed once a job has state"
    )]
    MaxParallelismDiffers {
        /// In the state.
        recorded: MaxParallelism,
        /// In the job.
        job: MaxParallelism,
    },
    /// The state was distributed by another hash.
    #[error("the state uses version {recorded} of the key hash, this release uses version {known}")]
    KeyHashDiffers {
        /// In the state.
        recorded: u32,
        /// In this release.
        known: u32,
    },
    /// A snapshot contradicts itself or what its operator declared.
    #[error("the snapshot of {operator}, table {table}, cannot be written: {reason}")]
    InvalidSnapshot {
        /// The operator.
        operator: OperatorUid,
        /// The table.
        table: String,
        /// What does not fit.
        reason: String,
    },
    /// Rows could not be selected or concatenated.
    #[error("failed to {action} rows of {operator}, table {table}")]
    Columns {
        /// What was tried.
        action: &'static str,
        /// The operator.
        operator: String,
        /// The table.
        table: String,
        /// Why.
        source: ArrowError,
    },
    /// A checkpoint number that does not follow the last one.
    #[error("checkpoint {checkpoint} cannot be written: {reason}")]
    InvalidCheckpoint {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// What does not fit.
        reason: String,
    },
    /// State that does not fit the job that should restore it.
    #[error(transparent)]
    StateMismatch(#[from] crate::mismatch::StateMismatch),
    /// A location that savepoints cannot be written to.
    #[error("savepoints cannot be written to {uri}: {reason}")]
    SavepointLocation {
        /// The location.
        uri: String,
        /// Why not.
        reason: String,
    },
    /// State that is encoded could not be read back from the local disk.
    #[error("encoded state could not be read back from the local disk")]
    Spool(#[source] std::io::Error),
    /// A task on another thread panicked or was cancelled.
    #[error("encoding or decoding state stopped without a result")]
    Stopped(#[from] tokio::task::JoinError),
}

impl Error {
    /// Whether a retry can succeed without a change of the job or its storage. The retry is in the same attempt, or in
    /// a new one if the error [ends the attempt](Error::ends_attempt).
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Storage(error) => error.is_retryable(),
            Self::Unresolved { .. } | Self::Contended { .. } | Self::Spool(_) => true,
            _ => false,
        }
    }

    /// Whether the attempt can no longer complete a checkpoint.
    pub fn ends_attempt(&self) -> bool {
        matches!(self, Self::Fenced { .. } | Self::Unresolved { .. } | Self::BrokenLog { .. } | Self::Vanished { .. })
    }

    pub(crate) fn corrupt(object: impl Into<String>, part: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Corrupt { object: object.into(), part: part.into(), reason: reason.into() }
    }
}
