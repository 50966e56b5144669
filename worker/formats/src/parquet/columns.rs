//! Converts the types in a file to the types of a table.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, PrimitiveArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Time32MillisecondType, Time32SecondType, TimeUnit};
use arrow::error::ArrowError;
use eddyline_stream::cast::{cast, whole_numbers};

use crate::schema::map_fields;

/// The type in which the file reader decodes a column of type `file`. It is `table` if the reader can decode to that
/// directly: for INT96, and for strings that are not marked as such.
pub(crate) fn read_as(file: &DataType, is_int96: bool, table: &DataType) -> DataType {
    match (file, table) {
        (DataType::Timestamp(TimeUnit::Nanosecond, None), DataType::Timestamp(unit, _)) if is_int96 => {
            DataType::Timestamp(*unit, None)
        }
        (DataType::Binary, DataType::Utf8) => DataType::Utf8,
        _ => file.clone(),
    }
}

/// Whether values of a type in a file fit into a column of a table.
pub(crate) fn fits(file: &DataType, table: &DataType) -> bool {
    use DataType::*;
    if file.equals_datatype(table) {
        return true;
    }
    match (file, table) {
        (Int8 | UInt8, Int16 | Int32 | Int64) | (Int16 | UInt16, Int32 | Int64) | (Int32 | UInt32, Int64) => true,
        (Float32, Float64) => true,
        (Decimal128(precision, scale), Decimal128(wider, finer)) => {
            finer >= scale && i16::from(*wider) - i16::from(*finer) >= i16::from(*precision) - i16::from(*scale)
        }
        (LargeUtf8 | Utf8View | Binary, Utf8) => true,
        (LargeBinary | BinaryView | FixedSizeBinary(_), Binary) => true,
        (Timestamp(..), Timestamp(..)) => true,
        (Time32(_) | Time64(_), Time32(_)) => true,
        (List(file), List(table)) => fits(file.data_type(), table.data_type()),
        (Map(file, _), Map(table, _)) => match (map_fields(file), map_fields(table)) {
            (Some((file_key, file_value)), Some((table_key, table_value))) => {
                fits(file_key.data_type(), table_key.data_type())
                    && fits(file_value.data_type(), table_value.data_type())
            }
            _ => false,
        },
        (Struct(file), Struct(table)) => table.iter().all(|field| match file.find(field.name()) {
            Some((_, found)) => fits(found.data_type(), field.data_type()),
            None => false,
        }),
        _ => false,
    }
}

/// Converts a column of a file to the table's type. The file's type must be one that [`fits`].
pub(crate) fn convert(array: &ArrayRef, to: &Field) -> Result<ArrayRef, ArrowError> {
    let table = to.data_type();
    if array.data_type() == table {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), table) {
        (DataType::Time32(TimeUnit::Second), _) => {
            let ms = array
                .as_primitive::<Time32SecondType>()
                .unary::<_, Time32MillisecondType>(|value| value.saturating_mul(1_000));
            Ok(Arc::new(ms))
        }
        (DataType::Time64(from), _) => {
            let per_ms = if *from == TimeUnit::Nanosecond { 1_000_000 } else { 1_000 };
            let ticks = whole_numbers(array).ok_or_else(|| ArrowError::CastError(format!("{from:?} of a TIME")))?;
            let ms: PrimitiveArray<Time32MillisecondType> =
                ticks.unary(|value| i32::try_from(value / per_ms).unwrap_or(0));
            Ok(Arc::new(ms))
        }
        (DataType::List(_), DataType::List(element)) => {
            let (_, offsets, values, nulls) = array.as_list::<i32>().clone().into_parts();
            Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, convert(&values, element)?, nulls)?))
        }
        (DataType::Map(..), DataType::Map(entries, _)) => {
            let (_, offsets, values, nulls, ordered) = array.as_map().clone().into_parts();
            let DataType::Struct(fields) = entries.data_type() else { return cast(array, table) };
            let converted = convert_fields(values.columns(), fields)?;
            let values = StructArray::try_new(fields.clone(), converted, None)?;
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, values, nulls, ordered)?))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let rows = array.as_struct();
            let columns = fields
                .iter()
                .map(|field| match rows.column_by_name(field.name()) {
                    Some(column) => convert(column, field),
                    None => Err(ArrowError::SchemaError(format!("there is no field '{}'", field.name()))),
                })
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, rows.nulls().cloned())?))
        }
        _ => cast(array, table),
    }
}

fn convert_fields(columns: &[ArrayRef], fields: &Fields) -> Result<Vec<ArrayRef>, ArrowError> {
    columns.iter().zip(fields).map(|(column, field)| convert(column, field)).collect()
}
