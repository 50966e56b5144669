//! The arguments of one call, and the writing of its result.
//!
//! A constant argument stays one value. It is never repeated for the rows of the batch. A call whose arguments are all
//! constant is computed once.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayAccessor, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BinaryBuilder, BooleanArray,
    PrimitiveArray, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use eddyline_expression::{Expr, Invocation, Result, Value, internal_err};

/// The arguments of one call for one batch.
pub(crate) struct Arguments<'a> {
    pub(crate) columns: Vec<Value>,
    /// The argument expressions. Empty if the function is called without an expression.
    pub(crate) expressions: &'a [Expr],
    /// The number of values of the result.
    pub(crate) rows: usize,
    /// The declared type of the result.
    pub(crate) return_type: DataType,
}

/// One argument read by row.
pub(crate) struct Column<'a, A> {
    array: &'a A,
    constant: bool,
}

impl<'a, A> Column<'a, A>
where
    &'a A: ArrayAccessor,
{
    /// The value in a row. `None` if it is NULL.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<<&'a A as ArrayAccessor>::Item> {
        let index = if self.constant { 0 } else { row };
        if self.array.is_null(index) { None } else { Some(self.array.value(index)) }
    }
}

impl<'a> Arguments<'a> {
    /// Splits a call into its parts.
    pub(crate) fn new(invocation: Invocation<'a>) -> Self {
        Self {
            columns: invocation.values,
            expressions: invocation.arguments,
            rows: invocation.rows,
            return_type: invocation.return_type.clone(),
        }
    }

    /// The number of arguments of the call.
    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    /// The type of an argument.
    pub(crate) fn data_type(&self, position: usize) -> &DataType {
        self.columns[position].array().data_type()
    }

    fn column<A: Array + 'static>(&self, position: usize) -> Result<Column<'_, A>> {
        let Some(argument) = self.columns.get(position) else {
            return internal_err!("argument {} is missing", position + 1);
        };
        match argument.array().as_any().downcast_ref::<A>() {
            Some(array) => Ok(Column { array, constant: argument.is_constant() }),
            None => internal_err!("argument {} arrived as {}", position + 1, argument.array().data_type()),
        }
    }

    /// An argument with a value for each row.
    pub(crate) fn spread(&self, position: usize) -> Result<ArrayRef> {
        self.columns[position].clone().into_array(self.rows)
    }

    /// A STRING argument.
    pub(crate) fn text(&self, position: usize) -> Result<Column<'_, StringArray>> {
        self.column(position)
    }

    /// A BYTES argument.
    pub(crate) fn bytes(&self, position: usize) -> Result<Column<'_, BinaryArray>> {
        self.column(position)
    }

    /// A BOOLEAN argument.
    pub(crate) fn boolean(&self, position: usize) -> Result<Column<'_, BooleanArray>> {
        self.column(position)
    }

    /// An argument of a primitive type.
    pub(crate) fn primitive<T: ArrowPrimitiveType>(&self, position: usize) -> Result<Column<'_, PrimitiveArray<T>>> {
        self.column(position)
    }

    /// An INT argument.
    pub(crate) fn int(&self, position: usize) -> Result<Column<'_, PrimitiveArray<Int32Type>>> {
        self.column(position)
    }

    /// A BIGINT argument.
    pub(crate) fn long(&self, position: usize) -> Result<Column<'_, PrimitiveArray<Int64Type>>> {
        self.column(position)
    }

    /// A DOUBLE argument.
    pub(crate) fn double(&self, position: usize) -> Result<Column<'_, PrimitiveArray<Float64Type>>> {
        self.column(position)
    }

    /// The value of a STRING argument that is constant and not NULL.
    pub(crate) fn constant_text(&self, position: usize) -> Option<&str> {
        let argument = self.columns.get(position)?;
        let array = argument.array().as_string_opt::<i32>()?;
        (argument.is_constant() && array.is_valid(0)).then(|| array.value(0))
    }

    /// A STRING result: `write` appends the value of a row to the buffer, or returns `None` for NULL.
    pub(crate) fn write_text(&self, mut write: impl FnMut(usize, &mut String) -> Option<()>) -> Result<ArrayRef> {
        self.try_write_text(|row, out| Ok(write(row, out)))
    }

    /// [`Self::write_text`] for functions that can fail.
    pub(crate) fn try_write_text(
        &self,
        mut write: impl FnMut(usize, &mut String) -> Result<Option<()>>,
    ) -> Result<ArrayRef> {
        let mut builder = StringBuilder::with_capacity(self.rows, self.rows * 16);
        let mut value = String::new();
        for row in 0..self.rows {
            value.clear();
            match write(row, &mut value)? {
                Some(()) => builder.append_value(&value),
                None => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    /// A BYTES result.
    pub(crate) fn try_write_bytes(
        &self,
        mut write: impl FnMut(usize, &mut Vec<u8>) -> Result<Option<()>>,
    ) -> Result<ArrayRef> {
        let mut builder = BinaryBuilder::new();
        let mut value = Vec::new();
        for row in 0..self.rows {
            value.clear();
            match write(row, &mut value)? {
                Some(()) => builder.append_value(&value),
                None => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    /// A BOOLEAN result.
    pub(crate) fn write_boolean(&self, mut compute: impl FnMut(usize) -> Option<bool>) -> Result<ArrayRef> {
        Ok(Arc::new((0..self.rows).map(&mut compute).collect::<BooleanArray>()))
    }

    /// A result of a primitive type, of the declared type's zone and scale.
    pub(crate) fn write<T: ArrowPrimitiveType>(
        &self,
        mut compute: impl FnMut(usize) -> Option<T::Native>,
    ) -> Result<ArrayRef> {
        self.try_write::<T>(|row| Ok(compute(row)))
    }

    /// [`Self::write`] for functions that can fail.
    pub(crate) fn try_write<T: ArrowPrimitiveType>(
        &self,
        mut compute: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ArrayRef> {
        let mut builder = PrimitiveArray::<T>::builder(self.rows);
        for row in 0..self.rows {
            builder.append_option(compute(row)?);
        }
        Ok(Arc::new(builder.finish().with_data_type(self.return_type.clone())))
    }
}
