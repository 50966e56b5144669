//! Reads messages into rows and their kinds.
//!
//! A message is scanned twice. The first pass finds its parts (`envelope`). The second one reads its rows, the old one
//! before the new one. No row of a bad message remains in the batch.

use arrow::datatypes::SchemaRef;
use eddyline_stream::{Batch, KindsBuilder};

use super::config::Config;
use super::dialect::{Dialect, Operation};
use super::envelope::{Parts, parts, string_at};
use crate::Error;
use crate::columns::Column;
use crate::decode::{BadRecord, Intake, Lines, RecordDecoder, decode_lines};
use crate::json::RowReader;
use crate::json::scan::{Scan, Scanner, fault};

/// The parts of a message, in the order in which [`parts`] looks for them.
const BEFORE: usize = 0;
const AFTER: usize = 1;
const OPERATION: usize = 2;
const DATABASE: usize = 3;
const TABLE: usize = 4;

/// Reads messages of change data capture.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    reader: RowReader,
    columns: Vec<Column>,
    kinds: KindsBuilder,
    intake: Intake,
    skipping: bool,
    scratch: Vec<u8>,
}

impl Decoder {
    /// Makes a decoder for the projected columns of a table.
    ///
    /// # Errors
    /// The format does not support the type of a projected column, or there is no such column.
    pub fn new(config: &Config, schema: &SchemaRef, projection: &[usize], batch_rows: usize) -> Result<Self, Error> {
        let intake = Intake::new(schema, projection)?;
        let format = config.dialect.format();
        let (reader, columns) = RowReader::new(&config.rows, &intake.schema, batch_rows, format)?;
        Ok(Self {
            config: config.clone(),
            reader,
            columns,
            kinds: KindsBuilder::default(),
            intake,
            skipping: false,
            scratch: Vec::new(),
        })
    }

    /// Reads a message. Returns the number of rows, and the operation on them.
    fn read(&mut self, record: &[u8]) -> Scan<(usize, Operation)> {
        let mut scanner = Scanner::new(record);
        scanner.skip_space();
        if scanner.peek().is_none() {
            return Ok((0, Operation::Nothing));
        }
        let dialect = self.config.dialect;
        let names = [dialect.before(), dialect.after(), dialect.operation_field(), "database", "table"];
        let found = if self.config.schema_include {
            let outer = parts(&mut scanner, ["payload"], 0, &mut self.scratch)?;
            scanner.end()?;
            let Some(payload) = outer.place(0) else { return Err(fault(0, "\"payload\" is missing")) };
            let mut inner = Scanner::new(record);
            inner.at = payload;
            parts(&mut inner, names, 1, &mut self.scratch)?
        } else {
            let found = parts(&mut scanner, names, 0, &mut self.scratch)?;
            scanner.end()?;
            found
        };
        if !self.is_included(record, &found)? {
            return Ok((0, Operation::Nothing));
        }
        let field = dialect.operation_field();
        let Some(at) = found.place(OPERATION) else { return Err(fault(0, format!("\"{field}\" is missing"))) };
        let text = string_at(record, at, field, &mut self.scratch)?;
        let operation =
            dialect.operation(text).ok_or_else(|| fault(at, format!("unknown \"{field}\" value \"{text}\"")))?;
        let rows = match operation {
            Operation::Nothing => 0,
            _ if dialect.has_arrays() => self.read_arrays(record, &found, operation)?,
            _ => self.read_images(record, (found.place(BEFORE), found.place(AFTER)), operation)?,
        };
        Ok((rows, operation))
    }

    /// Whether the options include the database and the table of the change.
    fn is_included(&mut self, record: &[u8], found: &Parts<5>) -> Scan<bool> {
        for (part, name, pattern) in
            [(DATABASE, "database", &self.config.databases), (TABLE, "table", &self.config.tables)]
        {
            let Some(pattern) = pattern else { continue };
            let Some(at) = found.place(part) else { return Err(fault(0, format!("\"{name}\" is missing"))) };
            if !pattern.is_match(string_at(record, at, name, &mut self.scratch)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads the old and the new row of a change of one row. They begin at these places.
    fn read_images(
        &mut self,
        record: &[u8],
        (before, after): (Option<usize>, Option<usize>),
        operation: Operation,
    ) -> Scan<usize> {
        let dialect = self.config.dialect;
        let missing = |field: &str| fault(0, format!("\"{field}\" is missing"));
        let full = after.ok_or_else(|| missing(dialect.after()));
        // PostgreSQL writes old rows only if the table is configured for it.
        let old = before.ok_or_else(|| {
            let why =
                if dialect == Dialect::Debezium { ": a PostgreSQL table needs REPLICA IDENTITY FULL" } else { "" };
            let what = if operation == Operation::Update { "an update" } else { "a delete" };
            fault(0, format!("\"{}\" of {what} is missing{why}", dialect.before()))
        });
        match operation {
            Operation::Nothing => return Ok(0),
            Operation::Insert => self.read_row(record, &[full?])?,
            Operation::Delete if dialect.is_partial() => self.read_row(record, &[full?])?,
            Operation::Delete => self.read_row(record, &[old?])?,
            Operation::Update => {
                let (old, full) = (old?, full?);
                // The fields that the old row leaves out have not changed, so they are read from the new one.
                let places = [full, old];
                self.read_row(record, if dialect.is_partial() { &places } else { &places[1..] })?;
                self.read_row(record, &[full])?;
                return Ok(2);
            }
        }
        Ok(1)
    }

    /// Reads the rows of a message that has arrays of rows.
    fn read_arrays(&mut self, record: &[u8], found: &Parts<5>, operation: Operation) -> Scan<usize> {
        let dialect = self.config.dialect;
        let Some(after) = found.place(AFTER) else {
            return Err(fault(0, format!("\"{}\" is missing", dialect.after())));
        };
        let after = elements(record, after, dialect.after())?;
        let before = match (operation, found.place(BEFORE)) {
            (Operation::Update, Some(at)) => elements(record, at, dialect.before())?,
            (Operation::Update, None) => {
                return Err(fault(0, format!("\"{}\" of an update is missing", dialect.before())));
            }
            _ => Vec::new(),
        };
        let mut rows = 0;
        for (index, after) in after.into_iter().enumerate() {
            let images = (before.get(index).copied().flatten(), after);
            rows += self.read_images(record, images, operation)?;
        }
        Ok(rows)
    }

    /// Reads the objects at these places into one row. A field of a later object replaces that of an earlier one.
    fn read_row(&mut self, record: &[u8], places: &[usize]) -> Scan<()> {
        self.reader.read_row(record, places, &mut self.columns)
    }
}

/// The places where the elements of an array of objects begin. `None` for an element that is `null`.
fn elements(record: &[u8], at: usize, what: &str) -> Scan<Vec<Option<usize>>> {
    let mut scanner = Scanner::new(record);
    scanner.at = at;
    if scanner.peek() != Some(b'[') {
        return Err(fault(at, format!("\"{what}\" must be an array")));
    }
    // The first pass has checked the depth.
    scanner.open(0)?;
    let (mut places, mut first) = (Vec::new(), true);
    while scanner.next_element(&mut first)? {
        scanner.skip_space();
        places.push((scanner.peek() != Some(b'n')).then_some(scanner.at));
        scanner.skip_value(1)?;
    }
    Ok(places)
}

impl RecordDecoder for Decoder {
    fn schema(&self) -> &SchemaRef {
        &self.intake.schema
    }

    fn decode(&mut self, record: &[u8]) -> Result<usize, BadRecord> {
        self.intake.take(record)?;
        if self.config.dialect.is_partial() {
            // The columns get the fields twice that the old row of an update leaves out.
            self.intake.take(record)?;
        }
        self.reader.start(self.intake.rows);
        match self.read(record) {
            Ok((rows, operation)) => {
                self.intake.rows += rows;
                match operation {
                    Operation::Insert => (0..rows).for_each(|_| self.kinds.insert()),
                    Operation::Delete => (0..rows).for_each(|_| self.kinds.delete()),
                    Operation::Update => (0..rows / 2).for_each(|_| self.kinds.update()),
                    Operation::Nothing => {}
                }
                Ok(rows)
            }
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
        let rows = self.intake.flush(&mut self.columns)?;
        Ok(Batch::with_kinds(rows, self.kinds.finish()))
    }
}
