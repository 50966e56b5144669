use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use eddyline_expression::{Comparison, Expr, Scalar};
use eddyline_job_graph::{Calc, Projection};
use eddyline_stream::{Batch, KindsBuilder, RowKind};

use super::CalcOperator;
use crate::{Collector, Error, InputIndex, Operator};

fn input() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, true),
        Field::new("unused", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
    ]))
}

fn rows(ids: &[Option<i32>], texts: &[Option<&str>]) -> RecordBatch {
    let unused: Int64Array = ids.iter().map(|_| Some(0)).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(ids.to_vec())), Arc::new(unused), Arc::new(StringArray::from(texts.to_vec()))];
    RecordBatch::try_new(input(), columns).expect("columns fit the schema")
}

fn column(name: &str) -> Expr {
    let schema = input();
    let index = schema.index_of(name).expect("a column of the input");
    Expr::column(index, schema.field(index))
}

fn lit(value: impl Into<Scalar>) -> Expr {
    Expr::literal(value)
}

fn compare(left: Expr, operator: Comparison, right: Expr) -> Expr {
    Expr::compare(operator, left, right).expect("types agree")
}

/// Fails for ids above 127.
fn narrow_id() -> Expr {
    Expr::cast(column("id"), &DataType::Int8, false).expect("a cast that exists")
}

fn operator(filter: Option<Expr>, columns: &[(&str, Expr, DataType)]) -> CalcOperator {
    let fields: Vec<Field> =
        columns.iter().map(|(name, _, data_type)| Field::new(*name, data_type.clone(), true)).collect();
    let columns = columns
        .iter()
        .map(|(name, expression, _)| Projection { expression: expression.clone(), name: (*name).to_owned() })
        .collect();
    CalcOperator::new(Calc { filter, columns }, input(), Arc::new(Schema::new(fields)))
}

fn run(operator: &mut CalcOperator, rows: RecordBatch) -> Result<Vec<RecordBatch>, Error> {
    let mut out = Collector::default();
    operator.process(InputIndex::FIRST, Batch::new(rows), &mut out)?;
    Ok(out.drain().map(|batch| batch.rows().clone()).collect())
}

#[test]
fn rows_for_which_the_filter_is_false_or_null_are_dropped() {
    let above = compare(column("id"), Comparison::Gt, lit(1i32));
    let mut calc = operator(Some(above), &[("text", column("text"), DataType::Utf8)]);
    let out = run(&mut calc, rows(&[Some(1), None, Some(2)], &[Some("a"), Some("b"), Some("c")])).expect("no failure");
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].column(0).as_ref(), &StringArray::from(vec!["c"]) as &dyn arrow::array::Array);
}

#[test]
fn a_filter_that_keeps_everything_passes_columns_without_copying() {
    let above = compare(column("id"), Comparison::Gt, lit(0i32));
    let mut calc = operator(Some(above), &[("id", column("id"), DataType::Int32)]);
    let batch = rows(&[Some(1), Some(2)], &[None, None]);
    let out = run(&mut calc, batch.clone()).expect("no failure");
    assert!(Arc::ptr_eq(batch.column(0), out[0].column(0)));
}

/// An insert, updates from 1 to 2, 3 to 0, 2 to 3 and 0 to 1, and a delete.
fn changes() -> Batch {
    let mut kinds = KindsBuilder::default();
    kinds.insert();
    (0..4).for_each(|_| kinds.update());
    kinds.delete();
    let ids: Vec<Option<i32>> = [1, 1, 2, 3, 0, 2, 3, 0, 1, 3].into_iter().map(Some).collect();
    Batch::with_kinds(rows(&ids, &[None; 10]), kinds.finish())
}

fn kinds_and_ids(batch: &Batch) -> Vec<(RowKind, i32)> {
    let ids = batch.rows().column(0).as_any().downcast_ref::<Int32Array>().expect("numbers");
    (0..batch.num_rows()).map(|row| (batch.kind(row), ids.value(row))).collect()
}

#[test]
fn half_an_update_that_passes_the_filter_is_an_insert_or_a_delete() {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let above = compare(column("id"), Comparison::Gt, lit(1i32));
    let mut calc = operator(Some(above), &[("id", column("id"), DataType::Int32)]);
    let mut out = Collector::default();
    calc.process(InputIndex::FIRST, changes(), &mut out).expect("no failure");
    let out: Vec<Batch> = out.drain().collect();
    assert_eq!(kinds_and_ids(&out[0]), [(Insert, 2), (Delete, 3), (UpdateBefore, 2), (UpdateAfter, 3), (Delete, 3)]);
    assert_eq!(out.len(), 1);
}

#[test]
fn rows_keep_their_kinds_where_nothing_is_filtered() {
    let all = compare(column("id"), Comparison::GtEq, lit(0i32));
    for filter in [None, Some(all)] {
        let mut calc = operator(filter, &[("id", column("id"), DataType::Int32)]);
        let mut out = Collector::default();
        calc.process(InputIndex::FIRST, changes(), &mut out).expect("no failure");
        let out: Vec<Batch> = out.drain().collect();
        assert_eq!(kinds_and_ids(&out[0]), kinds_and_ids(&changes()));
    }
}

#[test]
fn a_filter_that_keeps_nothing_computes_no_columns() {
    let above = compare(column("id"), Comparison::Gt, lit(9i32));
    let mut calc = operator(Some(above), &[("number", narrow_id(), DataType::Int8)]);
    assert_eq!(run(&mut calc, rows(&[Some(-300)], &[None])).expect("nothing is cast"), []);
}

#[test]
fn results_get_the_declared_types() {
    let mut calc = operator(None, &[("id", column("id"), DataType::Int64), ("one", lit(1i32), DataType::Int64)]);
    let out = run(&mut calc, rows(&[Some(7), None], &[None, None])).expect("no failure");
    let expected: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![Some(7), None])), Arc::new(Int64Array::from(vec![1, 1]))];
    assert_eq!(out[0].columns(), expected);
}

#[test]
fn a_number_that_does_not_fit_fails_the_job_and_names_the_expression() {
    let mut calc = operator(None, &[("number", narrow_id(), DataType::Int8)]);
    let error = run(&mut calc, rows(&[Some(300)], &[None])).expect_err("300 is no TINYINT");
    assert!(error.to_string().contains("CAST(id AS TINYINT)"), "{error}");
    assert!(matches!(error, Error::Evaluate { .. }));
}

#[test]
fn a_later_part_of_an_and_does_not_see_rows_that_an_earlier_part_dropped() {
    let known = compare(column("text"), Comparison::NotEq, lit(""));
    let big = compare(narrow_id(), Comparison::Gt, lit(5i8));
    let both = Expr::and(known, big).expect("conditions");
    let mut calc = operator(Some(both), &[("id", column("id"), DataType::Int32)]);
    let ids = [Some(7), Some(300), Some(301), Some(3)];
    let texts = [Some("a"), Some(""), None, Some("b")];
    let out = run(&mut calc, rows(&ids, &texts)).expect("rows that are dropped are not cast");
    assert_eq!(out[0].column(0).as_ref(), &Int32Array::from(vec![7]) as &dyn arrow::array::Array);
}

#[test]
fn columns_without_input_have_as_many_rows_as_pass() {
    let above = compare(column("id"), Comparison::Gt, lit(1i32));
    let mut calc = operator(Some(above), &[("one", lit(1i64), DataType::Int64)]);
    let out = run(&mut calc, rows(&[Some(1), Some(2), Some(3)], &[None, None, None])).expect("no failure");
    assert_eq!(out[0].num_rows(), 2);
}
