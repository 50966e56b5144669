//! Random expressions over random rows: engine and reference must give the same results, bit for bit.
//!
//! The engine must fail on a batch exactly if the reference fails on one of its rows. An expression follows from its
//! number, so a difference can be reproduced.

mod maker;
mod values;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use eddyline_expression::Expr;
use eddyline_functions::{Clock, FunctionContext, scalar_functions};

use self::maker::Maker;
use self::values::{Random, types};
use super::{Value, array_of, evaluate};

/// The number of expressions, unless `EDDYLINE_EXPRESSIONS` has another one.
const EXPRESSIONS: u64 = 100_000;
/// The number of expressions that are evaluated on the same rows.
const PER_BATCH: u64 = 50;
const DEPTH_MAX: u64 = 5;
/// The number of differences after which the search ends.
const DIFFERENCES_MAX: usize = 5;
const ROWS_MAX: u64 = 7;

#[test]
fn random_expressions_give_what_the_book_says() {
    let count = std::env::var("EDDYLINE_EXPRESSIONS").map_or(EXPRESSIONS, |count| count.parse().expect("a number"));
    let half = count.div_ceil(2).next_multiple_of(PER_BATCH);
    std::thread::scope(|scope| {
        let halves = [0..half.min(count), half.min(count)..count].map(|numbers| scope.spawn(|| agree(numbers)));
        let differences: Vec<String> = halves.into_iter().flat_map(|half| half.join().expect("a thread")).collect();
        assert!(differences.is_empty(), "{} of {count} differ:\n{}", differences.len(), differences.join("\n"));
    });
}

/// The first differences between engine and reference.
fn agree(numbers: Range<u64>) -> Vec<String> {
    let mut differences = Vec::new();
    let mut table = Table::new(0);
    let context = &context();
    let functions = scalar_functions(context);
    let functions = functions.iter().map(|function| (function.name(), function)).collect();
    for number in numbers {
        if number % PER_BATCH == 0 || table.number != number / PER_BATCH {
            table = Table::new(number / PER_BATCH);
        }
        let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed);
        let data_type = random.pick(&table.types).clone();
        let depth = random.below(DEPTH_MAX) + 1;
        let expression = Maker { random, table: &table, functions: &functions, context }.expression(&data_type, depth);
        if let Some(difference) = smallest_difference(&expression, &table) {
            differences.push(format!("number {number}: {difference}"));
            if differences.len() >= DIFFERENCES_MAX {
                break;
            }
        }
    }
    differences
}

fn context() -> FunctionContext {
    let time_zone = "Europe/Berlin".parse().expect("a time zone");
    FunctionContext { time_zone, clock: Clock::Fixed { epoch_ms: 1_700_000_000_000 } }
}

/// The difference of the smallest part of an expression that has one; `None` if the expression has none.
fn smallest_difference(expression: &Expr, table: &Table) -> Option<String> {
    let whole = difference(expression, table)?;
    let mut parts = Vec::new();
    expression.visit(&mut |part| parts.push(part.clone()));
    parts.sort_by_key(Expr::depth);
    Some(parts.iter().find_map(|part| difference(part, table)).unwrap_or(whole))
}

fn difference(expression: &Expr, table: &Table) -> Option<String> {
    let engine = catch_unwind(AssertUnwindSafe(|| {
        let rows = table.batch.num_rows();
        expression.evaluate(&table.batch).and_then(|value| value.into_array(rows)).map_err(|error| error.to_string())
    }));
    let engine = engine.unwrap_or_else(|_| Err("the engine panicked".to_owned()));
    let reference: Result<Vec<Value>, (usize, String)> = (table.rows.iter().enumerate())
        .map(|(row, values)| evaluate(expression, values).map_err(|error| (row, error)))
        .collect();
    let wrong = |what: String| Some(format!("{expression}\n    {what}"));
    let (engine, reference) = match (engine, reference) {
        (Err(error), Err(_)) if expression.can_fail() && !error.contains("panicked") && !error.contains("internal") => {
            return None;
        }
        (Err(error), reference) => {
            let reference = reference.map_or_else(|(_, error)| error, |values| format!("{values:?}"));
            return wrong(format!(
                "the engine fails: {error}\n    reference: {reference}\n    {:?}",
                table.read_by(expression, None)
            ));
        }
        (Ok(values), Err((row, error))) => {
            let engine = Value::of(values.as_ref(), row);
            return wrong(format!(
                "the reference fails: {error}\n    engine: {engine:?}\n    row: {:?}",
                table.read_by(expression, Some(row))
            ));
        }
        (Ok(engine), Ok(reference)) => (engine, reference),
    };
    if engine.data_type() != expression.data_type() {
        return wrong(format!("the engine gives {}, not {}", engine.data_type(), expression.data_type()));
    }
    reference.iter().enumerate().find_map(|(row, expected)| {
        let actual = Value::of(engine.as_ref(), row).expect("a value");
        let is_unexpected_null = actual.is_null() && !expression.nullable();
        if actual.is_same(expected) && !is_unexpected_null {
            return None;
        }
        let row = table.read_by(expression, Some(row));
        wrong(format!("engine: {actual:?}\n    reference: {expected:?}\n    row: {row:?}"))
    })
}

/// Rows in the form of the engine and in that of the reference.
struct Table {
    number: u64,
    types: Vec<DataType>,
    batch: RecordBatch,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// Two columns of each type.
    fn new(number: u64) -> Self {
        let mut random = Random(number ^ 0x7ab1e);
        let types = types();
        let rows = random.below(ROWS_MAX) as usize + 1;
        let mut columns: Vec<ArrayRef> = Vec::new();
        let mut fields = Vec::new();
        for (index, data_type) in types.iter().enumerate() {
            for twin in ["a", "b"] {
                let values: Vec<Value> = (0..rows).map(|_| random.value_or_null(data_type)).collect();
                columns.push(array_of(&values.iter().collect::<Vec<_>>(), data_type).expect("values of the type"));
                fields.push(Field::new(format!("{twin}{index}"), data_type.clone(), true));
            }
        }
        let value =
            |row: usize| columns.iter().map(|column| Value::of(column.as_ref(), row).expect("a value")).collect();
        let rows = (0..rows).map(value).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch");
        Self { number, types, batch, rows }
    }

    /// The values that an expression reads, for people.
    fn read_by(&self, expression: &Expr, row: Option<usize>) -> Vec<String> {
        let rows: Vec<usize> = row.map_or_else(|| (0..self.rows.len()).collect(), |row| vec![row]);
        let read = expression.columns().into_iter();
        read.map(|column| {
            let values: Vec<&Value> = rows.iter().map(|row| &self.rows[*row][column]).collect();
            format!("{} = {values:?}", self.batch.schema().field(column).name())
        })
        .collect()
    }
}
