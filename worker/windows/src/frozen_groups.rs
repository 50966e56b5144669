//! Groups as they were at a barrier, and the rows of a snapshot that they become.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use eddyline_state::{Handover, PackedRows};

use crate::accumulator::{Sides, View};
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
    pub(crate) handover: Handover,
    /// What is beside the rows that are handed over, without distinct sets.
    pub(super) sides: Arc<Sides>,
    pub(crate) distinct: Vec<FrozenSet>,
    /// Groups with smaller numbers are out already, and are not in the snapshot. 0 unless all is handed over.
    pub(crate) left_out: u32,
}

impl FrozenGroups {
    /// Leaves out groups with smaller numbers, of which nothing is kept.
    pub(crate) fn leave_out(&mut self, before: u32) {
        debug_assert!(before == 0 || self.is_whole(), "groups that are out would come back");
        self.left_out = before;
    }

    /// Whether all groups are handed over.
    pub(crate) fn is_whole(&self) -> bool {
        self.handover.is_whole
    }

    /// How many groups there are at the barrier.
    pub(crate) fn len(&self) -> usize {
        self.handover.len - self.left_out as usize
    }

    /// Gathers accumulators.
    pub(crate) fn gather(
        &self,
        layout: &Layout,
        mut push: impl FnMut(Columns) -> Result<(), ArrowError>,
    ) -> Result<(), ArrowError> {
        let packed = &self.handover.packed;
        let rows: Vec<u32> = self.handover.rows().skip(self.left_out as usize).collect();
        for of in rows.chunks(ROWS_MAX) {
            let values = layout.columns(View::of(packed, &self.sides), of)?;
            push(columns(packed, of, values)?)?;
        }
        Ok(())
    }

    /// Gathers the values of a distinct set.
    pub(crate) fn gather_distinct(
        &self,
        index: usize,
        data_type: &DataType,
        mut push: impl FnMut(Columns) -> Result<(), ArrowError>,
    ) -> Result<(), ArrowError> {
        let set = &self.distinct[index];
        let (owners, entries) = set.entries(self.left_out);
        for (of, entries) in owners.chunks(ROWS_MAX).zip(entries.chunks(ROWS_MAX)) {
            push(columns(set.owners(), of, vec![set.values(entries, data_type)?])?)?;
        }
        Ok(())
    }
}

fn columns(packed: &PackedRows, rows: &[u32], values: Vec<ArrayRef>) -> Result<Columns, ArrowError> {
    let hashes = rows.iter().map(|row| packed.hashes()[*row as usize]).collect();
    Ok(Columns { hashes, keys: packed.key_columns(rows)?, values })
}
