//! Writes rows as CSV records.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, SchemaRef};
use eddyline_stream::Batch;

use crate::Error;
use crate::csv::config::{Config, is_carried};
use crate::datetime::TimestampStyle;
use crate::encode::{EncodedRecords, RecordEncoder, inserts};
use crate::text::{Written, write_scalar};

/// A text with more characters than this is always quoted.
const UNQUOTED_CHARS_MAX: usize = 24;

/// Writes CSV records.
#[derive(Debug)]
pub struct Encoder {
    config: Config,
    schema: SchemaRef,
    /// The first ASCII character that never makes quotes necessary.
    safe_from: u8,
    scratch: Vec<u8>,
}

impl Encoder {
    /// Makes an encoder for batches of these columns.
    ///
    /// # Errors
    /// The format does not support the type of a column.
    pub fn new(config: &Config, schema: &SchemaRef) -> Result<Self, Error> {
        if let Some(field) = schema.fields().iter().find(|field| !is_carried(field.data_type())) {
            return Err(Error::UnsupportedType {
                format: "csv",
                column: field.name().clone(),
                data_type: field.data_type().clone(),
                reason: "only scalar types and arrays of them",
            });
        }
        let safe_from = 1 + config.field_delimiter.max(config.quote_character.unwrap_or(0)).max(b'\r');
        Ok(Self { config: config.clone(), schema: SchemaRef::clone(schema), safe_from, scratch: Vec::new() })
    }

    fn write_field(&mut self, array: &dyn Array, row: usize, out: &mut Vec<u8>) {
        if array.is_null(row) {
            self.write_null(out);
            return;
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let written = match array.data_type() {
            DataType::Utf8 => {
                scratch.extend_from_slice(array.as_string::<i32>().value(row).as_bytes());
                Written::Text
            }
            DataType::List(_) => {
                self.write_elements(&array.as_list::<i32>().value(row), &mut scratch);
                Written::Text
            }
            _ => write_scalar(array, row, TimestampStyle::SQL, self.config.decimals_plain, &mut scratch),
        };
        match written {
            Written::Bare => out.extend_from_slice(&scratch),
            Written::Text => self.write_text(&scratch, out),
        }
        self.scratch = scratch;
    }

    fn write_null(&self, out: &mut Vec<u8>) {
        if let Some(literal) = &self.config.null_literal {
            out.extend_from_slice(literal.as_bytes());
        }
    }

    fn write_elements(&self, elements: &dyn Array, out: &mut Vec<u8>) {
        for index in 0..elements.len() {
            if index > 0 {
                out.extend_from_slice(self.config.array_element_delimiter.as_bytes());
            }
            if elements.is_null(index) {
                self.write_null(out);
            } else if let Some(texts) = elements.as_string_opt::<i32>() {
                out.extend_from_slice(texts.value(index).as_bytes());
            } else {
                write_scalar(elements, index, TimestampStyle::SQL, self.config.decimals_plain, out);
            }
        }
    }

    /// Appends a text, in quotes if necessary.
    fn write_text(&self, text: &[u8], out: &mut Vec<u8>) {
        let escape = self.config.escape_character;
        let Some(quote) = self.config.quote_character else {
            match escape {
                Some(escape) => self.write_escaped(text, escape, out),
                None => out.extend_from_slice(text),
            }
            return;
        };
        if !self.needs_quotes(text) {
            out.extend_from_slice(text);
            return;
        }
        out.push(quote);
        for byte in text {
            if *byte == quote || Some(*byte) == escape {
                out.push(escape.unwrap_or(quote));
            }
            out.push(*byte);
        }
        out.push(quote);
    }

    /// Appends a text without quotes, with an escape before characters that would end the field or the line.
    fn write_escaped(&self, text: &[u8], escape: u8, out: &mut Vec<u8>) {
        for byte in text {
            match *byte {
                b'\n' => out.extend_from_slice(&[escape, b'n']),
                b'\r' => out.extend_from_slice(&[escape, b'r']),
                byte => {
                    if byte == escape || byte == self.config.field_delimiter {
                        out.push(escape);
                    }
                    out.push(byte);
                }
            }
        }
    }

    fn needs_quotes(&self, text: &[u8]) -> bool {
        let characters = || text.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        text.len() > UNQUOTED_CHARS_MAX && characters() > UNQUOTED_CHARS_MAX
            || text.iter().any(|byte| *byte < self.safe_from || Some(*byte) == self.config.escape_character)
    }
}

impl RecordEncoder for Encoder {
    fn encode(&mut self, batch: &Batch, out: &mut EncodedRecords) -> Result<(), Error> {
        let batch = inserts("csv", batch, &self.schema)?;
        for row in 0..batch.num_rows() {
            for (index, column) in batch.columns().iter().enumerate() {
                if index > 0 {
                    out.buffer().push(self.config.field_delimiter);
                }
                self.write_field(column.as_ref(), row, out.buffer());
            }
            out.end_record();
        }
        Ok(())
    }
}
