//! Sources whose rows are a pure function of their index: what datagen and nexmark have in common.
//!
//! This module has the splits over row numbers, the exact positions and the pace. The [`Generator`] makes the rows. A
//! bounded source is cut into ranges that are handed out in order; an unbounded one has a fixed number of lanes, of
//! which lane `k` has the rows `k`, `k + LANES`, `k + 2 * LANES` and so on.

mod pace;
pub mod random;
mod reader;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use eddyline_stream::SplitId;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::source::{Discovery, Placement, ReaderContext, Source, SourceReader, Split, SplitEnumerator};

/// The lanes of an unbounded source; also the most readers that can share it. Part of split ids: never change it.
const LANES: u64 = 32;
/// The number of rows of a range of a bounded source, unless that gives more than [`RANGES_MAX`] ranges.
const RANGE_ROWS: u64 = 100_000;
/// The maximum number of ranges of a bounded source: each is an entry in every checkpoint.
const RANGES_MAX: u64 = 1_024;

/// Makes rows from their numbers.
pub trait Generator: Send {
    /// The rows `first`, `first + step`, … of the projected columns, `count` of them.
    ///
    /// # Errors
    /// When a value does not fit its column.
    fn rows(&mut self, first: u64, step: u64, count: usize) -> Result<RecordBatch, Error>;
}

/// The number of rows and their rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The number of rows. `None`: no end.
    pub rows: Option<u64>,
    /// Rows per second of all readers together. `None`: no limit.
    pub rows_per_second: Option<u64>,
}

/// The position of a split. Part of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// The number of the next row.
    next: u64,
    /// The number after the last row. `None`: no end.
    end: Option<u64>,
    /// The difference between the numbers of two successive rows of the split.
    step: u64,
}

impl Position {
    fn split(self) -> Split {
        let id = match self.end {
            Some(end) => format!("rows-{}-{end}", self.next),
            None => format!("lane-{}-of-{}", self.next, self.step),
        };
        Split { id: SplitId::new(id), position: serde_json::json!(self), finished: false }
    }
}

/// A source over a generator.
pub struct GeneratedSource {
    extent: Extent,
    make: Box<dyn Fn() -> Box<dyn Generator> + Send + Sync>,
}

impl GeneratedSource {
    /// A source of `extent` whose readers get their generators from `make`.
    pub fn new(extent: Extent, make: impl Fn() -> Box<dyn Generator> + Send + Sync + 'static) -> Self {
        Self { extent, make: Box::new(make) }
    }

    fn splits(&self) -> Vec<Split> {
        match self.extent.rows {
            None => (0..LANES).map(|lane| Position { next: lane, end: None, step: LANES }.split()).collect(),
            Some(rows) => {
                let size = RANGE_ROWS.max(rows.div_ceil(RANGES_MAX));
                (0..rows.div_ceil(size))
                    .map(|range| range * size)
                    .map(|next| Position { next, end: Some(rows.min(next + size)), step: 1 }.split())
                    .collect()
            }
        }
    }
}

impl Source for GeneratedSource {
    fn enumerator(&self, _io: tokio::runtime::Handle) -> Result<Box<dyn SplitEnumerator>, Error> {
        Ok(Box::new(Enumerator { splits: self.splits() }))
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>, Error> {
        Ok(Box::new(reader::Reader::new((self.make)(), self.extent.rows_per_second, context)))
    }

    fn placement(&self) -> Placement {
        if self.extent.rows.is_some() { Placement::OnDemand } else { Placement::Spread }
    }

    fn discovery_interval(&self) -> Option<Duration> {
        None
    }
}

struct Enumerator {
    splits: Vec<Split>,
}

impl SplitEnumerator for Enumerator {
    fn discover(&mut self) -> BoxFuture<'_, Result<Discovery, Error>> {
        // Lanes never end, and there will be no new ones.
        let discovery = Discovery { splits: self.splits.clone(), complete: true };
        async move { Ok(discovery) }.boxed()
    }
}

/// The present time in milliseconds since 1970, for generators that use it.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;
