//! Checkpoints record what operators compute and what their tables hold, and a restore finds state by that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use eddyline_checkpoint::storage::Memory;
use eddyline_checkpoint::{CheckpointContents, CheckpointHandle, EncodedState, Error, JobOperator, Writer};
use eddyline_state::meaning::{Fact, Rule};
use eddyline_state::{Meaning, NO_BUCKET, Snapshot, StateTable, TableRows};
use eddyline_stream::{Assignment, KeyGroupSet, SlotIndex, key_hash};

use crate::states::{self, checkpoint, groups, uid};

fn batch(columns: &[(&str, i64)]) -> RecordBatch {
    let fields: Vec<Field> = columns.iter().map(|(name, _)| Field::new(*name, DataType::Int64, true)).collect();
    let values = columns.iter().map(|(_, value)| Arc::new(Int64Array::from(vec![*value])) as ArrayRef).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), values).expect("columns")
}

/// A table, with what each of its columns holds.
fn table(name: &str, holds: &[&str]) -> StateTable {
    let names: Vec<String> = (0..holds.len()).map(|index| format!("c_{index}")).collect();
    let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Int64, true)).collect();
    let contents = holds.iter().map(|text| (*text).to_owned()).collect();
    StateTable::new(name, Arc::new(Schema::new(fields))).holding(contents)
}

fn operator(name: &str, window: &str, sums: &[&str], tables: Vec<StateTable>) -> JobOperator {
    let sums = sums.iter().map(|text| (*text).to_owned()).collect();
    let facts = vec![Fact::one("window", window), Fact::of("aggregates", sums, Rule::Fewer)];
    let meaning = Meaning { kind: "window-aggregate".to_owned(), facts, sources: Vec::new() };
    JobOperator { uid: uid(name), former_uid: uid("out/window-aggregate-1"), meaning: Some(meaning), tables }
}

/// One row of `SUM(a)`, `SUM(b)` and of the values of two distinct sets, under the name `out/old`.
async fn written(with_meanings: bool) -> CheckpointHandle {
    let memory = Memory::new();
    let (writer, contents) = job(&memory, with_meanings).await;
    writer.write(checkpoint(1), contents).await.expect("written");
    states::store(&memory).latest().await.expect("read").expect("a checkpoint")
}

/// The same as a savepoint, with meanings and columns in a form that only a later release knows.
async fn spelled_otherwise(folder: &std::path::Path) -> CheckpointHandle {
    let (writer, contents) = job(&Memory::new(), true).await;
    let dir = folder.display().to_string();
    let uri = writer.write_savepoint(&dir, checkpoint(1), &contents).await.expect("saved");
    let path = format!("{}/manifest", uri.strip_prefix("file://").expect("a local folder"));
    let mut bytes = std::fs::read(&path).expect("a manifest");
    // The encoded message has the operator's name, then the version of the form, then the kind.
    let known = [b"out/old".as_slice(), &[0x10, 1, 0x1a]].concat();
    let at = bytes.windows(known.len()).position(|window| window == known).expect("an operator");
    bytes[at + known.len() - 2] = 2;
    let end = bytes.len() - 4;
    let (content, crc) = bytes.split_at_mut(end);
    crc.copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
    std::fs::write(&path, &bytes).expect("a manifest");
    CheckpointHandle::open_uri(&uri, &BTreeMap::new()).await.expect("opened")
}

async fn job(memory: &Memory, with_meanings: bool) -> (Writer, CheckpointContents) {
    let name = if with_meanings { "out/old" } else { "out/window-aggregate-1" };
    let tables = vec![
        table("groups", &["k", "sum of a", "sum of b"]),
        table("distinct_0", &["k", "value of a"]),
        table("distinct_1", &["k", "value of b"]),
    ];
    let mut store = states::store(memory);
    if with_meanings {
        let operators = vec![operator(name, "1 min", &["SUM(a)", "SUM(b)"], tables)];
        store = store.with_operators(operators, "fingerprint");
    }
    let writer = store.start_attempt(states::identity()).await.expect("started").writer;
    let rows = |table: &str, rows: RecordBatch| TableRows {
        table: table.to_owned(),
        bucket: NO_BUCKET,
        is_whole: true,
        key_hashes: vec![key_hash::hash_i64(1)],
        rows,
    };
    let keyed = vec![
        rows("groups", batch(&[("k", 1), ("sum_0", 10), ("sum_1", 20)])),
        rows("distinct_0", batch(&[("k", 1), ("value", 100)])),
        rows("distinct_1", batch(&[("k", 1), ("value", 200)])),
    ];
    let snapshot = Snapshot::of_all_rows(keyed, vec![("watermark".to_owned(), vec![7])]);
    let contents = CheckpointContents {
        state: Arc::new(EncodedState::of(&vec![(uid(name), SlotIndex::new(0), snapshot)], groups()).expect("valid")),
        since: None,
        part: 0,
        splits: BTreeMap::new(),
        finished: BTreeMap::new(),
        committables: BTreeMap::new(),
        assignment: Assignment::even(groups(), 1),
    };
    (writer, contents)
}

/// The values that an operator of the job restores, by table.
async fn restored(handle: &CheckpointHandle, job: &JobOperator) -> BTreeMap<String, Vec<i64>> {
    let fit = handle.fit(std::slice::from_ref(job), &BTreeSet::new()).expect("it fits");
    let recorded = fit.recorded(&job.uid).expect("its state was found");
    let snapshot = handle.restore(recorded, &KeyGroupSet::all(groups())).await.expect("read");
    let snapshot = fit.arrange(&job.uid, snapshot).expect("arranged");
    assert_eq!(snapshot.union_values("watermark").count(), 1);
    let value = |column: &ArrayRef| column.as_any().downcast_ref::<Int64Array>().expect("numbers").value(0);
    snapshot.keyed.iter().map(|rows| (rows.table.clone(), rows.rows.columns().iter().map(value).collect())).collect()
}

fn expected(tables: &[(&str, &[i64])]) -> BTreeMap<String, Vec<i64>> {
    tables.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec())).collect()
}

#[tokio::test]
async fn state_is_found_by_what_an_operator_computes_under_another_name_and_in_another_order() {
    let handle = written(true).await;
    let tables = vec![
        table("groups", &["k", "sum of b", "sum of a"]),
        table("distinct_0", &["k", "value of b"]),
        table("distinct_1", &["k", "value of a"]),
    ];
    let job = operator("out/new", "1 min", &["SUM(b)", "SUM(a)"], tables);
    let found = restored(&handle, &job).await;
    assert_eq!(found, expected(&[("groups", &[1, 20, 10]), ("distinct_0", &[1, 200]), ("distinct_1", &[1, 100])]));
    assert_eq!(handle.plan_fingerprint(), "fingerprint");
}

#[tokio::test]
async fn what_an_operator_keeps_no_more_is_left_out() {
    let handle = written(true).await;
    let tables = vec![table("groups", &["k", "sum of b"]), table("distinct_0", &["k", "value of b"])];
    let found = restored(&handle, &operator("out/new", "1 min", &["SUM(b)"], tables)).await;
    assert_eq!(found, expected(&[("groups", &[1, 20]), ("distinct_0", &[1, 200])]));
}

#[tokio::test]
async fn another_computation_is_refused_with_what_differs() {
    let handle = written(true).await;
    let tables = vec![table("groups", &["k", "sum of a", "sum of c"])];
    let job = [operator("out/new", "5 min", &["SUM(a)", "SUM(c)"], tables)];
    let error = handle.fit(&job, &BTreeSet::new()).expect_err("it does not fit");
    assert!(matches!(error, Error::StateMismatch(_)));
    let text = error.to_string();
    for line in [
        "operator out/old: its state belongs to another computation",
        "window: 1 min -> 5 min",
        "aggregates: SUM(b) -> SUM(c)",
        "upgrade.allowNonRestoredState of the StreamJob: [out/old]",
        "--restore none",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    let fit = handle.fit(&job, &BTreeSet::from([uid("out/old")])).expect("allowed");
    assert_eq!(fit.recorded(&uid("out/new")), None, "it starts empty");
    assert_eq!(fit.left_behind, [uid("out/old")]);
}

#[tokio::test]
async fn a_checkpoint_that_does_not_say_what_operators_compute_is_restored_by_their_former_names() {
    let handle = written(false).await;
    let tables = vec![
        table("groups", &["key", "sum of x", "sum of y"]),
        table("distinct_0", &["key", "value of x"]),
        table("distinct_1", &["key", "value of y"]),
    ];
    let job = operator("out/new", "5 min", &["SUM(x)", "SUM(y)"], tables);
    let fit = handle.fit(std::slice::from_ref(&job), &BTreeSet::new()).expect("it fits");
    assert!(!fit.is_compared);
    let found = restored(&handle, &job).await;
    assert_eq!(found, expected(&[("groups", &[1, 10, 20]), ("distinct_0", &[1, 100]), ("distinct_1", &[1, 200])]));
}

#[tokio::test]
async fn state_whose_meaning_is_spelled_in_a_way_that_is_not_known_is_found_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let handle = spelled_otherwise(folder.path()).await;
    let tables = || {
        vec![
            table("groups", &["key", "sum of x", "sum of y"]),
            table("distinct_0", &["key", "value of x"]),
            table("distinct_1", &["key", "value of y"]),
        ]
    };
    let job = operator("out/old", "whatever", &["SUM(x)", "SUM(y)"], tables());
    let fit = handle.fit(std::slice::from_ref(&job), &BTreeSet::new()).expect("it fits");
    assert!(!fit.is_compared);
    let found = restored(&handle, &job).await;
    assert_eq!(found, expected(&[("groups", &[1, 10, 20]), ("distinct_0", &[1, 100]), ("distinct_1", &[1, 200])]));

    // It is not found by the former name of the operator either.
    let job = operator("out/new", "1 min", &["SUM(a)", "SUM(b)"], tables());
    let error = handle.fit(std::slice::from_ref(&job), &BTreeSet::new()).expect_err("it fits nobody").to_string();
    assert!(error.contains("operator out/old has state"), "{error}");
}
