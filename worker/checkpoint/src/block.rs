//! Blocks: the rows of one key group of one table in one time bucket, as bytes.
//!
//! ```text
//! rows u32 | key hash u64 for each row | columns
//! column  = flags u8 (1: has a validity bitmap) | bitmap? | values
//! values  = fixed width: the values         boolean: a bitmap
//!           text, bytes: offsets, bytes     list, map: offsets (first is 0), then the elements as a column
//!           row: its fields as columns      null: nothing
//! ```
//! Little-endian, no padding; bitmaps have bit 0 first and unused bits 0; offsets are u32 (u64 for large types), one
//! more than there are rows, and begin at 0. The form depends on the values alone, never on how Arrow holds them.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, OffsetSizeTrait, RecordBatch, RecordBatchOptions, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, FieldRef, SchemaRef};

const HAS_NULLS: u8 = 1;

/// Appends the block form of rows.
///
/// Returns the reason if a column's type has no block form. `schema.rs` has refused such a table before.
pub(crate) fn encode(key_hashes: &[u64], rows: &RecordBatch, out: &mut Vec<u8>) -> Result<(), String> {
    let count = u32::try_from(rows.num_rows()).map_err(|_| "more rows than a block can hold".to_owned())?;
    out.extend_from_slice(&count.to_le_bytes());
    key_hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
    rows.columns().iter().try_for_each(|column| encode_column(column, out))
}

fn encode_bits(bits: &BooleanBuffer, out: &mut Vec<u8>) {
    let bytes = bits.len().div_ceil(8);
    let packed = bits.sliced();
    out.extend_from_slice(&packed.as_slice()[..bytes]);
    if let (Some(last), used @ 1..) = (out.last_mut(), bits.len() % 8) {
        *last &= (1 << used) - 1;
    }
}

fn encode_offsets<O: OffsetSizeTrait>(offsets: &[O], out: &mut Vec<u8>) -> (usize, usize) {
    let first = offsets[0];
    for offset in offsets {
        let offset = (*offset - first).as_usize() as u64;
        out.extend_from_slice(&offset.to_le_bytes()[..size_of::<O>()]);
    }
    (first.as_usize(), offsets[offsets.len() - 1].as_usize())
}

fn encode_column(column: &ArrayRef, out: &mut Vec<u8>) -> Result<(), String> {
    // A Null column has no bitmap: its type says that all values are null.
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => {
            out.push(HAS_NULLS);
            encode_bits(nulls.inner(), out);
        }
        None => out.push(0),
    }
    match column.data_type() {
        DataType::Null => {}
        DataType::Boolean => encode_bits(column.as_boolean().values(), out),
        DataType::Utf8 => {
            let (first, last) = encode_offsets(column.as_string::<i32>().value_offsets(), out);
            out.extend_from_slice(&column.as_string::<i32>().value_data()[first..last]);
        }
        DataType::LargeUtf8 => {
            let (first, last) = encode_offsets(column.as_string::<i64>().value_offsets(), out);
            out.extend_from_slice(&column.as_string::<i64>().value_data()[first..last]);
        }
        DataType::Binary => {
            let (first, last) = encode_offsets(column.as_binary::<i32>().value_offsets(), out);
            out.extend_from_slice(&column.as_binary::<i32>().value_data()[first..last]);
        }
        DataType::LargeBinary => {
            let (first, last) = encode_offsets(column.as_binary::<i64>().value_offsets(), out);
            out.extend_from_slice(&column.as_binary::<i64>().value_data()[first..last]);
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let (first, last) = encode_offsets(list.value_offsets(), out);
            encode_column(&list.values().slice(first, last - first), out)?;
        }
        DataType::Map(_, _) => {
            let map = column.as_map();
            let (first, last) = encode_offsets(map.value_offsets(), out);
            let entries: ArrayRef = Arc::new(map.entries().slice(first, last - first));
            encode_column(&entries, out)?;
        }
        DataType::Struct(_) => column.as_struct().columns().iter().try_for_each(|field| encode_column(field, out))?,
        fixed => {
            let width = fixed_width(fixed).ok_or_else(|| format!("type {fixed} has no block form"))?;
            let data = column.to_data();
            let values = data.buffers()[0].as_slice();
            out.extend_from_slice(&values[data.offset() * width..(data.offset() + data.len()) * width]);
        }
    }
    Ok(())
}

fn fixed_width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
        DataType::Boolean => None,
        other => other.primitive_width(),
    }
}

/// Reads a block. For any bytes, the result is rows of the schema or the reason why there are none.
pub(crate) fn decode(bytes: &[u8], schema: &SchemaRef, rows: u32) -> Result<(Vec<u64>, RecordBatch), String> {
    let mut reader = Reader { rest: bytes };
    let found = u32::from_le_bytes(reader.take(4)?.try_into().expect("four bytes"));
    if found != rows {
        return Err(format!("it has {found} rows, the index says {rows}"));
    }
    let rows = rows as usize;
    let hashes = reader.take_each(rows, 8)?;
    let hashes = hashes.chunks_exact(8).map(|hash| u64::from_le_bytes(hash.try_into().expect("eight bytes"))).collect();
    let columns = schema.fields().iter().map(|field| reader.column(field, rows)).collect::<Result<Vec<_>, _>>()?;
    if !reader.rest.is_empty() {
        return Err(format!("{} bytes are left over", reader.rest.len()));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch =
        RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|error| error.to_string())?;
    Ok((hashes, batch))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or("it ends too early")?;
        self.rest = rest;
        Ok(taken)
    }

    fn take_each(&mut self, count: usize, width: usize) -> Result<&'a [u8], String> {
        self.take(count.checked_mul(width).ok_or("it ends too early")?)
    }

    fn bits(&mut self, rows: usize) -> Result<BooleanBuffer, String> {
        Ok(BooleanBuffer::new(Buffer::from(self.take(rows.div_ceil(8))?), 0, rows))
    }

    /// Offsets, checked to begin at 0 and never to decrease. A buffer made of the slice is aligned.
    fn offsets<O: OffsetSizeTrait>(&mut self, rows: usize) -> Result<OffsetBuffer<O>, String> {
        let bytes = self.take_each(rows.checked_add(1).ok_or("it ends too early")?, size_of::<O>())?;
        let buffer = Buffer::from(bytes);
        let offsets = buffer.typed_data::<O>();
        if offsets[0] != O::usize_as(0) || offsets.windows(2).any(|pair| pair[0] > pair[1]) {
            return Err("its offsets are not in order".to_owned());
        }
        Ok(OffsetBuffer::new(offsets.to_vec().into()))
    }

    fn column(&mut self, field: &FieldRef, rows: usize) -> Result<ArrayRef, String> {
        let nulls = match self.take(1)?[0] {
            0 => None,
            HAS_NULLS => Some(NullBuffer::new(self.bits(rows)?)),
            other => return Err(format!("column {} has unknown flags {other}", field.name())),
        };
        let builder = ArrayData::builder(field.data_type().clone()).len(rows).nulls(nulls);
        let builder = match field.data_type() {
            DataType::Null => builder.nulls(None),
            DataType::Boolean => builder.add_buffer(self.bits(rows)?.into_inner()),
            DataType::Utf8 | DataType::Binary => {
                let offsets = self.offsets::<i32>(rows)?;
                let values = self.take(offsets[rows].as_usize())?;
                builder.add_buffer(offsets.into_inner().into_inner()).add_buffer(Buffer::from(values))
            }
            DataType::LargeUtf8 | DataType::LargeBinary => {
                let offsets = self.offsets::<i64>(rows)?;
                let values = self.take(offsets[rows].as_usize())?;
                builder.add_buffer(offsets.into_inner().into_inner()).add_buffer(Buffer::from(values))
            }
            DataType::List(child) | DataType::Map(child, _) => {
                let offsets = self.offsets::<i32>(rows)?;
                let elements = self.column(child, offsets[rows].as_usize())?;
                builder.add_buffer(offsets.into_inner().into_inner()).add_child_data(elements.to_data())
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().map(|field| self.column(field, rows)).collect::<Result<Vec<_>, _>>()?;
                builder.child_data(columns.iter().map(|column| column.to_data()).collect())
            }
            fixed => {
                let width = fixed_width(fixed).ok_or_else(|| format!("type {fixed} has no block form"))?;
                builder.add_buffer(Buffer::from(self.take_each(rows, width)?))
            }
        };
        // Also checks UTF-8.
        let data = builder.build().map_err(|error| format!("column {}: {error}", field.name()))?;
        Ok(make_array(data))
    }
}
