//! Reads CSV records into columns.

use arrow::datatypes::SchemaRef;
use eddyline_stream::Batch;

use crate::Error;
use crate::columns::Column;
use crate::csv::config::{Config, is_carried};
use crate::datetime::TimestampStyle;
use crate::decode::{BadRecord, Intake, Lines, RecordDecoder, decode_lines};
use crate::text::{Mismatch, push_text};

/// Reads CSV records.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    /// For each field of a record: its column, if it is wanted.
    columns_of_fields: Vec<Option<usize>>,
    nullable: Vec<bool>,
    columns: Vec<Column>,
    intake: Intake,
    /// The current field, without quotes and escapes.
    field: Vec<u8>,
    skipping: bool,
}

/// Where and why a record cannot be read.
struct Fault {
    at: usize,
    reason: String,
}

impl Decoder {
    /// Makes a decoder for the projected columns of a table.
    ///
    /// # Errors
    /// The format does not support the type of a projected column, or there is no such column.
    pub fn new(config: &Config, schema: &SchemaRef, projection: &[usize], batch_rows: usize) -> Result<Self, Error> {
        let intake = Intake::new(schema, projection)?;
        let mut columns = Vec::with_capacity(projection.len());
        for field in intake.schema.fields() {
            if !is_carried(field.data_type()) {
                return Err(Error::UnsupportedType {
                    format: "csv",
                    column: field.name().clone(),
                    data_type: field.data_type().clone(),
                    reason: "only scalar types and arrays of them",
                });
            }
            columns.push(Column::new(field, batch_rows, "csv")?);
        }
        let columns_of_fields =
            (0..schema.fields().len()).map(|field| projection.iter().position(|index| *index == field)).collect();
        let nullable = intake.schema.fields().iter().map(|field| field.is_nullable()).collect();
        Ok(Self {
            config: config.clone(),
            columns_of_fields,
            nullable,
            columns,
            intake,
            field: Vec::new(),
            skipping: false,
        })
    }

    /// The newline that ends the first record of `text`: one that is not inside quotes.
    fn record_end(&self, text: &[u8]) -> Option<usize> {
        if self.config.allow_comments && text.first() == Some(&b'#') {
            return memchr::memchr(b'\n', text);
        }
        let delimiter = self.config.field_delimiter;
        let escape = self.config.escape_character;
        let mut at = 0;
        loop {
            if let Some(quote) = self.config.quote_character.filter(|quote| text.get(at) == Some(quote)) {
                at = self.quotes_end(text, at, quote)?;
            }
            at += memchr::memchr3(b'\n', delimiter, escape.unwrap_or(delimiter), text.get(at..)?)?;
            match text[at] {
                b'\n' => return Some(at),
                byte if byte == delimiter => at += 1,
                // An escape, and what it escapes.
                _ => at += 2,
            }
        }
    }

    /// The place after the quote that closes the one at `at`.
    fn quotes_end(&self, text: &[u8], at: usize, quote: u8) -> Option<usize> {
        let escape = self.config.escape_character;
        let mut at = at + 1;
        loop {
            at += memchr::memchr2(quote, escape.unwrap_or(quote), text.get(at..)?)?;
            if Some(text[at]) == escape || text.get(at + 1) == Some(&quote) {
                at += 2;
            } else {
                return Some(at + 1);
            }
        }
    }

    fn read(&mut self, record: &[u8]) -> Result<usize, Fault> {
        if record.is_empty() || (self.config.allow_comments && record[0] == b'#') {
            return Ok(0);
        }
        let mut at = 0;
        let mut fields = 0;
        loop {
            let start = at;
            let end = self.read_field(record, start)?;
            match self.columns_of_fields.get(fields) {
                Some(Some(column)) => self.push_field(*column, start)?,
                Some(None) => {}
                None => {
                    let reason = format!("more than the {} fields of the table", self.columns_of_fields.len());
                    return Err(Fault { at: start, reason });
                }
            }
            fields += 1;
            at = end + 1;
            if end >= record.len() {
                break;
            }
        }
        if fields < self.columns_of_fields.len() {
            self.fill_missing(record, fields)?;
        }
        self.intake.rows += 1;
        Ok(1)
    }

    /// Reads the field at `start` into `self.field`. Returns the place of the delimiter after it, or the end of the
    /// record.
    fn read_field(&mut self, record: &[u8], start: usize) -> Result<usize, Fault> {
        self.field.clear();
        let delimiter = self.config.field_delimiter;
        let escape = self.config.escape_character;
        let Some(quote) = self.config.quote_character.filter(|quote| record.get(start) == Some(quote)) else {
            let end = match escape {
                Some(escape) => self.unquoted_with_escapes(record, start, escape)?,
                None => {
                    let end = memchr::memchr(delimiter, &record[start..]).map_or(record.len(), |len| start + len);
                    self.field.extend_from_slice(&record[start..end]);
                    end
                }
            };
            return Ok(end);
        };
        let mut at = start + 1;
        loop {
            let Some(stop) = memchr::memchr2(quote, escape.unwrap_or(quote), &record[at..]) else {
                return Err(Fault { at: start, reason: "the record ends inside quotes".to_owned() });
            };
            self.field.extend_from_slice(&record[at..at + stop]);
            at += stop;
            let next = record.get(at + 1).copied();
            if Some(record[at]) == escape {
                self.field.push(self.escaped(next, at)?);
                at += 2;
            } else if next == Some(quote) {
                self.field.push(quote);
                at += 2;
            } else {
                at += 1;
                break;
            }
        }
        match record.get(at) {
            None => Ok(record.len()),
            Some(byte) if *byte == delimiter => Ok(at),
            Some(_) => Err(Fault { at, reason: "expected a delimiter after the closing quote".to_owned() }),
        }
    }

    fn unquoted_with_escapes(&mut self, record: &[u8], start: usize, escape: u8) -> Result<usize, Fault> {
        let mut at = start;
        loop {
            match memchr::memchr2(self.config.field_delimiter, escape, &record[at..]) {
                None => {
                    self.field.extend_from_slice(&record[at..]);
                    return Ok(record.len());
                }
                Some(stop) => {
                    self.field.extend_from_slice(&record[at..at + stop]);
                    at += stop;
                }
            }
            if record[at] == self.config.field_delimiter {
                return Ok(at);
            }
            self.field.push(self.escaped(record.get(at + 1).copied(), at)?);
            at += 2;
        }
    }

    /// The meaning of an escaped character.
    fn escaped(&self, character: Option<u8>, at: usize) -> Result<u8, Fault> {
        match character {
            Some(b'n') => Ok(b'\n'),
            Some(b'r') => Ok(b'\r'),
            Some(b't') => Ok(b'\t'),
            Some(b'0') => Ok(0),
            Some(other) => Ok(other),
            None => Err(Fault { at, reason: "the record ends after an escape character".to_owned() }),
        }
    }

    /// Adds the current field, which starts at `at`, to a column.
    fn push_field(&mut self, column: usize, at: usize) -> Result<(), Fault> {
        let nullable = self.nullable[column];
        let column = &mut self.columns[column];
        let text = std::str::from_utf8(&self.field)
            .map_err(|error| Fault { at: at + error.valid_up_to(), reason: "a field that is not UTF-8".to_owned() })?;
        let is_null = match &self.config.null_literal {
            Some(literal) if literal == text => true,
            _ => text.is_empty() && !matches!(column, Column::Utf8(_)),
        };
        let pushed = if is_null {
            column.push_null();
            Ok(false)
        } else {
            push_value(column, text, &self.config)
        };
        let is_value = match pushed {
            Ok(is_value) => is_value,
            Err(_) if self.config.ignore_parse_errors => {
                column.push_null();
                false
            }
            Err(Mismatch(reason)) => return Err(Fault { at, reason: reason.to_owned() }),
        };
        if is_value || nullable {
            Ok(())
        } else {
            Err(Fault { at, reason: "NULL in a column that is NOT NULL".to_owned() })
        }
    }

    /// Adds NULL to the columns of missing fields.
    fn fill_missing(&mut self, record: &[u8], fields: usize) -> Result<(), Fault> {
        if !self.config.ignore_parse_errors {
            let reason = format!("{fields} fields instead of {}", self.columns_of_fields.len());
            return Err(Fault { at: record.len(), reason });
        }
        for column in self.columns_of_fields[fields..].iter().flatten() {
            if !self.nullable[*column] {
                let reason = "a field is missing, and its column is NOT NULL".to_owned();
                return Err(Fault { at: record.len(), reason });
            }
            self.columns[*column].push_null();
        }
        Ok(())
    }
}

/// Adds a field's value. Bad elements of an array are NULL when errors are ignored.
fn push_value(column: &mut Column, text: &str, config: &Config) -> Result<bool, Mismatch> {
    let Column::List(lists) = column else { return push_text(column, text, TimestampStyle::SQL) };
    for element in text.split(config.array_element_delimiter.as_str()) {
        let is_null = match &config.null_literal {
            Some(literal) => literal == element,
            None => element.is_empty() && !matches!(*lists.elements, Column::Utf8(_)),
        };
        if is_null {
            lists.elements.push_null();
            continue;
        }
        match push_text(&mut lists.elements, element, TimestampStyle::SQL) {
            Ok(_) => {}
            Err(_) if config.ignore_parse_errors => lists.elements.push_null(),
            Err(mismatch) => return Err(mismatch),
        }
    }
    lists.end_list();
    Ok(true)
}

impl RecordDecoder for Decoder {
    fn schema(&self) -> &SchemaRef {
        &self.intake.schema
    }

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
        decode_lines(self, buffer, rows_max, at_end, Self::record_end, |decoder| &mut decoder.skipping)
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
