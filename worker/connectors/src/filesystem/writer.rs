//! Writes rows of a filesystem table: distributes them to partitions, encodes them, and hands the bytes to the I/O
//! side.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::partition;
use arrow::datatypes::SchemaRef;
use eddyline_stream::{Batch, CheckpointId};
use tokio::sync::{mpsc, oneshot, watch};

use super::config::Config;
use super::location::Location;
use super::object_upload::PART_BYTES;
use super::part::PartEncoder;
use super::partition::escape;
use super::upload::{Command, Shared};
use crate::Error;
use crate::print::row::write_value;
use crate::sink::{Prepared, SinkWriter};

/// The size of the blocks in which encoded lines are handed over, in bytes.
const BLOCK_BYTES: usize = 1 << 20;
/// The number of bytes in flight to the disk or the bucket from which the writer accepts no more rows.
const IN_FLIGHT_BYTES_MAX: u64 = 32 << 20;
/// The number of files that are written concurrently. With more partitions at once, parts end early.
const PARTS_MAX: usize = 256;
/// The number of bytes buffered in all parts from which the largest part ends early.
const HELD_BYTES_MAX: usize = 256 << 20;

/// Writes the rows of one subtask.
pub(super) struct FileWriter {
    // Fixed at start.
    config: Arc<Config>,
    /// The schema of the files.
    schema: SchemaRef,
    /// The names of the partition keys.
    partition_keys: Vec<String>,
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    /// Dropped with the writer, and then no request waits for an answer of the store.
    _needs: watch::Sender<()>,
    io: tokio::runtime::Handle,
    // Changing.
    parts: BTreeMap<Arc<str>, Part>,
    part_number: u64,
    bytes: u64,
}

struct Part {
    number: u64,
    encoder: PartEncoder,
    /// The number of bytes that were handed over.
    handed: usize,
}

impl Part {
    /// The number of buffered bytes, here or in an unfinished part of an object.
    fn held(&self, location: &Location) -> usize {
        let begun = if matches!(location, Location::S3 { .. }) { self.handed % PART_BYTES } else { 0 };
        self.encoder.held() + begun
    }
}

impl FileWriter {
    pub(super) fn new(
        config: Arc<Config>,
        schema: SchemaRef,
        partition_keys: Vec<String>,
        shared: Arc<Shared>,
        (commands, needs): (mpsc::UnboundedSender<Command>, watch::Sender<()>),
        io: tokio::runtime::Handle,
    ) -> Self {
        let parts = BTreeMap::new();
        Self { config, schema, partition_keys, shared, commands, _needs: needs, io, parts, part_number: 0, bytes: 0 }
    }

    fn send(&self, command: Command) -> Result<(), Error> {
        if let Command::Append { bytes, .. } = &command {
            self.shared.in_flight.fetch_add(bytes.len() as u64, Ordering::AcqRel);
        }
        self.commands.send(command).map_err(|_| Error::Unavailable {
            what: format!("the task that writes below '{}' ended early", self.config.location),
            source: None,
            retryable: true,
        })
    }

    fn write_partition(&mut self, folder: &str, batch: &Batch) -> Result<(), Error> {
        if !self.parts.contains_key(folder) {
            if self.parts.len() >= PARTS_MAX {
                self.end_largest()?;
            }
            let encoder = PartEncoder::new(&self.config.format, &self.schema)?;
            self.parts.insert(Arc::from(folder), Part { number: self.part_number, encoder, handed: 0 });
            self.part_number += 1;
        }
        let (folder, part) = self.parts.get_key_value(folder).expect("it was put there if it was missing");
        let folder = Arc::clone(folder);
        let number = part.number;
        let part = self.parts.get_mut(&folder).expect("it is there");
        part.encoder.write(batch)?;
        let bytes = part.encoder.take(BLOCK_BYTES);
        part.handed += bytes.len();
        let is_full = part.encoder.bytes() >= self.config.part_bytes;
        self.append(number, &folder, bytes)?;
        if is_full { self.end(&folder) } else { Ok(()) }
    }

    fn append(&mut self, part: u64, partition: &Arc<str>, bytes: Vec<u8>) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.bytes += bytes.len() as u64;
        self.send(Command::Append { part, partition: Arc::clone(partition), bytes })
    }

    fn end(&mut self, folder: &Arc<str>) -> Result<(), Error> {
        let Some(Part { number, encoder, .. }) = self.parts.remove(folder) else { return Ok(()) };
        let rows = encoder.rows;
        let rest = encoder.finish()?;
        self.append(number, folder, rest)?;
        self.send(Command::Close { part: number, rows })
    }

    fn end_largest(&mut self) -> Result<(), Error> {
        let location = &self.config.location;
        let largest =
            self.parts.iter().max_by_key(|(_, part)| part.held(location)).map(|(folder, _)| Arc::clone(folder));
        largest.map_or(Ok(()), |folder| self.end(&folder))
    }

    /// The folder of the partition that row `row` belongs to, such as `day=2026-03-01/hm=23%3A59`.
    fn folder(&self, rows: &RecordBatch, row: usize) -> String {
        let mut folder = String::new();
        for (key, column) in self.partition_keys.iter().zip(&self.config.partition_columns) {
            let column = rows.column(*column);
            let mut value = String::new();
            if !column.is_null(row) {
                write_value(&mut value, column, row);
            }
            if value.is_empty() {
                value.clone_from(&self.config.default_partition);
            }
            if !folder.is_empty() {
                folder.push('/');
            }
            folder.push_str(&escape(key));
            folder.push('=');
            folder.push_str(&escape(&value));
        }
        folder
    }

    /// The rows of each partition of a batch, in order.
    fn partitions(&self, rows: &RecordBatch) -> Result<BTreeMap<String, Vec<Range<usize>>>, Error> {
        let columns: Vec<_> =
            self.config.partition_columns.iter().map(|index| Arc::clone(rows.column(*index))).collect();
        let runs = partition(&columns).map_err(failed)?.ranges();
        let mut partitions: BTreeMap<String, Vec<Range<usize>>> = BTreeMap::new();
        for run in runs {
            partitions.entry(self.folder(rows, run.start)).or_default().push(run);
        }
        Ok(partitions)
    }
}

fn failed(error: arrow::error::ArrowError) -> Error {
    Error::Unavailable {
        what: "cannot distribute rows to partitions".to_owned(),
        source: Some(Box::new(error)),
        retryable: false,
    }
}

impl SinkWriter for FileWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        self.shared.check()?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let columns = &self.config.file_columns;
        let in_file = batch.project(columns).map_err(failed)?;
        // The schema has the nullability of the table, not that of the query.
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), in_file.rows().columns().to_vec()).map_err(failed)?;
        let in_file = in_file.with_columns(rows);
        if self.partition_keys.is_empty() {
            self.write_partition("", &in_file)?;
        } else {
            for (folder, runs) in self.partitions(batch.rows())? {
                let part = match runs.as_slice() {
                    [run] if in_file.kinds().is_none() => Batch::new(in_file.rows().slice(run.start, run.len())),
                    runs => {
                        // An update that moves a row into another partition is a delete in one and an insert in the other.
                        let places = runs.iter().cloned().flatten().map(|row| row as u32);
                        in_file.take(&UInt32Array::from_iter_values(places)).map_err(failed)?
                    }
                };
                self.write_partition(&folder, &part)?;
            }
        }
        while self.parts.values().map(|part| part.held(&self.config.location)).sum::<usize>() > HELD_BYTES_MAX {
            self.end_largest()?;
        }
        Ok(())
    }

    fn is_ready(&mut self) -> Result<bool, Error> {
        self.shared.check()?;
        Ok(self.shared.in_flight.load(Ordering::Acquire) < IN_FLIGHT_BYTES_MAX)
    }

    fn prepare_commit(&mut self, checkpoint: CheckpointId) -> Prepared {
        let mut end_all = || {
            while let Some(folder) = self.parts.keys().next().cloned() {
                self.end(&folder)?;
            }
            let (reply, answer) = oneshot::channel();
            self.send(Command::Prepare { checkpoint, reply })?;
            Ok(answer)
        };
        let answer: Result<oneshot::Receiver<_>, Error> = end_all();
        Prepared::start(&self.io, async move {
            match answer?.await {
                Ok(staged) => Ok(staged?.into_iter().map(super::commit::Staged::into_committable).collect()),
                Err(_) => Err(Error::Unavailable {
                    what: "the task that writes files ended early".to_owned(),
                    source: None,
                    retryable: true,
                }),
            }
        })
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}
