//! The columns of a state table, as they are in manifests and run files.
//!
//! This is not Arrow's own form, because every later release must read it, whatever Arrow does. Numbers of types are
//! never reused. Field metadata is not kept: state does not use it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, Schema, SchemaRef, TimeUnit};

/// The columns of a table.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SchemaProto {
    #[prost(message, repeated, tag = "1")]
    pub columns: Vec<FieldProto>,
}

/// A column, or a part of a nested one.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FieldProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(bool, tag = "2")]
    pub nullable: bool,
    #[prost(uint32, tag = "3")]
    pub kind: u32,
    /// The unit of a time: 0 s, 1 ms, 2 us, 3 ns.
    #[prost(uint32, tag = "4")]
    pub unit: u32,
    /// The time zone of a timestamp. Empty if it has none.
    #[prost(string, tag = "5")]
    pub time_zone: String,
    /// Of decimals.
    #[prost(uint32, tag = "6")]
    pub precision: u32,
    /// Of decimals.
    #[prost(sint32, tag = "7")]
    pub scale: i32,
    /// The size of a fixed-size binary, in bytes.
    #[prost(uint32, tag = "8")]
    pub width: u32,
    /// The element of a list, the entries of a map, or the fields of a row.
    #[prost(message, repeated, tag = "9")]
    pub children: Vec<FieldProto>,
}

/// The plain types by number.
const PLAIN: &[(u32, DataType)] = &[
    (1, DataType::Boolean),
    (2, DataType::Int8),
    (3, DataType::Int16),
    (4, DataType::Int32),
    (5, DataType::Int64),
    (6, DataType::UInt8),
    (7, DataType::UInt16),
    (8, DataType::UInt32),
    (9, DataType::UInt64),
    (10, DataType::Float32),
    (11, DataType::Float64),
    (12, DataType::Utf8),
    (13, DataType::LargeUtf8),
    (14, DataType::Binary),
    (15, DataType::LargeBinary),
    (16, DataType::Date32),
    (17, DataType::Interval(IntervalUnit::YearMonth)),
    (18, DataType::Interval(IntervalUnit::MonthDayNano)),
    (19, DataType::Null),
];
const DECIMAL128: u32 = 32;
const TIME32: u32 = 33;
const TIME64: u32 = 34;
const TIMESTAMP: u32 = 35;
const DURATION: u32 = 36;
const FIXED_SIZE_BINARY: u32 = 37;
const DECIMAL256: u32 = 38;
const LIST: u32 = 48;
const MAP: u32 = 49;
const STRUCT: u32 = 50;

fn unit_number(unit: TimeUnit) -> u32 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

fn unit_of(number: u32) -> Result<TimeUnit, String> {
    match number {
        0 => Ok(TimeUnit::Second),
        1 => Ok(TimeUnit::Millisecond),
        2 => Ok(TimeUnit::Microsecond),
        3 => Ok(TimeUnit::Nanosecond),
        other => Err(format!("time unit {other} is not known")),
    }
}

fn encode_field(field: &Field) -> Result<FieldProto, String> {
    let mut proto = FieldProto { name: field.name().clone(), nullable: field.is_nullable(), ..FieldProto::default() };
    let data_type = field.data_type();
    proto.kind = match data_type {
        DataType::Decimal128(precision, scale) => {
            (proto.precision, proto.scale) = (u32::from(*precision), i32::from(*scale));
            DECIMAL128
        }
        DataType::Decimal256(precision, scale) => {
            (proto.precision, proto.scale) = (u32::from(*precision), i32::from(*scale));
            DECIMAL256
        }
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Duration(unit) | DataType::Timestamp(unit, _) => {
            proto.unit = unit_number(*unit);
            match data_type {
                DataType::Time32(_) => TIME32,
                DataType::Time64(_) => TIME64,
                DataType::Timestamp(_, zone) => {
                    proto.time_zone = zone.as_deref().unwrap_or_default().to_owned();
                    TIMESTAMP
                }
                _ => DURATION,
            }
        }
        DataType::FixedSizeBinary(width) => {
            proto.width = u32::try_from(*width).map_err(|_| "a negative width".to_owned())?;
            FIXED_SIZE_BINARY
        }
        DataType::List(element) => {
            proto.children = vec![encode_field(element)?];
            LIST
        }
        DataType::Map(entries, false) => {
            proto.children = vec![encode_field(entries)?];
            MAP
        }
        DataType::Struct(fields) => {
            proto.children = fields.iter().map(|field| encode_field(field)).collect::<Result<_, _>>()?;
            STRUCT
        }
        plain => PLAIN
            .iter()
            .find(|(_, known)| known == plain)
            .map(|(number, _)| *number)
            .ok_or_else(|| format!("column {} has type {plain}, which cannot be kept as state", field.name()))?,
    };
    Ok(proto)
}

fn only_child(proto: &FieldProto) -> Result<FieldRef, String> {
    match proto.children.as_slice() {
        [child] => decode_field(child),
        _ => Err(format!("column {} must have one element type", proto.name)),
    }
}

/// Precision and scale of a decimal with at most `precision_max` digits.
fn decimal(proto: &FieldProto, precision_max: u8) -> Result<(u8, i8), String> {
    let precision = u8::try_from(proto.precision).ok().filter(|precision| (1..=precision_max).contains(precision));
    let precision = precision.ok_or_else(|| format!("decimal precision {}", proto.precision))?;
    let scale = i8::try_from(proto.scale).ok().filter(|scale| i16::from(*scale) <= i16::from(precision));
    Ok((precision, scale.ok_or_else(|| format!("decimal scale {}", proto.scale))?))
}

fn decode_field(proto: &FieldProto) -> Result<FieldRef, String> {
    let data_type = match proto.kind {
        DECIMAL128 => {
            let (precision, scale) = decimal(proto, 38)?;
            DataType::Decimal128(precision, scale)
        }
        DECIMAL256 => {
            let (precision, scale) = decimal(proto, 76)?;
            DataType::Decimal256(precision, scale)
        }
        TIME32 => match unit_of(proto.unit)? {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
            _ => return Err(format!("time unit {} in a 32-bit time", proto.unit)),
        },
        TIME64 => match unit_of(proto.unit)? {
            unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond) => DataType::Time64(unit),
            _ => return Err(format!("time unit {} in a 64-bit time", proto.unit)),
        },
        TIMESTAMP => {
            let zone = (!proto.time_zone.is_empty()).then(|| Arc::from(proto.time_zone.as_str()));
            DataType::Timestamp(unit_of(proto.unit)?, zone)
        }
        DURATION => DataType::Duration(unit_of(proto.unit)?),
        FIXED_SIZE_BINARY => {
            let width = i32::try_from(proto.width).map_err(|_| format!("width {}", proto.width))?;
            DataType::FixedSizeBinary(width)
        }
        LIST => DataType::List(only_child(proto)?),
        MAP => {
            let entries = only_child(proto)?;
            match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => DataType::Map(entries, false),
                _ => return Err(format!("column {}: the entries of a map must be pairs", proto.name)),
            }
        }
        STRUCT => DataType::Struct(proto.children.iter().map(decode_field).collect::<Result<Fields, _>>()?),
        plain => PLAIN
            .iter()
            .find(|(number, _)| *number == plain)
            .map(|(_, known)| known.clone())
            .ok_or_else(|| format!("column {} has type number {plain}, which is not known", proto.name))?,
    };
    Ok(Arc::new(Field::new(&proto.name, data_type, proto.nullable)))
}

/// The stored form of a table's columns, or the reason if a column's type cannot be stored.
pub(crate) fn encode(schema: &Schema) -> Result<SchemaProto, String> {
    let columns = schema.fields().iter().map(|field| encode_field(field)).collect::<Result<_, _>>()?;
    Ok(SchemaProto { columns })
}

/// The columns from their stored form.
pub(crate) fn decode(proto: &SchemaProto) -> Result<Schema, String> {
    Ok(Schema::new(proto.columns.iter().map(decode_field).collect::<Result<Fields, _>>()?))
}

/// Columns without metadata at any depth, so that columns with the same meaning are equal.
pub(crate) fn plain(schema: &Schema) -> SchemaRef {
    // A type that cannot be stored is refused when its table is written. Here it only has to be comparable.
    match encode(schema).and_then(|kept| decode(&kept)) {
        Ok(plain) => Arc::new(plain),
        Err(_) => Arc::new(schema.clone()),
    }
}

/// Describes columns for messages, with Arrow's type names. SQL's names need the planner's types.
pub(crate) fn describe(schema: &Schema) -> String {
    let columns = schema.fields().iter().map(|field| {
        let nullable = if field.is_nullable() { "" } else { " NOT NULL" };
        format!("{} {}{nullable}", field.name(), field.data_type())
    });
    format!("({})", columns.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_every_kind_come_back() {
        let mut fields: Vec<Field> =
            PLAIN.iter().map(|(number, plain)| Field::new(format!("c{number}"), plain.clone(), true)).collect();
        let pair =
            Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int32, true)]);
        fields.extend([
            Field::new("amount", DataType::Decimal128(20, 2), false),
            Field::new("sum", DataType::Decimal256(76, 2), true),
            Field::new("t3", DataType::Time32(TimeUnit::Millisecond), true),
            Field::new("t6", DataType::Time64(TimeUnit::Microsecond), true),
            Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), false),
            Field::new("ltz", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            Field::new("d", DataType::Duration(TimeUnit::Second), true),
            Field::new("f", DataType::FixedSizeBinary(16), true),
            Field::new(
                "l",
                DataType::List(Arc::new(Field::new("element", DataType::Struct(pair.clone()), true))),
                true,
            ),
            Field::new("m", DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), false), true),
        ]);
        let schema = Schema::new(fields);
        assert_eq!(decode(&encode(&schema).expect("kept")).expect("read"), schema);
    }

    #[test]
    fn a_type_that_cannot_be_kept_is_named() {
        let schema = Schema::new(vec![Field::new("view", DataType::Utf8View, true)]);
        assert!(encode(&schema).expect_err("not kept").contains("column view has type Utf8View"));
    }
}
