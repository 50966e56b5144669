//! What a checkpoint gets of a log, and what is left of it.
//!
//! The rows that checkpoints have are in eight parts, each of which is a bucket. A checkpoint gets one part as a whole: that of its
//! [request](SnapshotRequest), together with all rows that have come since the last completed checkpoint, which belong to that part
//! from now on. The other parts are as they were handed over. So every part is handed over again within eight completed
//! checkpoints, and each time a bucket is in one file.
//!
//! Rows that are removed stay in the parts that are stored, until these are handed over again. Which ones they are is handed over too,
//! by their numbers and the hashes of their keys, in a bucket for each checkpoint. Such a bucket is needed until every part has been
//! handed over behind it. A row is there if a part has it, and no bucket of removed rows.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use eddyline_stream::CheckpointId;

use super::{ASIDE, Beside, RowLog, numbers};
use crate::snapshot::{
    Bucket, Inventory, PARTS, RowSink, Snapshot, SnapshotRequest, StateTable, TableRows, column_types,
};

/// Rows of a batch of a snapshot are at most this many and a block.
const ROWS_MAX: usize = 262_144;
/// The bytes of such a batch are at most this many and a block.
const BYTES_MAX: usize = 256 << 20;
/// If more rows than this are removed, and more than are left, they are not listed: the next checkpoint gets all rows.
const REMOVED_MAX: usize = if cfg!(debug_assertions) { 64 } else { 65_536 };

/// What checkpoints have of a log.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Whether anything was handed over that later checkpoints can build on.
    is_known: bool,
    parts: [Part; PARTS as usize],
    /// The part of the next block when all parts are handed over.
    next: u8,
    /// Rows that were removed since the last barrier, and that a part has.
    removed: Vec<Removed>,
    /// Those of earlier barriers, oldest first.
    epochs: VecDeque<Epoch>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// The checkpoint that it was last handed over to.
    checkpoint: Option<CheckpointId>,
    /// How many rows it had then.
    rows: usize,
}

/// A row that was removed.
#[derive(Clone, Copy, Debug)]
struct Removed {
    number: i64,
    key_hash: u64,
}

/// Rows that were removed in front of a barrier.
#[derive(Debug)]
struct Epoch {
    checkpoint: CheckpointId,
    count: usize,
    /// The rows, until a completed checkpoint has them.
    rows: Arc<Vec<Removed>>,
}

impl Stored {
    /// A row was removed that a part has.
    pub(super) fn note_removed(&mut self, number: i64, key_hash: u64) {
        self.removed.push(Removed { number, key_hash });
    }

    pub(super) fn bytes(&self) -> usize {
        let kept = self.epochs.iter().map(|epoch| epoch.rows.len()).sum::<usize>();
        (self.removed.capacity() + kept) * size_of::<Removed>()
    }

    fn removed_rows(&self) -> usize {
        self.removed.len() + self.epochs.iter().map(|epoch| epoch.rows.len()).sum::<usize>()
    }

    /// Whether a checkpoint that builds on `since` gets this part.
    fn is_due(&self, part: u8, request: SnapshotRequest) -> bool {
        let known = self.parts[usize::from(part)].checkpoint;
        request.since.is_none_or(|since| part == request.part || known.is_none_or(|known| known > since))
    }

    /// Ends the epoch of removed rows, and forgets what is needed no longer.
    fn end_epoch(&mut self, request: SnapshotRequest) {
        if !self.removed.is_empty() {
            let rows = Arc::new(std::mem::take(&mut self.removed));
            self.epochs.push_back(Epoch { checkpoint: request.checkpoint, count: rows.len(), rows });
        }
        let oldest = self.parts.iter().filter_map(|part| part.checkpoint).min();
        self.epochs.retain(|epoch| oldest.is_some_and(|oldest| oldest < epoch.checkpoint));
        for epoch in self.epochs.iter_mut().filter(|epoch| request.since.is_some_and(|since| epoch.checkpoint <= since))
        {
            epoch.rows = Arc::default();
        }
    }
}

/// Rows of a log for a checkpoint.
#[derive(Debug)]
pub struct LogHandover {
    schema: SchemaRef,
    /// The parts that are handed over: the blocks of each, with the rows that count if these are not all.
    parts: Vec<(i64, Vec<FrozenBlock>)>,
    /// The removed rows that are handed over.
    removed: Vec<(i64, Arc<Vec<Removed>>)>,
    /// All parts with their rows, and all buckets of removed rows.
    part_rows: Vec<(i64, usize)>,
    removed_rows: Vec<(i64, usize)>,
}

type FrozenBlock = (RecordBatch, Option<BooleanArray>);

impl<B: Beside> RowLog<B> {
    /// What a checkpoint gets of this log.
    pub fn hand_over(&mut self, request: SnapshotRequest) -> LogHandover {
        if self.stored.removed_rows() > self.rows.max(REMOVED_MAX) {
            self.blocks.iter_mut().flatten().for_each(|block| block.part = None);
            self.stored = Stored::default();
        }
        let stored = &mut self.stored;
        let request = SnapshotRequest { since: request.since.filter(|_| stored.is_known), ..request };
        stored.is_known = true;
        let is_due: Vec<bool> = (0..PARTS).map(|part| stored.is_due(part, request)).collect();
        let mut parts: Vec<(usize, Vec<FrozenBlock>)> = vec![(0, Vec::new()); usize::from(PARTS)];
        for block in self.blocks.iter_mut().flatten() {
            let part = *block.part.get_or_insert_with(|| match request.since {
                Some(_) => request.part,
                None => {
                    stored.next = (stored.next + 1) % PARTS;
                    stored.next
                }
            });
            let (rows, blocks) = &mut parts[usize::from(part)];
            *rows += block.live - block.aside;
            if is_due[usize::from(part)] && block.live > block.aside {
                let is_whole = block.live == block.owners.len() && block.aside == 0;
                let counts = |owners: &u32| *owners > 0 && owners & ASIDE == 0;
                let counting = (!is_whole).then(|| block.owners.iter().map(|owners| Some(counts(owners))).collect());
                blocks.push((block.rows.clone(), counting));
            }
        }
        let mut handover = LogHandover {
            schema: Arc::clone(&self.schema),
            parts: Vec::new(),
            removed: Vec::new(),
            part_rows: Vec::new(),
            removed_rows: Vec::new(),
        };
        for ((bucket, (rows, blocks)), part) in (0..).zip(parts).zip(&mut stored.parts) {
            // A part without rows no longer exists.
            if is_due[bucket as usize] || rows == 0 {
                *part = Part { checkpoint: Some(request.checkpoint), rows };
            }
            if part.rows > 0 {
                handover.part_rows.push((bucket, part.rows));
            }
            if !blocks.is_empty() {
                handover.parts.push((bucket, blocks));
            }
        }
        stored.end_epoch(request);
        for epoch in &stored.epochs {
            let bucket = i64::try_from(epoch.checkpoint.number()).expect("fewer checkpoints than i64 counts");
            handover.removed_rows.push((bucket, epoch.count));
            if !epoch.rows.is_empty() {
                handover.removed.push((bucket, Arc::clone(&epoch.rows)));
            }
        }
        handover
    }
}

impl LogHandover {
    /// Gathers the rows: those of the log as this table, the removed ones as [`RemovedRows::table`] of that name.
    /// `key_hashes` computes the hashes of the keys of rows.
    ///
    /// # Errors
    /// When rows do not fit in columns, and the errors of `into`.
    pub fn gather_into(
        self,
        table: &str,
        removed: &str,
        key_hashes: impl Fn(&RecordBatch) -> Result<Vec<u64>, ArrowError>,
        into: RowSink<'_>,
        inventory: &mut Inventory,
    ) -> Result<(), ArrowError> {
        let mut list = |table: &str, buckets: Vec<(i64, usize)>| {
            let bucket = |(bucket, rows)| Bucket { table: table.to_owned(), bucket, rows: rows as u64 };
            inventory.buckets.extend(buckets.into_iter().map(bucket));
        };
        list(table, self.part_rows);
        list(removed, self.removed_rows);
        for (bucket, blocks) in self.parts {
            let mut gathered: Vec<RecordBatch> = Vec::new();
            let (mut rows, mut bytes) = (0, 0);
            let mut blocks = blocks.into_iter().peekable();
            while let Some((block, counting)) = blocks.next() {
                let block = counting.map_or(Ok(block.clone()), |counting| filter_record_batch(&block, &counting))?;
                (rows, bytes) = (rows + block.num_rows(), bytes + block.get_array_memory_size());
                gathered.push(block);
                if rows >= ROWS_MAX || bytes >= BYTES_MAX || blocks.peek().is_none() {
                    let rows_of = concat_batches(&self.schema, &gathered)?;
                    let key_hashes = key_hashes(&rows_of)?;
                    into(TableRows { table: table.to_owned(), bucket, is_whole: true, key_hashes, rows: rows_of })?;
                    gathered.clear();
                    (rows, bytes) = (0, 0);
                }
            }
        }
        for (bucket, rows) in self.removed {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.number)));
            into(TableRows {
                table: removed.to_owned(),
                bucket,
                is_whole: true,
                key_hashes: rows.iter().map(|row| row.key_hash).collect(),
                rows: RecordBatch::try_new(removed_schema(), vec![numbers])?,
            })?;
        }
        Ok(())
    }
}

fn removed_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("number", DataType::Int64, false)]))
}

/// The removed rows that restored parts of a log still have.
#[derive(Debug, Default)]
pub struct RemovedRows(BTreeSet<(u64, i64)>);

impl RemovedRows {
    /// The table of removed rows, for a log whose last column holds `number`.
    pub fn table(name: &str, number: &str) -> StateTable {
        StateTable::new(name, removed_schema()).holding(vec![number.to_owned()])
    }

    /// The rows in the table of this name.
    ///
    /// # Errors
    /// [`ArrowError::SchemaError`] when it is another table.
    pub fn of(snapshot: &Snapshot, name: &str) -> Result<Self, ArrowError> {
        let mut removed = BTreeSet::new();
        for part in snapshot.keyed.iter().filter(|part| part.table == name) {
            let is_this = column_types(part.rows.schema_ref()) == column_types(&removed_schema())
                && part.rows.column(0).null_count() == 0
                && part.key_hashes.len() == part.rows.num_rows();
            if !is_this {
                return Err(ArrowError::SchemaError("these are no removed rows".to_owned()));
            }
            removed.extend(part.key_hashes.iter().copied().zip(numbers(&part.rows).values().iter().copied()));
        }
        Ok(Self(removed))
    }

    /// The rows of a table of the log that are there, and the hashes of their keys.
    ///
    /// # Errors
    /// When rows cannot be copied.
    pub fn leave_out(&self, rows: RecordBatch, key_hashes: Vec<u64>) -> Result<(RecordBatch, Vec<u64>), ArrowError> {
        if self.0.is_empty() {
            return Ok((rows, key_hashes));
        }
        let all = key_hashes.iter().zip(numbers(&rows).values());
        let is_there: Vec<bool> = all.map(|(hash, number)| !self.0.contains(&(*hash, *number))).collect();
        let hashes = key_hashes.iter().zip(&is_there).filter(|(_, is_there)| **is_there).map(|(hash, _)| *hash);
        let hashes = hashes.collect();
        Ok((filter_record_batch(&rows, &BooleanArray::from(is_there))?, hashes))
    }
}
