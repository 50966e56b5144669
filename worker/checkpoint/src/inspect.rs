//! Describes a checkpoint or savepoint to people, and has the entry points for fuzzing its readers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use eddyline_stream::{Attempt, CheckpointId, KeyGroup, MaxParallelism, OperatorUid};

use crate::envelope;
use crate::error::Result;
use crate::handle::CheckpointHandle;
use crate::manifest::Manifest;
use crate::run_file::{self, BlockEntry, RunKind, reader::RunFile};
use crate::schema;

/// A table of keyed state.
#[derive(Clone, Debug)]
pub struct TableInspection {
    /// Its name.
    pub table: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// The number of rows.
    pub rows: u64,
    /// The number of rows in the run files. It is larger than `rows` where later rows replace earlier ones.
    pub stored_rows: u64,
    /// Their size in storage, in bytes.
    pub stored_bytes: u64,
    /// Their size before compression, in bytes.
    pub raw_bytes: u64,
    /// The number of key groups that have rows.
    pub key_groups: usize,
    /// The key group with the most rows in run files, and their number.
    pub largest_key_group: Option<(KeyGroup, u64)>,
    /// The number of rows in run files by time bucket. [`eddyline_state::NO_BUCKET`] has the rows without one.
    pub buckets: BTreeMap<i64, u64>,
    /// The number of run files that have rows of the table.
    pub run_files: usize,
    /// The number of those that have a delta of the table.
    pub deltas: usize,
}

/// The state of an operator.
#[derive(Clone, Debug, Default)]
pub struct OperatorInspection {
    /// Its tables.
    pub tables: Vec<TableInspection>,
    /// The names of values that belong to no key, each with the number of subtasks that had it.
    pub union_values: BTreeMap<String, usize>,
    /// The splits of a source.
    pub splits: Vec<serde_json::Value>,
    /// The size of a source's record of what it has read to its end, in bytes.
    pub finished_bytes: usize,
    /// The number of committables that a sink had staged.
    pub committables: usize,
}

/// The contents of a checkpoint or savepoint.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Its location.
    pub uri: String,
    /// Whether it is a savepoint.
    pub is_savepoint: bool,
    /// The job that wrote it.
    pub job: String,
    /// Its number.
    pub checkpoint: CheckpointId,
    /// The attempt that wrote it.
    pub attempt: Attempt,
    /// The release that wrote it.
    pub written_by: String,
    /// The plan that wrote it. Empty if the job did not name one.
    pub plan_fingerprint: String,
    /// The version of its format.
    pub format_version: u32,
    /// The number of key groups.
    pub max_parallelism: MaxParallelism,
    /// The version of the key hash.
    pub key_hash_version: u32,
    /// The number of slots that the job had.
    pub slots: u16,
    /// The run files, with their sizes in bytes. One inside the manifest has an empty name.
    pub files: Vec<(String, u64)>,
    /// The state by operator.
    pub operators: BTreeMap<OperatorUid, OperatorInspection>,
}

/// Describes the checkpoint or savepoint at a location, or the latest checkpoint of the job whose folder it is. Reads
/// the indexes of run files and no rows.
///
/// # Errors
/// Those of [`CheckpointHandle::open_uri`], and those of the run files.
pub async fn inspect(uri: &str, options: &BTreeMap<String, String>) -> Result<Inspection> {
    CheckpointHandle::open_uri(uri, options).await?.inspect().await
}

impl CheckpointHandle {
    /// Describes the contents. Reads the indexes of run files and no rows.
    pub async fn inspect(&self) -> Result<Inspection> {
        let manifest = self.manifest();
        let mut operators: BTreeMap<OperatorUid, OperatorInspection> = BTreeMap::new();
        for index in 0..manifest.tables.len() {
            let table = self.inspect_table(index).await?;
            operators.entry(manifest.tables[index].operator.clone()).or_default().tables.push(table);
        }
        for value in &manifest.union_values {
            let operator = operators.entry(OperatorUid::new(&value.operator)).or_default();
            *operator.union_values.entry(value.name.clone()).or_default() += 1;
        }
        for (operator, splits) in &manifest.splits {
            operators.entry(operator.clone()).or_default().splits = splits.clone();
        }
        for (operator, blocks) in &manifest.finished {
            let bytes = blocks.iter().map(Bytes::len).sum();
            operators.entry(operator.clone()).or_default().finished_bytes = bytes;
        }
        for (operator, committables) in &manifest.committables {
            operators.entry(operator.clone()).or_default().committables = committables.len();
        }
        Ok(Inspection {
            uri: self.uri().to_owned(),
            is_savepoint: manifest.is_savepoint,
            job: manifest.job.clone(),
            checkpoint: manifest.checkpoint,
            attempt: manifest.attempt,
            written_by: manifest.written_by.clone(),
            plan_fingerprint: manifest.plan_fingerprint.clone(),
            format_version: manifest.version,
            max_parallelism: manifest.max_parallelism,
            key_hash_version: manifest.key_hash_version,
            slots: manifest.assignment.slots(),
            files: manifest.files.iter().map(|file| (file.name.clone(), file.bytes)).collect(),
            operators,
        })
    }

    async fn inspect_table(&self, index: usize) -> Result<TableInspection> {
        let table = &self.manifest().tables[index];
        let files = |kind: Option<RunKind>| {
            let runs = table.runs.iter().filter(|run| kind.is_none_or(|kind| run.kind == kind));
            runs.map(|run| run.file).collect::<BTreeSet<usize>>().len()
        };
        let mut inspection = TableInspection {
            table: table.name.clone(),
            schema: table.schema.clone(),
            rows: table.rows,
            stored_rows: 0,
            stored_bytes: 0,
            raw_bytes: 0,
            key_groups: 0,
            largest_key_group: None,
            buckets: BTreeMap::new(),
            run_files: files(None),
            deltas: files(Some(RunKind::Delta)),
        };
        let mut groups: BTreeMap<u16, u64> = BTreeMap::new();
        for run in &table.runs {
            let footer = self.file(run.file).await?.footer();
            let is_own = |block: &&BlockEntry| {
                table.is(&footer.tables[block.table as usize], run.kind)
                    && run.key_groups.contains(KeyGroup::new(block.key_group))
                    && run.buckets.binary_search(&block.bucket).is_ok()
            };
            for block in footer.blocks.iter().filter(is_own) {
                inspection.stored_rows += u64::from(block.rows);
                inspection.stored_bytes += u64::from(block.stored_bytes);
                inspection.raw_bytes += u64::from(block.raw_bytes);
                *inspection.buckets.entry(block.bucket).or_default() += u64::from(block.rows);
                *groups.entry(block.key_group).or_default() += u64::from(block.rows);
            }
        }
        inspection.key_groups = groups.len();
        let largest = groups.iter().max_by_key(|(group, rows)| (**rows, std::cmp::Reverse(**group)));
        inspection.largest_key_group = largest.map(|(group, rows)| (KeyGroup::new(*group), *rows));
        Ok(inspection)
    }
}

/// The most buckets that are listed one by one.
const BUCKETS_SHOWN: usize = 8;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_savepoint { "savepoint" } else { "checkpoint" };
        writeln!(f, "{kind} {} of job {}", self.checkpoint, self.job)?;
        writeln!(f, "  location         {}", self.uri)?;
        writeln!(f, "  attempt          {}", self.attempt)?;
        writeln!(f, "  written by       {}, format {}", self.written_by, self.format_version)?;
        if !self.plan_fingerprint.is_empty() {
            writeln!(f, "  plan             {}", self.plan_fingerprint)?;
        }
        writeln!(f, "  parallelism      {}", self.slots)?;
        writeln!(f, "  max parallelism  {}", self.max_parallelism)?;
        writeln!(f, "  key hash         {}", self.key_hash_version)?;
        for (name, bytes) in &self.files {
            let name = if name.is_empty() { "inside the manifest" } else { name };
            writeln!(f, "  run file         {name} ({bytes} bytes)")?;
        }
        for (operator, state) in &self.operators {
            writeln!(f, "operator {operator}")?;
            state.tables.iter().try_for_each(|table| write!(f, "{table}"))?;
            for (name, count) in &state.union_values {
                writeln!(f, "  value {name} of {count} subtasks")?;
            }
            for split in &state.splits {
                writeln!(f, "  split {split}")?;
            }
            if state.finished_bytes > 0 {
                writeln!(f, "  read to the end  {} bytes", state.finished_bytes)?;
            }
            if state.committables > 0 {
                writeln!(f, "  committables {}", state.committables)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for TableInspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  table {} {}", self.table, schema::describe(&self.schema))?;
        write!(f, "    {} rows, {} bytes ({} before compression)", self.rows, self.stored_bytes, self.raw_bytes)?;
        write!(f, ", {} key groups", self.key_groups)?;
        if let Some((group, rows)) = self.largest_key_group {
            write!(f, " (largest: {group} with {rows} rows)")?;
        }
        write!(f, ", {} run files", self.run_files)?;
        match self.deltas {
            0 => writeln!(f)?,
            deltas => writeln!(f, " ({deltas} with changes, {} rows in all)", self.stored_rows)?,
        }
        for (bucket, rows) in self.buckets.iter().take(BUCKETS_SHOWN) {
            if *bucket == eddyline_state::NO_BUCKET {
                writeln!(f, "    no bucket: {rows} rows")?;
            } else {
                writeln!(f, "    bucket {bucket}: {rows} rows")?;
            }
        }
        if self.buckets.len() > BUCKETS_SHOWN {
            writeln!(f, "    and {} more buckets", self.buckets.len() - BUCKETS_SHOWN)?;
        }
        Ok(())
    }
}

/// Opens bytes as a run file and reads all rows, with checksums and without. It never panics, whatever the bytes are.
/// Returns the number of rows if the bytes are a run file.
pub fn fuzz_open_run(bytes: &[u8]) -> Option<usize> {
    let mut bytes = bytes.to_vec();
    // Without this, the checksum would refuse every changed footer before it is decoded.
    run_file::reader::seal_footer(&mut bytes);
    let file = RunFile::from_bytes("fuzzed", Bytes::from(bytes)).ok()?;
    let _checked = file.decode_whole(true);
    let blocks = file.decode_whole(false).ok()?;
    let groups: BTreeSet<u16> = blocks.iter().map(|block| block.entry.key_group).collect();
    assert!(groups.len() <= blocks.len(), "every key group has a block");
    Some(blocks.iter().map(|block| block.rows.num_rows()).sum())
}

/// Whether bytes with a corrected checksum are a manifest. It never panics, whatever the bytes are.
pub fn fuzz_open_manifest(bytes: &[u8]) -> bool {
    Manifest::open("fuzzed", &envelope::resealed(bytes)).is_ok()
}
