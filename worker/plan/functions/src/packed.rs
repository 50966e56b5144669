//! ARRAY, MAP and ROW as BYTES, for places that hold only flat values: the state of aggregates.
//!
//! Equal values have equal bytes. The bytes are part of checkpoints, so they never change. A value begins with a byte:
//! 0 for NULL, otherwise 1. Then a BOOLEAN has one byte; numbers and times have their bytes, the lowest first; STRING
//! and BYTES have their length in four bytes and their bytes; an ARRAY has its length in four bytes and its elements; a
//! MAP has its length in four bytes and its keys, each with its value, ordered by the bytes of the keys; a ROW has its
//! fields.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryArray, BooleanArray, ListArray, MapArray, StringArray, StructArray,
    make_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use eddyline_expression::{Result, ScalarFunction, internal_err, value_err};

use crate::function::{Returns, function};

/// The function that packs values of a nested type into BYTES.
pub fn pack(data_type: &DataType) -> Arc<dyn ScalarFunction> {
    let pack = function("pack", &[], Returns::Type(DataType::Binary), |args| {
        let array = args.spread(0)?;
        args.try_write_bytes(|row, out| {
            if array.is_null(row) {
                return Ok(None);
            }
            push(&array, row, out)?;
            Ok(Some(()))
        })
    });
    pack.exactly(vec![data_type.clone()], data_type.to_string()).build()
}

/// The function that unpacks values of a nested type from the bytes of [`pack`].
pub fn unpack(data_type: &DataType) -> Arc<dyn ScalarFunction> {
    let unpack = function("unpack", &[], Returns::Type(data_type.clone()), |args| {
        let packed = args.spread(0)?;
        let packed = packed.as_binary::<i32>();
        let values: Vec<&[u8]> = (0..packed.len())
            .map(|row| if packed.is_null(row) { NULL.as_slice() } else { packed.value(row) })
            .collect();
        read(&values, &args.return_type)
    });
    unpack.exactly(vec![DataType::Binary], data_type.to_string()).build()
}

const NULL: [u8; 1] = [0];

/// The bytes of a value of a type with a fixed width.
fn width(data_type: &DataType) -> Option<usize> {
    data_type.primitive_width()
}

fn push_length(length: usize, out: &mut Vec<u8>) -> Result<()> {
    match u32::try_from(length) {
        Ok(length) => out.extend(length.to_le_bytes()),
        Err(_) => return value_err!("a value of {length} parts is too long"),
    }
    Ok(())
}

fn push(array: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<()> {
    if array.is_null(row) {
        out.push(0);
        return Ok(());
    }
    out.push(1);
    match array.data_type() {
        DataType::Boolean => out.push(u8::from(array.as_boolean().value(row))),
        DataType::Utf8 => {
            let text = array.as_string::<i32>().value(row);
            push_length(text.len(), out)?;
            out.extend(text.as_bytes());
        }
        DataType::Binary => {
            let bytes = array.as_binary::<i32>().value(row);
            push_length(bytes.len(), out)?;
            out.extend(bytes);
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (from, to) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
            push_length(to - from, out)?;
            for element in from..to {
                push(list.values(), element, out)?;
            }
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (from, to) = (map.value_offsets()[row] as usize, map.value_offsets()[row + 1] as usize);
            push_length(to - from, out)?;
            let mut entries = Vec::with_capacity(to - from);
            for entry in from..to {
                let (mut key, mut value) = (Vec::new(), Vec::new());
                push(map.keys(), entry, &mut key)?;
                push(map.values(), entry, &mut value)?;
                entries.push((key, value));
            }
            entries.sort_unstable();
            for (key, value) in entries {
                out.extend(key);
                out.extend(value);
            }
        }
        DataType::Struct(_) => {
            for column in array.as_struct().columns() {
                push(column, row, out)?;
            }
        }
        other => {
            let Some(width) = width(other) else { return internal_err!("{other} cannot be packed") };
            let data = array.to_data();
            let start = (data.offset() + row) * width;
            out.extend(&data.buffers()[0].as_slice()[start..start + width]);
        }
    }
    Ok(())
}

/// Removes and returns the first `count` bytes.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    match bytes.split_at_checked(count) {
        Some((taken, rest)) => {
            *bytes = rest;
            Ok(taken)
        }
        None => value_err!("a packed value ends too early"),
    }
}

fn take_length(bytes: &mut &[u8]) -> Result<usize> {
    let mut length = [0; 4];
    length.copy_from_slice(take(bytes, 4)?);
    Ok(u32::from_le_bytes(length) as usize)
}

/// Removes and returns the bytes of the first value.
fn take_value<'a>(bytes: &mut &'a [u8], data_type: &DataType) -> Result<&'a [u8]> {
    let whole = *bytes;
    if take(bytes, 1)? == [1] {
        match data_type {
            DataType::Boolean => {
                take(bytes, 1)?;
            }
            DataType::Utf8 | DataType::Binary => {
                let length = take_length(bytes)?;
                take(bytes, length)?;
            }
            DataType::List(element) => {
                for _ in 0..take_length(bytes)? {
                    take_value(bytes, element.data_type())?;
                }
            }
            DataType::Map(entry, _) => {
                for _ in 0..take_length(bytes)? {
                    take_fields(bytes, entry.data_type())?;
                }
            }
            DataType::Struct(_) => {
                take_fields(bytes, data_type)?;
            }
            other => {
                let Some(width) = width(other) else { return internal_err!("{other} cannot be unpacked") };
                take(bytes, width)?;
            }
        }
    }
    Ok(&whole[..whole.len() - bytes.len()])
}

/// Removes and returns the bytes of each field of a ROW, or of the key and the value of a MAP entry.
fn take_fields<'a>(bytes: &mut &'a [u8], row: &DataType) -> Result<Vec<&'a [u8]>> {
    let DataType::Struct(fields) = row else { return internal_err!("{row} has no fields") };
    fields.iter().map(|field| take_value(bytes, field.data_type())).collect()
}

/// The values of these bytes.
fn read(values: &[&[u8]], data_type: &DataType) -> Result<ArrayRef> {
    let nulls = NullBuffer::from_iter(values.iter().map(|value| value.first() == Some(&1)));
    let bodies: Vec<Option<&[u8]>> =
        values.iter().map(|value| value.split_first().and_then(|(tag, body)| (*tag == 1).then_some(body))).collect();
    Ok(match data_type {
        DataType::Boolean => Arc::new(bodies.iter().map(|body| body.map(|body| body == [1])).collect::<BooleanArray>()),
        DataType::Utf8 => {
            let text = |body: &[u8]| String::from_utf8_lossy(body.get(4..).unwrap_or_default()).into_owned();
            Arc::new(bodies.iter().map(|body| body.map(text)).collect::<StringArray>())
        }
        DataType::Binary => {
            let bytes = |body: &Option<&'_ [u8]>| body.map(|body| body.get(4..).unwrap_or_default().to_vec());
            Arc::new(bodies.iter().map(bytes).collect::<BinaryArray>())
        }
        DataType::List(element) => {
            let (mut elements, mut lengths) = (Vec::new(), Vec::with_capacity(values.len()));
            for mut body in bodies.into_iter().map(Option::unwrap_or_default) {
                let length = if body.is_empty() { 0 } else { take_length(&mut body)? };
                for _ in 0..length {
                    elements.push(take_value(&mut body, element.data_type())?);
                }
                lengths.push(length);
            }
            let offsets = OffsetBuffer::from_lengths(lengths);
            let elements = read(&elements, element.data_type())?;
            Arc::new(ListArray::try_new(Arc::clone(element), offsets, elements, Some(nulls))?)
        }
        DataType::Map(entry, sorted) => {
            let (mut entries, mut lengths) = (Vec::new(), Vec::with_capacity(values.len()));
            for mut body in bodies.into_iter().map(Option::unwrap_or_default) {
                let length = if body.is_empty() { 0 } else { take_length(&mut body)? };
                for _ in 0..length {
                    entries.push(take_fields(&mut body, entry.data_type())?);
                }
                lengths.push(length);
            }
            let entries = columns(&entries, entry.data_type(), None)?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            Arc::new(MapArray::try_new(Arc::clone(entry), offsets, entries, Some(nulls), *sorted)?)
        }
        DataType::Struct(fields) => {
            let rows = bodies.into_iter().map(|body| match body {
                Some(mut body) => take_fields(&mut body, data_type),
                None => Ok(vec![NULL.as_slice(); fields.len()]),
            });
            Arc::new(columns(&rows.collect::<Result<Vec<_>>>()?, data_type, Some(nulls))?)
        }
        other => {
            let Some(width) = width(other) else { return internal_err!("{other} cannot be unpacked") };
            let mut bytes = Vec::with_capacity(width * values.len());
            for body in bodies {
                match body {
                    Some(body) if body.len() == width => bytes.extend(body),
                    Some(_) => return value_err!("a packed value ends too early"),
                    None => bytes.resize(bytes.len() + width, 0),
                }
            }
            let data = ArrayData::builder(other.clone()).len(values.len()).add_buffer(Buffer::from(bytes.as_slice()));
            make_array(data.nulls(Some(nulls)).build()?)
        }
    })
}

/// Rows of their fields.
fn columns(rows: &[Vec<&[u8]>], row: &DataType, nulls: Option<NullBuffer>) -> Result<StructArray> {
    let DataType::Struct(fields) = row else { return internal_err!("{row} has no fields") };
    let column = |position: usize| -> Result<ArrayRef> {
        let values: Vec<&[u8]> = rows.iter().map(|fields| fields[position]).collect();
        read(&values, fields[position].data_type())
    };
    let columns = (0..fields.len()).map(column).collect::<Result<Vec<_>>>()?;
    Ok(StructArray::try_new_with_length(fields.clone(), columns, nulls, rows.len())?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
    use arrow::datatypes::{Field, Fields};

    use super::*;

    fn packed(array: &ArrayRef) -> Vec<Vec<u8>> {
        let one = |row| {
            let mut out = Vec::new();
            push(array, row, &mut out).expect("it can be packed");
            out
        };
        (0..array.len()).map(one).collect()
    }

    fn assert_comes_back(array: &ArrayRef) {
        let packed = packed(array);
        let values: Vec<&[u8]> = packed.iter().map(Vec::as_slice).collect();
        let back = read(&values, array.data_type()).expect("it can be unpacked");
        assert_eq!(back.to_data(), array.to_data());
    }

    fn list(rows: &[Option<&[Option<i32>]>]) -> ArrayRef {
        let mut builder = ListBuilder::new(Int32Builder::new());
        for row in rows {
            builder.append_option(row.map(|row| row.to_vec()));
        }
        Arc::new(builder.finish())
    }

    #[test]
    fn the_bytes_of_a_value_never_change() {
        let values = list(&[Some(&[Some(1), None]), None]);
        assert_eq!(packed(&values), [vec![1, 2, 0, 0, 0, 1, 1, 0, 0, 0, 0], vec![0]]);
    }

    #[test]
    fn what_is_packed_comes_back() {
        let lists = list(&[Some(&[Some(1), None]), None, Some(&[]), Some(&[Some(-7)])]);
        assert_comes_back(&lists);
        assert_comes_back(&lists.slice(1, 3));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some(""), Some("äö")]));
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]));
        let decimals: ArrayRef = Arc::new(
            arrow::array::Decimal128Array::from(vec![Some(5), None, Some(-1), Some(0)])
                .with_precision_and_scale(20, 2)
                .expect("a precision"),
        );
        let columns = vec![lists, texts, flags, decimals];
        let fields: Fields = columns.iter().map(|column| Field::new("f", column.data_type().clone(), true)).collect();
        let nulls = NullBuffer::from(vec![true, false, true, true]);
        let rows: ArrayRef = Arc::new(StructArray::try_new(fields, columns, Some(nulls)).expect("rows"));
        assert_comes_back(&rows);
    }

    #[test]
    fn maps_are_equal_whatever_the_order_of_their_keys() {
        let map = |entries: &[(&str, i32)]| -> ArrayRef {
            let mut builder = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
            for (key, value) in entries {
                builder.keys().append_value(key);
                builder.values().append_value(*value);
            }
            builder.append(true).expect("an entry");
            Arc::new(builder.finish())
        };
        assert_eq!(packed(&map(&[("b", 2), ("a", 1)])), packed(&map(&[("a", 1), ("b", 2)])));
        assert_comes_back(&map(&[("a", 1), ("b", 2)]));
    }
}
