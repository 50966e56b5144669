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
    pub(crate) groups: usize,
    pub(crate) rows: Handover,
    /// What is beside the rows that are shared, and beside copies.
    pub(crate) shared: Vec<Chunked<Text>>,
    pub(crate) copied: Vec<Chunked<Text>>,
    pub(crate) distinct: Vec<FrozenSet>,
}

impl FrozenGroups {
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
            gather(&self.rows.shared, &self.shared, &self.rows.groups_of(part))?;
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
            let entries: Vec<u32> = (0..set.len() as u32).collect();
            return gather(&self.rows.shared, &set.groups(), &entries);
        }
        // Of a chunk that is handed over as a whole all values; of other groups those that are new. They have changed, and so
        // are handed over themselves.
        let (mut groups, mut entries) = (Vec::new(), Vec::new());
        for part in self.rows.parts.iter().filter(|part| part.groups.is_none()) {
            for group in self.rows.groups_of(part) {
                let before = entries.len();
                entries.extend(set.entries_of(group));
                groups.resize(groups.len() + entries.len() - before, group);
            }
        }
        let (mut copies, mut entries_of_copies) = (Vec::new(), Vec::new());
        for (group, entry) in set.added() {
            match self.rows.place_of(group) {
                Some(Place::Shared { is_whole_chunk: true }) | None => {}
                Some(Place::Shared { .. }) => {
                    groups.push(group);
                    entries.push(entry);
                }
                Some(Place::Copied(copy)) => {
                    copies.push(copy);
                    entries_of_copies.push(entry);
                }
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
