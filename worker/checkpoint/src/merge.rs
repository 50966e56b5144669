//! Merges the run files of a checkpoint to one base, for a savepoint, which is self-contained.
//!
//! Rows are read in batches of key groups, so memory is bounded whatever the size of the state.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use eddyline_stream::{KeyGroup, KeyGroupSet};
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::handle::CheckpointHandle;
use crate::manifest::{self, FileProto, RunProto, Table, TableProto};
use crate::run_file::reader::BlockRows;
use crate::run_file::writer::{BlockEncoder, Finished, Place, RunWriter};
use crate::run_file::{RunIdentity, RunKind};
use crate::storage::{PART_BYTES, Storage};
use crate::upload::{self, Emit};

/// The most bytes before compression of key groups that are read together.
const BATCH_BYTES: u64 = 64 << 20;
/// The number of batches that may wait for the encoder.
const BATCHES_WAITING: usize = 1;
/// The worker in the name of the run file.
const WORKER: &str = "copy";

/// The blocks of some key groups of a table, each with the number of its run. The oldest run is first.
struct Batch {
    table: usize,
    blocks: Vec<(usize, BlockRows)>,
}

/// The rows of a table in the new file.
struct Merged {
    rows: u64,
    key_groups: KeyGroupSet,
    buckets: BTreeSet<i64>,
}

/// Writes the latest version of each row to a run file, and makes the tables refer to that file only.
pub(crate) async fn merge(
    source: &CheckpointHandle,
    target: &Storage,
    name: &str,
    tables: &mut [TableProto],
) -> Result<Vec<FileProto>> {
    let (sender, batches) = mpsc::channel(BATCHES_WAITING);
    let handle = source.clone();
    let encode = move |emit: Emit<'_>| encode(&handle, batches, emit);
    let (written, read) =
        futures::future::join(upload::upload(target, name, 0, None, encode), read(source, sender)).await;
    read?;
    let (merged, file) = written?;
    for (table, merged) in tables.iter_mut().zip(merged) {
        let run = |merged: Merged| RunProto {
            file: 0,
            kind: RunKind::Base.number(),
            checkpoint: source.id().number(),
            key_groups: manifest::key_group_bits(&merged.key_groups),
            buckets: merged.buckets.into_iter().collect(),
        };
        table.runs = merged.map(run).into_iter().collect();
        table.identity = 0;
    }
    Ok(file.into_iter().collect())
}

/// Reads all rows of the checkpoint. Stops early when the receiver is gone.
async fn read(source: &CheckpointHandle, sender: mpsc::Sender<Batch>) -> Result<()> {
    for (index, table) in source.manifest().tables.iter().enumerate() {
        for key_groups in batches(source, table).await? {
            let mut blocks = Vec::new();
            for (number, run) in table.runs.iter().enumerate() {
                blocks.extend(source.read_run(table, run, &key_groups).await?.into_iter().map(|block| (number, block)));
            }
            if sender.send(Batch { table: index, blocks }).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The key groups of a table in order, grouped into batches of at most [`BATCH_BYTES`].
async fn batches(source: &CheckpointHandle, table: &Table) -> Result<Vec<KeyGroupSet>> {
    let mut bytes: BTreeMap<KeyGroup, u64> = BTreeMap::new();
    for run in &table.runs {
        for block in source.entries(table, run, &run.key_groups).await? {
            *bytes.entry(KeyGroup::new(block.key_group)).or_default() += u64::from(block.raw_bytes);
        }
    }
    let mut batches: Vec<KeyGroupSet> = Vec::new();
    let mut filled = u64::MAX;
    for (key_group, bytes) in bytes {
        filled = filled.saturating_add(bytes);
        if filled > BATCH_BYTES {
            batches.push(KeyGroupSet::empty(source.max_parallelism()));
            filled = bytes;
        }
        batches.last_mut().expect("there is one since the first").insert(key_group);
    }
    Ok(batches)
}

/// Encodes the batches.
fn encode(
    source: &CheckpointHandle,
    mut batches: mpsc::Receiver<Batch>,
    emit: Emit<'_>,
) -> Result<(Vec<Option<Merged>>, Option<Finished>)> {
    let manifest = source.manifest();
    let identity = RunIdentity {
        job: manifest.job.clone(),
        attempt: manifest.attempt,
        worker: WORKER.to_owned(),
        checkpoint: manifest.checkpoint,
        max_parallelism: manifest.max_parallelism,
        key_hash_version: manifest.key_hash_version,
    };
    let mut writer = RunWriter::new(&identity, PART_BYTES, emit);
    let mut encoder = BlockEncoder::default();
    let mut merged: Vec<Option<Merged>> = manifest.tables.iter().map(|_| None).collect();
    let invalid = |table: &Table, reason| {
        let (operator, table) = (table.operator.clone(), table.name.clone());
        Error::InvalidSnapshot { operator, table, reason }
    };
    while let Some(Batch { table, blocks }) = batches.blocking_recv() {
        let (table, merged) = (&manifest.tables[table], &mut merged[table]);
        if merged.is_none() {
            let (operator, name) = (table.operator.as_str(), &table.name);
            writer
                .begin_table(operator, name, &table.schema, RunKind::Base)
                .map_err(|reason| invalid(table, reason))?;
        }
        let merged = merged.get_or_insert_with(|| Merged {
            rows: 0,
            key_groups: KeyGroupSet::empty(manifest.max_parallelism),
            buckets: BTreeSet::new(),
        });
        let mut places: BTreeMap<Place, Vec<(usize, BlockRows)>> = BTreeMap::new();
        for (run, block) in blocks {
            let place = Place { key_group: block.entry.key_group, bucket: block.entry.bucket };
            places.entry(place).or_default().push((run, block));
        }
        for (place, blocks) in places {
            let (key_hashes, rows) = latest(table, &blocks).map_err(|source| Error::Columns {
                action: "put together",
                operator: table.operator.as_str().to_owned(),
                table: table.name.clone(),
                source,
            })?;
            encoder
                .encode(&key_hashes, &rows, &mut |_| (), &mut |block| writer.add(place, block.form, &block.stored))
                .map_err(|reason| invalid(table, reason))?;
            merged.rows += rows.num_rows() as u64;
            merged.key_groups.insert(KeyGroup::new(place.key_group));
            merged.buckets.insert(place.bucket);
        }
    }
    // Rows are also missing if reading has failed. The caller then reports the error of reading.
    for (table, merged) in manifest.tables.iter().zip(&merged) {
        let rows = merged.as_ref().map_or(0, |merged| merged.rows);
        if rows != table.rows {
            let part = format!("table {} of {}", table.name, table.operator);
            let reason = format!("its run files have {rows} rows, and it says {}", table.rows);
            return Err(Error::corrupt(format!("{}/manifest", source.uri()), part, reason));
        }
    }
    let finish = |writer: RunWriter<Emit<'_>>| {
        writer.finish().map_err(|reason| Error::corrupt(source.uri(), "footer of its copy", reason))
    };
    Ok((merged, if writer.is_empty() { None } else { Some(finish(writer)?) }))
}

/// The version of each row in its last run, in no particular order. A run has each row once.
fn latest(table: &Table, blocks: &[(usize, BlockRows)]) -> std::result::Result<(Vec<u64>, RecordBatch), ArrowError> {
    let rows = concat_batches(&table.schema, blocks.iter().map(|(_, block)| &block.rows))?;
    let key_hashes: Vec<u64> = blocks.iter().flat_map(|(_, block)| block.key_hashes.iter().copied()).collect();
    if blocks.windows(2).all(|pair| pair[0].0 == pair[1].0) {
        return Ok((key_hashes, rows));
    }
    let columns = &rows.columns()[..table.identity];
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let identities = RowConverter::new(fields)?.convert_columns(columns)?;
    let count = u32::try_from(rows.num_rows()).map_err(|error| ArrowError::ComputeError(error.to_string()))?;
    let identity = |row: &u32| (key_hashes[*row as usize], identities.row(*row as usize));
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_by(|a, b| identity(a).cmp(&identity(b)));
    // The sort is stable, so the last of equal rows is the latest.
    let mut latest: Vec<u32> =
        order.chunk_by(|a, b| identity(a) == identity(b)).map(|same| same[same.len() - 1]).collect();
    latest.sort_unstable();
    let rows = take_record_batch(&rows, &UInt32Array::from(latest.clone()))?;
    Ok((latest.iter().map(|row| key_hashes[*row as usize]).collect(), rows))
}
