use arrow::array::{Int64Array, StringArray};
use eddyline_job_graph::{AggregateCall, AggregateFunction};
use eddyline_stream::{Kinds, RowKind};

use super::*;

fn input() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, true), Field::new("v", DataType::Int64, true)]))
}

/// `SELECT k, MAX(v) … GROUP BY k`.
fn operator() -> GroupAggregateOperator {
    let most = AggregateCall {
        function: AggregateFunction::Max,
        argument: Some(1),
        distinct: false,
        filter: None,
        argument_type: Some(DataType::Int64),
        result_type: DataType::Int64,
        name: "most".to_owned(),
    };
    let config = GroupAggregate { keys: vec![0], aggregates: vec![most] };
    GroupAggregateOperator::new(config, &input(), input(), false).expect("it can run")
}

fn rows(rows: &[(&str, i64)]) -> RecordBatch {
    let keys = Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, _)| key)));
    let values = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, value)| *value)));
    RecordBatch::try_new(input(), vec![keys, values]).expect("rows")
}

/// The rows of batches as text, those of each batch in a list.
fn emitted(out: &mut Collector) -> Vec<Vec<String>> {
    let text = |batch: &Batch, row: usize| {
        let columns = batch.rows().columns();
        let (key, value) =
            (columns[0].as_string::<i32>().value(row), columns[1].as_primitive::<arrow::datatypes::Int64Type>());
        format!("{}{key}={}", batch.kind(row), value.value(row))
    };
    out.drain().map(|batch| (0..batch.num_rows()).map(|row| text(&batch, row)).collect()).collect()
}

#[test]
fn a_batch_changes_the_result_of_a_key_once_and_only_if_it_differs() {
    let (mut operator, mut out) = (operator(), Collector::default());
    let mut process = |given: &[(&str, i64)]| {
        operator.process(InputIndex::FIRST, Batch::new(rows(given)), &mut out).expect("it runs");
        emitted(&mut out)
    };
    assert_eq!(process(&[("a", 1), ("b", 2), ("a", 5), ("a", 3)]), [["+Ia=5", "+Ib=2"]]);
    assert_eq!(process(&[("b", 2), ("a", 4)]), [[""; 0]; 0], "the maxima are the same");
    assert_eq!(process(&[("c", 0), ("b", 7), ("a", 4), ("b", 9)]), [["+Ic=0", "-Ub=2", "+Ub=9"]]);
    assert_eq!(process(&[]), [[""; 0]; 0]);
}

#[test]
fn changes_are_emitted_in_pieces_that_tear_no_update() {
    let mut operator = operator();
    operator
        .process(InputIndex::FIRST, Batch::new(rows(&[("a", 1), ("b", 1)])), &mut Collector::default())
        .expect("runs");
    let mut out = Collector::with_room(1);
    let given = Batch::new(rows(&[("a", 2), ("b", 2), ("c", 2)]));
    assert_eq!(operator.process(InputIndex::FIRST, given, &mut out).expect("it runs"), Progress::More);
    assert_eq!(emitted(&mut out), [["-Ua=1", "+Ua=2"]]);
    assert_eq!(operator.resume(&mut out).expect("it runs"), Progress::More);
    assert_eq!(emitted(&mut out), [["-Ub=1", "+Ub=2"]]);
    assert_eq!(operator.resume(&mut out).expect("it runs"), Progress::Done);
    assert_eq!(emitted(&mut out), [["+Ic=2"]]);
}

#[test]
fn rows_that_are_not_inserts_are_an_error() {
    let kinds = Kinds::new([RowKind::Delete]).expect("no pair");
    let batch = Batch::with_kinds(rows(&[("a", 1)]), kinds);
    let error = operator().process(InputIndex::FIRST, batch, &mut Collector::default()).expect_err("no insert");
    assert!(matches!(error, eddyline_operators::Error::NotInsertOnly(_)), "{error}");
}

/// `SELECT k, SUM(v) … GROUP BY k` over a changelog.
fn sums() -> GroupAggregateOperator {
    let sum = AggregateCall {
        function: AggregateFunction::Sum,
        argument: Some(1),
        distinct: false,
        filter: None,
        argument_type: Some(DataType::Int64),
        result_type: DataType::Int64,
        name: "sum".to_owned(),
    };
    let config = GroupAggregate { keys: vec![0], aggregates: vec![sum] };
    GroupAggregateOperator::new(config, &input(), input(), true).expect("it can run")
}

fn changes(changes: &[(RowKind, &str, i64)]) -> Batch {
    let values: Vec<(&str, i64)> = changes.iter().map(|(_, key, value)| (*key, *value)).collect();
    let kinds = Kinds::new(changes.iter().map(|(kind, ..)| *kind)).expect("whole pairs");
    Batch::with_kinds(rows(&values), kinds)
}

#[test]
fn a_key_is_deleted_with_its_last_row_and_can_come_again() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let (mut operator, mut out) = (sums(), Collector::default());
    let mut process = |given: &[(RowKind, &str, i64)]| {
        operator.process(InputIndex::FIRST, changes(given), &mut out).expect("it runs");
        emitted(&mut out)
    };
    assert_eq!(process(&[(Insert, "a", 1), (Insert, "a", 2), (Insert, "b", 5)]), [["+Ia=3", "+Ib=5"]]);
    assert_eq!(
        process(&[(UpdateBefore, "a", 1), (UpdateAfter, "a", 4), (Delete, "b", 5)]),
        [["-Ua=3", "+Ua=6", "-Db=5"]]
    );
    assert_eq!(process(&[(Insert, "b", 7), (UpdateBefore, "a", 2), (UpdateAfter, "a", 2)]), [["+Ib=7"]]);
    // All within one batch, and of a key that is missing.
    assert_eq!(process(&[(Insert, "c", 1), (Delete, "c", 1), (Delete, "d", 9)]), [[""; 0]; 0]);
    assert_eq!(process(&[(Insert, "c", 2), (Insert, "d", 3)]), [["+Ic=2", "+Id=3"]]);
    assert_eq!(operator.counters().state_rows, 4);
}

#[test]
fn groups_without_rows_are_removed_when_they_are_in_the_majority() {
    let (mut operator, mut out) = (sums(), Collector::default());
    let names: Vec<String> = (0..3000).map(|number| format!("k{number}")).collect();
    let all =
        |kind: RowKind| -> Vec<(RowKind, &str, i64)> { names.iter().map(|name| (kind, name.as_str(), 1)).collect() };
    operator.process(InputIndex::FIRST, changes(&all(RowKind::Insert)), &mut out).expect("it runs");
    operator.process(InputIndex::FIRST, changes(&all(RowKind::Delete)[..1400]), &mut out).expect("it runs");
    assert_eq!((operator.groups.len(), operator.counters().state_rows), (3000, 1600));
    operator.process(InputIndex::FIRST, changes(&all(RowKind::Delete)[1400..2000]), &mut out).expect("it runs");
    assert_eq!((operator.groups.len(), operator.counters().state_rows), (1000, 1000));
    emitted(&mut out);
    operator
        .process(InputIndex::FIRST, changes(&[(RowKind::Insert, "k2999", 5), (RowKind::Insert, "k0", 5)]), &mut out)
        .expect("runs");
    assert_eq!(emitted(&mut out), [["-Uk2999=1", "+Uk2999=6", "+Ik0=5"]]);
}
