//! Turns snapshots into the blocks of a run file, table by table.
//!
//! Runs on a blocking thread: gathering, encoding and compressing are all CPU work. A bucket whose rows are the same as
//! in an earlier run is not written again: closed windows waiting for late rows, and joins' older buckets, do not change.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use eddyline_state::{Snapshot, TableRows};
use eddyline_stream::{KeyGroup, KeyGroupSet, MaxParallelism, OperatorUid, SlotIndex};
use xxhash_rust::xxh3::Xxh3;

use crate::block;
use crate::error::{Error, Result};
use crate::run_file::RunIdentity;
use crate::run_file::writer::{Finished, RunWriter};
use crate::schema;

/// Names a bucket of a table.
pub(crate) type BucketKey = (OperatorUid, String, i64);

/// The rows of a bucket, as they were written once.
#[derive(Clone, Debug)]
pub(crate) struct BucketRows {
    pub digest: u128,
    pub rows: u64,
    /// Bytes before compression.
    pub bytes: u64,
    pub key_groups: KeyGroupSet,
}

/// A table of the new checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct EncodedTable {
    pub operator: OperatorUid,
    pub name: String,
    pub schema: SchemaRef,
    /// In the new run file.
    pub written: BTreeMap<i64, BucketRows>,
    /// As in an earlier one.
    pub reused: BTreeSet<i64>,
    pub rows: u64,
}

/// The tables of a checkpoint, and the end of its run file.
pub(crate) struct Encoded {
    pub tables: Vec<EncodedTable>,
    /// `None` when there were no rows to write.
    pub file: Option<Finished>,
}

/// Rows of one [`TableRows`] in order of key group.
struct Sorted {
    bucket: i64,
    key_hashes: Vec<u64>,
    rows: RecordBatch,
}

/// A part of [`Sorted`] that belongs to one key group.
#[derive(Clone, Copy)]
struct Piece {
    key_group: u16,
    bucket: i64,
    sorted: usize,
    start: usize,
    length: usize,
}

/// Writes all rows that `reusable` does not have as they are. Full parts go to `emit`.
pub(crate) fn encode(
    snapshots: &[(OperatorUid, SlotIndex, Snapshot)],
    identity: &RunIdentity,
    reusable: &BTreeMap<BucketKey, u128>,
    part_bytes: usize,
    emit: impl FnMut(Vec<u8>) -> std::result::Result<(), String>,
) -> Result<Encoded> {
    let mut writer = RunWriter::new(identity, part_bytes, emit);
    let mut tables = Vec::new();
    let mut any = false;
    for ((operator, name), (schema, parts)) in by_table(snapshots)? {
        let invalid = |reason| Error::InvalidSnapshot { operator: operator.clone(), table: name.clone(), reason };
        let sorted = parts
            .iter()
            .map(|part| sort(&operator, part, &schema, identity.max_parallelism))
            .collect::<Result<Vec<_>>>()?;
        let pieces = cut(&sorted, identity.max_parallelism);
        let mut table = EncodedTable {
            operator: operator.clone(),
            name: name.clone(),
            schema: schema.clone(),
            written: digest(&sorted, &pieces, identity.max_parallelism).map_err(invalid)?,
            reused: BTreeSet::new(),
            rows: 0,
        };
        table.rows = table.written.values().map(|bucket| bucket.rows).sum();
        table.reused = table
            .written
            .iter()
            .filter(|(bucket, rows)| reusable.get(&(operator.clone(), name.clone(), **bucket)) == Some(&rows.digest))
            .map(|(bucket, _)| *bucket)
            .collect();
        table.written.retain(|bucket, _| !table.reused.contains(bucket));
        if !table.written.is_empty() {
            any = true;
            writer.begin_table(operator.as_str(), &name, &schema).map_err(invalid)?;
            for piece in pieces.iter().filter(|piece| !table.reused.contains(&piece.bucket)) {
                let source = &sorted[piece.sorted];
                let hashes = &source.key_hashes[piece.start..piece.start + piece.length];
                let rows = source.rows.slice(piece.start, piece.length);
                writer.add(piece.key_group, piece.bucket, hashes, &rows).map_err(invalid)?;
            }
        }
        tables.push(table);
    }
    let stopped =
        |reason| Error::InvalidSnapshot { operator: OperatorUid::new("all"), table: "all".to_owned(), reason };
    Ok(Encoded { tables, file: if any { Some(writer.finish().map_err(stopped)?) } else { None } })
}

type Tables<'a> = BTreeMap<(OperatorUid, String), (SchemaRef, Vec<&'a TableRows>)>;

/// All tables that were handed over, those without rows too.
fn by_table(snapshots: &[(OperatorUid, SlotIndex, Snapshot)]) -> Result<Tables<'_>> {
    let mut tables = Tables::new();
    for (operator, _, snapshot) in snapshots {
        for part in &snapshot.keyed {
            let schema = schema::plain(&part.rows.schema());
            let (known, parts) =
                tables.entry((operator.clone(), part.table.clone())).or_insert_with(|| (schema.clone(), Vec::new()));
            if *known != schema {
                let reason =
                    format!("its rows have columns {}, not {}", schema::describe(&schema), schema::describe(known));
                return Err(Error::InvalidSnapshot { operator: operator.clone(), table: part.table.clone(), reason });
            }
            parts.push(part);
        }
    }
    Ok(tables)
}

/// Gathers rows in order of key group; within one, order stays.
fn sort(
    operator: &OperatorUid,
    part: &TableRows,
    schema: &SchemaRef,
    max_parallelism: MaxParallelism,
) -> Result<Sorted> {
    let rows = part.rows.num_rows();
    let invalid = |reason| Error::InvalidSnapshot { operator: operator.clone(), table: part.table.clone(), reason };
    if rows != part.key_hashes.len() {
        return Err(invalid(format!("it has {rows} rows and {} key hashes", part.key_hashes.len())));
    }
    let failed = |source| Error::Columns {
        action: "gather",
        operator: operator.as_str().to_owned(),
        table: part.table.clone(),
        source,
    };
    schema::encode(schema).map_err(invalid)?;
    let group = |hash: &u64| KeyGroup::of(*hash, max_parallelism).index();
    if part.key_hashes.is_sorted_by_key(group) {
        return Ok(Sorted { bucket: part.bucket, key_hashes: part.key_hashes.clone(), rows: part.rows.clone() });
    }
    let count = u32::try_from(rows).map_err(|_| invalid(format!("{rows} rows in one piece are too many")))?;
    let mut ends = vec![0u32; usize::from(max_parallelism.get()) + 1];
    part.key_hashes.iter().for_each(|hash| ends[group(hash) + 1] += 1);
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    let mut order = vec![0u32; rows];
    for (row, hash) in (0..count).zip(&part.key_hashes) {
        let place = &mut ends[group(hash)];
        order[*place as usize] = row;
        *place += 1;
    }
    let key_hashes = order.iter().map(|row| part.key_hashes[*row as usize]).collect();
    let rows = take_record_batch(&part.rows, &UInt32Array::from(order)).map_err(failed)?;
    Ok(Sorted { bucket: part.bucket, key_hashes, rows })
}

/// The pieces of a table in order of key group and bucket.
fn cut(sorted: &[Sorted], max_parallelism: MaxParallelism) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (index, source) in sorted.iter().enumerate() {
        let mut start = 0;
        for run in
            source.key_hashes.chunk_by(|a, b| KeyGroup::of(*a, max_parallelism) == KeyGroup::of(*b, max_parallelism))
        {
            let key_group = KeyGroup::of(run[0], max_parallelism).index();
            let key_group = u16::try_from(key_group).expect("a key group fits in a u16");
            pieces.push(Piece { key_group, bucket: source.bucket, sorted: index, start, length: run.len() });
            start += run.len();
        }
    }
    pieces.sort_by_key(|piece| (piece.key_group, piece.bucket, piece.sorted));
    pieces
}

/// Digests of all buckets. 128 bits: equal means the same for any two buckets that will ever meet.
fn digest(
    sorted: &[Sorted],
    pieces: &[Piece],
    max_parallelism: MaxParallelism,
) -> std::result::Result<BTreeMap<i64, BucketRows>, String> {
    let mut digests: BTreeMap<i64, (Xxh3, BucketRows)> = BTreeMap::new();
    let mut raw = Vec::new();
    for piece in pieces {
        let source = &sorted[piece.sorted];
        raw.clear();
        let hashes = &source.key_hashes[piece.start..piece.start + piece.length];
        block::encode(hashes, &source.rows.slice(piece.start, piece.length), &mut raw)?;
        let (hasher, bucket) = digests.entry(piece.bucket).or_insert_with(|| {
            let key_groups = KeyGroupSet::empty(max_parallelism);
            (Xxh3::new(), BucketRows { digest: 0, rows: 0, bytes: 0, key_groups })
        });
        hasher.update(&raw);
        bucket.rows += piece.length as u64;
        bucket.bytes += raw.len() as u64;
        bucket.key_groups.insert(KeyGroup::new(piece.key_group));
    }
    Ok(digests
        .into_iter()
        .map(|(number, (hasher, bucket))| (number, BucketRows { digest: hasher.digest128(), ..bucket }))
        .collect())
}
