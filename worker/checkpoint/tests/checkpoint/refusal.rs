//! State that does not fit a job is refused with a complete explanation.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use eddyline_checkpoint::storage::Memory;
use eddyline_checkpoint::{CheckpointHandle, EncodedState, Error};
use eddyline_state::{Snapshot, StateTable, TableRows};
use eddyline_stream::{Assignment, KeyGroupSet, MaxParallelism, OperatorUid, SlotIndex};

use crate::states::{self, checkpoint, contents, groups, named, sample, start, uid};

async fn written() -> CheckpointHandle {
    let memory = Memory::new();
    let writer = start(&memory).await.writer;
    writer.write(checkpoint(1), contents(&sample(1), &Assignment::even(groups(), 2))).await.expect("written");
    states::store(&memory).latest().await.expect("read").expect("a checkpoint")
}

const NOTHING: BTreeSet<OperatorUid> = BTreeSet::new();

#[tokio::test]
async fn the_same_job_and_one_with_new_operators_fit() {
    let handle = written().await;
    let fit = handle.fit(&named(["windows", "sessions", "source", "sink", "new"]), &NOTHING).expect("it fits");
    assert_eq!(fit.recorded(&uid("windows")), Some(&uid("windows")));
    assert_eq!(fit.recorded(&uid("new")), None, "it starts empty");
}

#[tokio::test]
async fn state_without_an_operator_is_refused_unless_it_may_be_left_behind() {
    let handle = written().await;
    let renamed = named(["windows-2", "sessions", "source", "sink"]);
    let Err(Error::StateMismatch(mismatch)) = handle.fit(&renamed, &NOTHING) else { panic!("it does not fit") };
    assert_eq!(mismatch.refused(), BTreeSet::from([&uid("windows")]));
    let text = mismatch.to_string();
    assert!(text.contains("(of job orders) does not fit this job"), "{text}");
    assert!(text.contains("operator windows has state, but the job has no such operator"), "{text}");
    assert!(text.contains("it has table sums with 110 rows, values of its subtasks"), "{text}");
    assert!(text.contains("operator windows-2 of the job has no state"), "{text}");
    assert!(text.contains("upgrade.allowNonRestoredState of the StreamJob: [windows]"), "{text}");
    assert!(text.contains("--allow-non-restored-state 'windows'"), "{text}");
    let fit = handle.fit(&renamed, &BTreeSet::from([uid("windows")])).expect("allowed");
    assert_eq!(fit.left_behind, [uid("windows")]);
    let text = handle.fit(&named(["windows", "sessions", "sink"]), &NOTHING).expect_err("no source").to_string();
    assert!(text.contains("operator source has state"), "{text}");
    assert!(text.contains("it has 1 source splits"), "{text}");
}

#[tokio::test]
async fn state_that_fits_is_restored_although_it_may_be_left_behind() {
    let handle = written().await;
    let job = named(["windows", "sessions", "source", "sink"]);
    let fit = handle.fit(&job, &BTreeSet::from([uid("windows"), uid("source")])).expect("it fits");
    assert_eq!(fit.recorded(&uid("source")), Some(&uid("source")), "positions are not lost at each restart");
    assert!(fit.left_behind.is_empty());
}

#[tokio::test]
async fn tables_with_other_columns_are_shown_with_both() {
    let handle = written().await;
    let narrow = Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, false)]));
    let mut job = named(["windows", "sessions", "source", "sink"]);
    job[0].tables = vec![StateTable::new("sums", narrow)];
    job[1].tables = Vec::new();
    let error = handle.fit(&job, &NOTHING).expect_err("it does not fit");
    let Error::StateMismatch(mismatch) = &error else { panic!("{error}") };
    assert_eq!(mismatch.tables.len(), 2);
    let text = error.to_string();
    assert!(text.contains("operator windows, table sums: the state has (key Int64 NOT NULL, name Utf8,"), "{text}");
    assert!(text.contains("the job needs (key Int64 NOT NULL)"), "{text}");
    assert!(text.contains("operator sessions has no table sessions"), "{text}");
    let fit = handle.fit(&job, &BTreeSet::from([uid("windows"), uid("sessions")])).expect("allowed");
    assert_eq!(fit.left_behind, [uid("windows"), uid("sessions")]);
}

#[tokio::test]
async fn names_of_columns_and_whether_they_can_be_null_do_not_matter() {
    let handle = written().await;
    let mut job = named(["windows", "sessions", "source", "sink"]);
    let schema = states::schema();
    let fields = schema.fields().iter().enumerate().map(|(index, field)| {
        field.as_ref().clone().with_name(format!("c{index}")).with_nullable(!field.is_nullable())
    });
    job[0].tables = vec![StateTable::new("sums", Arc::new(Schema::new(fields.collect::<Vec<_>>())))];
    handle.fit(&job, &NOTHING).expect("it fits");
}

#[tokio::test]
async fn another_max_parallelism_is_refused() {
    let handle = written().await;
    let wide = MaxParallelism::try_from(128).expect("a power of two");
    let error = handle.restore(&uid("windows"), &KeyGroupSet::all(wide)).await.expect_err("refused");
    assert!(error.to_string().contains("the state has max parallelism 64, the job has 128"), "{error}");
    assert!(handle.check_max_parallelism(wide).is_err());
}

#[test]
fn snapshots_that_contradict_themselves_are_not_written() {
    let encode = |keyed: Vec<TableRows>| {
        let snapshot = Snapshot::of_all_rows(keyed, Vec::new());
        let snapshots = vec![(uid("windows"), SlotIndex::new(0), snapshot)];
        EncodedState::of(&snapshots, groups()).expect_err("refused").to_string()
    };
    let mut short = states::table_rows("sums", 1, &[1, 2, 3]);
    short.key_hashes.pop();
    let error = encode(vec![short]);
    assert!(
        error.contains("the snapshot of windows, table sums, cannot be written: it has 3 rows and 2 key hashes"),
        "{error}"
    );
    let mut other = states::table_rows("sums", 1, &[4]);
    other.rows = other.rows.project(&[0, 1]).expect("two columns");
    let error = encode(vec![states::table_rows("sums", 1, &[1]), other]);
    assert!(error.contains("its rows have columns (key Int64 NOT NULL, name Utf8), not"), "{error}");
}
