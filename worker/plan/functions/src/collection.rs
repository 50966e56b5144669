//! Arrays, maps and rows.
//!
//! Conventions: `ARRAY[a, b]` arrives as `array(a, b)`, `MAP[k, v]` as `map(k, v)`, `(a, b)` as `row(a, b)`. `ELEMENT`
//! of more than one element is an error. The fields of a new ROW are `EXPR$0`, `EXPR$1`, …; `a[i]`, `m[k]` and
//! `row.field` are expressions, not functions.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, UInt32Array, UInt64Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field, Fields, Int32Type};
use arrow::row::{RowConverter, SortField};
use eddyline_expression::{Expr, Result, ScalarFunction, equality, internal_err, plan_err, value_err};
use eddyline_stream::cast::cast;
use eddyline_stream::sql_type;

use crate::arguments::Arguments;
use crate::function::{Returns, function};
use crate::parameters::Parameter;

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    use Parameter::{Any, Common};
    vec![
        function("array", &[&[Common]], Returns::From(array_type), array).repeats_last().build(),
        function("map", &[&[Any, Any]], Returns::From(map_type), map).repeats_last().build(),
        function("row", &[&[Any]], Returns::From(row_type), row).repeats_last().build(),
        function("cardinality", &[&[Any]], Returns::Type(DataType::Int32), cardinality).build(),
        function("element", &[&[Any]], Returns::From(element_type), element).build(),
        function("array_contains", &[&[Any, Any]], Returns::Type(DataType::Boolean), array_contains).build(),
        function("map_keys", &[&[Any]], Returns::From(|args| entries_type(args, 0)), |args| entries(args, 0)).build(),
        function("map_values", &[&[Any]], Returns::From(|args| entries_type(args, 1)), |args| entries(args, 1)).build(),
    ]
}

fn list_type(element: &DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element.clone(), true)))
}

fn argument_type(args: &[Expr], position: usize) -> Result<&DataType> {
    match args.get(position) {
        Some(argument) => Ok(argument.data_type()),
        None => internal_err!("argument {} is missing", position + 1),
    }
}

fn array_type(args: &[Expr]) -> Result<DataType> {
    Ok(list_type(argument_type(args, 0)?))
}

fn map_type(args: &[Expr]) -> Result<DataType> {
    if args.len() % 2 == 1 {
        return plan_err!("MAP takes pairs of a key and a value");
    }
    for pair in [0, 1] {
        let expected = argument_type(args, pair)?;
        if let Some(odd) = args.iter().skip(pair).step_by(2).find(|argument| argument.data_type() != expected) {
            return plan_err!("MAP mixes {} and {}; CAST them", sql_type(expected), sql_type(odd.data_type()));
        }
    }
    let key = Field::new("key", argument_type(args, 0)?.clone(), false);
    let value = Field::new("value", argument_type(args, 1)?.clone(), true);
    let entry = DataType::Struct(Fields::from(vec![key, value]));
    Ok(DataType::Map(Arc::new(Field::new("entries", entry, false)), false))
}

fn row_type(args: &[Expr]) -> Result<DataType> {
    let field = |(position, argument): (usize, &Expr)| {
        Field::new(format!("EXPR${position}"), argument.data_type().clone(), true)
    };
    Ok(DataType::Struct(args.iter().enumerate().map(field).collect()))
}

fn element_type(args: &[Expr]) -> Result<DataType> {
    match argument_type(args, 0)? {
        DataType::List(element) => Ok(element.data_type().clone()),
        other => plan_err!("ELEMENT takes an ARRAY, not {}", sql_type(other)),
    }
}

fn entry_type(map: &DataType, side: usize) -> Result<DataType> {
    match map {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => Ok(fields[side].data_type().clone()),
            other => internal_err!("map entries of type {other}"),
        },
        other => plan_err!("keys and values are taken of a MAP, not of {}", sql_type(other)),
    }
}

fn entries_type(args: &[Expr], side: usize) -> Result<DataType> {
    Ok(list_type(&entry_type(argument_type(args, 0)?, side)?))
}

/// The arguments at `positions`, interleaved by row.
fn woven(args: &Arguments, positions: impl Iterator<Item = usize>) -> Result<ArrayRef> {
    let columns = positions.map(|position| args.spread(position)).collect::<Result<Vec<_>>>()?;
    let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let indices: Vec<_> = (0..args.rows).flat_map(|row| (0..columns.len()).map(move |column| (column, row))).collect();
    Ok(interleave(&columns, &indices)?)
}

fn array(args: &Arguments) -> Result<ArrayRef> {
    let DataType::List(element) = &args.return_type else { return internal_err!("ARRAY gives a list") };
    let values = woven(args, 0..args.len())?;
    let offsets = OffsetBuffer::from_repeated_length(args.len(), args.rows);
    Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, None)?))
}

fn map(args: &Arguments) -> Result<ArrayRef> {
    let DataType::Map(entries, _) = &args.return_type else { return internal_err!("MAP gives a map") };
    let DataType::Struct(fields) = entries.data_type() else { return internal_err!("MAP gives entries") };
    let keys = woven(args, (0..args.len()).step_by(2))?;
    if keys.null_count() > 0 {
        return value_err!(
            "a key of MAP[key, value] is NULL: write COALESCE(key, …), or leave the row out with WHERE key IS NOT NULL"
        );
    }
    let values = woven(args, (1..args.len()).step_by(2))?;
    let offsets = OffsetBuffer::from_repeated_length(args.len() / 2, args.rows);
    let pairs = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    with_one_entry_a_key(&MapArray::try_new(Arc::clone(entries), offsets, pairs, None, false)?)
}

/// The map with one entry for each key. It has the last value, at the place of the first one.
pub(crate) fn with_one_entry_a_key(map: &MapArray) -> Result<ArrayRef> {
    let converter = RowConverter::new(vec![SortField::new(map.keys().data_type().clone())])?;
    let keys = converter.convert_columns(&[Arc::clone(map.keys())])?;
    let (mut kept, mut lengths) = (Vec::with_capacity(map.keys().len()), Vec::with_capacity(map.len()));
    for row in 0..map.len() {
        let (from, to) = (map.value_offsets()[row] as usize, map.value_offsets()[row + 1] as usize);
        let mut places = BTreeMap::new();
        let before = kept.len();
        for entry in from..to {
            match places.entry(keys.row(entry)) {
                Entry::Occupied(place) => kept[*place.get()] = entry as u64,
                Entry::Vacant(place) => {
                    place.insert(kept.len());
                    kept.push(entry as u64);
                }
            }
        }
        lengths.push(kept.len() - before);
    }
    if kept.len() == map.keys().len() {
        return Ok(Arc::new(map.clone()));
    }
    let DataType::Map(field, sorted) = map.data_type() else { return internal_err!("a map has the type of a map") };
    let entries = take(map.entries(), &UInt64Array::from(kept), None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let entries = entries.as_struct().clone();
    Ok(Arc::new(MapArray::try_new(Arc::clone(field), offsets, entries, map.nulls().cloned(), *sorted)?))
}

fn row(args: &Arguments) -> Result<ArrayRef> {
    let DataType::Struct(fields) = &args.return_type else { return internal_err!("ROW gives a row") };
    let columns = (0..args.len()).map(|position| args.spread(position)).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
}

/// The offsets and NULLs of an array or map.
fn extents(array: &ArrayRef) -> Result<(OffsetBuffer<i32>, Option<NullBuffer>)> {
    match array.data_type() {
        DataType::List(_) => Ok((array.as_list::<i32>().offsets().clone(), array.nulls().cloned())),
        DataType::Map(..) => Ok((array.as_map().offsets().clone(), array.nulls().cloned())),
        other => plan_err!("{} has no elements", sql_type(other)),
    }
}

/// The range of a row's elements. `None` if the row is NULL.
fn range(extents: &(OffsetBuffer<i32>, Option<NullBuffer>), row: usize) -> Option<std::ops::Range<usize>> {
    if extents.1.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
        return None;
    }
    Some(usize::try_from(extents.0[row]).ok()?..usize::try_from(extents.0[row + 1]).ok()?)
}

fn cardinality(args: &Arguments) -> Result<ArrayRef> {
    let extents = extents(&args.spread(0)?)?;
    args.write::<Int32Type>(|row| i32::try_from(range(&extents, row)?.len()).ok())
}

fn picked(values: &ArrayRef, rows: usize, mut pick: impl FnMut(usize) -> Option<usize>) -> Result<ArrayRef> {
    let indices: UInt32Array = (0..rows).map(|row| u32::try_from(pick(row)?).ok()).collect();
    Ok(take(values, &indices, None)?)
}

fn element(args: &Arguments) -> Result<ArrayRef> {
    let container = args.spread(0)?;
    let extents = extents(&container)?;
    if let Some(row) = (0..args.rows).find(|row| range(&extents, *row).is_some_and(|range| range.len() > 1)) {
        let count = range(&extents, row).map_or(0, |range| range.len());
        return value_err!("ELEMENT: the array has {count} elements, not one");
    }
    picked(container.as_list::<i32>().values(), args.rows, |row| range(&extents, row)?.next())
}

fn array_contains(args: &Arguments) -> Result<ArrayRef> {
    let container = args.spread(0)?;
    if !matches!(container.data_type(), DataType::List(_)) {
        return plan_err!("ARRAY_CONTAINS takes an ARRAY, not {}", sql_type(container.data_type()));
    }
    let extents = extents(&container)?;
    let elements = container.as_list::<i32>().values();
    let sought = cast(&args.spread(1)?, elements.data_type())?;
    let equal = equality(elements, &sought)?;
    args.write_boolean(|row| Some(range(&extents, row)?.any(|element| equal(element, row))))
}

fn entries(args: &Arguments, side: usize) -> Result<ArrayRef> {
    let DataType::List(element) = &args.return_type else { return internal_err!("keys and values are lists") };
    let map = args.spread(0)?;
    let map = map.as_map();
    let values = Arc::clone(map.entries().column(side));
    Ok(Arc::new(ListArray::try_new(Arc::clone(element), map.offsets().clone(), values, map.nulls().cloned())?))
}
