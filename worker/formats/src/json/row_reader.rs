//! Reads rows that are objects inside a larger record.

use arrow::datatypes::SchemaRef;

use super::config::{Config, check_type};
use super::scan::{Scan, Scanner};
use super::value::{Fields, Settings};
use crate::Error;
use crate::columns::Column;

/// Reads objects into the columns of a batch.
#[derive(Debug)]
pub(crate) struct RowReader {
    fields: Fields,
    settings: Settings,
    /// The number of values in the columns.
    rows: usize,
}

impl RowReader {
    /// Makes a reader, and the columns that it fills.
    ///
    /// # Errors
    /// The format does not support the type of a column. `format` is for the message.
    pub(crate) fn new(
        config: &Config,
        schema: &SchemaRef,
        batch_rows: usize,
        format: &'static str,
    ) -> Result<(Self, Vec<Column>), Error> {
        check_types(schema, format)?;
        let columns =
            schema.fields().iter().map(|field| Column::new(field, batch_rows, format)).collect::<Result<_, _>>()?;
        let timestamps = config.timestamp_format.style();
        let settings = Settings {
            ignore_parse_errors: config.ignore_parse_errors,
            fail_on_missing_field: config.fail_on_missing_field,
            timestamps,
            scratch: Vec::new(),
        };
        let fields = Fields::new(schema.fields().iter().map(AsRef::as_ref), timestamps);
        Ok((Self { fields, settings, rows: 0 }, columns))
    }

    /// Begins a record. `rows` is the number of values in the columns.
    pub(crate) fn start(&mut self, rows: usize) {
        self.rows = rows;
    }

    /// Reads the objects at these places of a record into one row. The fields of later objects replace those of earlier
    /// ones. The objects are inside exactly one other object or array, as far as the limit of depth is concerned. After
    /// an error columns may have different lengths.
    pub(crate) fn read_row(&mut self, record: &[u8], places: &[usize], columns: &mut [Column]) -> Scan<()> {
        let mut scanner = Scanner::new(record);
        self.fields.read_objects(&mut scanner, places, columns, self.rows, &mut self.settings)?;
        self.rows += 1;
        Ok(())
    }
}

/// Checks that JSON can carry the columns of a table.
///
/// # Errors
/// Names the column. `format` is for the message.
pub(crate) fn check_types(schema: &SchemaRef, format: &'static str) -> Result<(), Error> {
    for field in schema.fields() {
        check_type(field.data_type()).map_err(|reason| Error::UnsupportedType {
            format,
            column: field.name().clone(),
            data_type: field.data_type().clone(),
            reason,
        })?;
    }
    Ok(())
}
