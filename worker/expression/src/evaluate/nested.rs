//! Fields of rows, elements of arrays and maps.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, SortField};
use eddyline_stream::cast::cast;
use eddyline_stream::sql_type;

use crate::{Result, Value, internal_err, plan_err};

/// The field of rows. The field of a NULL row is NULL, whatever is at its place.
pub(super) fn field(rows: &ArrayRef, index: usize) -> Result<ArrayRef> {
    let Some(column) = rows.as_struct_opt().and_then(|rows| rows.columns().get(index)) else {
        return internal_err!("{} has no field {index}", rows.data_type());
    };
    let Some(nulls) = rows.nulls() else { return Ok(Arc::clone(column)) };
    let is_said = column.nulls().is_some_and(|own| own.contains(nulls)) || *column.data_type() == DataType::Null;
    if nulls.null_count() == 0 || is_said {
        return Ok(Arc::clone(column));
    }
    let nulls = NullBuffer::union(column.nulls(), Some(nulls));
    Ok(make_array(column.to_data().into_builder().nulls(nulls).build()?))
}

/// The type of `of[at]`.
pub(crate) fn element_type(of: &DataType, at: &DataType) -> Result<DataType> {
    match of {
        DataType::List(element) if at.is_integer() || *at == DataType::Null => Ok(element.data_type().clone()),
        DataType::List(_) => plan_err!("an element of an ARRAY is taken by its position, not by {}", sql_type(at)),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => Ok(fields[1].data_type().clone()),
            other => internal_err!("map entries of type {other}"),
        },
        other => plan_err!("an element is taken of an ARRAY or a MAP, not of {}", sql_type(other)),
    }
}

/// The element of each array at a position from 1, or the value of each map under a key.
pub(super) fn element(of: &Value, at: &Value) -> Result<Value> {
    let rows = if of.is_constant() { at.array().len() } else { of.array().len() };
    let container = of.array();
    let range =
        |offsets: &[i32], row: usize| container.is_valid(row).then(|| offsets[row] as usize..offsets[row + 1] as usize);
    let result = match container.data_type() {
        DataType::List(_) => {
            let list = container.as_list::<i32>();
            let positions = cast(at.array(), &DataType::Int64)?;
            let positions = positions.as_primitive::<Int64Type>();
            picked(list.values(), rows, |row| {
                let range = range(list.value_offsets(), of.index(row))?;
                let at = at.index(row);
                let offset = positions.is_valid(at).then(|| positions.value(at))?.checked_sub(1)?;
                let offset = usize::try_from(offset).ok()?;
                (offset < range.len()).then(|| range.start + offset)
            })?
        }
        _ => {
            let map = container.as_map();
            // In an encoding in which equal keys have equal bytes.
            let converter = RowConverter::new(vec![SortField::new(map.keys().data_type().clone())])?;
            let keys = converter.convert_columns(&[Arc::clone(map.keys())])?;
            let sought = converter.convert_columns(&[cast(at.array(), map.keys().data_type())?])?;
            picked(map.values(), rows, |row| {
                let range = range(map.value_offsets(), of.index(row))?;
                range.rev().find(|entry| keys.row(*entry) == sought.row(at.index(row)))
            })?
        }
    };
    Ok(Value::made_of(&[of, at], result))
}

fn picked(values: &ArrayRef, rows: usize, pick: impl Fn(usize) -> Option<usize>) -> Result<ArrayRef> {
    let indices: UInt32Array = (0..rows).map(|row| u32::try_from(pick(row)?).ok()).collect();
    Ok(take(values, &indices, None)?)
}
