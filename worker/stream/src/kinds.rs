//! The kinds of the rows of a batch, and the rule that keeps the two rows of an update together.
//!
//! An update is a pair: its `-U`, directly followed by its `+U` in the same batch. No receiver ever sees one of them
//! without the other. The type guarantees it. The kinds are private, and each constructor keeps the rule or checks it.
//! A cut that would tear a pair moves after it. If only one row of a pair is selected, it becomes `-D` or `+I`.
//!
//! A `+U` on its own is an upsert: it has the new content of a row, and does not say what the old content was.

use arrow::array::BooleanArray;
use arrow::buffer::ScalarBuffer;

use crate::RowKind;

const INSERT: u8 = RowKind::Insert as u8;
const BEFORE: u8 = RowKind::UpdateBefore as u8;
const AFTER: u8 = RowKind::UpdateAfter as u8;
const DELETE: u8 = RowKind::Delete as u8;

/// The kinds of the rows of a batch, at least one of which is not `+I`. Where kinds are optional, `None` means that all
/// rows are inserts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kinds(ScalarBuffer<u8>);

/// A `-U` that is not directly followed by its `+U`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row} is -U, and the row after it is not its +U")]
pub struct TornPair {
    /// The row of the `-U`.
    pub row: usize,
}

impl Kinds {
    /// The kinds of rows, in order; `None` if all of them are inserts.
    ///
    /// # Errors
    /// When a pair is torn.
    pub fn new(kinds: impl IntoIterator<Item = RowKind>) -> Result<Option<Self>, TornPair> {
        let bytes: Vec<u8> = kinds.into_iter().map(|kind| kind as u8).collect();
        let is_torn = |row: &usize| bytes[*row] == BEFORE && bytes.get(row + 1) != Some(&AFTER);
        match (0..bytes.len()).find(is_torn) {
            Some(row) => Err(TornPair { row }),
            None => Ok(Self::of(bytes.into())),
        }
    }

    /// Wraps kinds whose pairs are whole; `None` if all of them are inserts.
    fn of(bytes: ScalarBuffer<u8>) -> Option<Self> {
        bytes.iter().any(|kind| *kind != INSERT).then_some(Self(bytes))
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no rows. This is never the case.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The kind of a row.
    ///
    /// # Panics
    /// There is no such row.
    #[inline]
    pub fn get(&self, row: usize) -> RowKind {
        RowKind::ALL[usize::from(self.0[row])]
    }

    /// The kinds in order.
    pub fn iter(&self) -> impl Iterator<Item = RowKind> {
        self.0.iter().map(|kind| RowKind::ALL[usize::from(*kind)])
    }

    /// Whether a cut before this row would tear a pair.
    #[inline]
    pub fn is_inside_pair(&self, row: usize) -> bool {
        row > 0 && self.0.get(row - 1) == Some(&BEFORE)
    }

    /// The kinds of consecutive rows. The caller ensures that both ends are between pairs.
    pub(crate) fn slice(&self, offset: usize, length: usize) -> Option<Self> {
        debug_assert!(!self.is_inside_pair(offset) && !self.is_inside_pair(offset + length));
        Self::of(self.0.slice(offset, length))
    }

    /// The kinds of the rows for which the mask is true. The mask has no NULL. One row of a pair that passes without
    /// the other becomes `-D` or `+I`.
    pub fn filter(&self, mask: &BooleanArray) -> Option<Self> {
        let mask = mask.values();
        let kind = |row: usize| match self.0[row] {
            BEFORE if !mask.value(row + 1) => DELETE,
            AFTER if self.is_inside_pair(row) && !mask.value(row - 1) => INSERT,
            kind => kind,
        };
        Self::of(mask.set_indices().map(kind).collect())
    }

    /// The kinds of the rows with these numbers, in this order. A row of a pair that is not next to its partner becomes
    /// `-D` or `+I`.
    pub fn take(&self, rows: &[u32]) -> Option<Self> {
        let kind = |(place, row): (usize, &u32)| match self.0[*row as usize] {
            BEFORE if rows.get(place + 1) != Some(&(row + 1)) => DELETE,
            AFTER if self.is_inside_pair(*row as usize) && (place == 0 || rows[place - 1] + 1 != *row) => INSERT,
            kind => kind,
        };
        Self::of(rows.iter().enumerate().map(kind).collect())
    }

    /// Replaces pairs by `-D` and `+I` where the two rows no longer belong together, for example because their keys
    /// differ. `is_split` decides that for the pair whose `-U` is at the given row.
    #[must_use]
    pub fn split_pairs(&self, is_split: impl Fn(usize) -> bool) -> Self {
        let split: Vec<usize> = (0..self.len()).filter(|row| self.0[*row] == BEFORE && is_split(*row)).collect();
        if split.is_empty() {
            return self.clone();
        }
        let mut bytes = self.0.to_vec();
        for row in split {
            bytes[row] = DELETE;
            bytes[row + 1] = INSERT;
        }
        Self(bytes.into())
    }

    /// The kinds of several concatenated batches. Each part has its kinds and its number of rows.
    pub fn concat<'a>(parts: impl Iterator<Item = (Option<&'a Self>, usize)> + Clone) -> Option<Self> {
        if parts.clone().all(|(kinds, _)| kinds.is_none()) {
            return None;
        }
        let mut bytes = Vec::with_capacity(parts.clone().map(|(_, rows)| rows).sum());
        for (kinds, rows) in parts {
            match kinds {
                Some(kinds) => bytes.extend_from_slice(&kinds.0),
                None => bytes.resize(bytes.len() + rows, INSERT),
            }
        }
        Some(Self(bytes.into()))
    }
}

/// Collects the kinds of a batch, change by change.
#[derive(Clone, Debug, Default)]
pub struct KindsBuilder(Vec<u8>);

impl KindsBuilder {
    /// Appends a `+I`.
    pub fn insert(&mut self) {
        self.0.push(INSERT);
    }

    /// Appends a `-D`.
    pub fn delete(&mut self) {
        self.0.push(DELETE);
    }

    /// Appends a pair: the `-U` with the old content of a row, and the `+U` with its new content.
    pub fn update(&mut self) {
        self.0.extend([BEFORE, AFTER]);
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the kinds so far and empties the builder; `None` if all of them are inserts.
    pub fn finish(&mut self) -> Option<Kinds> {
        Kinds::of(std::mem::take(&mut self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};

    use super::*;

    fn kinds(kinds: impl IntoIterator<Item = RowKind>) -> Kinds {
        Kinds::new(kinds).expect("whole pairs").expect("not only inserts")
    }

    fn shown(kinds: Option<&Kinds>) -> Option<String> {
        kinds.map(|kinds| kinds.iter().map(RowKind::symbol).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn half_a_pair_is_refused_wherever_it_stands() {
        let torn = |kinds: &[RowKind]| Kinds::new(kinds.iter().copied()).map_err(|torn| torn.row);
        assert_eq!(torn(&[Insert, UpdateBefore]), Err(1));
        assert_eq!(torn(&[UpdateBefore, Insert, UpdateAfter]), Err(0));
        assert_eq!(torn(&[UpdateBefore, UpdateBefore, UpdateAfter, UpdateAfter]), Err(0));
        assert_eq!(torn(&[UpdateBefore, Delete]), Err(0));
        assert!(torn(&[UpdateAfter, UpdateBefore, UpdateAfter, UpdateAfter]).is_ok(), "upserts beside a pair");
    }

    #[test]
    fn inserts_alone_need_no_kinds() {
        assert_eq!(Kinds::new([Insert, Insert]), Ok(None));
        assert_eq!(Kinds::new([]), Ok(None));
        let mixed = kinds([Insert, Delete, Insert]);
        assert_eq!(mixed.slice(0, 1), None);
        assert_eq!(mixed.filter(&BooleanArray::from(vec![true, false, true])), None);
        assert_eq!(mixed.take(&[2, 0]), None);
        assert_eq!(KindsBuilder::default().finish(), None);
    }

    #[test]
    fn a_half_that_is_left_over_stands_for_itself() {
        let pairs = kinds([Insert, UpdateBefore, UpdateAfter, UpdateBefore, UpdateAfter, UpdateAfter]);
        let filtered = |mask: [bool; 6]| shown(pairs.filter(&BooleanArray::from(mask.to_vec())).as_ref());
        assert_eq!(filtered([false, true, false, true, true, false]).as_deref(), Some("-D -U +U"));
        assert_eq!(filtered([true, false, true, false, true, true]).as_deref(), Some("+I +I +I +U"));
        // Rows of two different pairs are not a pair.
        assert_eq!(filtered([false, true, false, false, true, false]).as_deref(), Some("-D +I"));
        let taken = |rows: &[u32]| shown(pairs.take(rows).as_ref());
        assert_eq!(taken(&[1, 2, 3]).as_deref(), Some("-U +U -D"));
        assert_eq!(taken(&[2, 1]).as_deref(), Some("+I -D"));
        assert_eq!(taken(&[1, 4]).as_deref(), Some("-D +I"));
        assert_eq!(taken(&[1, 1, 2, 2, 5]).as_deref(), Some("-D -U +U +I +U"));
    }

    #[test]
    fn pairs_are_split_where_their_halves_have_come_apart() {
        let two = kinds([UpdateBefore, UpdateAfter, UpdateBefore, UpdateAfter]);
        assert_eq!(shown(Some(&two.split_pairs(|row| row == 2))).as_deref(), Some("-U +U -D +I"));
        assert_eq!(two.split_pairs(|_| false), two);
    }

    #[test]
    fn batches_behind_each_other_keep_their_kinds() {
        let delete = kinds([Delete]);
        let parts = [(None, 2), (Some(&delete), 1), (None, 1)];
        assert_eq!(shown(Kinds::concat(parts.into_iter()).as_ref()).as_deref(), Some("+I +I -D +I"));
        assert_eq!(Kinds::concat([(None, 2)].into_iter()), None);
    }

    #[test]
    fn a_builder_gives_the_kinds_of_its_changes() {
        let mut builder = KindsBuilder::default();
        builder.insert();
        builder.update();
        builder.delete();
        assert_eq!(builder.len(), 4);
        assert_eq!(builder.finish(), Some(kinds([Insert, UpdateBefore, UpdateAfter, Delete])));
        assert!(builder.is_empty());
    }
}
