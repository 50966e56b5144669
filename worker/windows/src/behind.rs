//! Keys that are behind the watermark: the operator has not emitted all windows for them that the watermark has passed.
//!
//! A barrier can pass while a window is partly emitted. If windows share slices, the slices of a key do not show which
//! of its windows are emitted. So the snapshot lists the keys of the subtask with the next window of each. After a
//! restore these windows are emitted first, and only for these keys. Other keys of the restored subtask may come from a
//! former subtask that was not behind.

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

/// The name of the table of keys that are behind, in snapshots.
pub(crate) const BEHIND: &str = "behind";

/// The next window of a key that is not behind.
const NEVER: i64 = i64::MAX;

/// The next window of each key that is behind.
#[derive(Clone, Debug)]
pub(crate) struct Behind {
    keys: GroupTable,
    /// The end of the next window of each key, or [`NEVER`].
    next: Vec<i64>,
}

impl Behind {
    /// Makes an empty table.
    ///
    /// # Errors
    /// When a type cannot be a key.
    pub(crate) fn new(key_types: &[DataType]) -> std::result::Result<Self, UnsupportedKey> {
        Ok(Self { keys: GroupTable::new(key_types, &[])?, next: Vec::new() })
    }

    /// The end of the window that must be emitted first. `None` if no key is behind.
    pub(crate) fn first(&self) -> Option<i64> {
        self.next.iter().copied().min().filter(|end| *end != NEVER)
    }

    /// Records the next window of these groups, unless an earlier one is known.
    pub(crate) fn add(&mut self, groups: &PackedRows, which: &[u32], next_end: i64) {
        let mut numbers = Vec::with_capacity(which.len());
        self.keys.adopt(groups, which, &mut numbers);
        self.next.resize(self.keys.len(), NEVER);
        for number in numbers {
            let next = &mut self.next[number as usize];
            *next = next_end.min(*next);
        }
    }

    /// Whether the window that ends at `window_end` has not been emitted for a group.
    pub(crate) fn wants(&mut self, groups: &PackedRows, group: u32, window_end: i64) -> bool {
        let mut number = Vec::with_capacity(1);
        self.keys.adopt(groups, &[group], &mut number);
        self.next.resize(self.keys.len(), NEVER);
        self.next[number[0] as usize] <= window_end
    }

    /// The keys that are behind, with the next window of each, and the hashes of the keys.
    pub(crate) fn rows(&self) -> std::result::Result<(Vec<ArrayRef>, Vec<u64>), ArrowError> {
        let behind: Vec<u32> =
            (0..self.next.len() as u32).filter(|number| self.next[*number as usize] != NEVER).collect();
        let mut columns = self.keys.packed().key_columns(&behind)?;
        let ends = behind.iter().map(|number| self.next[*number as usize]).collect();
        columns.push(fixed::column(ends, None, &LOCAL_TIME));
        let hashes = self.keys.packed().hashes();
        Ok((columns, behind.iter().map(|number| hashes[*number as usize]).collect()))
    }

    /// Restores the rows of [`Self::rows`].
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

/// Decides after a restore for which keys a window is emitted: up to some time only for the keys that are behind.
#[derive(Clone, Debug)]
pub(crate) struct CatchUp {
    behind: Behind,
    until: i64,
}

impl CatchUp {
    /// Windows that end at `until` or before are emitted only for the keys in `behind`.
    pub(crate) fn new(behind: Behind, until: i64) -> Self {
        Self { behind, until }
    }

    /// The keys that are behind.
    pub(crate) fn into_behind(self) -> Behind {
        self.behind
    }

    /// The end of the first window to emit.
    pub(crate) fn first(&self) -> Option<i64> {
        self.behind.first()
    }

    /// Whether a window must be emitted for a group.
    pub(crate) fn wants(&mut self, groups: &PackedRows, group: u32, window_end: i64) -> bool {
        window_end > self.until || self.behind.wants(groups, group, window_end)
    }
}

/// A window that is partly emitted at a barrier.
#[derive(Debug)]
pub(crate) struct HalfGiven {
    /// Its groups.
    pub(crate) groups: Arc<PackedRows>,
    /// The number of groups that are emitted.
    pub(crate) given: u32,
    pub(crate) end: i64,
    /// The time from the end of this window to the end of the next one.
    pub(crate) step_ms: i64,
    pub(crate) catch_up: Option<CatchUp>,
}

impl HalfGiven {
    /// The keys that are behind. A key whose group is not emitted has this window. All other keys of the state have the
    /// next one.
    pub(crate) fn behind<'a>(
        mut self,
        layout: &Layout,
        key_types: &[DataType],
        state: impl Iterator<Item = &'a PackedRows>,
    ) -> std::result::Result<Behind, ArrowError> {
        let mut behind = Behind::new(key_types).map_err(|error| ArrowError::InvalidArgumentError(error.to_string()))?;
        let next_end = self.end.saturating_add(self.step_ms);
        let mut wanted = |groups: &PackedRows, first: u32, window_end: i64| -> Vec<u32> {
            let has_rows = has_rows(layout, groups);
            let is_wanted = |group: &u32| match &mut self.catch_up {
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
