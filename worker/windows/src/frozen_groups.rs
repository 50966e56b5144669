//! Groups as they were at a barrier, and the rows of a snapshot that they become.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use eddyline_state::group_table::Place;
use eddyline_state::{Chunked, Handover, PackedRows, by_chunk};

use crate::accumulator::{Text, View};
use crate::distinct::FrozenSet;
use crate::layout::Layout;

/// Rows of a snapshot's batch.
const ROWS_MAX: usize = 65_536;

/// Rows of a table: the hashes of their keys, their key columns, and what belongs to the keys.
pub(crate) struct Columns {
    pub(crate) hashes: Vec<u64>,
    pub(crate) keys: Vec<ArrayRef>,
    pub(crate) values: Vec<ArrayRef>,
}

/// What a checkpoint gets of the groups of a slice.
#[derive(Debug)]
pub(crate) struct FrozenGroups {
    /// How many groups the slice has.
    pub(super) groups: usize,
    /// Groups with smaller numbers are out already, and are not in the snapshot. 0 unless the slice is handed over as a whole.
    pub(super) left_out: u32,
    pub(crate) rows: Handover,
    /// What is beside the rows that are shared, and beside copies.
    pub(crate) shared: Vec<Chunked<Text>>,
    pub(crate) copied: Vec<Chunked<Text>>,
    pub(crate) distinct: Vec<FrozenSet>,
}

impl FrozenGroups {
    /// Leaves out groups with smaller numbers, of which nothing is kept.
    pub(crate) fn leave_out(&mut self, before: u32) {
        debug_assert!(before == 0 || self.rows.is_whole, "groups that are out would come back");
        self.left_out = before;
    }

    /// How many groups the slice has at the barrier.
    pub(crate) fn len(&self) -> usize {
        self.groups - self.left_out as usize
    }

    /// How many values of a distinct set the slice has at the barrier.
    pub(crate) fn distinct_len(&self, index: usize) -> usize {
        let set = &self.distinct[index];
        if self.left_out == 0 { set.len() } else { self.all_values(set).0.len() }
    }

    /// All values of a distinct set by group, without those of groups that are left out.
    fn all_values(&self, set: &FrozenSet) -> (Vec<u32>, Vec<u32>) {
        (0..)
            .zip(set.groups())
            .filter(|(_, group)| *group >= self.left_out)
            .map(|(entry, group)| (group, entry))
            .unzip()
    }

    /// Gathers accumulators.
    pub(crate) fn gather(
        &self,
        layout: &Layout,
        mut push: impl FnMut(Columns) -> Result<(), ArrowError>,
    ) -> Result<(), ArrowError> {
        let mut gather = |rows: &PackedRows, cells: &[Chunked<Text>], groups: &[u32]| {
            for of in by_chunk(groups).flat_map(|groups| groups.chunks(ROWS_MAX)) {
                let view = View { rows: rows.rows_of_chunk(of[0]), cells };
                push(columns(rows, of, layout.columns(view, of)?)?)?;
            }
            Ok::<_, ArrowError>(())
        };
        for part in &self.rows.parts {
            let groups = self.rows.groups_of(part);
            let first = groups.partition_point(|group| *group < self.left_out);
            gather(&self.rows.shared, &self.shared, &groups[first..])?;
        }
        let copies: Vec<u32> = (0..self.rows.copied.len() as u32).collect();
        gather(&self.rows.copies, &self.copied, &copies)
    }

    /// Gathers the values of a distinct set.
    pub(crate) fn gather_distinct(
        &self,
        index: usize,
        data_type: &DataType,
        mut push: impl FnMut(Columns) -> Result<(), ArrowError>,
    ) -> Result<(), ArrowError> {
        let set = &self.distinct[index];
        let mut gather = |rows: &PackedRows, groups: &[u32], entries: &[u32]| {
            for (groups, entries) in groups.chunks(ROWS_MAX).zip(entries.chunks(ROWS_MAX)) {
                push(columns(rows, groups, vec![set.values(entries, data_type)?])?)?;
            }
            Ok::<_, ArrowError>(())
        };
        if self.rows.is_whole {
            let (groups, entries) = self.all_values(set);
            return gather(&self.rows.shared, &groups, &entries);
        }
        // Of groups that may not have changed all values; of others those that are new.
        let (mut groups, mut entries) = (Vec::new(), Vec::new());
        let (mut copies, mut entries_of_copies) = (Vec::new(), Vec::new());
        let is_complete = |group: &u32| self.rows.is_complete(*group);
        for group in self.rows.parts.iter().flat_map(|part| self.rows.groups_of(part)).filter(is_complete) {
            entries.extend(set.entries_of(group));
            groups.resize(entries.len(), group);
        }
        for (copy, _) in (0..).zip(&self.rows.copied).filter(|(_, group)| is_complete(group)) {
            entries_of_copies.extend(set.entries_of_copy(copy));
            copies.resize(entries_of_copies.len(), copy);
        }
        for (group, entry) in set.added().filter(|(group, _)| !is_complete(group)) {
            match self.rows.place_of(group) {
                Some(Place::Shared) => {
                    groups.push(group);
                    entries.push(entry);
                }
                Some(Place::Copied(copy)) => {
                    copies.push(copy);
                    entries_of_copies.push(entry);
                }
                None => {}
            }
        }
        gather(&self.rows.shared, &groups, &entries)?;
        gather(&self.rows.copies, &copies, &entries_of_copies)
    }
}

fn columns(rows: &PackedRows, groups: &[u32], values: Vec<ArrayRef>) -> Result<Columns, ArrowError> {
    let hashes = groups.iter().map(|group| rows.hash(*group)).collect();
    Ok(Columns { hashes, keys: rows.key_columns(groups)?, values })
}
