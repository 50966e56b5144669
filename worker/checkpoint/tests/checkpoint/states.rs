//! State to write, and how to compare it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray,
    TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use eddyline_checkpoint::storage::Memory;
use eddyline_checkpoint::{
    CheckpointContents, CheckpointHandle, EncodedState, JobIdentity, JobOperator, JobStore, Snapshots, Started, Storage,
};
use eddyline_state::{NO_BUCKET, Snapshot, StateTable, TableRows};
use eddyline_stream::{Assignment, CheckpointId, KeyGroupSet, MaxParallelism, OperatorUid, SlotIndex, key_hash};

/// How many key groups the tests' jobs have.
pub fn groups() -> MaxParallelism {
    MaxParallelism::try_from(64).expect("a power of two")
}

pub fn identity() -> JobIdentity {
    JobIdentity { max_parallelism: groups(), hash_version: key_hash::VERSION, retain: 2 }
}

pub fn uid(text: &str) -> OperatorUid {
    OperatorUid::new(text)
}

pub fn store(memory: &Memory) -> JobStore {
    JobStore::open(Storage::in_memory(memory.clone()), "orders")
}

pub async fn start(memory: &Memory) -> Started {
    store(memory).start_attempt(identity()).await.expect("the attempt starts")
}

pub fn checkpoint(number: u64) -> CheckpointId {
    CheckpointId::new(number)
}

/// Columns of every kind that state has.
pub fn schema() -> SchemaRef {
    let pair = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]);
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("amount", DataType::Decimal128(20, 2), true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), false),
        Field::new("open", DataType::Boolean, true),
        Field::new("sizes", DataType::List(Arc::new(Field::new("element", DataType::Int32, true))), true),
        Field::new("pair", DataType::Struct(pair.clone()), true),
        Field::new("tags", DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), false), true),
    ]))
}

/// Rows that depend on their keys alone.
pub fn rows(keys: &[i64]) -> RecordBatch {
    let text = |key: i64| {
        (key % 5 != 0).then(|| format!("name-{key}-{}", "x".repeat(usize::try_from(key.rem_euclid(40)).unwrap_or(0))))
    };
    let lists = keys.iter().map(|key| {
        (key % 3 != 0).then(|| (0..key.rem_euclid(4)).map(|n| (n != 2).then_some(i32::try_from(n).unwrap_or(0))))
    });
    let lists = lists.map(|list| list.map(Iterator::collect::<Vec<_>>));
    let sizes: ListArray = {
        let plain = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
        let (_, offsets, values, nulls) = plain.into_parts();
        ListArray::new(Arc::new(Field::new("element", DataType::Int32, true)), offsets, values, nulls)
    };
    let Some(DataType::Struct(pair)) = schema().field_with_name("pair").ok().map(|field| field.data_type().clone())
    else {
        panic!("pair is a row")
    };
    let names: StringArray = keys.iter().map(|key| Some(format!("k{}", key % 7))).collect();
    let values: Int64Array = keys.iter().map(|key| (key % 4 != 0).then_some(key * 11)).collect();
    let pairs = StructArray::new(pair.clone(), vec![Arc::new(names) as ArrayRef, Arc::new(values)], None);
    let offsets = OffsetBuffer::from_lengths(keys.iter().map(|_| 1));
    let tags = MapArray::new(
        Arc::new(Field::new("entries", DataType::Struct(pair), false)),
        offsets,
        pairs.clone(),
        None,
        false,
    );
    let amounts: Decimal128Array = keys.iter().map(|key| (key % 6 != 0).then(|| i128::from(*key) * 37)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(keys.to_vec())),
        Arc::new(keys.iter().map(|key| text(*key)).collect::<StringArray>()),
        Arc::new(amounts.with_precision_and_scale(20, 2).expect("small numbers")),
        Arc::new(keys.iter().map(|key| Some(*key * 1000)).collect::<TimestampMillisecondArray>()),
        Arc::new(keys.iter().map(|key| (key % 8 != 0).then_some(key % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(sizes),
        Arc::new(pairs),
        Arc::new(tags),
    ];
    RecordBatch::try_new(schema(), columns).expect("the declared columns")
}

pub fn table_rows(table: &str, bucket: i64, keys: &[i64]) -> TableRows {
    let key_hashes = keys.iter().map(|key| key_hash::hash_i64(*key)).collect();
    TableRows { table: table.to_owned(), bucket, is_whole: true, key_hashes, rows: rows(keys) }
}

pub fn tables() -> Vec<StateTable> {
    vec![StateTable::new("sums", schema()), StateTable::new("sessions", schema())]
}

/// Operators of a job that are known by these names and have these tables.
pub fn named<const N: usize>(names: [&str; N]) -> [JobOperator; N] {
    names.map(|name| JobOperator::named(uid(name), tables()))
}

/// The state of a job: keys by operator, table and bucket.
pub type Keys = BTreeMap<(String, String, i64), Vec<i64>>;

/// Deals the state to slots.
pub fn snapshots(keys: &Keys, assignment: &Assignment) -> Snapshots {
    let mut snapshots = Snapshots::new();
    let operators: std::collections::BTreeSet<&String> = keys.keys().map(|(operator, _, _)| operator).collect();
    for operator in operators {
        for slot in (0..assignment.slots()).map(SlotIndex::new) {
            let mut keyed = Vec::new();
            for ((_, table, bucket), keys) in keys.iter().filter(|((other, _, _), _)| other == operator) {
                let owned = |key: &i64| assignment.owner_of_hash(key_hash::hash_i64(*key)) == slot;
                let owned: Vec<i64> = keys.iter().copied().filter(owned).collect();
                if !owned.is_empty() {
                    keyed.push(table_rows(table, *bucket, &owned));
                }
            }
            let watermark = i64::try_from(slot.index()).unwrap_or(0).to_le_bytes().to_vec();
            let union = vec![("watermark".to_owned(), watermark)];
            snapshots.push((uid(operator), slot, Snapshot::of_all_rows(keyed, union)));
        }
    }
    snapshots
}

/// Deals the state to slots.
pub fn contents(keys: &Keys, assignment: &Assignment) -> CheckpointContents {
    let state = EncodedState::of(&snapshots(keys, assignment), assignment.max_parallelism()).expect("it is valid");
    let split = serde_json::json!({ "id": "orders-0", "position": { "offset": 17 }, "finished": false });
    CheckpointContents {
        state: Arc::new(state),
        since: None,
        part: 0,
        splits: BTreeMap::from([(uid("source"), vec![split])]),
        finished: BTreeMap::new(),
        committables: BTreeMap::from([(uid("sink"), vec![serde_json::json!({ "file": "part-0" })])]),
        assignment: assignment.clone(),
    }
}

/// The same of a source that says in blocks what it has read to its end.
pub fn with_finished(contents: CheckpointContents) -> CheckpointContents {
    let blocks = vec![Bytes::from_static(b"a full block"), Bytes::from_static(b"and the rest")];
    CheckpointContents { finished: BTreeMap::from([(uid("source"), blocks)]), ..contents }
}

/// A small state with two operators, two tables and several buckets.
pub fn sample(seed: i64) -> Keys {
    let mut keys = Keys::new();
    keys.insert(("windows".into(), "sums".into(), 60_000), (seed..seed + 40).collect());
    keys.insert(("windows".into(), "sums".into(), 120_000), (seed + 20..seed + 90).collect());
    keys.insert(("sessions".into(), "sessions".into(), NO_BUCKET), (seed..seed + 25).collect());
    keys
}

/// Rows as text, to compare as a multiset.
pub fn row_set(rows: impl IntoIterator<Item = TableRows>) -> Vec<String> {
    let mut set = Vec::new();
    for part in rows {
        assert_eq!(part.key_hashes.len(), part.rows.num_rows());
        for row in 0..part.rows.num_rows() {
            let slice = part.rows.slice(row, 1);
            set.push(format!("{} {} {} {:?}", part.table, part.bucket, part.key_hashes[row], slice.columns()));
        }
    }
    set.sort();
    set
}

/// The rows of one operator in a state, for some key groups.
pub fn expected(keys: &Keys, operator: &str, owned: &KeyGroupSet) -> Vec<String> {
    let own = keys.iter().filter(|((other, _, _), _)| other == operator);
    row_set(own.map(|((_, table, bucket), keys)| {
        let keys: Vec<i64> = keys.iter().copied().filter(|key| owned.contains_hash(key_hash::hash_i64(*key))).collect();
        table_rows(table, *bucket, &keys)
    }))
}

/// All that a handle restores, which must be this state.
pub async fn assert_restores(handle: &CheckpointHandle, keys: &Keys) {
    let all = KeyGroupSet::all(groups());
    for operator in ["windows", "sessions"] {
        let snapshot = handle.restore(&uid(operator), &all).await.expect("it restores");
        assert_eq!(row_set(snapshot.keyed), expected(keys, operator, &all), "{operator}");
    }
}
