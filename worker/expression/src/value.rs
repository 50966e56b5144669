//! The values of an expression, and the rows it is evaluated for.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Datum, RecordBatch};
use arrow::compute::take;

use crate::Result;

/// The rows of a batch: its columns, and how many rows there are.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The columns, each with a value for each row.
    pub columns: &'a [ArrayRef],
    /// The number of rows. There may be no column that has it.
    pub len: usize,
}

impl<'a> From<&'a RecordBatch> for Rows<'a> {
    fn from(batch: &'a RecordBatch) -> Self {
        Self { columns: batch.columns(), len: batch.num_rows() }
    }
}

/// The result of an expression for the rows of a batch.
#[derive(Clone, Debug)]
pub enum Value {
    /// A value for each row.
    Array(ArrayRef),
    /// One value for all rows: an array of length 1.
    Constant(ArrayRef),
}

impl Value {
    /// The array, with a value for each row or with only the constant.
    pub fn array(&self) -> &ArrayRef {
        match self {
            Self::Array(array) | Self::Constant(array) => array,
        }
    }

    /// Whether it is one value for all rows.
    pub fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    /// The index of the value of a row in [`Self::array`].
    pub fn index(&self, row: usize) -> usize {
        if self.is_constant() { 0 } else { row }
    }

    /// An array with a value for each of `rows` rows.
    ///
    /// # Errors
    /// When a constant has a type whose values cannot be repeated.
    pub fn into_array(self, rows: usize) -> Result<ArrayRef> {
        match self {
            Self::Array(array) => Ok(array),
            Self::Constant(array) if rows == 1 => Ok(array),
            Self::Constant(array) => {
                let first = arrow::array::UInt32Array::from_value(0, rows);
                Ok(take(array.as_ref(), &first, None)?)
            }
        }
    }

    /// The result of a kernel over `operands`: a constant if all operands are.
    pub(crate) fn made_of(operands: &[&Self], array: ArrayRef) -> Self {
        if operands.iter().all(|operand| operand.is_constant()) { Self::Constant(array) } else { Self::Array(array) }
    }

    /// The BOOLEAN result of a kernel over `operands`.
    pub(crate) fn condition(operands: &[&Self], array: arrow::array::BooleanArray) -> Self {
        Self::made_of(operands, Arc::new(array))
    }
}

impl Datum for Value {
    fn get(&self) -> (&dyn Array, bool) {
        (self.array().as_ref(), self.is_constant())
    }
}
