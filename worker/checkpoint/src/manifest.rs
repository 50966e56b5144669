//! Manifests: what a checkpoint or savepoint consists of.
//!
//! A manifest is a protobuf message in an [envelope](crate::envelope). Tag numbers are never reused. An earlier release
//! skips the fields that a later one has added. A field that an earlier release would misread raises the minimum reader
//! version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use eddyline_state::Meaning;
use eddyline_state::meaning::{Fact, Operator, Rule};
use eddyline_stream::{Assignment, Attempt, CheckpointId, KeyGroup, KeyGroupSet, MaxParallelism, OperatorUid};

use crate::envelope;
use crate::error::{Error, Result};
use crate::operators::JobOperator;
use crate::run_file::{RunKind, RunTable};
use crate::schema::{self, SchemaProto};

pub(crate) const CHECKPOINT: u32 = 1;
pub(crate) const SAVEPOINT: u32 = 2;

/// A manifest as it is stored.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ManifestProto {
    /// 1 is a checkpoint, whose file names are relative to the job's folder. 2 is a savepoint, whose file names are
    /// relative to the manifest's own folder.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(string, tag = "2")]
    pub job: String,
    #[prost(uint64, tag = "3")]
    pub checkpoint: u64,
    #[prost(uint64, tag = "4")]
    pub attempt: u64,
    #[prost(string, tag = "5")]
    pub plan_fingerprint: String,
    #[prost(uint32, tag = "6")]
    pub max_parallelism: u32,
    #[prost(uint32, tag = "7")]
    pub key_hash_version: u32,
    #[prost(uint32, tag = "8")]
    pub slots: u32,
    /// The slot of each key group.
    #[prost(uint32, repeated, tag = "9")]
    pub owners: Vec<u32>,
    #[prost(message, repeated, tag = "10")]
    pub files: Vec<FileProto>,
    #[prost(message, repeated, tag = "11")]
    pub tables: Vec<TableProto>,
    #[prost(message, repeated, tag = "12")]
    pub union_values: Vec<UnionValueProto>,
    #[prost(message, repeated, tag = "13")]
    pub splits: Vec<ValuesProto>,
    #[prost(message, repeated, tag = "14")]
    pub committables: Vec<ValuesProto>,
    /// The release that wrote it, for people.
    #[prost(string, tag = "15")]
    pub written_by: String,
    /// What the operators with state compute.
    #[prost(message, repeated, tag = "16")]
    pub operators: Vec<OperatorProto>,
    /// The parts of sources that have been read to their end. A release that does not know this field would read them
    /// again.
    #[prost(message, repeated, tag = "17")]
    pub finished: Vec<FinishedProto>,
}

impl ManifestProto {
    /// The oldest version of the format that has all fields in use.
    fn version(&self) -> u32 {
        let has_deltas = self.tables.iter().any(TableProto::has_deltas);
        if has_deltas {
            3
        } else if self.finished.is_empty() {
            1
        } else {
            2
        }
    }

    /// Puts the manifest into an envelope.
    pub(crate) fn seal(&self) -> Bytes {
        envelope::seal(envelope::MANIFEST, self.version(), self)
    }
}

/// The parts of a source that have been read to their end.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FinishedProto {
    #[prost(string, tag = "1")]
    pub operator: String,
    /// Blocks in the connector's own format.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub blocks: Vec<Bytes>,
}

/// The stored form of the parts of sources that have been read to their end.
pub(crate) fn finished_proto(finished: &BTreeMap<OperatorUid, Vec<Bytes>>) -> Vec<FinishedProto> {
    let proto = |(operator, blocks): (&OperatorUid, &Vec<Bytes>)| FinishedProto {
        operator: operator.as_str().to_owned(),
        blocks: blocks.clone(),
    };
    finished.iter().filter(|(_, blocks)| !blocks.is_empty()).map(proto).collect()
}

/// The version of the form in which meanings are written. Meanings are compared only if they have the same version.
const SPELLING: u32 = 1;

/// What an operator computes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OperatorProto {
    #[prost(string, tag = "1")]
    pub operator: String,
    #[prost(uint32, tag = "2")]
    pub spelling: u32,
    #[prost(string, tag = "3")]
    pub kind: String,
    #[prost(message, repeated, tag = "4")]
    pub facts: Vec<FactProto>,
    /// The sources that its rows come from.
    #[prost(string, repeated, tag = "5")]
    pub sources: Vec<String>,
}

/// One aspect of what an operator computes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FactProto {
    #[prost(string, tag = "1")]
    pub aspect: String,
    #[prost(string, repeated, tag = "2")]
    pub values: Vec<String>,
}

/// The stored form of what the operators of a job compute.
pub(crate) fn operators_proto(operators: &[JobOperator]) -> Vec<OperatorProto> {
    let proto = |operator: &JobOperator| {
        let meaning = operator.meaning.as_ref()?;
        let fact = |fact: &Fact| FactProto { aspect: fact.aspect.clone(), values: fact.values.clone() };
        Some(OperatorProto {
            operator: operator.uid.as_str().to_owned(),
            spelling: SPELLING,
            kind: meaning.kind.clone(),
            facts: meaning.facts.iter().map(fact).collect(),
            sources: meaning.sources.iter().map(ToString::to_string).collect(),
        })
    };
    operators.iter().filter_map(proto).collect()
}

/// What an operator computes. `None` if another release has written it in another form.
fn meaning_of(proto: &OperatorProto) -> Option<Operator> {
    let OperatorProto { operator, spelling, kind, facts, sources } = proto;
    let facts = facts.iter().map(|fact| Fact::of(&fact.aspect, fact.values.clone(), Rule::Same)).collect();
    let sources = sources.iter().map(OperatorUid::new).collect();
    (*spelling == SPELLING).then(|| (OperatorUid::new(operator), Meaning { kind: kind.clone(), facts, sources }))
}

/// A run file of a manifest.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FileProto {
    /// Empty if the content is `inline`.
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
    #[prost(fixed32, tag = "3")]
    pub footer_crc32c: u32,
    /// The whole run file, if it is small.
    #[prost(bytes = "bytes", tag = "4")]
    pub inline: Bytes,
}

/// A table of keyed state.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TableProto {
    #[prost(string, tag = "1")]
    pub operator: String,
    #[prost(string, tag = "2")]
    pub table: String,
    #[prost(message, optional, tag = "3")]
    pub schema: Option<SchemaProto>,
    /// Oldest first.
    #[prost(message, repeated, tag = "4")]
    pub runs: Vec<RunProto>,
    // Tag 5 is reserved: it was `expire_below`, which no release has set.
    #[prost(uint64, tag = "6")]
    pub rows: u64,
    /// What each column holds. Empty if that is not known.
    #[prost(string, repeated, tag = "7")]
    pub contents: Vec<String>,
    /// The number of leading columns that identify a row within its bucket. 0 if there are no deltas.
    #[prost(uint32, tag = "8")]
    pub identity: u32,
}

impl TableProto {
    fn has_deltas(&self) -> bool {
        self.runs.iter().any(|run| run.kind == RunKind::Delta.number())
    }
}

/// A part of a run file that belongs to a table.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RunProto {
    /// Index into `files`.
    #[prost(uint32, tag = "1")]
    pub file: u32,
    /// 1 base, 2 delta.
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// The checkpoint that wrote it.
    #[prost(uint64, tag = "3")]
    pub checkpoint: u64,
    /// One bit for each key group. Bit 0 of byte 0 is the first.
    #[prost(bytes = "vec", tag = "4")]
    pub key_groups: Vec<u8>,
    /// The buckets of the run whose rows belong to the checkpoint, in order.
    #[prost(sint64, repeated, tag = "5")]
    pub buckets: Vec<i64>,
}

/// A value of one subtask that belongs to no key.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UnionValueProto {
    #[prost(string, tag = "1")]
    pub operator: String,
    #[prost(uint32, tag = "2")]
    pub slot: u32,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(bytes = "vec", tag = "4")]
    pub value: Vec<u8>,
}

/// Values of one operator, each a JSON text.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ValuesProto {
    #[prost(string, tag = "1")]
    pub operator: String,
    #[prost(string, repeated, tag = "2")]
    pub values: Vec<String>,
}

/// A decoded manifest that has been validated.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    /// The version of its format.
    pub version: u32,
    pub is_savepoint: bool,
    pub job: String,
    pub checkpoint: CheckpointId,
    pub attempt: Attempt,
    pub plan_fingerprint: String,
    pub max_parallelism: MaxParallelism,
    pub key_hash_version: u32,
    pub assignment: Assignment,
    pub files: Vec<FileProto>,
    pub tables: Vec<Table>,
    pub union_values: Vec<UnionValueProto>,
    pub splits: BTreeMap<OperatorUid, Vec<serde_json::Value>>,
    pub finished: BTreeMap<OperatorUid, Vec<Bytes>>,
    pub committables: BTreeMap<OperatorUid, Vec<serde_json::Value>>,
    pub written_by: String,
    pub meanings: Vec<Operator>,
    /// Operators whose meaning is written in a form that this release does not know.
    pub not_understood: BTreeSet<OperatorUid>,
}

/// A table of a manifest.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub operator: OperatorUid,
    pub name: String,
    pub schema: SchemaRef,
    pub runs: Vec<Run>,
    pub rows: u64,
    pub contents: Vec<String>,
    /// The number of leading columns that identify a row. 0 if there are no deltas.
    pub identity: usize,
}

/// A run of a table.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub file: usize,
    pub kind: RunKind,
    pub key_groups: KeyGroupSet,
    pub buckets: Vec<i64>,
}

/// The stored form of a set of key groups.
pub(crate) fn key_group_bits(groups: &KeyGroupSet) -> Vec<u8> {
    let mut bits = vec![0u8; usize::from(groups.max_parallelism().get()).div_ceil(8)];
    groups.iter().for_each(|group| bits[group.index() / 8] |= 1 << (group.index() % 8));
    bits
}

fn key_groups_of(bits: &[u8], max_parallelism: MaxParallelism) -> std::result::Result<KeyGroupSet, String> {
    if bits.len() != usize::from(max_parallelism.get()).div_ceil(8) {
        return Err(format!("a set of key groups has {} bytes", bits.len()));
    }
    let mut groups = KeyGroupSet::empty(max_parallelism);
    let held = |group: &KeyGroup| bits[group.index() / 8] >> (group.index() % 8) & 1 == 1;
    max_parallelism.key_groups().filter(held).for_each(|group| groups.insert(group));
    Ok(groups)
}

/// The stored form of values by operator.
pub(crate) fn values_proto(values: &BTreeMap<OperatorUid, Vec<serde_json::Value>>) -> Vec<ValuesProto> {
    values
        .iter()
        .map(|(operator, values)| ValuesProto {
            operator: operator.as_str().to_owned(),
            values: values.iter().map(ToString::to_string).collect(),
        })
        .collect()
}

fn values_of(
    protos: &[ValuesProto],
    what: &str,
) -> std::result::Result<BTreeMap<OperatorUid, Vec<serde_json::Value>>, String> {
    let mut values: BTreeMap<OperatorUid, Vec<serde_json::Value>> = BTreeMap::new();
    for proto in protos {
        let of_operator = values.entry(OperatorUid::new(&proto.operator)).or_default();
        for text in &proto.values {
            let value = serde_json::from_str(text).map_err(|error| format!("{what} of {}: {error}", proto.operator))?;
            of_operator.push(value);
        }
    }
    Ok(values)
}

fn assignment_of(proto: &ManifestProto, max_parallelism: MaxParallelism) -> std::result::Result<Assignment, String> {
    let slots = u16::try_from(proto.slots).ok().filter(|slots| *slots > 0).ok_or("it has no slots")?;
    if proto.owners.len() != usize::from(max_parallelism.get())
        || proto.owners.iter().any(|owner| *owner >= proto.slots)
    {
        return Err("its assignment does not give every key group to a slot".to_owned());
    }
    let fields = serde_json::json!({ "max_parallelism": max_parallelism, "slots": slots, "owner": proto.owners });
    serde_json::from_value(fields).map_err(|error| format!("its assignment: {error}"))
}

impl Table {
    /// Whether an entry of a run file's footer has rows of this table and of one kind.
    pub(crate) fn is(&self, of_file: &RunTable, kind: RunKind) -> bool {
        of_file.operator == self.operator.as_str() && of_file.table == self.name && of_file.kind == kind
    }

    pub(crate) fn has_deltas(&self) -> bool {
        self.runs.iter().any(|run| run.kind == RunKind::Delta)
    }

    fn from_proto(
        proto: &TableProto,
        files: usize,
        max_parallelism: MaxParallelism,
    ) -> std::result::Result<Self, String> {
        let named = |reason: String| format!("table {} of {}: {reason}", proto.table, proto.operator);
        let schema = proto.schema.as_ref().ok_or_else(|| named("it has no columns".to_owned()))?;
        let runs = proto.runs.iter().map(|run| {
            let kind = RunKind::from_number(run.kind)?;
            let file = run.file as usize;
            if file >= files {
                return Err(format!("file {file} is not listed"));
            }
            let key_groups = key_groups_of(&run.key_groups, max_parallelism)?;
            Ok(Run { file, kind, key_groups, buckets: run.buckets.clone() })
        });
        let identity = usize::try_from(proto.identity).unwrap_or(usize::MAX);
        let schema = schema::decode(schema).map_err(named)?;
        let identifies = 1..=schema.fields().len();
        if proto.has_deltas() && !identifies.contains(&identity) {
            return Err(named(format!("{identity} columns cannot identify its rows")));
        }
        Ok(Self {
            operator: OperatorUid::new(&proto.operator),
            name: proto.table.clone(),
            schema: Arc::new(schema),
            identity,
            runs: runs.collect::<std::result::Result<_, _>>().map_err(named)?,
            rows: proto.rows,
            contents: proto.contents.clone(),
        })
    }
}

impl Manifest {
    /// Opens the bytes of a manifest.
    pub(crate) fn open(object: &str, bytes: &[u8]) -> Result<Self> {
        let proto: ManifestProto = envelope::open(envelope::MANIFEST, object, bytes)?;
        Self::from_proto(proto).map_err(|reason| Error::corrupt(object, "manifest", reason))
    }

    fn from_proto(proto: ManifestProto) -> std::result::Result<Self, String> {
        let is_savepoint = match proto.kind {
            CHECKPOINT => false,
            SAVEPOINT => true,
            other => return Err(format!("kind {other} is not known")),
        };
        let max_parallelism = MaxParallelism::try_from(proto.max_parallelism).map_err(|error| error.to_string())?;
        let files = proto.files.len();
        let is_strange = |operator: &&OperatorProto| operator.spelling != SPELLING;
        let not_understood: BTreeSet<OperatorUid> =
            proto.operators.iter().filter(is_strange).map(|operator| OperatorUid::new(&operator.operator)).collect();
        let table = |table: &TableProto| {
            let mut table = Table::from_proto(table, files, max_parallelism)?;
            if not_understood.contains(&table.operator) {
                // Contents are written in the same form as meanings.
                table.contents.clear();
            }
            Ok::<_, String>(table)
        };
        let finished = |proto: FinishedProto| (OperatorUid::new(proto.operator), proto.blocks);
        Ok(Self {
            version: proto.version(),
            is_savepoint,
            checkpoint: CheckpointId::new(proto.checkpoint),
            attempt: Attempt::new(proto.attempt),
            max_parallelism,
            key_hash_version: proto.key_hash_version,
            assignment: assignment_of(&proto, max_parallelism)?,
            tables: proto.tables.iter().map(table).collect::<std::result::Result<_, _>>()?,
            splits: values_of(&proto.splits, "a split")?,
            finished: proto.finished.into_iter().map(finished).collect(),
            committables: values_of(&proto.committables, "a committable")?,
            meanings: proto.operators.iter().filter_map(meaning_of).collect(),
            job: proto.job,
            plan_fingerprint: proto.plan_fingerprint,
            files: proto.files,
            union_values: proto.union_values,
            written_by: proto.written_by,
            not_understood,
        })
    }
}
