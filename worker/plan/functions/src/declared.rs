//! The parts of a declared type that its Arrow type does not have: lengths, digits of a fraction, NOT NULL inside
//! ARRAY, MAP and ROW.
//!
//! A CAST trims and pads values with [`cut`]. A sink table uses [`enforce`] to refuse or fit values, and [`is_whole`]
//! to drop rows with a NULL where none is allowed. Between source and sink, values do not carry these constraints.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryBuilder, ListArray, MapArray, PrimitiveArray, StringBuilder,
    StructArray,
};
use arrow::compute::unary;
use arrow::datatypes::{DataType, Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType};
use eddyline_expression::{Result, ScalarFunction, Syntax, value_err};
use eddyline_stream::sql_type;

use crate::collection::with_one_entry_a_key;
use crate::function::{Returns, function};
use crate::string::pad::first_characters;

/// A declared type, without its Arrow type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// `NOT NULL`.
    pub not_null: bool,
    /// The constraint.
    pub shape: Shape,
}

/// A constraint of a declared type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// No constraint.
    Plain,
    /// `CHAR(n)`: exactly n characters.
    Char(u32),
    /// `VARCHAR(n)`: at most n characters.
    Varchar(u32),
    /// `BINARY(n)`: exactly n bytes.
    Binary(u32),
    /// `VARBINARY(n)`: at most n bytes.
    Varbinary(u32),
    /// `TIME(p)`, `TIMESTAMP(p)`: p digits of the fraction of a second.
    Digits(u32),
    /// `ARRAY<…>`.
    Array(Box<Declared>),
    /// `MAP<…>`: the declared types of the keys and of the values.
    Map {
        /// The declared type of the keys.
        key: Box<Declared>,
        /// The declared type of the values.
        value: Box<Declared>,
    },
    /// `ROW<…>`: names and declared types of the fields.
    Row(Vec<(String, Declared)>),
}

/// The depth to which a sink checks values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Only the column.
    #[default]
    Column,
    /// Also to the fields of a ROW.
    Rows,
    /// Also to the elements of an ARRAY and the entries of a MAP.
    Collections,
}

/// What a sink does with a value that is longer or shorter than declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lengths {
    /// It is written unchanged.
    #[default]
    Ignore,
    /// It is trimmed, or padded with blanks or zeros.
    Fit,
    /// The job fails.
    Refuse,
}

/// A column of a sink table, and the checks of its values.
#[derive(Clone, Debug)]
pub struct Constraint {
    /// The table, for messages.
    pub table: String,
    /// The column, for messages.
    pub column: String,
    /// The declared type.
    pub declared: Declared,
    /// The depth of the checks.
    pub reach: Reach,
}

impl Shape {
    /// Whether a length is declared, in the value or as far into it as `reach`.
    pub fn has_lengths(&self, reach: Reach) -> bool {
        match self {
            Self::Plain | Self::Digits(_) => false,
            Self::Char(_) | Self::Varchar(_) | Self::Binary(_) | Self::Varbinary(_) => true,
            inner => inner.parts(reach).iter().any(|part| part.shape.has_lengths(reach)),
        }
    }

    /// Whether NOT NULL is declared inside, as far as `reach`.
    pub fn has_not_null(&self, reach: Reach) -> bool {
        self.parts(reach).iter().any(|part| part.not_null || part.shape.has_not_null(reach))
    }

    fn has_digits(&self) -> bool {
        matches!(self, Self::Digits(_)) || self.parts(Reach::Collections).iter().any(|part| part.shape.has_digits())
    }

    /// The declared types of the parts of a value that are within reach.
    fn parts(&self, reach: Reach) -> Vec<&Declared> {
        match self {
            Self::Array(element) if reach == Reach::Collections => vec![element],
            Self::Map { key, value } if reach == Reach::Collections => vec![key, value],
            Self::Row(fields) if reach >= Reach::Rows => fields.iter().map(|(_, field)| field).collect(),
            _ => Vec::new(),
        }
    }

    /// The SQL name of the type with this shape and Arrow type.
    fn sql(&self, data_type: &DataType) -> String {
        match (self, data_type) {
            (Self::Digits(digits), DataType::Timestamp(_, Some(_))) => format!("TIMESTAMP_LTZ({digits})"),
            (Self::Digits(digits), DataType::Timestamp(..)) => format!("TIMESTAMP({digits})"),
            (Self::Digits(digits), _) => format!("TIME({digits})"),
            (Self::Array(element), DataType::List(field)) => format!("ARRAY<{}>", element.shape.sql(field.data_type())),
            (Self::Map { key, value }, DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(of) if of.len() == 2 => {
                    let (key, value) = (key.shape.sql(of[0].data_type()), value.shape.sql(of[1].data_type()));
                    format!("MAP<{key}, {value}>")
                }
                _ => sql_type(data_type),
            },
            (Self::Row(fields), DataType::Struct(of)) => {
                let fields = fields.iter().zip(of);
                let fields = fields.map(|((name, field), of)| format!("`{name}` {}", field.shape.sql(of.data_type())));
                format!("ROW<{}>", fields.collect::<Vec<_>>().join(", "))
            }
            (Self::Plain, _) => sql_type(data_type),
            (flat, _) => flat.name(),
        }
    }

    /// The name of a flat type.
    fn name(&self) -> String {
        match self {
            Self::Char(length) => format!("CHAR({length})"),
            Self::Varchar(length) => format!("VARCHAR({length})"),
            Self::Binary(length) => format!("BINARY({length})"),
            Self::Varbinary(length) => format!("VARBINARY({length})"),
            other => format!("{other:?}"),
        }
    }
}

/// The function that trims and pads values as a CAST to the declared type does. `None` if there is nothing to do.
pub fn cut(data_type: &DataType, shape: &Shape) -> Option<Arc<dyn ScalarFunction>> {
    if !shape.has_lengths(Reach::Collections) && !shape.has_digits() {
        return None;
    }
    let identity = format!("{data_type} {shape:?}");
    let syntax = Syntax::Cast { to: shape.sql(data_type), or_null: false };
    let shape = shape.clone();
    let cut =
        function("cut", &[], Returns::Argument(0), move |args| fitted(&args.spread(0)?, &shape, Reach::Collections));
    Some(cut.exactly(vec![data_type.clone()], identity).syntax(syntax).build())
}

/// A function that returns its value, fitted to the declared lengths, or fails if the value violates the declaration.
/// With `not_null`, a NULL fails too. `None` if there is nothing to enforce.
pub fn enforce(
    data_type: &DataType,
    constraint: &Constraint,
    lengths: Lengths,
    not_null: bool,
) -> Option<Arc<dyn ScalarFunction>> {
    let Constraint { declared, reach, .. } = constraint;
    let lengths = if declared.shape.has_lengths(*reach) { lengths } else { Lengths::Ignore };
    let not_null = not_null && (declared.not_null || declared.shape.has_not_null(*reach));
    if lengths == Lengths::Ignore && !not_null {
        return None;
    }
    let identity = format!("{data_type} {constraint:?} {lengths:?} {not_null}");
    let constraint = constraint.clone();
    let enforce = function("enforce", &[], Returns::Argument(0), move |args| {
        let Constraint { table, column, declared, reach } = &constraint;
        let array = args.spread(0)?;
        if not_null && let Some((_, place)) = nulls(&array, declared, *reach, column).into_iter().next() {
            return value_err!(
                "column '{place}' of '{table}' is NOT NULL, and a NULL would be written into it; \
                 SET 'table.exec.sink.not-null-enforcer' = 'DROP' drops such rows"
            );
        }
        match lengths {
            Lengths::Ignore => Ok(array),
            Lengths::Fit => fitted(&array, &declared.shape, *reach),
            Lengths::Refuse => match misfits(&array, declared, *reach, column).into_iter().next() {
                None => Ok(array),
                Some((_, (place, name, length))) => value_err!(
                    "column '{place}' of '{table}' is {name}, and a value of length {length} would be written into it; \
                     SET 'table.exec.sink.type-length-enforcer' = 'TRIM_PAD' trims and pads such values"
                ),
            },
        }
    });
    Some(enforce.exactly(vec![data_type.clone()], identity).build())
}

/// The condition that a value has no NULL where none is allowed. `None` if NULL is allowed everywhere.
pub fn is_whole(data_type: &DataType, constraint: &Constraint) -> Option<Arc<dyn ScalarFunction>> {
    let Constraint { declared, reach, .. } = constraint;
    if !declared.not_null && !declared.shape.has_not_null(*reach) {
        return None;
    }
    let identity = format!("{data_type} {constraint:?}");
    let constraint = constraint.clone();
    let is_whole = function("is_whole", &[], Returns::Type(DataType::Boolean), move |args| {
        let mut whole = vec![true; args.rows];
        for (row, _) in nulls(&args.spread(0)?, &constraint.declared, constraint.reach, &constraint.column) {
            whole[row] = false;
        }
        args.write_boolean(|row| Some(whole[row]))
    });
    Some(is_whole.exactly(vec![data_type.clone()], identity).never_fails().build())
}

/// The rows with a NULL where none is allowed, and its place.
fn nulls(array: &ArrayRef, declared: &Declared, reach: Reach, place: &str) -> Vec<(usize, String)> {
    let test = |array: &ArrayRef, declared: &Declared, place: &str| {
        if !declared.not_null || array.logical_null_count() == 0 {
            return Vec::new();
        }
        let nulls = array.logical_nulls();
        let is_null = |row: &usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(*row));
        (0..array.len()).filter(is_null).map(|row| (row, place.to_owned())).collect()
    };
    find(array, declared, reach, place, &test)
}

/// The rows with a value of another length than declared: its place, the type's name and the length.
fn misfits(array: &ArrayRef, declared: &Declared, reach: Reach, place: &str) -> Vec<(usize, (String, String, usize))> {
    let test = |array: &ArrayRef, declared: &Declared, place: &str| {
        let (limit, exact) = match declared.shape {
            Shape::Char(limit) | Shape::Binary(limit) => (limit as usize, true),
            Shape::Varchar(limit) | Shape::Varbinary(limit) => (limit as usize, false),
            _ => return Vec::new(),
        };
        let length = |row: usize| match array.data_type() {
            DataType::Utf8 => array.as_string::<i32>().value(row).chars().count(),
            _ => array.as_binary::<i32>().value(row).len(),
        };
        let valid = (0..array.len()).filter(|row| array.is_valid(*row)).map(|row| (row, length(row)));
        valid
            .filter(|(_, length)| *length > limit || (exact && *length < limit))
            .map(|(row, length)| (row, (place.to_owned(), declared.shape.name(), length)))
            .collect()
    };
    find(array, declared, reach, place, &test)
}

/// A test of an array. The text names the array's place. The result has the rows with a finding.
type Test<'t, T> = dyn Fn(&ArrayRef, &Declared, &str) -> Vec<(usize, T)> + 't;

/// The findings of `test` in a column and in its parts within reach, by row of the column.
fn find<T>(array: &ArrayRef, declared: &Declared, reach: Reach, place: &str, test: &Test<'_, T>) -> Vec<(usize, T)> {
    let mut found = test(array, declared, place);
    match &declared.shape {
        Shape::Row(fields) if reach >= Reach::Rows => {
            for ((name, field), column) in fields.iter().zip(array.as_struct().columns()) {
                let inside = find(column, field, reach, &format!("{place}.{name}"), test);
                found.extend(inside.into_iter().filter(|(row, _)| array.is_valid(*row)));
            }
        }
        Shape::Array(element) if reach == Reach::Collections => {
            let list = array.as_list::<i32>();
            let inside = find(list.values(), element, reach, &format!("{place}[]"), test);
            found.extend(of_rows(inside, list.value_offsets(), array));
        }
        Shape::Map { key, value } if reach == Reach::Collections => {
            let map = array.as_map();
            for (part, column) in [(key, map.keys()), (value, map.values())] {
                let inside = find(column, part, reach, &format!("{place}[]"), test);
                found.extend(of_rows(inside, map.value_offsets(), array));
            }
        }
        _ => {}
    }
    found
}

/// Converts findings in elements to findings in the rows that have these elements.
fn of_rows<T>(found: Vec<(usize, T)>, offsets: &[i32], rows: &ArrayRef) -> Vec<(usize, T)> {
    let row_of = |element: usize| {
        let element = i32::try_from(element).ok()?;
        let row = offsets.partition_point(|offset| *offset <= element).checked_sub(1)?;
        (row < rows.len() && rows.is_valid(row)).then_some(row)
    };
    found.into_iter().filter_map(|(element, what)| Some((row_of(element)?, what))).collect()
}

/// The values, trimmed and padded as declared.
fn fitted(array: &ArrayRef, shape: &Shape, reach: Reach) -> Result<ArrayRef> {
    Ok(match shape {
        Shape::Char(length) => fitted_text(array, *length as usize, true),
        Shape::Varchar(length) => fitted_text(array, *length as usize, false),
        Shape::Binary(length) => fitted_bytes(array, *length as usize, true),
        Shape::Varbinary(length) => fitted_bytes(array, *length as usize, false),
        Shape::Digits(digits) => match array.data_type() {
            DataType::Time32(_) => cut_fraction::<Time32MillisecondType>(array, 3, *digits),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                cut_fraction::<TimestampMicrosecondType>(array, 6, *digits)
            }
            DataType::Timestamp(..) => cut_fraction::<TimestampMillisecondType>(array, 3, *digits),
            other => return eddyline_expression::internal_err!("{} has no fraction", sql_type(other)),
        },
        Shape::Row(fields) if reach >= Reach::Rows => {
            let row = array.as_struct();
            let columns = fields.iter().zip(row.columns());
            let columns = columns.map(|((_, field), column)| fitted(column, &field.shape, reach));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new(row.fields().clone(), columns, row.nulls().cloned())?)
        }
        Shape::Array(element) if reach == Reach::Collections => {
            let list = array.as_list::<i32>();
            let DataType::List(field) = list.data_type() else { return Ok(Arc::clone(array)) };
            let elements = fitted(list.values(), &element.shape, reach)?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::try_new(Arc::clone(field), offsets, elements, nulls)?)
        }
        Shape::Map { key, value } if reach == Reach::Collections => {
            let map = array.as_map();
            let DataType::Map(field, sorted) = map.data_type() else { return Ok(Arc::clone(array)) };
            let columns = vec![fitted(map.keys(), &key.shape, reach)?, fitted(map.values(), &value.shape, reach)?];
            let entries = StructArray::try_new(map.entries().fields().clone(), columns, None)?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            // Different keys may have become equal.
            with_one_entry_a_key(&MapArray::try_new(Arc::clone(field), offsets, entries, nulls, *sorted)?)?
        }
        _ => Arc::clone(array),
    })
}

fn fitted_text(array: &ArrayRef, length: usize, fills: bool) -> ArrayRef {
    let text = array.as_string::<i32>();
    let mut builder = StringBuilder::with_capacity(text.len(), text.value_data().len());
    let mut value = String::new();
    for row in text {
        let kept = row.map(|text| first_characters(text, length));
        match kept {
            Some(kept) if fills => {
                value.clear();
                value.push_str(kept);
                value.extend(std::iter::repeat_n(' ', length.saturating_sub(kept.chars().count())));
                builder.append_value(&value);
            }
            kept => builder.append_option(kept),
        }
    }
    Arc::new(builder.finish())
}

fn fitted_bytes(array: &ArrayRef, length: usize, fills: bool) -> ArrayRef {
    let bytes = array.as_binary::<i32>();
    let mut builder = BinaryBuilder::with_capacity(bytes.len(), bytes.value_data().len());
    let mut value = Vec::new();
    for row in bytes {
        let kept = row.map(|bytes| &bytes[..bytes.len().min(length)]);
        match kept {
            Some(kept) if fills => {
                value.clear();
                value.extend(kept);
                value.resize(length, 0);
                builder.append_value(&value);
            }
            kept => builder.append_option(kept),
        }
    }
    Arc::new(builder.finish())
}

/// Cuts the fraction of a second from `digits_given` digits to `digits`.
fn cut_fraction<T: ArrowPrimitiveType>(array: &ArrayRef, digits_given: u32, digits: u32) -> ArrayRef
where
    T::Native: Into<i64> + TryFrom<i64> + Default,
{
    let unit = 10_i64.pow(digits_given.saturating_sub(digits));
    let cut: PrimitiveArray<T> = unary(array.as_primitive::<T>(), |value: T::Native| {
        let value: i64 = value.into();
        T::Native::try_from(value - value.rem_euclid(unit)).unwrap_or_default()
    });
    Arc::new(cut.with_data_type(array.data_type().clone()))
}
