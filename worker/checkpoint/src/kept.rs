//! The run files of an attempt's latest completed checkpoint, and the files that the next manifest refers to.
//!
//! There is no I/O here. [`crate::chain`] decides which files hold a share of a bucket. This module decides which of
//! them a manifest lists, and of which shares the rows need not be written again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use eddyline_stream::{CheckpointId, KeyGroupSet, SlotIndex};

use crate::chain::{Chain, Handed, Round};
use crate::encode::{Earlier, EncodedShare, EncodedTable, Known, ShareKey, TableKey};
use crate::error::{Error, Result};
use crate::job::JobStore;
use crate::manifest::{self, FileProto, RunProto, TableProto};
use crate::run_file::RunKind;
use crate::schema;

/// A share that is handed over as a whole and has not changed is not written again if it is in one of this many newest
/// run files.
const EARLIER_FILES: usize = 8;
/// A run file keeps its shares only if at least one in this many of its bytes is still referred to. Otherwise shares
/// that are handed over as a whole are written again.
const LIVE_SHARE: u64 = 4;

/// The tables of the latest completed checkpoint, and the run files that hold them.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    latest: Option<CheckpointId>,
    round: Round,
    tables: Tables,
}

type Tables = BTreeMap<TableKey, KeptTable>;

#[derive(Clone, Debug)]
struct KeptTable {
    schema: SchemaRef,
    shares: BTreeMap<ShareKey, KeptShare>,
}

#[derive(Clone, Debug)]
struct KeptShare {
    rows: u64,
    chain: Chain<Arc<KeptFile>>,
    /// The digest of all rows, if one checkpoint has written them all.
    digest: Option<u128>,
}

/// A run file that a completed checkpoint refers to.
#[derive(Debug)]
struct KeptFile {
    checkpoint: CheckpointId,
    proto: FileProto,
    /// The contents of the file by table.
    contents: BTreeMap<(TableKey, RunKind), Written>,
}

/// The contents of a file that belong to one table.
#[derive(Debug, Default)]
struct Written {
    key_groups: BTreeMap<SlotIndex, KeyGroupSet>,
    /// The bytes of each share before compression.
    shares: BTreeMap<ShareKey, u64>,
}

/// The parts of a manifest that locate the state.
#[derive(Debug)]
pub(crate) struct Referred {
    pub files: Vec<FileProto>,
    pub tables: Vec<TableProto>,
    /// The size of the new file, in bytes.
    pub bytes: u64,
    /// The argument of [`Kept::completed`].
    pub next: Next,
}

/// The state of [`Kept`] once a checkpoint is complete.
#[derive(Debug)]
pub(crate) struct Next {
    checkpoint: CheckpointId,
    tables: Tables,
}

/// The request that a snapshot answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub checkpoint: CheckpointId,
    pub since: Option<CheckpointId>,
    pub part: u8,
}

impl Kept {
    /// Refuses a snapshot that does not build on the latest completed checkpoint of the attempt.
    pub(crate) fn check(&self, asked: Asked) -> Result<()> {
        let Asked { checkpoint, since, part } = asked;
        let reason = match since {
            None => return Ok(()),
            Some(since) if Some(since) != self.latest => {
                format!("it has what has changed since {since}, which is not the latest checkpoint of this attempt")
            }
            Some(_) if part != self.round.part() => {
                format!("it has part {part} of the state, and part {} is to be written", self.round.part())
            }
            Some(_) => return Ok(()),
        };
        Err(Error::InvalidCheckpoint { checkpoint, reason })
    }

    /// The shares of each table that need not be written again if unchanged. `store` lists the tables whose rows have
    /// an identity.
    pub(crate) fn earlier(&self, store: &JobStore) -> BTreeMap<TableKey, Earlier> {
        let files = self.files_that_stay();
        let mut earlier: BTreeMap<TableKey, Earlier> = BTreeMap::new();
        for operator in store.operators() {
            for table in operator.tables.iter().filter(|table| table.identity > 0) {
                earlier.entry((operator.uid.clone(), table.name.clone())).or_default().has_identity = true;
            }
        }
        for (key, table) in &self.tables {
            let known = table.shares.iter().filter_map(|(share, kept)| {
                let base = kept.chain.only_base().filter(|base| files.contains(&base.file.checkpoint))?;
                Some((*share, Known { rows: base.rows, digest: kept.digest? }))
            });
            earlier.entry(key.clone()).or_default().known = known.collect();
        }
        earlier
    }

    /// The newest files of which enough bytes are still referred to.
    fn files_that_stay(&self) -> BTreeSet<CheckpointId> {
        let mut live: BTreeMap<CheckpointId, (u64, u64)> = BTreeMap::new();
        for (key, table) in &self.tables {
            for (share, kept) in &table.shares {
                for link in kept.chain.links() {
                    let written = &link.file.contents[&(key.clone(), link.kind)];
                    live.entry(link.file.checkpoint).or_insert((0, link.file.proto.bytes)).0 += written.shares[share];
                }
            }
        }
        // This compares bytes before compression with a file size after compression, so it errs towards keeping a file.
        let enough = |(_, (counts, bytes)): &(&CheckpointId, &(u64, u64))| counts.saturating_mul(LIVE_SHARE) >= *bytes;
        live.iter().rev().take(EARLIER_FILES).filter(enough).map(|(checkpoint, _)| *checkpoint).collect()
    }

    /// The bytes of the run files that are inside the manifest.
    pub(crate) fn inline_bytes(&self) -> u64 {
        files_of(&self.tables).values().map(|file| file.proto.inline.len() as u64).sum()
    }

    /// The files that the manifest refers to: the new one, and earlier ones for what has not changed.
    ///
    /// # Errors
    /// [`Error::InvalidSnapshot`] when an operator has handed over too little.
    pub(crate) fn refer(
        &self,
        asked: Asked,
        encoded: Vec<EncodedTable>,
        file: Option<FileProto>,
        store: &JobStore,
    ) -> Result<Referred> {
        let checkpoint = asked.checkpoint;
        let bytes = file.as_ref().map_or(0, |file| file.bytes);
        let contents = encoded.iter().flat_map(written).collect();
        let own = file.map(|proto| Arc::new(KeptFile { checkpoint, proto, contents }));
        let mut next = Tables::new();
        let mut rows = Vec::new();
        for table in encoded {
            let key = (table.operator.clone(), table.name.clone());
            let before = self.tables.get(&key);
            let invalid = |reason| {
                let (operator, table) = key.clone();
                Error::InvalidSnapshot { operator, table, reason }
            };
            let schema = match (table.schema, before) {
                (Some(schema), _) => schema,
                (None, Some(before)) => before.schema.clone(),
                (None, None) if table.shares.is_empty() => continue,
                (None, None) => return Err(invalid("it lists buckets, and no rows were ever handed over".to_owned())),
            };
            let mut shares = BTreeMap::new();
            for (share, now) in &table.shares {
                let before = before.and_then(|before| before.shares.get(share));
                let kept = self.share(asked, before, now, own.as_ref());
                let of_share = |reason| invalid(format!("bucket {} of slot {}: {reason}", share.0, share.1));
                shares.insert(*share, kept.map_err(of_share)?);
            }
            rows.push((key.clone(), shares.values().map(|share| share.rows).sum()));
            next.insert(key, KeptTable { schema, shares });
        }
        let files: Vec<Arc<KeptFile>> = files_of(&next).into_values().collect();
        let tables = rows.into_iter().map(|(key, rows)| table_proto(&key, rows, &next[&key], &files, store)).collect();
        let files = files.iter().map(|file| file.proto.clone()).collect();
        Ok(Referred { files, tables, bytes, next: Next { checkpoint, tables: next } })
    }

    fn share(
        &self,
        asked: Asked,
        before: Option<&KeptShare>,
        now: &EncodedShare,
        own: Option<&Arc<KeptFile>>,
    ) -> std::result::Result<KeptShare, String> {
        let own = || own.cloned().ok_or("its rows are in no file");
        let handed = match now.handed {
            Handed::All(()) => Handed::All(own()?),
            Handed::Changed((), rows) => Handed::Changed(own()?, rows),
            Handed::Same => Handed::Same,
            Handed::Nothing => Handed::Nothing,
        };
        let (is_same, is_quiet) = (matches!(handed, Handed::Same), matches!(handed, Handed::Nothing));
        if now.rows < before.map_or(0, |before| before.rows) && !matches!(handed, Handed::All(_) | Handed::Same) {
            return Err("it has fewer rows than before, and it was not handed over as a whole".to_owned());
        }
        // If all rows were requested, the chain does not build on earlier files. An unchanged base is the exception.
        let builds_on = before.filter(|_| asked.since.is_some() || is_same);
        let chain = Chain::after(builds_on.map(|before| &before.chain), handed, now.rows, self.round)?;
        let digest = if is_same || is_quiet { before.and_then(|before| before.digest) } else { now.digest };
        Ok(KeptShare { rows: now.rows, chain, digest })
    }

    /// Makes the checkpoint the latest one.
    pub(crate) fn completed(&mut self, next: Next) {
        *self = Self { latest: Some(next.checkpoint), round: self.round.next(), tables: next.tables };
    }
}

/// The contents of the new file that belong to a table.
fn written(table: &EncodedTable) -> BTreeMap<(TableKey, RunKind), Written> {
    let mut contents: BTreeMap<(TableKey, RunKind), Written> = BTreeMap::new();
    let key = |kind| ((table.operator.clone(), table.name.clone()), kind);
    for ((kind, slot), groups) in &table.key_groups {
        contents.entry(key(*kind)).or_default().key_groups.insert(*slot, groups.clone());
    }
    for (share, now) in &table.shares {
        let kind = match now.handed {
            Handed::All(()) => RunKind::Base,
            Handed::Changed(..) => RunKind::Delta,
            Handed::Same | Handed::Nothing => continue,
        };
        contents.entry(key(kind)).or_default().shares.insert(*share, now.bytes);
    }
    contents
}

/// The files of all tables, oldest first.
fn files_of(tables: &Tables) -> BTreeMap<CheckpointId, Arc<KeptFile>> {
    let shares = tables.values().flat_map(|table| table.shares.values());
    let links = shares.flat_map(|share| share.chain.links());
    links.map(|link| (link.file.checkpoint, Arc::clone(&link.file))).collect()
}

fn table_proto(key: &TableKey, rows: u64, table: &KeptTable, files: &[Arc<KeptFile>], store: &JobStore) -> TableProto {
    let mut live: BTreeMap<(CheckpointId, RunKind), BTreeMap<SlotIndex, Vec<i64>>> = BTreeMap::new();
    for ((bucket, slot), share) in &table.shares {
        for link in share.chain.links() {
            let of_run = live.entry((link.file.checkpoint, link.kind)).or_default();
            of_run.entry(*slot).or_default().push(*bucket);
        }
    }
    let mut runs = Vec::new();
    for (index, file) in files.iter().enumerate() {
        for kind in [RunKind::Base, RunKind::Delta] {
            let Some(live) = live.get(&(file.checkpoint, kind)) else { continue };
            let written = &file.contents[&(key.clone(), kind)];
            for (slots, buckets) in alike(live, written) {
                let mut groups = KeyGroupSet::empty(written.max_parallelism());
                let of_slots = slots.iter().filter_map(|slot| written.key_groups.get(slot));
                of_slots.flat_map(KeyGroupSet::iter).for_each(|group| groups.insert(group));
                runs.push(RunProto {
                    file: u32::try_from(index).expect("few files"),
                    kind: kind.number(),
                    checkpoint: file.checkpoint.number(),
                    key_groups: manifest::key_group_bits(&groups),
                    buckets,
                });
            }
        }
    }
    let operator = store.operators().iter().find(|operator| operator.uid == key.0);
    let known = operator.and_then(|operator| operator.tables.iter().find(|known| known.name == key.1));
    let has_deltas = runs.iter().any(|run| run.kind == RunKind::Delta.number());
    let identity = known.filter(|_| has_deltas).map_or(0, |known| known.identity);
    TableProto {
        operator: key.0.as_str().to_owned(),
        table: key.1.clone(),
        schema: schema::encode(&table.schema).ok(),
        runs,
        rows,
        contents: known.map(|known| known.contents.clone()).unwrap_or_default(),
        identity: u32::try_from(identity).expect("few columns"),
    }
}

impl Written {
    fn max_parallelism(&self) -> eddyline_stream::MaxParallelism {
        self.key_groups.values().next().expect("a file has rows of each of its tables").max_parallelism()
    }
}

/// Groups the subtasks for runs. A run is a set of key groups and a list of buckets, and it refers to everything that
/// the file has in both. So for each subtask of a group, each bucket of the group must be live or not in the file.
fn alike(live: &BTreeMap<SlotIndex, Vec<i64>>, written: &Written) -> Vec<(Vec<SlotIndex>, Vec<i64>)> {
    let all: BTreeSet<i64> = live.values().flatten().copied().collect();
    let counts = |(bucket, slot): &ShareKey| {
        !all.contains(bucket) || live.get(slot).is_some_and(|buckets| buckets.binary_search(bucket).is_ok())
    };
    if written.shares.keys().all(counts) {
        return vec![(live.keys().copied().collect(), all.into_iter().collect())];
    }
    let mut groups: BTreeMap<&Vec<i64>, Vec<SlotIndex>> = BTreeMap::new();
    live.iter().for_each(|(slot, buckets)| groups.entry(buckets).or_default().push(*slot));
    groups.into_iter().map(|(buckets, slots)| (slots, buckets.clone())).collect()
}

#[cfg(test)]
mod tests;
