//! Rows as lists of values, and expressions over one row.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_physical_expr::PhysicalExpr;

/// One row.
pub type Row = Vec<ScalarValue>;

/// The rows of a batch.
pub fn rows_of(batch: &RecordBatch) -> Result<Vec<Row>, String> {
    let value = |column: &Arc<dyn arrow::array::Array>, row| {
        ScalarValue::try_from_array(column, row).map_err(|error| error.to_string())
    };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(column, row)).collect()).collect()
}

/// The value of an expression for one row.
pub fn evaluate(expression: &Arc<dyn PhysicalExpr>, row: &Row, schema: &SchemaRef) -> Result<ScalarValue, String> {
    let evaluated = (|| {
        let columns = row.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
        let array = expression.evaluate(&batch)?.into_array(1)?;
        ScalarValue::try_from_array(&array, 0)
    })();
    evaluated.map_err(|error| format!("failed to evaluate {expression}: {error}"))
}

/// A value as another type.
pub fn cast(value: &ScalarValue, data_type: &DataType) -> Result<ScalarValue, String> {
    if value.data_type() == *data_type {
        return Ok(value.clone());
    }
    let cast = (|| {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        ScalarValue::try_from_array(&cast_with_options(&value.to_array()?, data_type, &strict)?, 0)
    })();
    cast.map_err(|error| format!("failed to cast {value} to {data_type}: {error}"))
}

/// The milliseconds of a timestamp; `None` for NULL.
pub fn milliseconds(value: &ScalarValue) -> Result<Option<i64>, String> {
    match value {
        ScalarValue::TimestampMillisecond(time, _) => Ok(*time),
        ScalarValue::TimestampMicrosecond(time, _) => Ok(time.map(|time| time.div_euclid(1_000))),
        other => Err(format!("{other:?} is not a timestamp")),
    }
}
