//! Columns under construction: plain buffers that decoders append to. A bad row is removed from them again.
//!
//! Invariant between rows: every column of a row has the same length. Inside a row a column, and the children of a
//! nested one, may be ahead; [`Column::truncate`] corrects that.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, MapArray, PrimitiveArray,
    StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, FieldRef, Fields, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};
use arrow::error::ArrowError;

use crate::Error;
use crate::schema::map_fields;

/// Which values are not NULL. It uses no memory as long as there is no NULL.
#[derive(Debug, Default)]
pub(crate) struct Validity {
    bits: Option<BooleanBufferBuilder>,
}

impl Validity {
    #[inline(always)]
    fn push_valid(&mut self) {
        if let Some(bits) = &mut self.bits {
            bits.append(true);
        }
    }

    /// Adds a NULL after `len` values.
    fn push_null(&mut self, len: usize) {
        let bits = self.bits.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(len + 1);
            bits.append_n(len, true);
            bits
        });
        bits.append(false);
    }

    fn truncate(&mut self, len: usize) {
        if let Some(bits) = &mut self.bits {
            bits.truncate(len);
        }
    }

    fn finish(&mut self) -> Option<NullBuffer> {
        self.bits.take().map(|mut bits| NullBuffer::new(bits.finish()))
    }
}

/// Values of a fixed width.
#[derive(Debug)]
pub(crate) struct Values<T> {
    values: Vec<T>,
    validity: Validity,
    rows_usual: usize,
}

impl<T: Copy + Default + arrow::datatypes::ArrowNativeType> Values<T> {
    fn new(rows_usual: usize) -> Self {
        Self { values: Vec::with_capacity(rows_usual), validity: Validity::default(), rows_usual }
    }

    /// Adds a value.
    #[inline(always)]
    pub(crate) fn push(&mut self, value: T) {
        self.values.push(value);
        self.validity.push_valid();
    }

    fn push_null(&mut self) {
        self.validity.push_null(self.values.len());
        self.values.push(T::default());
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.validity.truncate(len);
    }

    fn take(&mut self) -> (ScalarBuffer<T>, Option<NullBuffer>) {
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(self.rows_usual));
        (ScalarBuffer::from(values), self.validity.finish())
    }

    fn finish<A: ArrowPrimitiveType<Native = T>>(&mut self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let (values, nulls) = self.take();
        Ok(Arc::new(PrimitiveArray::<A>::try_new(values, nulls)?.with_data_type(data_type.clone())))
    }
}

/// Boolean values.
#[derive(Debug)]
pub(crate) struct Booleans {
    values: BooleanBufferBuilder,
    validity: Validity,
}

impl Booleans {
    /// Adds a value.
    pub(crate) fn push(&mut self, value: bool) {
        self.values.append(value);
        self.validity.push_valid();
    }
}

/// Texts or byte strings, end to end in one buffer.
#[derive(Debug)]
pub(crate) struct Strings {
    bytes: Vec<u8>,
    offsets: Vec<i32>,
    validity: Validity,
    rows_usual: usize,
}

/// Offsets, bytes and validity of a finished column.
type VariableParts = (OffsetBuffer<i32>, Vec<u8>, Option<NullBuffer>);

impl Strings {
    fn new(rows_usual: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows_usual + 1);
        offsets.push(0);
        Self { bytes: Vec::with_capacity(rows_usual * 8), offsets, validity: Validity::default(), rows_usual }
    }

    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    fn get(&self, index: usize) -> &[u8] {
        &self.bytes[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }

    /// Adds `record[start..end]`. Short ones are copied in a fixed size, which costs one move, and cut.
    #[inline(always)]
    pub(crate) fn push_range(&mut self, record: &[u8], start: usize, end: usize) {
        const SHORT: usize = 16;
        let len = end - start;
        if len <= SHORT && record.len() - start >= SHORT {
            let total = self.bytes.len() + len;
            let chunk: &[u8; SHORT] = record[start..start + SHORT].try_into().expect("a range of SHORT bytes");
            self.bytes.extend_from_slice(chunk);
            self.bytes.truncate(total);
        } else {
            self.bytes.extend_from_slice(&record[start..end]);
        }
        self.end_value();
    }

    /// Adds a value.
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end_value();
    }

    /// Adds the value that `write` appends to the buffer. If `write` fails, nothing is added.
    pub(crate) fn push_with<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.bytes.len();
        match write(&mut self.bytes) {
            Ok(()) => {
                self.end_value();
                Ok(())
            }
            Err(error) => {
                self.bytes.truncate(start);
                Err(error)
            }
        }
    }

    #[inline(always)]
    fn end_value(&mut self) {
        // Decoders keep the bytes of one batch below i32::MAX (`decode::Intake`), so this never wraps.
        self.offsets.push(self.bytes.len() as i32);
        self.validity.push_valid();
    }

    fn push_null(&mut self) {
        self.validity.push_null(self.len());
        self.offsets.push(self.bytes.len() as i32);
    }

    fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.offsets.truncate(len + 1);
            self.bytes.truncate(self.offsets[len] as usize);
            self.validity.truncate(len);
        }
    }

    fn take(&mut self) -> Result<VariableParts, ArrowError> {
        let fresh = Self::new(self.rows_usual);
        let taken = std::mem::replace(self, fresh);
        // The next batch probably has a similar size.
        self.bytes.reserve(taken.bytes.len());
        let Self { bytes, offsets, mut validity, .. } = taken;
        Ok((OffsetBuffer::new(ScalarBuffer::from(offsets)), bytes, validity.finish()))
    }
}

/// Lists of values.
#[derive(Debug)]
pub(crate) struct Lists {
    offsets: Vec<i32>,
    validity: Validity,
    /// The elements of all lists, end to end.
    pub(crate) elements: Box<Column>,
    element: FieldRef,
}

impl Lists {
    /// Ends a list. The elements added since the last list belong to it.
    pub(crate) fn end_list(&mut self) {
        self.offsets.push(self.elements.len() as i32);
        self.validity.push_valid();
    }
}

/// Maps from texts to values.
#[derive(Debug)]
pub(crate) struct Maps {
    offsets: Vec<i32>,
    validity: Validity,
    /// The keys of all maps, end to end.
    pub(crate) keys: Box<Column>,
    /// The values of all maps, end to end.
    pub(crate) values: Box<Column>,
    entries: FieldRef,
}

impl Maps {
    /// The number of entries of the finished maps.
    pub(crate) fn entries_before(&self) -> usize {
        self.offsets.last().map_or(0, |offset| *offset as usize)
    }

    /// Which entries of the current map to keep: if a key occurs more than once, the last entry.
    pub(crate) fn without_duplicates(&self) -> Option<Vec<bool>> {
        let from = self.entries_before();
        let Column::Utf8(keys) = &*self.keys else { return None };
        let mut order: Vec<usize> = (from..keys.len()).collect();
        order.sort_unstable_by(|a, b| keys.get(*a).cmp(keys.get(*b)).then(a.cmp(b)));
        let is_last = |pair: &[usize]| keys.get(pair[0]) != keys.get(pair[1]);
        if order.windows(2).all(is_last) {
            return None;
        }
        let mut keep = vec![true; order.len()];
        for pair in order.windows(2) {
            keep[pair[0] - from] = is_last(pair);
        }
        Some(keep)
    }

    /// Removes the entries of the current map.
    pub(crate) fn restart_map(&mut self) {
        let entries = self.entries_before();
        self.keys.truncate(entries);
        self.values.truncate(entries);
    }

    /// Ends a map. The keys and values added since the last map belong to it.
    pub(crate) fn end_map(&mut self) {
        self.offsets.push(self.keys.len() as i32);
        self.validity.push_valid();
    }
}

/// Rows inside rows.
#[derive(Debug)]
pub(crate) struct Structs {
    len: usize,
    validity: Validity,
    /// One column for each field.
    pub(crate) children: Vec<Column>,
    fields: Fields,
}

impl Structs {
    /// The number of finished rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Ends a row. Each child has one more value than before.
    pub(crate) fn end_row(&mut self) {
        self.len += 1;
        self.validity.push_valid();
    }
}

/// The unit of a time column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tick {
    /// One millisecond.
    Millisecond,
    /// One microsecond.
    Microsecond,
}

/// A column under construction.
#[derive(Debug)]
pub(crate) enum Column {
    Boolean(Booleans),
    Int8(Values<i8>),
    Int16(Values<i16>),
    Int32(Values<i32>),
    Int64(Values<i64>),
    Float32(Values<f32>),
    Float64(Values<f64>),
    Decimal {
        values: Values<i128>,
        precision: u8,
        scale: i8,
    },
    /// Days since 1970-01-01.
    Date(Values<i32>),
    /// Milliseconds since midnight.
    Time(Values<i32>),
    /// Ticks since 1970-01-01 00:00:00; `utc` distinguishes an instant from a wall-clock time.
    Timestamp {
        values: Values<i64>,
        tick: Tick,
        utc: bool,
    },
    Utf8(Strings),
    Binary(Strings),
    List(Lists),
    Map(Maps),
    Struct(Structs),
}

macro_rules! each_column {
    ($self:expr, $values:ident => $fixed:expr, $strings:ident => $text:expr, {$($rest:tt)*}) => {
        match $self {
            Column::Int8($values) => $fixed,
            Column::Int16($values) => $fixed,
            Column::Int32($values) | Column::Date($values) | Column::Time($values) => $fixed,
            Column::Int64($values) | Column::Timestamp { values: $values, .. } => $fixed,
            Column::Float32($values) => $fixed,
            Column::Float64($values) => $fixed,
            Column::Decimal { values: $values, .. } => $fixed,
            Column::Utf8($strings) | Column::Binary($strings) => $text,
            $($rest)*
        }
    };
}

impl Column {
    /// A column for values of a field.
    ///
    /// # Errors
    /// The type is not a SQL type. `format` is for the message.
    pub(crate) fn new(field: &Field, rows_usual: usize, format: &'static str) -> Result<Self, Error> {
        Ok(match field.data_type() {
            DataType::Boolean => {
                Self::Boolean(Booleans { values: BooleanBufferBuilder::new(rows_usual), validity: Validity::default() })
            }
            DataType::Int8 => Self::Int8(Values::new(rows_usual)),
            DataType::Int16 => Self::Int16(Values::new(rows_usual)),
            DataType::Int32 => Self::Int32(Values::new(rows_usual)),
            DataType::Int64 => Self::Int64(Values::new(rows_usual)),
            DataType::Float32 => Self::Float32(Values::new(rows_usual)),
            DataType::Float64 => Self::Float64(Values::new(rows_usual)),
            DataType::Decimal128(precision, scale) if *scale >= 0 => {
                Self::Decimal { values: Values::new(rows_usual), precision: *precision, scale: *scale }
            }
            DataType::Date32 => Self::Date(Values::new(rows_usual)),
            DataType::Time32(TimeUnit::Millisecond) => Self::Time(Values::new(rows_usual)),
            DataType::Timestamp(unit @ (TimeUnit::Millisecond | TimeUnit::Microsecond), zone) => Self::Timestamp {
                values: Values::new(rows_usual),
                tick: if *unit == TimeUnit::Millisecond { Tick::Millisecond } else { Tick::Microsecond },
                utc: zone.is_some(),
            },
            DataType::Utf8 => Self::Utf8(Strings::new(rows_usual)),
            DataType::Binary => Self::Binary(Strings::new(rows_usual)),
            DataType::List(element) => Self::List(Lists {
                offsets: vec![0],
                validity: Validity::default(),
                elements: Box::new(Self::new(element, rows_usual, format)?),
                element: Arc::clone(element),
            }),
            DataType::Map(entries, _) if map_fields(entries).is_some() => {
                let (key, value) = map_fields(entries).expect("checked in the guard");
                Self::Map(Maps {
                    offsets: vec![0],
                    validity: Validity::default(),
                    keys: Box::new(Self::new(key, rows_usual, format)?),
                    values: Box::new(Self::new(value, rows_usual, format)?),
                    entries: Arc::clone(entries),
                })
            }
            DataType::Struct(fields) if !fields.is_empty() => Self::Struct(Structs {
                len: 0,
                validity: Validity::default(),
                children: fields.iter().map(|field| Self::new(field, rows_usual, format)).collect::<Result<_, _>>()?,
                fields: fields.clone(),
            }),
            other => {
                return Err(Error::UnsupportedType {
                    format,
                    column: field.name().clone(),
                    data_type: other.clone(),
                    reason: "not a type of SQL",
                });
            }
        })
    }

    /// The number of values.
    pub(crate) fn len(&self) -> usize {
        each_column!(self, values => values.values.len(), strings => strings.len(), {
            Self::Boolean(booleans) => booleans.values.len(),
            Self::List(lists) => lists.offsets.len() - 1,
            Self::Map(maps) => maps.offsets.len() - 1,
            Self::Struct(structs) => structs.len,
        })
    }

    /// Adds a NULL.
    pub(crate) fn push_null(&mut self) {
        each_column!(self, values => values.push_null(), strings => strings.push_null(), {
            Self::Boolean(booleans) => {
                booleans.validity.push_null(booleans.values.len());
                booleans.values.append(false);
            }
            Self::List(lists) => {
                lists.validity.push_null(lists.offsets.len() - 1);
                lists.offsets.push(lists.elements.len() as i32);
            }
            Self::Map(maps) => {
                maps.validity.push_null(maps.offsets.len() - 1);
                maps.offsets.push(maps.keys.len() as i32);
            }
            Self::Struct(structs) => {
                structs.validity.push_null(structs.len);
                structs.len += 1;
                structs.children.iter_mut().for_each(Column::push_null);
            }
        });
    }

    /// Removes everything after the first `len` values, finished or not.
    pub(crate) fn truncate(&mut self, len: usize) {
        each_column!(self, values => values.truncate(len), strings => strings.truncate(len), {
            Self::Boolean(booleans) => {
                if len < booleans.values.len() {
                    booleans.values.truncate(len);
                }
                booleans.validity.truncate(len);
            }
            Self::List(lists) => {
                lists.offsets.truncate(len + 1);
                lists.validity.truncate(len);
                lists.elements.truncate(lists.offsets.last().map_or(0, |offset| *offset as usize));
            }
            Self::Map(maps) => {
                maps.offsets.truncate(len + 1);
                maps.validity.truncate(len);
                maps.restart_map();
            }
            Self::Struct(structs) => {
                structs.len = structs.len.min(len);
                structs.validity.truncate(structs.len);
                let len = structs.len;
                structs.children.iter_mut().for_each(|child| child.truncate(len));
            }
        });
    }

    /// Returns the values as an array of the field's type and empties the column.
    pub(crate) fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Boolean(booleans) => {
                Ok(Arc::new(BooleanArray::new(booleans.values.finish(), booleans.validity.finish())))
            }
            Self::Int8(values) => values.finish::<Int8Type>(data_type),
            Self::Int16(values) => values.finish::<Int16Type>(data_type),
            Self::Int32(values) => values.finish::<Int32Type>(data_type),
            Self::Int64(values) => values.finish::<Int64Type>(data_type),
            Self::Float32(values) => values.finish::<Float32Type>(data_type),
            Self::Float64(values) => values.finish::<Float64Type>(data_type),
            Self::Decimal { values, .. } => values.finish::<Decimal128Type>(data_type),
            Self::Date(values) => values.finish::<Date32Type>(data_type),
            Self::Time(values) => values.finish::<Time32MillisecondType>(data_type),
            Self::Timestamp { values, tick: Tick::Millisecond, .. } => {
                values.finish::<TimestampMillisecondType>(data_type)
            }
            Self::Timestamp { values, tick: Tick::Microsecond, .. } => {
                values.finish::<TimestampMicrosecondType>(data_type)
            }
            Self::Utf8(strings) => {
                let (offsets, bytes, nulls) = strings.take()?;
                Ok(Arc::new(StringArray::try_new(offsets, bytes.into(), nulls)?))
            }
            Self::Binary(strings) => {
                let (offsets, bytes, nulls) = strings.take()?;
                Ok(Arc::new(BinaryArray::try_new(offsets, bytes.into(), nulls)?))
            }
            Self::List(lists) => {
                let elements = lists.elements.finish(lists.element.data_type())?;
                let offsets = OffsetBuffer::new(std::mem::replace(&mut lists.offsets, vec![0]).into());
                let nulls = lists.validity.finish();
                Ok(Arc::new(ListArray::try_new(Arc::clone(&lists.element), offsets, elements, nulls)?))
            }
            Self::Map(maps) => {
                let DataType::Struct(fields) = maps.entries.data_type() else {
                    return Err(ArrowError::SchemaError("the entries of a map are not a struct".to_owned()));
                };
                let keys = maps.keys.finish(fields[0].data_type())?;
                let values = maps.values.finish(fields[1].data_type())?;
                let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
                let offsets = OffsetBuffer::new(std::mem::replace(&mut maps.offsets, vec![0]).into());
                let nulls = maps.validity.finish();
                Ok(Arc::new(MapArray::try_new(Arc::clone(&maps.entries), offsets, entries, nulls, false)?))
            }
            Self::Struct(structs) => {
                structs.len = 0;
                let children = structs
                    .children
                    .iter_mut()
                    .zip(&structs.fields)
                    .map(|(child, field)| child.finish(field.data_type()))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(Arc::new(StructArray::try_new(structs.fields.clone(), children, structs.validity.finish())?))
            }
        }
    }
}
