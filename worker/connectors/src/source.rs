//! The contract of sources: an enumerator that finds splits, and readers that read them.
//!
//! The runtime decides which reader gets a split. The assignment itself is not stored: a checkpoint holds the splits
//! that readers report, and restored splits unchanged until a reader has them. A split that was reported as finished
//! stays finished. It is recorded beside the readers, in a format of the connector: [`Finished`]. A discovered split
//! that is in none of these has not been read yet.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eddyline_stream::{Batch, CheckpointId, SplitId};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::Error;

/// A part of a source, and its position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// The name of the split, the same in every run.
    pub id: SplitId,
    /// The position, in the connector's own format. It is part of checkpoints: extend it, never change a meaning.
    pub position: serde_json::Value,
    /// Whether it has been read to its end.
    pub finished: bool,
}

/// The result of a discovery.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// Every split known now, each at its start, in the order in which they should be read. Splits that an earlier call
    /// has returned may be left out.
    pub splits: Vec<Split>,
    /// Whether there will be no further splits: the source is bounded.
    pub complete: bool,
}

/// The splits of a source that have been read to their end.
pub trait Finished: Debug + Send {
    /// Adds a finished split. Adding it again has no effect.
    ///
    /// # Errors
    /// When its position is not one of this source.
    fn add(&mut self, split: Split) -> Result<(), Error>;

    /// Adds the blocks of a checkpoint.
    ///
    /// # Errors
    /// When they are damaged.
    fn restore(&mut self, blocks: &[Bytes]) -> Result<(), Error>;

    /// Whether a split is among them.
    fn contains(&self, id: &SplitId) -> bool;

    /// All finished splits, for a checkpoint.
    fn snapshot(&self) -> FinishedSplits;
}

/// Splits that have been read to their end, as a checkpoint holds them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FinishedSplits {
    /// Finished splits that are listed one by one.
    pub splits: Vec<Split>,
    /// Finished splits in a format of the connector. It is part of checkpoints: never change a format, but add a new
    /// one.
    pub blocks: Vec<Bytes>,
}

/// A list of finished splits, for sources with few of them.
#[derive(Debug, Default)]
pub struct FewFinished(BTreeMap<SplitId, Split>);

impl Finished for FewFinished {
    fn add(&mut self, split: Split) -> Result<(), Error> {
        self.0.insert(split.id.clone(), split);
        Ok(())
    }

    fn restore(&mut self, blocks: &[Bytes]) -> Result<(), Error> {
        if blocks.is_empty() {
            return Ok(());
        }
        let reason =
            "the checkpoint has them in the format of another connector: give the table another name".to_owned();
        Err(Error::Restore { split: "what has been read".to_owned(), reason })
    }

    fn contains(&self, id: &SplitId) -> bool {
        self.0.contains_key(id)
    }

    fn snapshot(&self) -> FinishedSplits {
        FinishedSplits { splits: self.0.values().cloned().collect(), blocks: Vec::new() }
    }
}

/// How splits are assigned to readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A reader that has nothing to read gets the next split in order: files.
    OnDemand,
    /// All splits are assigned at once, evenly, and read side by side: Kafka partitions.
    Spread,
}

/// Finds the splits of a source. Each source of a job has one. It runs on the I/O runtime.
pub trait SplitEnumerator: Send {
    /// Discovers splits. Called at the start, and then every [`Source::discovery_interval`] until it is complete.
    fn discover(&mut self) -> BoxFuture<'_, Result<Discovery, Error>>;

    /// Called once before the first [`Self::discover`] when the job continues from a checkpoint, with the splits in it.
    /// A split that is not among them was created later, so it is read from its beginning, wherever the source starts.
    fn restored(&mut self, _known: &[SplitId]) {}
}

/// The result of a read.
#[derive(Debug)]
pub enum Poll {
    /// Rows of one split, in order: the projected physical columns, then the metadata columns.
    Rows {
        /// Which split.
        split: SplitId,
        /// The rows.
        rows: Batch,
    },
    /// A split has been read to its end. This is returned once for each split, after its last rows.
    Finished(SplitId),
    /// There are no rows at the moment. The waker is called when there may be more.
    Pending,
}

/// The counters of a reader, for metrics. Totals since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReaderCounters {
    /// The number of bytes read.
    pub bytes: u64,
    /// The number of records that could not be read, and were skipped or sent to the dead-letter topic.
    pub bad_records: u64,
    /// The number of records that exist and are not yet read, if the connector knows it.
    pub lag_records: Option<u64>,
}

/// Reads splits on a slot thread. Never blocks for long: waiting for external systems happens on the I/O runtime.
pub trait SourceReader: Send {
    /// Assigns a split to this reader, to be read from its position.
    fn add_split(&mut self, split: Split) -> Result<(), Error>;

    /// Reads up to about `max_rows` rows.
    fn poll(&mut self, max_rows: usize) -> Result<Poll, Error>;

    /// Whether nothing of a split waits to be read now. Data in flight to this reader does wait. This is asked
    /// when the split has had no rows for the idle timeout. If the answer is yes, event time does not wait for the
    /// split until its next rows.
    fn is_empty(&mut self, split: &SplitId) -> bool;

    /// Pauses or resumes a split, for watermark alignment.
    fn pause(&mut self, _split: &SplitId, _paused: bool) {}

    /// Every split given to this reader, at the position after the last row that `poll` returned. One that was
    /// reported as finished may be left out from then on.
    fn snapshot(&mut self) -> Result<Vec<Split>, Error>;

    /// A checkpoint that includes this reader's snapshot is complete. For monitoring only, such as group offsets.
    fn checkpoint_complete(&mut self, _checkpoint: CheckpointId) {}

    /// Why nothing can be read at the moment, if an external system is the reason. The read is repeated until it
    /// succeeds.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// Totals for metrics.
    fn counters(&self) -> ReaderCounters;
}

/// What a reader gets from the runtime.
#[derive(Clone)]
pub struct ReaderContext {
    /// The I/O runtime.
    pub io: tokio::runtime::Handle,
    /// Wakes the slot thread of this reader. It is cheap and can be called from any thread.
    pub waker: Arc<dyn Fn() + Send + Sync>,
    /// This reader's subtask index, and how many there are.
    pub subtask: (usize, usize),
}

/// A source of a job, opened from its configuration.
pub trait Source: Send + Sync {
    /// Makes the enumerator.
    fn enumerator(&self, io: tokio::runtime::Handle) -> Result<Box<dyn SplitEnumerator>, Error>;

    /// Makes one reader.
    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>, Error>;

    /// The record of splits that have been read to their end.
    fn finished(&self) -> Box<dyn Finished> {
        Box::new(FewFinished::default())
    }

    /// How splits are assigned to readers.
    fn placement(&self) -> Placement;

    /// How often to look for new splits. `None`: once.
    fn discovery_interval(&self) -> Option<Duration>;
}
