//! Rows as lists of scalars, and expressions over one row.

use std::cmp::Ordering;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use eddyline_expression::{Expr, Scalar};

use crate::evaluation::{self, Value, array_of, java_order};

/// One row.
pub type Row = Vec<Scalar>;

/// The rows of a batch.
pub fn rows_of(batch: &RecordBatch) -> Result<Vec<Row>, String> {
    let value = |column: &ArrayRef, row| Scalar::try_from_array(column, row).map_err(|error| error.to_string());
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(column, row)).collect()).collect()
}

/// The value of an expression for one row.
pub fn evaluate(expression: &Expr, row: &Row) -> Result<Scalar, String> {
    let scalar = || {
        let row = row.iter().map(value).collect::<Result<Vec<_>, _>>()?;
        scalar(&evaluation::evaluate(expression, &row)?, expression.data_type())
    };
    scalar().map_err(|error| format!("failed to evaluate {expression}: {error}"))
}

/// Converts a value to another type.
pub fn cast(from: &Scalar, data_type: &DataType) -> Result<Scalar, String> {
    let cast = || scalar(&evaluation::convert(&value(from)?, &from.data_type(), data_type)?, data_type);
    cast().map_err(|error| format!("failed to cast {from} to {data_type}: {error}"))
}

/// The order of two values that are not NULL.
pub fn order(left: &Scalar, right: &Scalar) -> Result<Ordering, String> {
    java_order(&value(left)?, &value(right)?)
}

fn value(scalar: &Scalar) -> Result<Value, String> {
    Value::of(scalar.to_array().as_ref(), 0)
}

fn scalar(value: &Value, data_type: &DataType) -> Result<Scalar, String> {
    Scalar::try_from_array(&array_of(&[value], data_type)?, 0).map_err(|error| error.to_string())
}

/// The milliseconds of a timestamp; `None` for NULL.
pub fn milliseconds(value: &Scalar) -> Result<Option<i64>, String> {
    match value {
        Scalar::TimestampMillisecond(time, _) => Ok(*time),
        Scalar::TimestampMicrosecond(time, _) => Ok(time.map(|time| time.div_euclid(1_000))),
        other => Err(format!("{other:?} is not a timestamp")),
    }
}
