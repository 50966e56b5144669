//! Rows as lists of values, and expressions over one row.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use eddyline_expression::{Expr, Rows, Scalar};

/// One row.
pub type Row = Vec<Scalar>;

/// The rows of a batch.
pub fn rows_of(batch: &RecordBatch) -> Result<Vec<Row>, String> {
    let value = |column: &ArrayRef, row| Scalar::try_from_array(column, row).map_err(|error| error.to_string());
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(column, row)).collect()).collect()
}

/// The value of an expression for one row.
pub fn evaluate(expression: &Expr, row: &Row) -> Result<Scalar, String> {
    let columns: Vec<ArrayRef> = row.iter().map(Scalar::to_array).collect();
    let value = expression.evaluate(Rows { columns: &columns, len: 1 }).and_then(|value| value.into_array(1));
    let value = value.and_then(|value| Scalar::try_from_array(&value, 0));
    value.map_err(|error| format!("failed to evaluate {expression}: {error}"))
}

/// A value as another type.
pub fn cast(value: &Scalar, data_type: &DataType) -> Result<Scalar, String> {
    value.cast_to(data_type).map_err(|error| format!("failed to cast {value} to {data_type}: {error}"))
}

/// The milliseconds of a timestamp; `None` for NULL.
pub fn milliseconds(value: &Scalar) -> Result<Option<i64>, String> {
    match value {
        Scalar::TimestampMillisecond(time, _) => Ok(*time),
        Scalar::TimestampMicrosecond(time, _) => Ok(time.map(|time| time.div_euclid(1_000))),
        other => Err(format!("{other:?} is not a timestamp")),
    }
}
