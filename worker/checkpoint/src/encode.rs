//! Encodes snapshots as the blocks of a run file, table by table.
//!
//! This runs on a blocking thread, because sorting, encoding and compressing are CPU work. Each row is encoded once. If
//! a subtask hands over all rows of a bucket, an earlier file may have the same rows. If that file has as many rows,
//! the blocks are held back until a digest shows whether the rows are equal, and equal ones are dropped. All other
//! blocks are written as soon as they are made.

use std::collections::BTreeMap;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use eddyline_state::{Snapshot, TableRows};
use eddyline_stream::{KeyGroup, KeyGroupSet, MaxParallelism, OperatorUid, SlotIndex};
use xxhash_rust::xxh3::Xxh3;

use crate::chain::Handed;
use crate::error::{Error, Result};
use crate::run_file::writer::{Block, BlockEncoder, Finished, Place, RunWriter};
use crate::run_file::{RunIdentity, RunKind};
use crate::schema;

/// Names a table.
pub(crate) type TableKey = (OperatorUid, String);

/// Names a share: what one subtask has in one bucket of a table.
pub(crate) type ShareKey = (i64, SlotIndex);

/// The rows of a share that an earlier file has as a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub rows: u64,
    /// A digest of 128 bits: equal digests are taken as proof that the rows are equal.
    pub digest: u128,
}

/// What is known about a table from earlier checkpoints and from the job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Earlier {
    /// The shares that need not be written again if they have not changed.
    pub known: BTreeMap<ShareKey, Known>,
    /// Whether its rows have an identity. Deltas require one.
    pub has_identity: bool,
}

/// A share of a bucket in the new checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct EncodedShare {
    /// The number of rows that it has now.
    pub rows: u64,
    pub handed: Handed<()>,
    /// The bytes before compression that were written for this checkpoint.
    pub bytes: u64,
    /// The digest of all rows, if this checkpoint has written them all.
    pub digest: Option<u128>,
}

/// A table of the new checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct EncodedTable {
    pub operator: OperatorUid,
    pub name: String,
    /// `None` when no rows were handed over.
    pub schema: Option<SchemaRef>,
    /// The shares that have rows.
    pub shares: BTreeMap<ShareKey, EncodedShare>,
    /// The key groups of each subtask in the new file.
    pub key_groups: BTreeMap<(RunKind, SlotIndex), KeyGroupSet>,
}

/// The tables of a checkpoint, and the end of its run file.
pub(crate) struct Encoded {
    pub tables: Vec<EncodedTable>,
    /// `None` when there were no rows to write.
    pub file: Option<Finished>,
}

/// The rows of one [`TableRows`] in order of key group.
struct Sorted {
    share: ShareKey,
    key_hashes: Vec<u64>,
    rows: RecordBatch,
}

/// The rows of a [`Sorted`] that belong to one key group.
#[derive(Clone, Copy)]
struct Piece {
    kind: RunKind,
    place: Place,
    sorted: usize,
    start: usize,
    length: usize,
}

/// The parts of a table that were handed over.
#[derive(Default)]
struct Table<'a> {
    schema: Option<SchemaRef>,
    parts: Vec<(SlotIndex, &'a TableRows)>,
    /// The number of rows that each share has now.
    shares: BTreeMap<ShareKey, u64>,
}

/// Writes the rows that were handed over, except for shares that an earlier file has unchanged. Full parts go to
/// `emit`.
pub(crate) fn encode(
    snapshots: &[(OperatorUid, SlotIndex, Snapshot)],
    identity: &RunIdentity,
    earlier: &BTreeMap<TableKey, Earlier>,
    part_bytes: usize,
    emit: impl FnMut(Vec<u8>) -> std::result::Result<(), String>,
) -> Result<Encoded> {
    let mut writer = RunWriter::new(identity, part_bytes, emit);
    let mut tables = Vec::new();
    let nothing = Earlier::default();
    for (key, table) in by_table(snapshots)? {
        let earlier = earlier.get(&key).unwrap_or(&nothing);
        let (operator, name) = key;
        let invalid = |reason| Error::InvalidSnapshot { operator: operator.clone(), table: name.clone(), reason };
        let mut encoded = EncodedTable {
            operator: operator.clone(),
            name: name.clone(),
            shares: shares(&table, earlier.has_identity).map_err(invalid)?,
            schema: table.schema.clone(),
            key_groups: BTreeMap::new(),
        };
        if let Some(schema) = &table.schema {
            let sort =
                |(slot, part): &(SlotIndex, &TableRows)| sort(&operator, *slot, part, schema, identity.max_parallelism);
            let sorted = table.parts.iter().map(sort).collect::<Result<Vec<_>>>()?;
            let pieces = cut(&sorted, &encoded.shares, identity.max_parallelism);
            let mut encoder = TableEncoder::new(&sorted);
            let mut held = encoder.hold_back(&pieces, &mut encoded.shares, &earlier.known).map_err(invalid)?;
            let mut begun = None;
            for (index, piece) in pieces.iter().enumerate() {
                let share = sorted[piece.sorted].share;
                if encoded.shares[&share].handed == Handed::Same {
                    continue;
                }
                if begun != Some(piece.kind) {
                    writer.begin_table(operator.as_str(), &name, schema, piece.kind).map_err(invalid)?;
                    begun = Some(piece.kind);
                }
                let mut add = |block: Block| writer.add(piece.place, &block);
                match held.remove(&index) {
                    Some(blocks) => blocks.into_iter().try_for_each(add),
                    None => encoder.encode(piece, &mut add),
                }
                .map_err(invalid)?;
                let none = || KeyGroupSet::empty(identity.max_parallelism);
                let groups = encoded.key_groups.entry((piece.kind, share.1)).or_insert_with(none);
                groups.insert(KeyGroup::new(piece.place.key_group));
            }
            encoder.finish(&mut encoded.shares);
        }
        tables.push(encoded);
    }
    let stopped =
        |reason| Error::InvalidSnapshot { operator: OperatorUid::new("all"), table: "all".to_owned(), reason };
    Ok(Encoded { tables, file: if writer.is_empty() { None } else { Some(writer.finish().map_err(stopped)?) } })
}

/// All tables of the subtasks, including those without rows.
fn by_table(snapshots: &[(OperatorUid, SlotIndex, Snapshot)]) -> Result<BTreeMap<TableKey, Table<'_>>> {
    let mut tables: BTreeMap<TableKey, Table<'_>> = BTreeMap::new();
    for (operator, slot, snapshot) in snapshots {
        for bucket in &snapshot.buckets {
            let table = tables.entry((operator.clone(), bucket.table.clone())).or_default();
            *table.shares.entry((bucket.bucket, *slot)).or_default() += bucket.rows;
        }
        for part in &snapshot.keyed {
            let schema = schema::plain(&part.rows.schema());
            let table = tables.entry((operator.clone(), part.table.clone())).or_default();
            let known = table.schema.get_or_insert_with(|| schema.clone());
            if *known != schema {
                let reason =
                    format!("its rows have columns {}, not {}", schema::describe(&schema), schema::describe(known));
                return Err(Error::InvalidSnapshot { operator: operator.clone(), table: part.table.clone(), reason });
            }
            table.parts.push((*slot, part));
        }
    }
    Ok(tables)
}

/// The shares that have rows, with what was handed over of each.
fn shares(table: &Table<'_>, has_identity: bool) -> std::result::Result<BTreeMap<ShareKey, EncodedShare>, String> {
    let mut given: BTreeMap<ShareKey, (bool, u64)> = BTreeMap::new();
    for (slot, part) in table.parts.iter().filter(|(_, part)| part.rows.num_rows() > 0) {
        let (is_whole, rows) = given.entry((part.bucket, *slot)).or_insert((part.is_whole, 0));
        if *is_whole != part.is_whole {
            return Err(format!(
                "some parts of bucket {} were handed over as a whole and others were not",
                part.bucket
            ));
        }
        *rows += part.rows.num_rows() as u64;
    }
    for ((bucket, slot), (is_whole, rows)) in &given {
        let listed = table.shares.get(&(*bucket, *slot)).copied().unwrap_or(0);
        if listed < *rows || (*is_whole && listed != *rows) {
            return Err(format!("bucket {bucket} of slot {slot} has {listed} rows, and {rows} were handed over"));
        }
    }
    let share = |(key, rows): (&ShareKey, &u64)| {
        let handed = match given.get(key) {
            None => Handed::Nothing,
            Some((_, given)) if given == rows => Handed::All(()),
            Some((_, given)) => Handed::Changed((), *given),
        };
        if matches!(handed, Handed::Changed(..)) && !has_identity {
            return Err(format!("some rows of bucket {} were handed over, and its rows have no identity", key.0));
        }
        Ok((*key, EncodedShare { rows: *rows, handed, bytes: 0, digest: None }))
    };
    table.shares.iter().filter(|(_, rows)| **rows > 0).map(share).collect()
}

/// Encodes the rows of a table and computes their digests.
struct TableEncoder<'a> {
    sorted: &'a [Sorted],
    encoder: BlockEncoder,
    /// The bytes of each share before compression, and their digest.
    seen: BTreeMap<ShareKey, (u64, Xxh3)>,
}

impl<'a> TableEncoder<'a> {
    fn new(sorted: &'a [Sorted]) -> Self {
        Self { sorted, encoder: BlockEncoder::default(), seen: BTreeMap::new() }
    }

    fn encode(
        &mut self,
        piece: &Piece,
        next: &mut dyn FnMut(Block) -> std::result::Result<(), String>,
    ) -> std::result::Result<(), String> {
        let source = &self.sorted[piece.sorted];
        let hashes = &source.key_hashes[piece.start..piece.start + piece.length];
        let rows = source.rows.slice(piece.start, piece.length);
        let (bytes, digest) = self.seen.entry(source.share).or_insert_with(|| (0, Xxh3::new()));
        let mut see = |raw: &[u8]| {
            *bytes += raw.len() as u64;
            digest.update(raw);
        };
        self.encoder.encode(hashes, &rows, &mut see, next)
    }

    /// Encodes the shares of which an earlier file has as many rows, and marks those whose rows are equal. Returns the
    /// blocks of the others, by the index of the piece.
    fn hold_back(
        &mut self,
        pieces: &[Piece],
        shares: &mut BTreeMap<ShareKey, EncodedShare>,
        known: &BTreeMap<ShareKey, Known>,
    ) -> std::result::Result<BTreeMap<usize, Vec<Block>>, String> {
        let mut held: BTreeMap<usize, Vec<Block>> = BTreeMap::new();
        let is_candidate = |share: &ShareKey, known: &Known| {
            shares.get(share).is_some_and(|now| matches!(now.handed, Handed::All(())) && now.rows == known.rows)
        };
        let candidates: BTreeMap<ShareKey, Known> = known
            .iter()
            .filter(|(share, known)| is_candidate(share, known))
            .map(|(share, known)| (*share, *known))
            .collect();
        if candidates.is_empty() {
            return Ok(held);
        }
        for (index, piece) in pieces.iter().enumerate() {
            if candidates.contains_key(&self.sorted[piece.sorted].share) {
                let mut blocks = Vec::new();
                self.encode(piece, &mut |block| {
                    blocks.push(block);
                    Ok(())
                })?;
                held.insert(index, blocks);
            }
        }
        for (share, known) in candidates {
            if self.seen.get(&share).is_some_and(|(_, digest)| digest.digest128() == known.digest) {
                self.seen.remove(&share);
                shares.get_mut(&share).expect("a candidate is a share").handed = Handed::Same;
            }
        }
        held.retain(|index, _| self.seen.contains_key(&self.sorted[pieces[*index].sorted].share));
        Ok(held)
    }

    fn finish(self, shares: &mut BTreeMap<ShareKey, EncodedShare>) {
        for (share, (bytes, digest)) in self.seen {
            let share = shares.get_mut(&share).expect("only rows of shares are encoded");
            share.bytes = bytes;
            share.digest = matches!(share.handed, Handed::All(())).then(|| digest.digest128());
        }
    }
}

/// Sorts rows by key group. The sort is stable.
fn sort(
    operator: &OperatorUid,
    slot: SlotIndex,
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
    let share = (part.bucket, slot);
    let group = |hash: &u64| KeyGroup::of(*hash, max_parallelism).index();
    if part.key_hashes.is_sorted_by_key(group) {
        return Ok(Sorted { share, key_hashes: part.key_hashes.clone(), rows: part.rows.clone() });
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
    Ok(Sorted { share, key_hashes, rows })
}

/// The pieces of a table: bases first, each kind in order of key group and bucket.
fn cut(sorted: &[Sorted], shares: &BTreeMap<ShareKey, EncodedShare>, max_parallelism: MaxParallelism) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (index, source) in sorted.iter().enumerate() {
        let Some(share) = shares.get(&source.share) else { continue };
        let kind = if matches!(share.handed, Handed::Changed(..)) { RunKind::Delta } else { RunKind::Base };
        let mut start = 0;
        for run in
            source.key_hashes.chunk_by(|a, b| KeyGroup::of(*a, max_parallelism) == KeyGroup::of(*b, max_parallelism))
        {
            let key_group = KeyGroup::of(run[0], max_parallelism).index();
            let key_group = u16::try_from(key_group).expect("a key group fits in a u16");
            let place = Place { key_group, bucket: source.share.0 };
            pieces.push(Piece { kind, place, sorted: index, start, length: run.len() });
            start += run.len();
        }
    }
    pieces.sort_by_key(|piece| (piece.kind, piece.place, piece.sorted));
    pieces
}
