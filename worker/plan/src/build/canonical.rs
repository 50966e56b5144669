//! Expressions in a canonical spelling: what they compute from columns of sources. Aliases play no part.
//!
//! The spelling is kept in checkpoints. A new release must spell an expression as older releases did, or state would
//! seem to belong to another computation. So the spelling is independent of the SQL that EXPLAIN shows. It is compared
//! and read, never parsed.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, DecimalType, FieldRef};
use arrow::util::display::array_value_to_string;
use eddyline_expression::{Comparison, Kind, Scalar, has_floats};
use eddyline_state::meaning::short_digest;
use eddyline_stream::cast::cast;
use eddyline_stream::sql_type;

use crate::bind::relation::Expression;

/// The longest spelling. Nested queries can square the size of expressions. A longer spelling is cut, and ends in a
/// digest.
const CHARACTERS_MAX: usize = 400;

/// Spells an expression. `columns` are the spellings of its input columns.
pub(crate) fn spell(expression: &Expression, columns: &[String]) -> String {
    let of = |expression: &Expression| spell(expression, columns);
    let list = |expressions: &[Expression]| expressions.iter().map(of).collect::<Vec<_>>().join(", ");
    let text = match expression.kind() {
        Kind::Column { index, .. } => return columns.get(*index).cloned().unwrap_or_else(|| format!("#{index}")),
        Kind::Literal(literal) => spell_value(literal.value()),
        Kind::Compare { operator, left, right } => {
            let (of_left, of_right, operands) = (of(left), of(right), left.data_type());
            match operator {
                // Older releases computed these by functions, so they are spelled as calls.
                Comparison::Distinct | Comparison::NotDistinct if has_floats(operands) => {
                    format!("{operator}({of_left}, {of_right} {operands})")
                }
                Comparison::NotEq if !has_floats(operands) => format!("({of_left} != {of_right})"),
                _ => format!("({of_left} {operator} {of_right})"),
            }
        }
        Kind::Calculate { operator, left, right } => format!("({} {operator} {})", of(left), of(right)),
        Kind::Negate(value) => format!("(- {})", of(value)),
        Kind::And(left, right) => format!("({} AND {})", of(left), of(right)),
        Kind::Or(left, right) => format!("({} OR {})", of(left), of(right)),
        Kind::Not(value) => format!("(NOT {})", of(value)),
        Kind::Case(case) => {
            let mut text = "CASE".to_owned();
            text.extend(case.operand.iter().map(|value| format!(" {}", of(value))));
            text.extend(case.branches.iter().map(|(when, then)| format!(" WHEN {} THEN {}", of(when), of(then))));
            text.extend(case.otherwise.iter().map(|value| format!(" ELSE {}", of(value))));
            text + " END"
        }
        Kind::In(one_of) => {
            let not = if one_of.negated { "NOT " } else { "" };
            format!("({} {not}IN ({}))", of(&one_of.value), list(&one_of.list))
        }
        Kind::Like { value, pattern, negated } => {
            let not = if *negated { "NOT " } else { "" };
            format!("({} {not}LIKE {})", of(value), of(pattern))
        }
        Kind::Similar(similar) => {
            let not = if similar.negated { "!" } else { "" };
            format!("({} {not}~ {})", of(&similar.value), spell_value(&similar.regex.as_str().into()))
        }
        Kind::IsNull(value) => format!("({} IS NULL)", of(value)),
        Kind::IsNotNull(value) => format!("({} IS NOT NULL)", of(value)),
        Kind::Cast { value, or_null } => {
            let or_null = if *or_null { "TRY_" } else { "" };
            format!("{or_null}CAST({} AS {})", of(value), sql_type(expression.data_type()))
        }
        Kind::Field { row, name, .. } => format!("get_field({}, {})", of(row), spell_value(&name.as_str().into())),
        Kind::Element { of: container, at } => format!("item_at({}, {})", of(container), of(at)),
        Kind::Call(call) => match (call.function.name(), call.function.detail()) {
            (name, "") => format!("{name}({})", list(&call.arguments)),
            (name, detail) => format!("{name}({} {detail})", list(&call.arguments)),
        },
    };
    short(text)
}

/// Adds the conditions of a filter to `into`: the filter holds if all of them hold.
pub(crate) fn conditions(filter: &Expression, columns: &[String], into: &mut Vec<String>) {
    if let Kind::And(left, right) = filter.kind() {
        conditions(left, columns, into);
        conditions(right, columns, into);
    } else if let Some((first, second)) = guarded(filter) {
        conditions(first, columns, into);
        conditions(second, columns, into);
    } else {
        into.push(spell(filter, columns));
    }
}

/// The two conditions of `CASE WHEN first THEN second ELSE FALSE END`. The planner once wrote AND in this form, so that
/// the second condition is not evaluated for rows that the first one drops.
fn guarded(filter: &Expression) -> Option<(&Expression, &Expression)> {
    let Kind::Case(case) = filter.kind() else { return None };
    let is_false = case.otherwise.as_ref()?.as_literal() == Some(&Scalar::Boolean(Some(false)));
    match case.branches.as_slice() {
        [(first, second)] if is_false && case.operand.is_none() => Some((first, second)),
        _ => None,
    }
}

/// Shortens a text to a bounded length. A digest keeps different texts different.
pub(crate) fn short(text: String) -> String {
    if text.chars().count() <= CHARACTERS_MAX {
        return text;
    }
    let beginning: String = text.chars().take(CHARACTERS_MAX / 2).collect();
    format!("{beginning}… #{}", short_digest(&text))
}

fn spell_value(value: &Scalar) -> String {
    match value {
        Scalar::Utf8(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        Scalar::Boolean(Some(value)) => value.to_string().to_uppercase(),
        Scalar::Int32(Some(number)) => number.to_string(),
        other if other.is_null() => format!("CAST(NULL AS {})", sql_type(&other.data_type())),
        other => format!("CAST('{}' AS {})", plain(other), sql_type(&other.data_type())),
    }
}

/// Spells a value that is not NULL, without its type.
fn plain(value: &Scalar) -> String {
    match value {
        Scalar::Float32(Some(value)) => value.to_string(),
        Scalar::Float64(Some(value)) => value.to_string(),
        Scalar::Decimal128(Some(value), precision, scale) => Decimal128Type::format_decimal(*value, *precision, *scale),
        Scalar::Time32Millisecond(Some(value)) | Scalar::IntervalYearMonth(Some(value)) => value.to_string(),
        Scalar::TimestampMillisecond(Some(value), _)
        | Scalar::TimestampMicrosecond(Some(value), _)
        | Scalar::DurationMillisecond(Some(value))
        | Scalar::DurationMicrosecond(Some(value)) => value.to_string(),
        Scalar::Binary(Some(bytes)) => bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
        Scalar::Nested(array) => {
            let array = &in_offset(array);
            match reads_as_one(array) {
                true => plain_nested(array),
                false => format!("{} #{}", plain_nested(array), short_digest(&exactly(array, 0))),
            }
        }
        other => array_value_to_string(&other.to_array(), 0).unwrap_or_default(),
    }
}

/// The values with an offset in place of the time zone UTC: Arrow prints both alike, and this without a database of zones.
fn in_offset(array: &ArrayRef) -> ArrayRef {
    fn of(data_type: &DataType) -> DataType {
        let field = |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(of(field.data_type())));
        match data_type {
            DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("+00:00".into())),
            DataType::List(element) => DataType::List(field(element)),
            DataType::Map(entries, is_sorted) => DataType::Map(field(entries), *is_sorted),
            DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
            plain => plain.clone(),
        }
    }
    cast(array, &of(array.data_type())).unwrap_or_else(|_| Arc::clone(array))
}

fn plain_nested(array: &ArrayRef) -> String {
    let of = |array: &ArrayRef, row: usize| array_value_to_string(array, row).unwrap_or_default();
    match array.data_type() {
        DataType::Struct(fields) => {
            let field = |(field, column): (&arrow::datatypes::FieldRef, &ArrayRef)| {
                let value = match column.data_type() {
                    DataType::Struct(_) if column.is_null(0) => "NULL".to_owned(),
                    DataType::Struct(_) => plain_nested(column),
                    _ => of(column, 0),
                };
                format!("{}:{value}", field.name())
            };
            let fields: Vec<String> = fields.iter().zip(array.as_struct().columns()).map(field).collect();
            format!("{{{}}}", fields.join(","))
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(0);
            let entry = |row| format!("{}:{}", of(entries.column(0), row), of(entries.column(1), row));
            let entries: Vec<String> = (0..entries.len()).map(entry).collect();
            format!("[{{{}}}]", entries.join(","))
        }
        _ => of(array, 0),
    }
}

/// Whether no other value of the type has the same spelling. NULL is spelled as an empty text, and a comma in a text
/// like a comma between two elements.
fn reads_as_one(array: &dyn Array) -> bool {
    let separates = |text: &str| text.is_empty() || text.contains([',', ':', '[', ']', '{', '}']);
    array.null_count() == 0
        && match array.data_type() {
            DataType::Utf8 => !array.as_string::<i32>().iter().flatten().any(separates),
            DataType::Binary => !array.as_binary::<i32>().iter().flatten().any(<[u8]>::is_empty),
            DataType::List(_) => reads_as_one(&array.as_list::<i32>().value(0)),
            DataType::Map(..) => array.as_map().value(0).columns().iter().all(|column| reads_as_one(column)),
            DataType::Struct(_) => array.as_struct().columns().iter().all(|column| reads_as_one(column)),
            _ => true,
        }
}

/// An unambiguous spelling of a value: no other value of the type has the same.
fn exactly(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "NULL".to_owned();
    }
    let all = |parts: Vec<String>| format!("{}({})", parts.len(), parts.concat());
    let each = |array: &dyn Array| (0..array.len()).map(|row| exactly(array, row)).collect();
    match array.data_type() {
        DataType::List(_) => all(each(&array.as_list::<i32>().value(row))),
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            all(entries.columns().iter().map(|column| all(each(column))).collect())
        }
        DataType::Struct(_) => all(array.as_struct().columns().iter().map(|column| exactly(column, row)).collect()),
        _ => {
            let text = array_value_to_string(array, row).unwrap_or_default();
            format!("{}'{text}'", text.len())
        }
    }
}
