//! Writes a column as raw records.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef};
use eddyline_stream::Batch;

use crate::Error;
use crate::encode::{EncodedRecords, RecordEncoder, inserts};
use crate::raw::config::{Config, Endianness, is_carried};

/// Writes raw records.
#[derive(Debug)]
pub struct Encoder {
    config: Config,
    schema: SchemaRef,
}

impl Encoder {
    /// Makes an encoder for batches of one column.
    ///
    /// # Errors
    /// The table has other columns, or the format does not support the type of its column.
    pub fn new(config: &Config, schema: &SchemaRef) -> Result<Self, Error> {
        let [field] = &schema.fields()[..] else {
            return Err(Error::Framing { format: "raw", reason: "writes tables with exactly one column" });
        };
        if !is_carried(field.data_type()) {
            return Err(Error::UnsupportedType {
                format: "raw",
                column: field.name().clone(),
                data_type: field.data_type().clone(),
                reason: "only STRING, BYTES, BOOLEAN and numbers but DECIMAL",
            });
        }
        Ok(Self { config: config.clone(), schema: SchemaRef::clone(schema) })
    }
}

impl RecordEncoder for Encoder {
    fn encode(&mut self, batch: &Batch, out: &mut EncodedRecords) -> Result<(), Error> {
        let batch = inserts("raw", batch, &self.schema)?;
        let array = batch.column(0).as_ref();
        for row in 0..array.len() {
            if array.is_null(row) {
                out.push_null();
            } else {
                write(array, row, self.config.endianness, out.buffer());
                out.end_record();
            }
        }
        Ok(())
    }
}

fn write(array: &dyn Array, row: usize, endianness: Endianness, out: &mut Vec<u8>) {
    macro_rules! number {
        ($type:ty) => {{
            let value = array.as_primitive::<$type>().value(row);
            match endianness {
                Endianness::Big => out.extend_from_slice(&value.to_be_bytes()),
                Endianness::Little => out.extend_from_slice(&value.to_le_bytes()),
            }
        }};
    }
    match array.data_type() {
        DataType::Utf8 => out.extend_from_slice(array.as_string::<i32>().value(row).as_bytes()),
        DataType::Binary => out.extend_from_slice(array.as_binary::<i32>().value(row)),
        DataType::Boolean => out.push(u8::from(array.as_boolean().value(row))),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::Float32 => number!(Float32Type),
        DataType::Float64 => number!(Float64Type),
        other => unreachable!("an encoder was made for a column of type {other}"),
    }
}
