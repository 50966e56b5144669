//! `OVER (PARTITION BY … ORDER BY rowtime …)`: aggregates for every row over the rows before it.
//!
//! Rows wait ([`pending`]) until the watermark has passed their time. Then they are processed in order of time and
//! arrival, a chunk at a time, in three steps. [`frames`] finds the frame of every row. Each aggregate ([`aggregates`])
//! slides over these frames in its own loop. Rows that no frame needs are released. Rows are never copied one by one:
//! they lie in batches, to which state refers ([`RowLog`](eddyline_state::RowLog)).
//!
//! Rows that a watermark releases are emitted in pieces. At a barrier between two pieces, the rows that are not emitted
//! yet are part of the snapshot. They are marked, because rows of the same time that arrived after the watermark wait
//! for the next one. Peers are rows of a key at one time whose frames end with the last of them. A piece never
//! separates peers.
//!
//! Late rows follow Flink's three rules ([`lateness`]). Output is in order of time, then of arrival. After a restore,
//! rows of different keys at one time can be in another order.

pub mod aggregates;
pub mod frames;
pub mod keys;
pub mod lateness;
pub mod operand;
pub mod pending;
mod state;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use eddyline_job_graph::{Over, OverFrame};
use eddyline_state::{Frozen, Snapshot, SnapshotRequest, StateTable};
use eddyline_stream::{Batch, KeyHashes, Watermark};

use self::aggregates::Aggregate;
use self::frames::Frames;
use self::keys::KeyTable;
use self::lateness::Lateness;
use self::operand::{KeptRows, OperandColumn, OperandColumns};
use self::pending::{Peers, Pending, PendingRow};
use crate::{Collector, Counters, Error, InputIndex, Operator, Progress, Result};

/// The maximum number of rows in a chunk. Peers can exceed it.
const CHUNK_ROWS: usize = 8192;

/// The column with the order of arrival, after the input columns.
const SEQUENCE: &str = "$sequence";

/// The operator of [`Over`].
pub struct OverOperator {
    // Fixed at start.
    config: Over,
    output: SchemaRef,
    /// The input columns and the order of arrival.
    pending_schema: SchemaRef,
    /// The columns of `pending_schema` that processed rows keep: keys, arguments, filters, time, order of arrival.
    kept_columns: Vec<usize>,

    // Changing.
    watermark: Watermark,
    /// The smallest of those that were restored.
    restored: Option<Watermark>,
    /// The watermark whose rows are being emitted; `MIN` between watermarks.
    releasing: Watermark,
    sequence: i64,
    keys: KeyTable,
    lateness: Lateness,
    pending: Pending,
    frames: Frames,
    /// Processed rows that frames or aggregates refer to.
    kept: KeptRows,
    aggregates: Vec<Aggregate>,
    late_rows: u64,
}

impl OverOperator {
    /// The operator for a planned [`Over`]; `input` and `output` are the schemas of its input and of its node.
    ///
    /// # Errors
    /// When a column is of a type that cannot be a key, an argument or a time.
    pub fn new(config: Over, input: SchemaRef, output: SchemaRef) -> Result<Self> {
        match input.fields().get(config.time.column).map(|field| field.data_type()) {
            Some(DataType::Timestamp(TimeUnit::Millisecond, _)) => {}
            other => {
                return Err(Error::Unsupported(format!("ORDER BY of an OVER needs a time attribute, not {other:?}")));
            }
        }
        let mut fields = input.fields().to_vec();
        fields.push(Arc::new(Field::new(SEQUENCE, DataType::Int64, false)));
        let mut kept_columns: Vec<usize> = config
            .aggregates
            .iter()
            .flat_map(|call| call.argument.into_iter().chain(call.filter))
            .chain(config.keys.iter().copied())
            .chain([config.time.column, input.fields().len()])
            .collect();
        kept_columns.sort_unstable();
        kept_columns.dedup();
        // Rows that aggregates restore from a snapshot have only their argument. Their other columns are NULL.
        let kept_fields: Vec<Field> =
            kept_columns.iter().map(|column| fields[*column].as_ref().clone().with_nullable(true)).collect();
        let position = |column: usize| kept_columns.binary_search(&column).expect("every column used is kept");
        let operands = config.aggregates.iter().map(|call| OperandColumn::new(call, position));
        let operands = operands.collect::<Result<Vec<_>>>()?;
        let bounded = matches!(config.frame, OverFrame::Rows(_) | OverFrame::Range(_));
        let aggregates =
            config.aggregates.iter().enumerate().map(|(i, call)| Aggregate::new(call, i, position, bounded));
        let pending_schema = Arc::new(Schema::new(fields));
        Ok(Self {
            keys: KeyTable::new(&config.keys, &input)?,
            lateness: Lateness::new(config.frame),
            pending: Pending::new(Arc::clone(&pending_schema)),
            frames: Frames::new(config.frame),
            kept: KeptRows::new(Arc::new(Schema::new(kept_fields)), OperandColumns(operands)),
            aggregates: aggregates.collect::<Result<_>>()?,
            config,
            output,
            pending_schema,
            kept_columns,
            watermark: Watermark::MIN,
            restored: None,
            releasing: Watermark::MIN,
            sequence: 0,
            late_rows: 0,
        })
    }

    /// The rows with their order of arrival.
    fn numbered(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let end = self.sequence + i64::try_from(rows.num_rows()).expect("a batch has fewer rows than i64 counts");
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(Int64Array::from_iter_values(self.sequence..end)));
        self.sequence = end;
        Ok(RecordBatch::try_new(Arc::clone(&self.pending_schema), columns)?)
    }

    /// The event times of rows; an error if one is NULL.
    fn times<'a>(&self, rows: &'a RecordBatch) -> Result<&'a [i64]> {
        let times = rows.column(self.config.time.column).as_primitive_opt::<TimestampMillisecondType>();
        let name = || rows.schema_ref().field(self.config.time.column).name().clone();
        match times {
            Some(times) if times.null_count() == 0 => Ok(times.values()),
            Some(_) => Err(Error::InvalidRow(format!("the time attribute {} of an OVER is NULL", name()))),
            None => Err(Error::InvalidRow(format!("{} is not a TIMESTAMP(3)", name()))),
        }
    }

    /// Whether rows of a key at one time are peers: they share their frame, which ends with the last of them.
    fn has_peers(&self) -> bool {
        matches!(self.config.frame, OverFrame::RangeUnbounded | OverFrame::Range(_))
    }

    /// Processes a chunk of rows, in order of time and arrival, and emits them with their results.
    fn take(&mut self, chunk: &[PendingRow], out: &mut Collector) -> Result<()> {
        // Looked up first, because keys can be dropped below.
        let hashes: Vec<u64> = chunk.iter().map(|row| self.keys.hash(row.key)).collect();
        let keys: Vec<u32> = chunk.iter().map(|row| row.key).collect();
        self.keys.have_state(&keys);
        self.keys.note_changes(&keys);
        let taken = self.pending.take(chunk, &self.keys)?;
        let appended = self.kept.append(&taken.project(&self.kept_columns)?)?;
        let steps = self.frames.advance(chunk, &appended, &mut self.lateness);
        let mut columns: Vec<ArrayRef> = taken.columns()[..taken.num_columns() - 1].to_vec();
        for aggregate in &mut self.aggregates {
            columns.push(aggregate.run(&steps, &self.frames, &mut self.kept)?);
        }
        self.frames.trim(&steps, &mut self.kept, &self.keys);
        self.follow_cleanups();
        if let Some(moved) = self.kept.compact()? {
            self.frames.follow(&moved);
            self.aggregates.iter_mut().for_each(|aggregate| aggregate.follow(&moved));
        }
        let rows = RecordBatch::try_new(Arc::clone(&self.output), columns)?;
        for start in (0..rows.num_rows()).step_by(CHUNK_ROWS) {
            let count = CHUNK_ROWS.min(rows.num_rows() - start);
            let part = KeyHashes::from(hashes[start..start + count].to_vec());
            out.emit(Batch::keyed(rows.slice(start, count), part));
        }
        Ok(())
    }

    /// Drops the state of keys that were cleaned up, and notes what else cleanups have changed.
    fn follow_cleanups(&mut self) {
        self.keys.note_changes(&self.lateness.take_changed());
        for key in self.lateness.take_cleaned() {
            self.frames.clear(key, &mut self.kept, &self.keys);
            for aggregate in &mut self.aggregates {
                aggregate.reset(key, &mut self.kept);
            }
            self.keys.drop_state(key);
        }
    }

    /// Drops keys without state if there are many.
    fn drop_keys(&mut self) -> Result<()> {
        if let Some(mut kept) = self.keys.worth_keeping() {
            kept.extend(self.pending.keys());
            kept.sort_unstable();
            kept.dedup();
            self.keys.renumber(&kept)?;
            self.lateness.renumber(&kept);
            self.pending.renumber(&kept);
            self.frames.renumber(&kept);
            self.aggregates.iter_mut().for_each(|aggregate| aggregate.renumber(&kept));
        }
        Ok(())
    }
}

impl Operator for OverOperator {
    fn process(&mut self, _input: InputIndex, batch: Batch, _out: &mut Collector) -> Result<Progress> {
        if batch.num_rows() == 0 {
            return Ok(Progress::Done);
        }
        let hashes = batch.key_hashes_by(&self.config.keys).map_err(|error| Error::Unsupported(error.to_string()))?;
        let times = self.times(batch.inserts()?)?;
        let keys = self.keys.ids(batch.rows(), &hashes)?;
        let on_time: Vec<bool> =
            (0..times.len()).map(|row| self.lateness.admit(keys[row], times[row], self.watermark)).collect();
        let admitted: Vec<(i64, u32)> = times
            .iter()
            .zip(&keys)
            .zip(&on_time)
            .filter(|(_, on_time)| **on_time)
            .map(|((time, key), _)| (*time, *key))
            .collect();
        self.late_rows += (times.len() - admitted.len()) as u64;
        if admitted.is_empty() {
            return Ok(Progress::Done);
        }
        let admitted_keys: Vec<u32> = admitted.iter().map(|(_, key)| *key).collect();
        self.keys.have_state(&admitted_keys);
        self.keys.note_changes(&admitted_keys);
        let rows = if admitted.len() == times.len() {
            self.numbered(batch.rows())?
        } else {
            self.numbered(&filter_record_batch(batch.rows(), &on_time.into())?)?
        };
        self.pending.insert(&rows, &admitted)?;
        Ok(Progress::Done)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut Collector) -> Result<Progress> {
        // A row that arrives after a watermark and is not late waits for the next watermark.
        if watermark > self.watermark {
            (self.watermark, self.releasing) = (watermark, watermark);
        }
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Collector) -> Result<Progress> {
        // After a restore without rows to emit, no watermark is in progress, and its cleanups are done.
        let is_releasing = self.releasing > Watermark::MIN || self.pending.has_ripe();
        while self.pending.is_due(self.releasing) {
            let room = out.room().min(CHUNK_ROWS);
            if room == 0 {
                return Ok(Progress::More);
            }
            let peers = match self.has_peers() {
                false => Peers::None,
                true if out.is_empty() => Peers::Together,
                true => Peers::IfThereIsRoom,
            };
            let chunk = self.pending.pop_until(self.releasing, room, peers);
            if chunk.is_empty() {
                return Ok(Progress::More);
            }
            self.take(&chunk, out)?;
        }
        if is_releasing {
            self.releasing = Watermark::MIN;
            self.lateness.pass(self.watermark.time_ms().saturating_add(1));
            self.follow_cleanups();
            self.drop_keys()?;
        }
        Ok(Progress::Done)
    }

    fn may_be_cut(&self) -> bool {
        true
    }

    fn snapshot(&mut self, request: SnapshotRequest) -> Result<Option<Frozen>> {
        Ok(Some(self.freeze(request)?))
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<Option<Watermark>> {
        self.read_snapshot(&snapshot)?;
        Ok(Some(self.watermark))
    }

    fn state_tables(&self, inputs: &[String]) -> Vec<StateTable> {
        self.tables(inputs)
    }

    fn counters(&self) -> Counters {
        let per_key = 64 + self.aggregates.len() * 48;
        Counters {
            late_rows: self.late_rows,
            state_bytes: self.pending.bytes() + self.kept.bytes() + self.keys.bytes() + self.keys.len() * per_key,
            state_rows: self.pending.len() + self.kept.len() + self.keys.len(),
            ..Counters::default()
        }
    }
}

#[cfg(test)]
mod tests;
