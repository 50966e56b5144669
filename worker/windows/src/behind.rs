//! Keys that are behind the watermark: not all the windows that it has passed have been given for them.
//!
//! A barrier can pass while a window is half given out. Where windows share slices, the slices of a key do not say which of
//! its windows are out. So the snapshot names the keys of the subtask with the next window of each. After a restore these
//! windows are given out first, and only for those keys; the other keys of a subtask can come from one that had done.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimestampMillisecondType};
use arrow::error::ArrowError;
use eddyline_operators::Result;
use eddyline_state::{GroupTable, PackedRows, fixed};
use eddyline_stream::key_hash::UnsupportedKey;

use crate::groups::{Input, Rows, has_rows};
use crate::layout::Layout;
use crate::shape::LOCAL_TIME;

/// The table of keys that are behind, in snapshots.
pub(crate) const BEHIND: &str = "behind";

/// Of a key that is not behind.
const NEVER: i64 = i64::MAX;

/// The next window of each key that is behind.
#[derive(Debug)]
pub(crate) struct Behind {
    keys: GroupTable,
    /// For each key the end of its next window, or [`NEVER`].
    next: Vec<i64>,
}

impl Behind {
    /// No keys.
    ///
    /// # Errors
    /// When a type cannot be a key.
    pub(crate) fn new(key_types: &[DataType]) -> std::result::Result<Self, UnsupportedKey> {
        Ok(Self { keys: GroupTable::new(key_types, &[])?, next: Vec::new() })
    }

    /// The end of the window that has to be given out first; `None` if no key is behind.
    pub(crate) fn first(&self) -> Option<i64> {
        self.next.iter().copied().min().filter(|end| *end != NEVER)
    }

    /// Says the next window of these groups, unless one is known that comes before.
    pub(crate) fn add(&mut self, groups: &PackedRows, which: &[u32], next_end: i64) {
        let mut numbers = Vec::with_capacity(which.len());
        self.keys.adopt(groups, which, &mut numbers);
        self.next.resize(self.keys.len(), NEVER);
        for number in numbers {
            let next = &mut self.next[number as usize];
            *next = next_end.min(*next);
        }
    }

    /// Whether the window that ends here has not been given for a group yet.
    pub(crate) fn wants(&self, groups: &PackedRows, group: u32, window_end: i64) -> bool {
        self.keys.find(groups, group).is_some_and(|number| self.next[number as usize] <= window_end)
    }

    /// The keys that are behind, with the next window of each; and the hashes of the keys.
    pub(crate) fn rows(&self) -> std::result::Result<(Vec<ArrayRef>, Vec<u64>), ArrowError> {
        let behind: Vec<u32> =
            (0..self.next.len() as u32).filter(|number| self.next[*number as usize] != NEVER).collect();
        let mut columns = self.keys.packed().key_columns(&behind)?;
        let ends = behind.iter().map(|number| self.next[*number as usize]).collect();
        columns.push(fixed::column(ends, None, &LOCAL_TIME));
        Ok((columns, behind.iter().map(|number| self.keys.packed().hash(*number)).collect()))
    }

    /// Restores what [`Self::rows`] gave.
    pub(crate) fn restore(&mut self, columns: &[ArrayRef], hashes: &[u64]) -> Result<()> {
        let Some((ends, keys)) = columns.split_last() else { return Ok(()) };
        let ends = ends.as_primitive::<TimestampMillisecondType>().values();
        let rows = Rows::new(keys, Some(hashes), ends.len(), Input::Partial(&[]))?;
        let mut numbers = Vec::with_capacity(ends.len());
        self.keys.find_or_insert(&rows.keys, &rows.hashes, 0..ends.len(), &mut numbers);
        self.next.resize(self.keys.len(), NEVER);
        for (number, end) in numbers.into_iter().zip(ends) {
            self.next[number as usize] = *end;
        }
        Ok(())
    }
}

/// After a restore: windows up to some time are given out for the keys that are behind, and for no others.
#[derive(Clone, Debug)]
pub(crate) struct CatchUp {
    behind: Arc<Behind>,
    until: i64,
}

impl CatchUp {
    /// Catches up to the window that ends at `until`.
    pub(crate) fn new(behind: Behind, until: i64) -> Self {
        Self { behind: Arc::new(behind), until }
    }

    /// The window to begin with.
    pub(crate) fn first(&self) -> Option<i64> {
        self.behind.first()
    }

    /// Whether a window is to be given out for a group.
    pub(crate) fn wants(&self, groups: &PackedRows, group: u32, window_end: i64) -> bool {
        window_end > self.until || self.behind.wants(groups, group, window_end)
    }
}

/// A window that is half given out at a barrier.
#[derive(Debug)]
pub(crate) struct HalfGiven {
    /// Its groups.
    pub(crate) groups: PackedRows,
    /// So many of them are out.
    pub(crate) given: u32,
    pub(crate) end: i64,
    /// The next window ends so much later.
    pub(crate) step_ms: i64,
    pub(crate) catch_up: Option<CatchUp>,
}

impl HalfGiven {
    /// The keys that are behind: those whose group is not out, with this window; all others of the state, with the next one.
    pub(crate) fn behind<'a>(
        &self,
        layout: &Layout,
        key_types: &[DataType],
        state: impl Iterator<Item = &'a PackedRows>,
    ) -> std::result::Result<Behind, ArrowError> {
        let mut behind = Behind::new(key_types).map_err(|error| ArrowError::InvalidArgumentError(error.to_string()))?;
        let next_end = self.end.saturating_add(self.step_ms);
        let wanted = |groups: &PackedRows, first: u32, window_end: i64| -> Vec<u32> {
            let has_rows = has_rows(layout, groups);
            let is_wanted = |group: &u32| match &self.catch_up {
                Some(catch_up) => catch_up.wants(groups, *group, window_end),
                None => true,
            };
            (first..groups.len() as u32).filter(|group| has_rows(*group)).filter(is_wanted).collect()
        };
        for groups in state {
            behind.add(groups, &wanted(groups, 0, next_end), next_end);
        }
        behind.add(&self.groups, &wanted(&self.groups, self.given, self.end), self.end);
        Ok(behind)
    }
}
