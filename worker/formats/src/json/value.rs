//! Converts the values of a record into columns.
//!
//! [`Fields::read_object`] reads an object into the columns of its fields. [`read_value`] reads one value into one
//! column. The usual spellings of the usual types are read directly. Other values are converted from their text as in
//! Flink: numbers in strings, strings in numbers, JSON text of objects in STRING columns.

use arrow::datatypes::{DataType, Field};

use crate::columns::{Column, Maps, Tick};
use crate::datetime::{TimestampCache, TimestampStyle};
use crate::json::encoder::write_string;
use crate::json::keys::{Keys, LeadId, Target};
use crate::json::scan::{Number, Scan, Scanner, Text, fault};
use crate::numbers::{self, Decimal};
use crate::schema::map_fields;
use crate::text::{Mismatch, push_text};

/// The settings for all values of a decoder.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Whether a value that cannot be read is NULL.
    pub(crate) ignore_parse_errors: bool,
    /// Whether a missing field is an error.
    pub(crate) fail_on_missing_field: bool,
    /// How timestamps are written.
    pub(crate) timestamps: TimestampStyle,
    /// A buffer for a text without its escapes.
    pub(crate) scratch: Vec<u8>,
}

/// The kind of a column's values.
#[derive(Debug)]
pub(crate) enum Shape {
    Scalar,
    Timestamp(TimestampCache),
    List { element: Box<Shape>, nullable: bool },
    Map { value: Box<Shape>, nullable: bool },
    Row(Fields),
}

impl Shape {
    /// The shape of a field's values. The types have been checked.
    fn of(field: &Field, timestamps: TimestampStyle) -> Self {
        match field.data_type() {
            DataType::Timestamp(..) => Self::Timestamp(TimestampCache::new(timestamps)),
            DataType::List(element) => {
                Self::List { element: Box::new(Self::of(element, timestamps)), nullable: element.is_nullable() }
            }
            DataType::Map(entries, _) => match map_fields(entries) {
                Some((_, value)) => {
                    Self::Map { value: Box::new(Self::of(value, timestamps)), nullable: value.is_nullable() }
                }
                None => Self::Scalar,
            },
            DataType::Struct(fields) => Self::Row(Fields::new(fields.iter().map(AsRef::as_ref), timestamps)),
            _ => Self::Scalar,
        }
    }
}

#[derive(Debug)]
struct FieldShape {
    name: String,
    nullable: bool,
    shape: Shape,
    /// The number of the last object that had the field.
    seen_in: u64,
}

/// The wanted fields of an object, one per column.
#[derive(Debug)]
pub(crate) struct Fields {
    fields: Vec<FieldShape>,
    keys: Keys,
    /// The number of objects started so far.
    objects: u64,
}

impl Fields {
    /// Makes the reader of these fields, which are in the order of their columns.
    pub(crate) fn new<'a>(fields: impl Iterator<Item = &'a Field>, timestamps: TimestampStyle) -> Self {
        let fields = fields
            .map(|field| FieldShape {
                name: field.name().clone(),
                nullable: field.is_nullable(),
                shape: Shape::of(field, timestamps),
                seen_in: 0,
            })
            .collect();
        Self { fields, keys: Keys::new(), objects: 0 }
    }

    /// Reads an object from its opening bracket. Adds one value to each column. `before` is the number of values in
    /// each column. After an error columns may have more values, which the caller removes.
    #[inline]
    pub(crate) fn read_object(
        &mut self,
        scanner: &mut Scanner<'_>,
        columns: &mut [Column],
        before: usize,
        settings: &mut Settings,
        depth: usize,
    ) -> Scan<()> {
        self.objects += 1;
        let missing = self.read_fields(scanner, columns, (before, columns.len()), settings, depth)?;
        if missing > 0 {
            self.fill_missing(scanner, columns, settings)?;
        }
        Ok(())
    }

    /// Reads the objects at several places. Adds one value to each column. The fields of later objects replace those of
    /// earlier ones.
    pub(crate) fn read_objects(
        &mut self,
        scanner: &mut Scanner<'_>,
        places: &[usize],
        columns: &mut [Column],
        before: usize,
        settings: &mut Settings,
    ) -> Scan<()> {
        self.objects += 1;
        let mut missing = columns.len();
        for place in places {
            scanner.at = *place;
            if scanner.peek() != Some(b'{') {
                return Err(scanner.unexpected("an object"));
            }
            missing = self.read_fields(scanner, columns, (before, missing), settings, 1)?;
        }
        if missing > 0 {
            self.fill_missing(scanner, columns, settings)?;
        }
        Ok(())
    }

    /// Reads the fields of an object into the current row. Each column has `before` values of earlier rows. `missing`
    /// is the number of columns without a value of the current row. Returns that number after the object.
    #[inline(always)]
    fn read_fields(
        &mut self,
        scanner: &mut Scanner<'_>,
        columns: &mut [Column],
        (before, mut missing): (usize, usize),
        settings: &mut Settings,
        depth: usize,
    ) -> Scan<usize> {
        scanner.open(depth)?;
        let object = self.objects;
        let mut lead = LeadId::START;
        loop {
            let (next, target) = match self.keys.pass_expected(lead, scanner) {
                Some(passed) => passed,
                None => self.pass_lead(lead, scanner, settings)?,
            };
            lead = next;
            let index = match target {
                Target::Field(index) => usize::from(index),
                Target::Unwanted => {
                    scanner.skip_value(depth + 1)?;
                    continue;
                }
                Target::End => break,
            };
            let field = &mut self.fields[index];
            let column = &mut columns[index];
            if field.seen_in == object {
                // If two fields have the same name, the last one counts.
                column.truncate(before);
            } else {
                field.seen_in = object;
                missing -= 1;
            }
            read_value(scanner, column, &mut field.shape, field.nullable, settings, depth + 1)?;
        }
        Ok(missing)
    }

    /// Scans a lead by parsing it, and records it.
    #[cold]
    fn pass_lead(
        &mut self,
        previous: LeadId,
        scanner: &mut Scanner<'_>,
        settings: &mut Settings,
    ) -> Scan<(LeadId, Target)> {
        let from = scanner.at;
        let mut first = previous == LeadId::START;
        let target = match scanner.next_key(&mut first)? {
            None => Target::End,
            Some(key) => {
                scanner.skip_space();
                settings.scratch.clear();
                scanner.unescape(key, &mut settings.scratch)?;
                let name = settings.scratch.as_slice();
                let index = self.fields.iter().position(|field| field.name.as_bytes() == name);
                match index.and_then(|index| u16::try_from(index).ok()) {
                    Some(index) => Target::Field(index),
                    None => Target::Unwanted,
                }
            }
        };
        let lead = self.keys.remember(previous, &scanner.bytes[from..scanner.at], target);
        Ok((lead, target))
    }

    #[cold]
    fn fill_missing(&self, scanner: &Scanner<'_>, columns: &mut [Column], settings: &Settings) -> Scan<()> {
        for (field, column) in self.fields.iter().zip(columns) {
            if field.seen_in == self.objects {
                continue;
            }
            if settings.fail_on_missing_field || !field.nullable {
                let why = if field.nullable { "" } else { ", and its column is NOT NULL" };
                return Err(fault(scanner.at - 1, format!("field '{}' is missing{why}", field.name)));
            }
            column.push_null();
        }
        Ok(())
    }
}

/// Reads a value and adds it to `column`. After an error the children of a nested column may have different lengths.
#[inline(always)]
pub(crate) fn read_value(
    scanner: &mut Scanner<'_>,
    column: &mut Column,
    shape: &mut Shape,
    nullable: bool,
    settings: &mut Settings,
    depth: usize,
) -> Scan<()> {
    match column {
        Column::Utf8(strings) if scanner.peek() == Some(b'"') => {
            let text = scanner.string()?;
            if !text.escaped {
                strings.push_range(scanner.bytes, text.start, text.end);
                return Ok(());
            }
            return strings.push_with(|out| scanner.unescape(text, out));
        }
        Column::Int32(values) => {
            let from = scanner.at;
            if let Some(value) = scanner.integer() {
                if let Ok(value) = i32::try_from(value) {
                    values.push(value);
                    return Ok(());
                }
                scanner.at = from;
            }
        }
        Column::Int64(values) => {
            if let Some(value) = scanner.integer() {
                values.push(value);
                return Ok(());
            }
        }
        Column::Float64(values) if matches!(scanner.peek(), Some(b'-' | b'0'..=b'9')) => {
            let number = scanner.number()?;
            if let Ok(value) = number_text(scanner, number).parse() {
                values.push(value);
                return Ok(());
            }
            scanner.at = number.start;
        }
        Column::Timestamp { values, tick, utc } if scanner.peek() == Some(b'"') => {
            let text = scanner.string()?;
            if let Shape::Timestamp(cache) = shape
                && let Some(wall_clock) = wall_clock(&scanner.bytes[text.start..text.end], *utc)
                && let Some(ms) = cache.parse_ms(wall_clock)
            {
                values.push(if *tick == Tick::Millisecond { ms } else { ms * 1_000 });
                return Ok(());
            }
            scanner.at = text.start - 1;
        }
        _ => {}
    }
    read_any(scanner, column, shape, nullable, settings, depth)
}

/// A timestamp's text without the `Z` of an instant.
#[inline(always)]
fn wall_clock(text: &[u8], utc: bool) -> Option<&[u8]> {
    if utc { text.strip_suffix(b"Z") } else { Some(text) }
}

fn number_text<'a>(scanner: &Scanner<'a>, number: Number) -> &'a str {
    std::str::from_utf8(&scanner.bytes[number.start..number.end]).unwrap_or("")
}

/// Reads any spelling of any value into a column of any type.
#[inline(never)]
fn read_any(
    scanner: &mut Scanner<'_>,
    column: &mut Column,
    shape: &mut Shape,
    nullable: bool,
    settings: &mut Settings,
    depth: usize,
) -> Scan<()> {
    scanner.skip_space();
    let from = scanner.at;
    let pushed = match scanner.peek() {
        Some(b'n') => {
            scanner.literal("null")?;
            column.push_null();
            Ok(false)
        }
        Some(b'"') => {
            let text = scanner.string()?;
            push_string(scanner, text, column, settings)
        }
        Some(b'-' | b'0'..=b'9') => {
            let number = scanner.number()?;
            push_number(number_text(scanner, number), number.is_whole, column, settings)
        }
        Some(b't') => {
            scanner.literal("true")?;
            push_boolean(true, column)
        }
        Some(b'f') => {
            scanner.literal("false")?;
            push_boolean(false, column)
        }
        Some(b'{' | b'[') => push_container(scanner, column, shape, settings, depth)?,
        _ => return Err(scanner.unexpected("a value")),
    };
    let is_value = match pushed {
        Ok(is_value) => is_value,
        Err(_) if settings.ignore_parse_errors => {
            column.push_null();
            false
        }
        Err(Mismatch(reason)) => return Err(fault(from, reason)),
    };
    if !is_value && !nullable {
        return Err(fault(from, "NULL in a column that is NOT NULL"));
    }
    Ok(())
}

fn push_string(
    scanner: &Scanner<'_>,
    text: Text,
    column: &mut Column,
    settings: &mut Settings,
) -> Result<bool, Mismatch> {
    settings.scratch.clear();
    // The scan has checked the escapes and the encoding.
    scanner.unescape(text, &mut settings.scratch).map_err(|_| Mismatch("a broken escape"))?;
    let text = std::str::from_utf8(&settings.scratch).map_err(|_| Mismatch("a string that is not UTF-8"))?;
    push_text(column, text, settings.timestamps)
}

fn push_boolean(value: bool, column: &mut Column) -> Result<bool, Mismatch> {
    match column {
        Column::Boolean(booleans) => booleans.push(value),
        Column::Utf8(strings) => strings.push(if value { b"true" } else { b"false" }),
        other => return Err(expected(other)),
    }
    Ok(true)
}

/// Adds a number. In INT and BIGINT columns a fraction is cut off.
fn push_number(text: &str, is_whole: bool, column: &mut Column, settings: &Settings) -> Result<bool, Mismatch> {
    match column {
        Column::Int32(values) if !is_whole => {
            let value = cut(text).and_then(|value| i32::try_from(value).ok());
            values.push(value.ok_or(Mismatch("expected an INT"))?);
        }
        Column::Int64(values) if !is_whole => values.push(cut(text).ok_or(Mismatch("expected a BIGINT"))?),
        Column::Decimal { values, precision, scale } => {
            match numbers::parse_decimal(text.as_bytes(), *precision, *scale) {
                Some(Decimal::Fits(unscaled)) => values.push(unscaled),
                Some(Decimal::TooLarge) => {
                    column.push_null();
                    return Ok(false);
                }
                None => return Err(Mismatch("expected a DECIMAL")),
            }
        }
        Column::Binary(_) => return Err(Mismatch("expected base64 in a string")),
        other => return push_text(other, text, settings.timestamps),
    }
    Ok(true)
}

/// The whole part of a number, if it fits in a BIGINT.
fn cut(text: &str) -> Option<i64> {
    let value: f64 = text.parse().ok()?;
    // The bounds are exact: -2^63 and 2^63.
    (value >= i64::MIN as f64 && value < -(i64::MIN as f64)).then_some(value as i64)
}

/// Adds an object or array. The outer result is about the record, the inner one about the value.
fn push_container(
    scanner: &mut Scanner<'_>,
    column: &mut Column,
    shape: &mut Shape,
    settings: &mut Settings,
    depth: usize,
) -> Scan<Result<bool, Mismatch>> {
    let is_object = scanner.peek() == Some(b'{');
    match (&mut *column, shape) {
        (Column::Struct(structs), Shape::Row(fields)) if is_object => {
            let before = structs.len();
            fields.read_object(scanner, &mut structs.children, before, settings, depth)?;
            structs.end_row();
        }
        (Column::List(lists), Shape::List { element, nullable }) if !is_object => {
            scanner.open(depth)?;
            let mut first = true;
            while scanner.next_element(&mut first)? {
                scanner.skip_space();
                read_value(scanner, &mut lists.elements, element, *nullable, settings, depth + 1)?;
            }
            lists.end_list();
        }
        (Column::Map(maps), Shape::Map { value, nullable }) if is_object => {
            scanner.open(depth)?;
            let from = scanner.at;
            read_entries(scanner, maps, value, *nullable, settings, depth, None)?;
            if let Some(keep) = maps.without_duplicates() {
                maps.restart_map();
                scanner.at = from;
                read_entries(scanner, maps, value, *nullable, settings, depth, Some(&keep))?;
            }
            maps.end_map();
        }
        (Column::Utf8(strings), _) => {
            strings.push_with(|out| copy_compact(scanner, out, depth))?;
        }
        (other, _) => {
            let mismatch = expected(other);
            scanner.skip_value(depth)?;
            return Ok(Err(mismatch));
        }
    }
    Ok(Ok(true))
}

/// Reads the entries of an object into the current map, up to the object's end. With `keep`, reads only the entries
/// that it selects.
fn read_entries(
    scanner: &mut Scanner<'_>,
    maps: &mut Maps,
    value: &mut Shape,
    nullable: bool,
    settings: &mut Settings,
    depth: usize,
    keep: Option<&[bool]>,
) -> Scan<()> {
    let mut first = true;
    let mut index = 0;
    while let Some(key) = scanner.next_key(&mut first)? {
        if keep.is_none_or(|keep| keep.get(index).copied().unwrap_or(true)) {
            if let Column::Utf8(keys) = &mut *maps.keys {
                keys.push_with(|out| scanner.unescape(key, out))?;
            }
            scanner.skip_space();
            read_value(scanner, &mut maps.values, value, nullable, settings, depth + 1)?;
        } else {
            scanner.skip_value(depth + 1)?;
        }
        index += 1;
    }
    Ok(())
}

/// The kind of text that a column expects, for messages.
fn expected(column: &Column) -> Mismatch {
    Mismatch(match column {
        Column::Boolean(_) => "expected a BOOLEAN",
        Column::Int8(_) => "expected a TINYINT",
        Column::Int16(_) => "expected a SMALLINT",
        Column::Int32(_) => "expected an INT",
        Column::Int64(_) => "expected a BIGINT",
        Column::Float32(_) => "expected a FLOAT",
        Column::Float64(_) => "expected a DOUBLE",
        Column::Decimal { .. } => "expected a DECIMAL",
        Column::Date(_) => "expected a DATE",
        Column::Time(_) => "expected a TIME",
        Column::Timestamp { .. } => "expected a TIMESTAMP",
        Column::Utf8(_) => "expected a STRING",
        Column::Binary(_) => "expected base64 in a string",
        Column::List(_) => "expected an ARRAY",
        Column::Map(_) => "expected a MAP, which is an object in JSON",
        Column::Struct(_) => "expected a ROW, which is an object in JSON",
    })
}

/// Appends a value's JSON text without white space.
fn copy_compact(scanner: &mut Scanner<'_>, out: &mut Vec<u8>, depth: usize) -> Scan<()> {
    scanner.skip_space();
    let from = scanner.at;
    match scanner.peek() {
        Some(b'"') => {
            let text = scanner.string()?;
            copy_string(scanner, text, out)
        }
        Some(b'{') => {
            scanner.open(depth)?;
            out.push(b'{');
            let mut first = true;
            while let Some(key) = scanner.next_key(&mut first)? {
                if out.last() != Some(&b'{') {
                    out.push(b',');
                }
                copy_string(scanner, key, out)?;
                out.push(b':');
                copy_compact(scanner, out, depth + 1)?;
            }
            out.push(b'}');
            Ok(())
        }
        Some(b'[') => {
            scanner.open(depth)?;
            out.push(b'[');
            let mut first = true;
            while scanner.next_element(&mut first)? {
                if out.last() != Some(&b'[') {
                    out.push(b',');
                }
                copy_compact(scanner, out, depth + 1)?;
            }
            out.push(b']');
            Ok(())
        }
        _ => {
            scanner.skip_value(depth)?;
            out.extend_from_slice(&scanner.bytes[from..scanner.at]);
            Ok(())
        }
    }
}

fn copy_string(scanner: &Scanner<'_>, text: Text, out: &mut Vec<u8>) -> Scan<()> {
    let mut value = Vec::with_capacity(text.end - text.start);
    scanner.unescape(text, &mut value)?;
    write_string(&value, out);
    Ok(())
}
