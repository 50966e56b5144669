//! Encodes state as the blocks of a run file.
//!
//! This runs on blocking threads, because sorting, encoding and compressing are CPU work. State is encoded while it is
//! gathered, a piece of rows at a time, and the rows of a piece are dropped before the next one is made. So memory is
//! bounded, whatever the size of the state. The blocks wait in a [`Spool`]. When all are there, they are put in the
//! order of a run file: table by table, by key group and bucket.
//!
//! Each row is encoded once. If a subtask hands over all rows of a bucket, an earlier file may have the same rows. That
//! shows in the number and in a digest of them, and then their blocks are left out.

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use eddyline_state::{Inventory, Snapshot, TableRows};
use eddyline_stream::{KeyGroup, KeyGroupSet, MaxParallelism, OperatorUid, SlotIndex};
use xxhash_rust::xxh3::Xxh3;

use crate::chain::Handed;
use crate::contents::Snapshots;
use crate::error::{Error, Result};
use crate::manifest::UnionValueProto;
use crate::run_file::writer::{Block, BlockEncoder, BlockForm, Finished, Place, RunWriter};
use crate::run_file::{RunIdentity, RunKind};
use crate::schema;
use crate::spool::{At, Room, Spool};

/// The most bytes of rows that are sorted at a time.
const PIECE_BYTES: usize = 32 << 20;

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

/// The state of subtasks, encoded as blocks that are not yet in a run file.
#[derive(Debug)]
pub struct EncodedState {
    pub(crate) max_parallelism: MaxParallelism,
    pub(crate) union: Vec<UnionValueProto>,
    tables: BTreeMap<TableKey, Spooled>,
    spool: Spool,
}

/// A table that is encoded.
#[derive(Debug, Default)]
struct Spooled {
    /// `None` while no rows were handed over.
    schema: Option<SchemaRef>,
    shares: BTreeMap<ShareKey, SpooledShare>,
    blocks: Vec<SpooledBlock>,
}

/// What was handed over of a share.
#[derive(Debug, Default)]
struct SpooledShare {
    /// The number of rows that it has.
    listed: u64,
    is_whole: bool,
    /// The number of rows that were handed over.
    given: u64,
    /// The bytes of these before compression.
    bytes: u64,
    digest: u128,
}

#[derive(Clone, Copy, Debug)]
struct SpooledBlock {
    place: Place,
    slot: SlotIndex,
    form: BlockForm,
    at: At,
}

/// Encodes state while it is gathered.
pub struct StateEncoder {
    max_parallelism: MaxParallelism,
    union: Vec<UnionValueProto>,
    tables: BTreeMap<TableKey, Spooled>,
    digests: BTreeMap<(TableKey, ShareKey), Xxh3>,
    encoder: BlockEncoder,
    spool: Spool,
}

impl StateEncoder {
    pub(crate) fn new(max_parallelism: MaxParallelism, room: Option<Room>) -> Self {
        Self {
            max_parallelism,
            union: Vec::new(),
            tables: BTreeMap::new(),
            digests: BTreeMap::new(),
            encoder: BlockEncoder::default(),
            spool: Spool::new(room),
        }
    }

    /// Encodes rows that a subtask of an operator hands over.
    ///
    /// # Errors
    /// [`Error::InvalidSnapshot`] when they contradict what the subtask has handed over before, and [`Error::Columns`].
    pub fn rows(&mut self, operator: &OperatorUid, slot: SlotIndex, part: &TableRows) -> Result<()> {
        let invalid = |reason| Error::InvalidSnapshot { operator: operator.clone(), table: part.table.clone(), reason };
        let schema = schema::plain(&part.rows.schema());
        let key = (operator.clone(), part.table.clone());
        let table = self.tables.entry(key.clone()).or_default();
        let known = table.schema.get_or_insert_with(|| schema.clone());
        if *known != schema {
            let (found, known) = (schema::describe(&schema), schema::describe(known));
            return Err(invalid(format!("its rows have columns {found}, not {known}")));
        }
        schema::encode(&schema).map_err(invalid)?;
        let rows = part.rows.num_rows();
        if rows != part.key_hashes.len() {
            return Err(invalid(format!("it has {rows} rows and {} key hashes", part.key_hashes.len())));
        }
        if rows == 0 {
            return Ok(());
        }
        let share_key = (part.bucket, slot);
        let share = table.shares.entry(share_key).or_default();
        if share.given > 0 && share.is_whole != part.is_whole {
            return Err(invalid(format!(
                "some parts of bucket {} were handed over as a whole and others were not",
                part.bucket
            )));
        }
        share.is_whole = part.is_whole;
        share.given += rows as u64;
        let digest = self.digests.entry((key, share_key)).or_default();
        let Spooled { blocks, .. } = table;
        let at_a_time = rows_at_a_time(&part.rows);
        for start in (0..rows).step_by(at_a_time) {
            let length = at_a_time.min(rows - start);
            let hashes = &part.key_hashes[start..start + length];
            let sorted = sort(operator, part, hashes, part.rows.slice(start, length), self.max_parallelism)?;
            for (key_group, range) in sorted.key_groups(self.max_parallelism) {
                let place = Place { key_group, bucket: part.bucket };
                let (hashes, rows) = (&sorted.key_hashes[range.clone()], sorted.rows.slice(range.start, range.len()));
                let mut seen = |raw: &[u8]| {
                    share.bytes += raw.len() as u64;
                    digest.update(raw);
                };
                let spool = &mut self.spool;
                let mut next = |Block { stored, form }: Block| {
                    blocks.push(SpooledBlock { place, slot, form, at: spool.push(stored) });
                    Ok(())
                };
                self.encoder.encode(hashes, &rows, &mut seen, &mut next).map_err(invalid)?;
            }
        }
        Ok(())
    }

    /// Takes what a subtask has besides its rows, after these.
    pub fn inventory(&mut self, operator: &OperatorUid, slot: SlotIndex, inventory: Inventory) {
        for bucket in inventory.buckets {
            let table = self.tables.entry((operator.clone(), bucket.table)).or_default();
            table.shares.entry((bucket.bucket, slot)).or_default().listed += bucket.rows;
        }
        self.union.extend(inventory.union.into_iter().map(|(name, value)| UnionValueProto {
            operator: operator.as_str().to_owned(),
            slot: u32::try_from(slot.index()).expect("a slot index fits in a u32"),
            name,
            value,
        }));
    }

    /// All state is encoded.
    pub fn finish(self) -> EncodedState {
        let Self { max_parallelism, union, mut tables, digests, spool, .. } = self;
        for ((table, share), digest) in digests {
            let share = tables.get_mut(&table).and_then(|table| table.shares.get_mut(&share));
            share.expect("a share has a digest of its rows").digest = digest.digest128();
        }
        EncodedState { max_parallelism, union, tables, spool }
    }
}

impl EncodedState {
    /// Encodes snapshots that are in memory.
    ///
    /// # Errors
    /// Those of [`StateEncoder::rows`].
    pub fn of(snapshots: &Snapshots, max_parallelism: MaxParallelism) -> Result<Self> {
        let mut encoder = StateEncoder::new(max_parallelism, None);
        for (operator, slot, Snapshot { keyed, buckets, union }) in snapshots {
            keyed.iter().try_for_each(|part| encoder.rows(operator, *slot, part))?;
            let (buckets, union) = (buckets.clone(), union.clone());
            encoder.inventory(operator, *slot, Inventory { buckets, union });
        }
        Ok(encoder.finish())
    }

    /// Writes a run file with all blocks, except for those of shares that an earlier file has unchanged. Full parts go to
    /// `emit`.
    pub(crate) fn write(
        &self,
        identity: &RunIdentity,
        earlier: &BTreeMap<TableKey, Earlier>,
        part_bytes: usize,
        emit: impl FnMut(Vec<u8>) -> std::result::Result<(), String>,
    ) -> Result<Encoded> {
        let mut writer = RunWriter::new(identity, part_bytes, emit);
        let mut tables = Vec::new();
        let nothing = Earlier::default();
        let mut buffer = Vec::new();
        for (key, table) in &self.tables {
            let earlier = earlier.get(key).unwrap_or(&nothing);
            let (operator, name) = key;
            let invalid = |reason| Error::InvalidSnapshot { operator: operator.clone(), table: name.clone(), reason };
            let mut encoded = EncodedTable {
                operator: operator.clone(),
                name: name.clone(),
                shares: shares(table, earlier).map_err(invalid)?,
                schema: table.schema.clone(),
                key_groups: BTreeMap::new(),
            };
            let mut begun = None;
            for (kind, block) in in_order(table, &encoded.shares) {
                if begun != Some(kind) {
                    let schema = table.schema.as_ref().expect("rows have columns");
                    writer.begin_table(operator.as_str(), name, schema, kind).map_err(invalid)?;
                    begun = Some(kind);
                }
                let added = self.spool.with(block.at, &mut buffer, |stored| {
                    if crc32c::crc32c(stored) != block.form.crc {
                        return Err(Error::Spool(std::io::ErrorKind::InvalidData.into()));
                    }
                    writer.add(block.place, block.form, stored).map_err(invalid)
                });
                added.map_err(Error::Spool)??;
                let none = || KeyGroupSet::empty(identity.max_parallelism);
                let groups = encoded.key_groups.entry((kind, block.slot)).or_insert_with(none);
                groups.insert(KeyGroup::new(block.place.key_group));
            }
            tables.push(encoded);
        }
        let stopped =
            |reason| Error::InvalidSnapshot { operator: OperatorUid::new("all"), table: "all".to_owned(), reason };
        Ok(Encoded { tables, file: if writer.is_empty() { None } else { Some(writer.finish().map_err(stopped)?) } })
    }
}

/// The blocks of a table in the order of a run file: bases first, each kind in order of key group and bucket.
fn in_order(table: &Spooled, shares: &BTreeMap<ShareKey, EncodedShare>) -> Vec<(RunKind, SpooledBlock)> {
    let kind = |block: &SpooledBlock| match shares.get(&(block.place.bucket, block.slot))?.handed {
        Handed::All(()) => Some(RunKind::Base),
        Handed::Changed(..) => Some(RunKind::Delta),
        Handed::Same | Handed::Nothing => None,
    };
    let mut blocks: Vec<_> = table.blocks.iter().filter_map(|block| Some((kind(block)?, *block))).collect();
    blocks.sort_by_key(|(kind, block)| (*kind, block.place));
    blocks
}

/// The shares that have rows, with what was handed over of each.
fn shares(table: &Spooled, earlier: &Earlier) -> std::result::Result<BTreeMap<ShareKey, EncodedShare>, String> {
    let mut shares = BTreeMap::new();
    for (key, share) in &table.shares {
        let SpooledShare { listed, is_whole, given, bytes, digest } = *share;
        let (bucket, slot) = key;
        if listed < given || (is_whole && given > 0 && listed != given) {
            return Err(format!("bucket {bucket} of slot {slot} has {listed} rows, and {given} were handed over"));
        }
        if listed == 0 {
            continue;
        }
        let is_known = || earlier.known.get(key).is_some_and(|known| *known == Known { rows: listed, digest });
        let encoded = match given {
            0 => EncodedShare { rows: listed, handed: Handed::Nothing, bytes: 0, digest: None },
            given if given < listed => {
                if !earlier.has_identity {
                    return Err(format!(
                        "some rows of bucket {bucket} were handed over, and its rows have no identity"
                    ));
                }
                EncodedShare { rows: listed, handed: Handed::Changed((), given), bytes, digest: None }
            }
            _ if is_known() => EncodedShare { rows: listed, handed: Handed::Same, bytes: 0, digest: None },
            _ => EncodedShare { rows: listed, handed: Handed::All(()), bytes, digest: Some(digest) },
        };
        shares.insert(*key, encoded);
    }
    Ok(shares)
}

/// How many rows are sorted at a time.
fn rows_at_a_time(rows: &RecordBatch) -> usize {
    let bytes: usize = rows.columns().iter().filter_map(|column| column.to_data().get_slice_memory_size().ok()).sum();
    rows.num_rows().div_ceil(bytes.div_ceil(PIECE_BYTES).max(1))
}

/// Rows in order of key group.
struct Sorted {
    key_hashes: Vec<u64>,
    rows: RecordBatch,
}

impl Sorted {
    /// Each key group with its rows.
    fn key_groups(&self, max_parallelism: MaxParallelism) -> impl Iterator<Item = (u16, std::ops::Range<usize>)> {
        let group = move |hash: &u64| KeyGroup::of(*hash, max_parallelism).index();
        let mut start = 0;
        self.key_hashes.chunk_by(move |a, b| group(a) == group(b)).map(move |run| {
            let key_group = u16::try_from(group(&run[0])).expect("a key group fits in a u16");
            let range = start..start + run.len();
            start = range.end;
            (key_group, range)
        })
    }
}

/// Sorts rows by key group. The sort is stable.
fn sort(
    operator: &OperatorUid,
    part: &TableRows,
    key_hashes: &[u64],
    rows: RecordBatch,
    max_parallelism: MaxParallelism,
) -> Result<Sorted> {
    let group = |hash: &u64| KeyGroup::of(*hash, max_parallelism).index();
    if key_hashes.is_sorted_by_key(group) {
        return Ok(Sorted { key_hashes: key_hashes.to_vec(), rows });
    }
    let failed = |source| Error::Columns {
        action: "gather",
        operator: operator.as_str().to_owned(),
        table: part.table.clone(),
        source,
    };
    let mut ends = vec![0u32; usize::from(max_parallelism.get()) + 1];
    key_hashes.iter().for_each(|hash| ends[group(hash) + 1] += 1);
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    let mut order = vec![0u32; key_hashes.len()];
    for (row, hash) in (0u32..).zip(key_hashes) {
        let place = &mut ends[group(hash)];
        order[*place as usize] = row;
        *place += 1;
    }
    let key_hashes = order.iter().map(|row| key_hashes[*row as usize]).collect();
    let rows = take_record_batch(&rows, &UInt32Array::from(order)).map_err(failed)?;
    Ok(Sorted { key_hashes, rows })
}
