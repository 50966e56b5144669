//! Writes rows as JSON objects: all fields in the order of the columns, without white space.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use eddyline_stream::Batch;

use crate::Error;
use crate::datetime::TimestampStyle;
use crate::encode::{EncodedRecords, RecordEncoder, inserts};
use crate::json::config::Config;
use crate::json::row_reader::check_types;
use crate::text::{Written, write_scalar};

/// Writes JSON records.
#[derive(Debug)]
pub struct Encoder {
    schema: SchemaRef,
    rows: RowWriter,
}

/// Writes rows as objects.
#[derive(Debug)]
pub(crate) struct RowWriter {
    leads: Vec<Vec<u8>>,
    style: Style,
    scratch: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Style {
    timestamps: TimestampStyle,
    decimals_plain: bool,
    nulls_left_out: bool,
}

impl Encoder {
    /// Makes an encoder for batches of these columns.
    ///
    /// # Errors
    /// The format does not support the type of a column.
    pub fn new(config: &Config, schema: &SchemaRef) -> Result<Self, Error> {
        Ok(Self { schema: SchemaRef::clone(schema), rows: RowWriter::new(config, schema, "json")? })
    }
}

impl RowWriter {
    /// A writer of rows with these columns.
    ///
    /// # Errors
    /// The format does not support the type of a column. `format` is for the message.
    pub(crate) fn new(config: &Config, schema: &SchemaRef, format: &'static str) -> Result<Self, Error> {
        check_types(schema, format)?;
        Ok(Self {
            leads: schema.fields().iter().map(name_lead).collect(),
            style: Style {
                timestamps: config.timestamp_format.style(),
                decimals_plain: config.decimals_plain,
                nulls_left_out: config.nulls_left_out,
            },
            scratch: Vec::new(),
        })
    }

    /// Appends a row. It has the columns that the writer was made for.
    pub(crate) fn write(&mut self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) {
        let open = out.len();
        out.push(b'{');
        for (lead, column) in self.leads.iter().zip(rows.columns()) {
            let column = column.as_ref();
            let is_null = column.is_null(row);
            if is_null && self.style.nulls_left_out {
                continue;
            }
            if out.len() > open + 1 {
                out.push(b',');
            }
            out.extend_from_slice(lead);
            write_value(column, row, is_null, self.style, &mut self.scratch, out);
        }
        out.push(b'}');
    }
}

/// `"name":`
fn name_lead(field: &FieldRef) -> Vec<u8> {
    let mut lead = Vec::with_capacity(field.name().len() + 3);
    write_string(field.name().as_bytes(), &mut lead);
    lead.push(b':');
    lead
}

impl RecordEncoder for Encoder {
    fn encode(&mut self, batch: &Batch, out: &mut EncodedRecords) -> Result<(), Error> {
        let batch = inserts("json", batch, &self.schema)?;
        for row in 0..batch.num_rows() {
            self.rows.write(batch, row, out.buffer());
            out.end_record();
        }
        Ok(())
    }
}

fn write_value(array: &dyn Array, row: usize, is_null: bool, style: Style, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    if is_null {
        out.extend_from_slice(b"null");
        return;
    }
    match array.data_type() {
        DataType::Utf8 => write_string(array.as_string::<i32>().value(row).as_bytes(), out),
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(row);
            out.push(b'[');
            for index in 0..elements.len() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(&elements, index, elements.is_null(index), style, scratch, out);
            }
            out.push(b']');
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1));
            out.push(b'{');
            for index in 0..entries.len() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(keys.value(index).as_bytes(), out);
                out.push(b':');
                write_value(values, index, values.is_null(index), style, scratch, out);
            }
            out.push(b'}');
        }
        DataType::Struct(fields) => {
            let row_of = array.as_struct();
            let open = out.len();
            out.push(b'{');
            for (field, column) in fields.iter().zip(row_of.columns()) {
                let is_null = column.is_null(row);
                if is_null && style.nulls_left_out {
                    continue;
                }
                if out.len() > open + 1 {
                    out.push(b',');
                }
                write_string(field.name().as_bytes(), out);
                out.push(b':');
                write_value(column, row, is_null, style, scratch, out);
            }
            out.push(b'}');
        }
        _ => {
            scratch.clear();
            match write_scalar(array, row, style.timestamps, style.decimals_plain, scratch) {
                Written::Bare => out.extend_from_slice(scratch),
                // Dates, times, base64 and names of numbers have nothing to escape.
                Written::Text => {
                    out.push(b'"');
                    out.extend_from_slice(scratch);
                    out.push(b'"');
                }
            }
        }
    }
}

/// Appends a string in quotes. Escapes only what JSON requires.
pub(crate) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(stop) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        out.extend_from_slice(&rest[..stop]);
        let short = match rest[stop] {
            b'"' => b'"',
            b'\\' => b'\\',
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            control => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                HEX[usize::from(control & 15)]
            }
        };
        if !matches!(rest[stop], 0..0x20) || matches!(rest[stop], 0x08 | 0x0c | b'\n' | b'\r' | b'\t') {
            out.push(b'\\');
        }
        out.push(short);
        rest = &rest[stop + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
