//! Casts between ARRAYs, between MAPs and between ROWs: element by element, fields by position and not by name.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, make_array, new_null_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef, Fields};
use eddyline_expression::{Invocation, Result, ScalarFunction, Value, internal_err};
use eddyline_stream::cast::{can_cast, cast, cast_or_null};

use super::flink_cast;
use crate::collection::with_one_entry_a_key;
use crate::context::FunctionContext;
use crate::parameters::plain;

/// How to convert the values of an array to another type.
pub(crate) enum Caster {
    /// They stay unchanged.
    Same,
    /// All of them are NULL.
    Null(DataType),
    /// A function of this crate casts them to a type.
    Function(Arc<dyn ScalarFunction>, DataType),
    /// A plain conversion to a type. With `true` a value that does not fit becomes NULL.
    Plain(DataType, bool),
    /// The elements of an ARRAY.
    Elements(Box<Caster>, FieldRef),
    /// The keys and values of a MAP.
    Entries(Box<Caster>, Box<Caster>, FieldRef, Fields),
    /// The fields of a ROW.
    Fields(Vec<Caster>, Fields),
}

impl Caster {
    /// How to convert between two types. `None` if there is no such cast.
    pub(crate) fn of(from: &DataType, to: &DataType, try_: bool, context: &FunctionContext) -> Option<Self> {
        let inner = |from: &DataType, to: &DataType| Self::of(from, to, try_, context);
        match (from, to) {
            (from, to) if from == to => Some(Self::Same),
            (DataType::Null, to) => Some(Self::Null(to.clone())),
            (DataType::List(from), DataType::List(to)) => {
                Some(Self::Elements(Box::new(inner(from.data_type(), to.data_type())?), Arc::clone(to)))
            }
            (DataType::Map(from, _), DataType::Map(to, _)) => match (from.data_type(), to.data_type()) {
                (DataType::Struct(from), DataType::Struct(fields)) if from.len() == 2 && fields.len() == 2 => {
                    let key = inner(from[0].data_type(), fields[0].data_type())?;
                    let value = inner(from[1].data_type(), fields[1].data_type())?;
                    Some(Self::Entries(Box::new(key), Box::new(value), Arc::clone(to), fields.clone()))
                }
                _ => None,
            },
            (DataType::Struct(from), DataType::Struct(to)) if from.len() == to.len() => {
                let casters = from.iter().zip(to).map(|(from, to)| inner(from.data_type(), to.data_type()));
                Some(Self::Fields(casters.collect::<Option<_>>()?, to.clone()))
            }
            (from, to) => match flink_cast(from, to, try_, context) {
                Some(function) => Some(Self::Function(function, to.clone())),
                None if !from.is_nested() && !to.is_nested() && can_cast(&plain(from), to) => {
                    Some(Self::Plain(to.clone(), try_))
                }
                None => None,
            },
        }
    }

    /// The array with its values cast.
    pub(crate) fn cast(&self, array: &ArrayRef) -> Result<ArrayRef> {
        Ok(match self {
            Self::Same => Arc::clone(array),
            Self::Null(to) => new_null_array(to, array.len()),
            Self::Function(function, to) => function.invoke(Invocation {
                values: vec![Value::Array(Arc::clone(array))],
                rows: array.len(),
                return_type: to,
                arguments: &[],
            })?,
            Self::Plain(to, true) => cast_or_null(array, to)?,
            Self::Plain(to, false) => cast(array, to)?,
            Self::Elements(element, field) => {
                let list = array.as_list::<i32>();
                let values = element.cast(list.values())?;
                let nulls = list.nulls().cloned();
                Arc::new(ListArray::try_new(Arc::clone(field), list.offsets().clone(), values, nulls)?)
            }
            Self::Entries(key, value, field, fields) => {
                let map = array.as_map();
                let columns = vec![key.cast(map.keys())?, value.cast(map.values())?];
                let entries = StructArray::try_new(fields.clone(), columns, None)?;
                let nulls = map.nulls().cloned();
                let map = MapArray::try_new(Arc::clone(field), map.offsets().clone(), entries, nulls, false)?;
                // Different keys may have become equal.
                with_one_entry_a_key(&map)?
            }
            Self::Fields(casters, fields) => {
                let row = array.as_struct();
                if casters.len() != row.columns().len() {
                    return internal_err!("a ROW of {} fields arrived as {}", casters.len(), row.data_type());
                }
                let columns = casters.iter().zip(row.columns());
                let columns = columns.map(|(caster, column)| caster.cast(&masked(column, row.nulls())?));
                let columns = columns.collect::<Result<Vec<_>>>()?;
                Arc::new(StructArray::try_new(fields.clone(), columns, row.nulls().cloned())?)
            }
        })
    }
}

/// A field of a row, with NULL where the row is NULL. The values there are undefined and must not be cast.
fn masked(column: &ArrayRef, of_rows: Option<&NullBuffer>) -> Result<ArrayRef> {
    if of_rows.is_none() || *column.data_type() == DataType::Null {
        return Ok(Arc::clone(column));
    }
    let nulls = NullBuffer::union(column.nulls(), of_rows);
    Ok(make_array(column.to_data().into_builder().nulls(nulls).build()?))
}
