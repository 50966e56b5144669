//! Reads raw records into a column.

use arrow::datatypes::SchemaRef;
use eddyline_stream::Batch;

use crate::Error;
use crate::columns::Column;
use crate::decode::{BadRecord, Intake, Lines, RecordDecoder, decode_lines};
use crate::raw::config::{Config, Endianness, is_carried};

/// Reads raw records.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    /// The column. None if it is not wanted.
    columns: Vec<Column>,
    nullable: bool,
    intake: Intake,
    skipping: bool,
}

impl Decoder {
    /// Makes a decoder of a table with one column.
    ///
    /// # Errors
    /// The table has other columns, or the format does not support the type of its column.
    pub fn new(config: &Config, schema: &SchemaRef, projection: &[usize], batch_rows: usize) -> Result<Self, Error> {
        let intake = Intake::new(schema, projection)?;
        let [field] = &schema.fields()[..] else {
            return Err(Error::Framing { format: "raw", reason: "reads tables with exactly one column" });
        };
        if !is_carried(field.data_type()) || projection.len() > 1 {
            return Err(Error::UnsupportedType {
                format: "raw",
                column: field.name().clone(),
                data_type: field.data_type().clone(),
                reason: "only STRING, BYTES, BOOLEAN and numbers but DECIMAL",
            });
        }
        let columns = projection.iter().map(|_| Column::new(field, batch_rows, "raw")).collect::<Result<_, _>>()?;
        Ok(Self { config: config.clone(), columns, nullable: field.is_nullable(), intake, skipping: false })
    }
}

/// Adds the value in the bytes of a record.
fn push(column: &mut Column, record: &[u8], endianness: Endianness) -> Result<(), String> {
    macro_rules! number {
        ($values:expr, $type:ty, $name:literal) => {{
            let bytes = record
                .try_into()
                .map_err(|_| format!("{} bytes instead of the {} of {}", record.len(), size_of::<$type>(), $name))?;
            $values.push(match endianness {
                Endianness::Big => <$type>::from_be_bytes(bytes),
                Endianness::Little => <$type>::from_le_bytes(bytes),
            });
        }};
    }
    match column {
        Column::Utf8(strings) => match std::str::from_utf8(record) {
            Ok(text) => strings.push(text.as_bytes()),
            Err(error) => return Err(format!("not UTF-8 from byte {} on", error.valid_up_to())),
        },
        Column::Binary(strings) => strings.push(record),
        Column::Boolean(booleans) => match record {
            [byte] => booleans.push(*byte != 0),
            _ => return Err(format!("{} bytes instead of the 1 of BOOLEAN", record.len())),
        },
        Column::Int8(values) => number!(values, i8, "TINYINT"),
        Column::Int16(values) => number!(values, i16, "SMALLINT"),
        Column::Int32(values) => number!(values, i32, "INT"),
        Column::Int64(values) => number!(values, i64, "BIGINT"),
        Column::Float32(values) => number!(values, f32, "FLOAT"),
        Column::Float64(values) => number!(values, f64, "DOUBLE"),
        // The types have been checked when the decoder was made.
        _ => return Err("not a type of raw records".to_owned()),
    }
    Ok(())
}

impl RecordDecoder for Decoder {
    fn schema(&self) -> &SchemaRef {
        &self.intake.schema
    }

    fn decode(&mut self, record: &[u8]) -> Result<usize, BadRecord> {
        self.intake.take(record)?;
        for column in &mut self.columns {
            push(column, record, self.config.endianness).map_err(|reason| BadRecord::new(record, 0, reason))?;
        }
        self.intake.rows += 1;
        Ok(1)
    }

    fn decode_null(&mut self) -> Result<usize, BadRecord> {
        if !self.nullable {
            return Err(BadRecord::new(&[], 0, "a record without a value, and the column is NOT NULL"));
        }
        self.columns.iter_mut().for_each(Column::push_null);
        self.intake.rows += 1;
        Ok(1)
    }

    fn decode_lines(&mut self, buffer: &[u8], rows_max: usize, at_end: bool) -> Lines {
        let line_end = |_: &Self, rest: &[u8]| memchr::memchr(b'\n', rest);
        decode_lines(self, buffer, rows_max, at_end, line_end, |decoder| &mut decoder.skipping)
    }

    fn len(&self) -> usize {
        self.intake.rows
    }

    fn is_full(&self) -> bool {
        self.intake.is_full()
    }

    fn flush(&mut self) -> Result<Batch, Error> {
        self.intake.flush(&mut self.columns).map(Batch::new)
    }
}
