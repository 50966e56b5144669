//! Drives an operator through a script: pushes batches, watermarks and barriers, and collects the output.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use eddyline_expression::Scalar;
use eddyline_state::{Snapshot, SnapshotRequest, TableRows};
use eddyline_stream::{Assignment, Batch, CheckpointId, SlotIndex, Watermark};

use crate::{Collector, InputIndex, Operator, Progress, Result};

/// An operator and its output so far.
#[derive(Debug, Default)]
pub struct Driver<O> {
    operator: O,
    out: Collector,
    restored: Option<Watermark>,
}

impl<O: Operator> Driver<O> {
    /// Drives this operator.
    pub fn new(operator: O) -> Self {
        Self { operator, out: Collector::default(), restored: None }
    }

    /// Limits pieces to this many rows.
    pub fn in_pieces(self, rows: usize) -> Self {
        Self { out: Collector::with_room(rows), ..self }
    }

    /// Drives an operator that is restored from a snapshot.
    ///
    /// # Errors
    /// When the operator refuses the snapshot.
    pub fn restored(operator: O, snapshot: Snapshot) -> Result<Self> {
        Self::restored_in_parts(operator, [snapshot])
    }

    /// Drives an operator that is restored from the parts of a snapshot.
    ///
    /// # Errors
    /// When the operator refuses a part.
    pub fn restored_in_parts(mut operator: O, parts: impl IntoIterator<Item = Snapshot>) -> Result<Self> {
        let mut restored = None;
        for part in parts {
            restored = operator.restore(part)?;
        }
        Ok(Self { restored, ..Self::new(operator) })
    }

    /// Passes the event time of the restored state to the operator, as a task does.
    ///
    /// # Errors
    /// Those of the operator.
    pub fn continues(&mut self) -> Result<Progress> {
        let restored = self.restored.take();
        restored.map_or(Ok(Progress::Done), |watermark| self.operator.on_watermark(watermark, &mut self.out))
    }

    /// Passes rows to the operator.
    ///
    /// # Errors
    /// Those of the operator.
    pub fn push(&mut self, rows: RecordBatch) -> Result<Progress> {
        self.operator.process(InputIndex::FIRST, Batch::new(rows), &mut self.out)
    }

    /// Passes a watermark to the operator.
    ///
    /// # Errors
    /// Those of the operator.
    pub fn watermark(&mut self, watermark: Watermark) -> Result<Progress> {
        self.operator.on_watermark(watermark, &mut self.out)
    }

    /// Lets the operator emit the next piece of its output.
    ///
    /// # Errors
    /// Those of the operator.
    pub fn resume(&mut self) -> Result<Progress> {
        self.operator.resume(&mut self.out)
    }

    /// Passes a barrier, and returns the operator's state.
    ///
    /// # Errors
    /// Those of the operator.
    pub fn barrier(&mut self) -> Result<Snapshot> {
        self.checkpoint(SnapshotRequest::all(CheckpointId::NONE))
    }

    /// Passes the barrier of a checkpoint, and returns the part of the operator's state that it asks for.
    ///
    /// # Errors
    /// Those of the operator.
    pub fn checkpoint(&mut self, request: SnapshotRequest) -> Result<Snapshot> {
        self.operator.before_barrier(&mut self.out)?;
        match self.operator.snapshot(request)? {
            Some(frozen) => Ok(frozen.gather()?),
            None => Ok(Snapshot::default()),
        }
    }

    /// The rows emitted since the last call.
    pub fn rows(&mut self) -> Vec<Vec<Scalar>> {
        self.out.drain().flat_map(|batch| rows_of(batch.rows())).collect()
    }

    /// The operator.
    pub fn operator(&self) -> &O {
        &self.operator
    }
}

/// The rows of a batch, value by value.
pub fn rows_of(batch: &RecordBatch) -> Vec<Vec<Scalar>> {
    let value = |row: usize| {
        let values = batch.columns().iter().map(move |column| Scalar::try_from_array(column, row));
        values.collect::<std::result::Result<Vec<_>, _>>().expect("SQL types have scalar values")
    };
    (0..batch.num_rows()).map(value).collect()
}

/// The snapshot that each slot restores after a change of parallelism, from those of all former subtasks.
pub fn redistribute(snapshots: &[Snapshot], assignment: &Assignment) -> Vec<Snapshot> {
    let slots = (0..assignment.slots()).map(SlotIndex::new);
    slots.map(|slot| part_of_slot(snapshots, assignment, slot)).collect()
}

fn part_of_slot(snapshots: &[Snapshot], assignment: &Assignment, slot: SlotIndex) -> Snapshot {
    let mut part = Snapshot::default();
    for rows in snapshots.iter().flat_map(|snapshot| &snapshot.keyed) {
        let owned: UInt32Array = (0u32..)
            .zip(&rows.key_hashes)
            .filter(|(_, hash)| assignment.owner_of_hash(**hash) == slot)
            .map(|(row, _)| row)
            .collect();
        part.keyed.push(TableRows {
            table: rows.table.clone(),
            bucket: rows.bucket,
            is_whole: rows.is_whole,
            key_hashes: owned.values().iter().map(|row| rows.key_hashes[*row as usize]).collect(),
            rows: take_record_batch(&rows.rows, &owned).expect("rows of the batch itself"),
        });
    }
    part.union = snapshots.iter().flat_map(|snapshot| snapshot.union.clone()).collect();
    part
}
