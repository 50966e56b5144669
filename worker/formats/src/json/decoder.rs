//! Reads JSON records into columns.
//!
//! The technique: the bytes between values are not parsed, but compared with those of the previous record (`keys`).
//! Numbers and the ends of strings are found eight bytes at a time (`scan`). Values are written directly into the
//! buffers of their columns (`value`). Only an unusual value takes a slower path.

use arrow::datatypes::SchemaRef;
use eddyline_stream::Batch;

use crate::Error;
use crate::columns::Column;
use crate::datetime::TimestampStyle;
use crate::decode::{BadRecord, Intake, Lines, RecordDecoder, decode_lines};
use crate::json::config::{Config, TimestampFormat};
use crate::json::row_reader::check_types;
use crate::json::scan::{Scan, Scanner, fault};
use crate::json::value::{Fields, Settings};

/// Reads JSON records.
#[derive(Debug)]
pub struct Decoder {
    fields: Fields,
    settings: Settings,
    columns: Vec<Column>,
    intake: Intake,
    skipping: bool,
}

impl TimestampFormat {
    /// The format of timestamps.
    pub(crate) fn style(self) -> TimestampStyle {
        match self {
            Self::Sql => TimestampStyle::SQL,
            Self::Iso8601 => TimestampStyle::ISO,
        }
    }
}

impl Decoder {
    /// Makes a decoder for the projected columns of a table.
    ///
    /// # Errors
    /// The format does not support the type of a projected column, or there is no such column.
    pub fn new(config: &Config, schema: &SchemaRef, projection: &[usize], batch_rows: usize) -> Result<Self, Error> {
        let intake = Intake::new(schema, projection)?;
        check_types(&intake.schema, "json")?;
        let timestamps = config.timestamp_format.style();
        let columns = intake
            .schema
            .fields()
            .iter()
            .map(|field| Column::new(field, batch_rows, "json"))
            .collect::<Result<_, _>>()?;
        let fields = Fields::new(intake.schema.fields().iter().map(AsRef::as_ref), timestamps);
        let settings = Settings {
            ignore_parse_errors: config.ignore_parse_errors,
            fail_on_missing_field: config.fail_on_missing_field,
            timestamps,
            scratch: Vec::new(),
        };
        Ok(Self { fields, settings, columns, intake, skipping: false })
    }

    #[inline]
    fn read(&mut self, record: &[u8]) -> Scan<usize> {
        let mut scanner = Scanner::new(record);
        if scanner.peek() != Some(b'{') {
            scanner.skip_space();
            match scanner.peek() {
                Some(b'{') => {}
                None => return Ok(0),
                Some(b'n') => {
                    scanner.literal("null")?;
                    scanner.end()?;
                    return Ok(0);
                }
                Some(_) => {
                    let at = scanner.at;
                    scanner.skip_value(0)?;
                    return Err(fault(at, "expected an object"));
                }
            }
        }
        self.fields.read_object(&mut scanner, &mut self.columns, self.intake.rows, &mut self.settings, 0)?;
        scanner.end()?;
        self.intake.rows += 1;
        Ok(1)
    }
}

impl RecordDecoder for Decoder {
    fn schema(&self) -> &SchemaRef {
        &self.intake.schema
    }

    #[inline]
    fn decode(&mut self, record: &[u8]) -> Result<usize, BadRecord> {
        self.intake.take(record)?;
        match self.read(record) {
            Ok(decoded) => Ok(decoded),
            Err(fault) => {
                let rows = self.intake.rows;
                self.columns.iter_mut().for_each(|column| column.truncate(rows));
                Err(BadRecord::new(record, fault.at, fault.reason))
            }
        }
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
