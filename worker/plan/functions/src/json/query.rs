//! Reading JSON: `JSON_VALUE`, `JSON_QUERY`, `JSON_EXISTS`, `IS JSON`.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use eddyline_expression::{Expr, Result, ScalarFunction, plan_err, value_err};

use super::document::{Json, push_number};
use super::path::{Found, Mode, Path};
use crate::arguments::Arguments;
use crate::cast::{number, text};
use crate::function::{Returns, function, literal_text};
use crate::parameters::Parameter;
use crate::time::zone::Zone;

/// The functions of this module.
pub(super) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    use Parameter::{Any, Text};
    const VALUE: &[&[Parameter]] = &[
        &[Text, Text],
        &[Text, Text, Text],
        &[Text, Text, Text, Text],
        &[Text, Text, Text, Text, Any],
        &[Text, Text, Text, Text, Any, Text],
        &[Text, Text, Text, Text, Any, Text, Any],
    ];
    const QUERY: &[&[Parameter]] =
        &[&[Text, Text], &[Text, Text, Text], &[Text, Text, Text, Text], &[Text, Text, Text, Text, Text]];
    vec![
        function("json_value", VALUE, Returns::From(returned_type), json_value).check(check_path).build(),
        function("json_query", QUERY, Returns::Type(DataType::Utf8), json_query).check(check_path).build(),
        function("json_exists", &[&[Text, Text], &[Text, Text, Text]], Returns::Type(DataType::Boolean), json_exists)
            .check(check_path)
            .build(),
        function("is_json", &[&[Text], &[Text, Text]], Returns::Type(DataType::Boolean), is_json).build(),
    ]
}

fn check_path(args: &[Expr]) -> Result<()> {
    match literal_text(args, 1).map(Path::compile) {
        Some(Err(reason)) => plan_err!("{reason}"),
        _ => Ok(()),
    }
}

fn returned_type(args: &[Expr]) -> Result<DataType> {
    Ok(match literal_text(args, 2).map(str::to_ascii_uppercase).as_deref() {
        None | Some("STRING" | "VARCHAR") => DataType::Utf8,
        Some("BOOLEAN") => DataType::Boolean,
        Some("INTEGER" | "INT") => DataType::Int32,
        Some("BIGINT") => DataType::Int64,
        Some("DOUBLE") => DataType::Float64,
        Some(other) => {
            return plan_err!("JSON_VALUE cannot return {other}; STRING, BOOLEAN, INTEGER, BIGINT and DOUBLE can be");
        }
    })
}

/// The path of the previous row. The next row nearly always has the same one.
#[derive(Default)]
struct LastPath(RefCell<Option<(String, Arc<Path>)>>);

impl LastPath {
    fn get(&self, text: &str) -> Result<Arc<Path>> {
        let mut last = self.0.borrow_mut();
        match &*last {
            Some((known, path)) if known == text => Ok(Arc::clone(path)),
            _ => match Path::compile(text) {
                Ok(path) => {
                    let path = Arc::new(path);
                    *last = Some((text.to_owned(), Arc::clone(&path)));
                    Ok(path)
                }
                Err(reason) => value_err!("{reason}"),
            },
        }
    }
}

/// The result of a path in a document.
enum Outcome<'a> {
    Value(Json<'a>),
    Empty,
    Error,
}

fn look_up<'a>(document: &'a str, path: &Path) -> Outcome<'a> {
    match Json::parse(document).map(|document| path.find(&document)) {
        Some(Ok(Found::Value(value))) => Outcome::Value(value),
        Some(Ok(Found::Nothing)) => Outcome::Empty,
        // In lax mode a text that is not JSON counts as empty.
        None if path.mode == Mode::Lax => Outcome::Empty,
        Some(Err(())) | None => Outcome::Error,
    }
}

/// The result of JSON_VALUE for one row, before it is converted to the returned type.
fn scalar(document: &str, path: &Path) -> Outcome<'static> {
    match (look_up(document, path), path.mode) {
        (Outcome::Value(value), _) if value.is_scalar() => Outcome::Value(match value {
            Json::Text(text) => Json::Text(text.into_owned().into()),
            Json::Number(number) => {
                let mut text = String::new();
                push_number(number, &mut text);
                Json::Text(text.into())
            }
            Json::Boolean(value) => Json::Boolean(value),
            _ => Json::Null,
        }),
        (Outcome::Value(_), Mode::Lax) | (Outcome::Empty, _) => Outcome::Empty,
        _ => Outcome::Error,
    }
}

fn json_value(args: &Arguments) -> Result<ArrayRef> {
    macro_rules! primitive {
        ($T:ty, $parse:expr) => {{
            let values = scalars(args, |text| $parse(text).is_some())?;
            args.write::<$T>(|row| values[row].as_deref().and_then($parse))
        }};
    }
    let integer = |text: &str| i32::try_from(number::parse_integer(text)?).ok();
    match args.return_type {
        DataType::Boolean => {
            let values = scalars(args, |text| number::parse_boolean(text).is_some())?;
            args.write_boolean(|row| values[row].as_deref().and_then(number::parse_boolean))
        }
        DataType::Int32 => primitive!(Int32Type, integer),
        DataType::Int64 => primitive!(Int64Type, number::parse_integer),
        DataType::Float64 => primitive!(Float64Type, number::parse_double),
        _ => {
            let values = scalars(args, |_| true)?;
            args.write_text(|row, out| Some(out.push_str(values[row].as_deref()?)))
        }
    }
}

/// The value of each row as text. If `fits` refuses it, the ON ERROR clause gives the value.
fn scalars(args: &Arguments, fits: impl Fn(&str) -> bool) -> Result<Vec<Option<String>>> {
    let (document, path, last) = (args.text(0)?, args.text(1)?, LastPath::default());
    let mut values = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let (Some(document), Some(path)) = (document.get(row), path.get(row)) else {
            values.push(None);
            continue;
        };
        let outcome = match scalar(document, &*last.get(path)?) {
            Outcome::Value(Json::Text(text)) if fits(&text) => Outcome::Value(Json::Text(text)),
            Outcome::Value(Json::Boolean(value)) if fits(if value { "true" } else { "false" }) => {
                Outcome::Value(Json::Text(if value { "true" } else { "false" }.into()))
            }
            Outcome::Empty => Outcome::Empty,
            _ => Outcome::Error,
        };
        values.push(match outcome {
            Outcome::Value(Json::Text(text)) => Some(text.into_owned()),
            Outcome::Empty => otherwise(args, row, 3, "is empty", path)?,
            _ => otherwise(args, row, 5, "is an error", path)?,
        });
    }
    Ok(values)
}

/// The value of the ON EMPTY or ON ERROR clause at `position`. Its default is the next argument.
fn otherwise(args: &Arguments, row: usize, position: usize, what: &str, path: &str) -> Result<Option<String>> {
    let behaviour =
        if args.len() > position { args.text(position)?.get(row).map(str::to_ascii_uppercase) } else { None };
    match behaviour.as_deref() {
        None | Some("NULL") => Ok(None),
        Some("ERROR") => value_err!("JSON_VALUE: the result of path '{path}' {what}"),
        Some("DEFAULT") => {
            let Some(default) = args.columns.get(position + 1) else { return Ok(None) };
            let mut out = String::new();
            let index = default.index(row);
            let printed = text::push_value(default.array(), index, None, Zone::UTC, &mut out);
            // A BOOLEAN default is written as in JSON.
            let lower = *default.array().data_type() == DataType::Boolean;
            Ok(printed.map(|()| if lower { out.to_ascii_lowercase() } else { out }))
        }
        Some(other) => value_err!("JSON_VALUE: '{other}' is not NULL, ERROR or DEFAULT"),
    }
}

fn json_query(args: &Arguments) -> Result<ArrayRef> {
    let (document, path, last) = (args.text(0)?, args.text(1)?, LastPath::default());
    let clause = |position: usize| args.constant_text(position).map(str::to_ascii_uppercase);
    let (wrapper, on_empty, on_error) = (clause(2), clause(3), clause(4));
    args.try_write_text(|row, out| {
        let (Some(document), Some(text)) = (document.get(row), path.get(row)) else { return Ok(None) };
        let path = last.get(text)?;
        let value = match look_up(document, &path) {
            Outcome::Value(value) => match wrapper.as_deref() {
                Some("UNCONDITIONAL") => Some(Json::Array(vec![value])),
                Some("CONDITIONAL") if !matches!(value, Json::Array(_)) => Some(Json::Array(vec![value])),
                _ => Some(value),
            },
            Outcome::Empty => None,
            Outcome::Error => return instead(on_error.as_deref(), "is an error", text, out),
        };
        match value {
            Some(value) if !value.is_scalar() => Ok(Some(value.write(out))),
            Some(_) if path.mode == Mode::Strict => {
                instead(on_error.as_deref(), "is not an array or object", text, out)
            }
            _ => instead(on_empty.as_deref(), "is empty", text, out),
        }
    })
}

fn instead(behaviour: Option<&str>, what: &str, path: &str, out: &mut String) -> Result<Option<()>> {
    match behaviour {
        None | Some("NULL") => return Ok(None),
        Some("EMPTY ARRAY") => out.push_str("[]"),
        Some("EMPTY OBJECT") => out.push_str("{}"),
        Some("ERROR") => return value_err!("JSON_QUERY: the result of path '{path}' {what}"),
        Some(other) => return value_err!("JSON_QUERY: '{other}' is not NULL, EMPTY ARRAY, EMPTY OBJECT or ERROR"),
    }
    Ok(Some(()))
}

fn json_exists(args: &Arguments) -> Result<ArrayRef> {
    let (document, path, last) = (args.text(0)?, args.text(1)?, LastPath::default());
    let on_error = args.constant_text(2).map(str::to_ascii_uppercase);
    let mut answers = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let (Some(document), Some(path)) = (document.get(row), path.get(row)) else {
            answers.push(None);
            continue;
        };
        answers.push(match (look_up(document, &*last.get(path)?), on_error.as_deref()) {
            (Outcome::Value(_), _) => Some(true),
            (Outcome::Empty, _) | (Outcome::Error, None | Some("FALSE")) => Some(false),
            (Outcome::Error, Some("TRUE")) => Some(true),
            (Outcome::Error, Some("UNKNOWN")) => None,
            (Outcome::Error, Some(_)) => return value_err!("JSON_EXISTS: the result of path '{path}' is an error"),
        });
    }
    args.write_boolean(|row| answers[row])
}

fn is_json(args: &Arguments) -> Result<ArrayRef> {
    let text = args.text(0)?;
    let kind = args.constant_text(1).map(str::to_ascii_uppercase);
    args.write_boolean(|row| {
        let document = text.get(row).and_then(Json::parse);
        Some(match (document, kind.as_deref()) {
            (None, _) => false,
            (Some(document), Some("SCALAR")) => document.is_scalar(),
            (Some(document), Some("ARRAY")) => matches!(document, Json::Array(_)),
            (Some(document), Some("OBJECT")) => matches!(document, Json::Object(_)),
            _ => true,
        })
    })
}
