//! Compares the decoder with a simple model. Arbitrary documents give the same rows in both, although the decoder has
//! seen other documents before. Arbitrary bytes are accepted exactly when they are JSON.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type, SchemaRef};
use proptest::prelude::*;

use super::{decoder_with, map_of, nullable, schema};
use crate::decode::RecordDecoder;
use crate::json::Config;

/// A JSON document.
#[derive(Clone, Debug)]
enum Tree {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float(u64),
    Text(String),
    List(Vec<Cell>),
    Map(Vec<(String, Cell)>),
    Row(Vec<Cell>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Bool),
        any::<i32>().prop_map(|number| Tree::Number(number.to_string())),
        any::<i64>().prop_map(|number| Tree::Number(number.to_string())),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?".prop_map(Tree::Number),
        text().prop_map(Tree::Text),
        "[ ]?-?[0-9]{1,5}".prop_map(Tree::Text),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Tree::Array),
            proptest::collection::vec((name(), inner), 0..4).prop_map(Tree::Object),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    "[a-z \"\\\\/\n\té€😀\u{7f}]{0,20}"
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[abcdefgx]", "[abx]é?", Just("a rather long field name".to_owned())]
}

fn document() -> impl Strategy<Value = Tree> {
    let fields = proptest::collection::vec((name(), tree()), 0..8);
    let suited = (any::<i64>(), text(), any::<bool>(), any::<f64>(), proptest::collection::vec(any::<i64>(), 0..3))
        .prop_map(|(int, text, bool, float, list)| {
            let list = list.into_iter().map(|number| Tree::Number(number.to_string())).collect();
            let float = if float.is_finite() { format!("{float:?}") } else { "1.5".to_owned() };
            Tree::Object(vec![
                ("a".to_owned(), Tree::Text(text.clone())),
                ("b".to_owned(), Tree::Number(int.to_string())),
                ("c".to_owned(), Tree::Number(float)),
                ("d".to_owned(), Tree::Bool(bool)),
                ("e".to_owned(), Tree::Array(list)),
                ("f".to_owned(), Tree::Object(vec![("b".to_owned(), Tree::Text(text))])),
            ])
        });
    prop_oneof![fields.prop_map(Tree::Object), suited]
}

/// Writes a document with white space and escapes that depend on arbitrary numbers.
struct Spelling<'a> {
    choices: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl Spelling<'_> {
    fn choice(&mut self) -> u8 {
        *self.choices.next().unwrap_or(&0)
    }

    fn space(&mut self, out: &mut String) {
        out.push_str(["", "", "", " ", "\n", "\t  ", "\r\n"][usize::from(self.choice() % 7)]);
    }

    fn text(&mut self, text: &str, out: &mut String) {
        out.push('"');
        for character in text.chars() {
            match character {
                '"' | '\\' => out.extend(['\\', character]),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\u0009"),
                '/' if self.choice().is_multiple_of(2) => out.push_str("\\/"),
                _ if self.choice().is_multiple_of(16) => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(out, "\\u{unit:04x}").expect("a String takes everything");
                    }
                }
                _ => out.push(character),
            }
        }
        out.push('"');
    }

    fn write(&mut self, tree: &Tree, out: &mut String) {
        self.space(out);
        match tree {
            Tree::Null => out.push_str("null"),
            Tree::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Tree::Number(text) => out.push_str(text),
            Tree::Text(text) => self.text(text, out),
            Tree::Array(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    self.write(element, out);
                }
                self.space(out);
                out.push(']');
            }
            Tree::Object(fields) => {
                out.push('{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    self.space(out);
                    self.text(name, out);
                    self.space(out);
                    out.push(':');
                    self.write(value, out);
                }
                self.space(out);
                out.push('}');
            }
        }
        self.space(out);
    }
}

/// A tree without white space, as serde_json writes it.
fn compact(tree: &Tree) -> String {
    let quoted = |text: &str| serde_json::to_string(text).expect("a text can be written");
    match tree {
        Tree::Null => "null".to_owned(),
        Tree::Bool(value) => value.to_string(),
        Tree::Number(text) => text.clone(),
        Tree::Text(text) => quoted(text),
        Tree::Array(elements) => format!("[{}]", elements.iter().map(compact).collect::<Vec<_>>().join(",")),
        Tree::Object(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{}:{}", quoted(name), compact(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

fn model_schema() -> SchemaRef {
    let row = Fields::from(vec![nullable("b", DataType::Utf8), nullable("x", DataType::Int64)]);
    schema(vec![
        nullable("a", DataType::Utf8),
        nullable("b", DataType::Int64),
        nullable("c", DataType::Float64),
        nullable("d", DataType::Boolean),
        nullable("e", DataType::List(Arc::new(nullable("element", DataType::Int64)))),
        nullable("f", DataType::Struct(row)),
        nullable("g", map_of(DataType::Utf8)),
    ])
}

/// The value of a tree in a column. `None` if it does not fit.
fn convert(tree: &Tree, data_type: &DataType) -> Option<Cell> {
    Some(match (data_type, tree) {
        (_, Tree::Null) => Cell::Null,
        (DataType::Utf8, Tree::Text(text)) => Cell::Text(text.clone()),
        (DataType::Utf8, other) => Cell::Text(compact(other)),
        (DataType::Int64, Tree::Number(text)) => match text.parse::<i64>() {
            Ok(value) => Cell::Int(value),
            Err(_) if text.contains(['.', 'e', 'E']) => {
                let value = text.parse::<f64>().ok()?.trunc();
                Cell::Int(format!("{value:.0}").parse().ok()?)
            }
            Err(_) => return None,
        },
        (DataType::Int64, Tree::Text(text)) => Cell::Int(text.trim().parse().ok()?),
        (DataType::Float64, Tree::Number(text)) => Cell::Float(text.parse::<f64>().ok()?.to_bits()),
        (DataType::Float64, Tree::Text(text)) => Cell::Float(text.trim().parse::<f64>().ok()?.to_bits()),
        (DataType::Boolean, Tree::Bool(value)) => Cell::Bool(*value),
        (DataType::Boolean, Tree::Text(text)) => Cell::Bool(text.trim().eq_ignore_ascii_case("true")),
        (DataType::Boolean, Tree::Number(_)) => Cell::Bool(false),
        (DataType::List(element), Tree::Array(elements)) => {
            Cell::List(elements.iter().map(|tree| convert(tree, element.data_type())).collect::<Option<_>>()?)
        }
        (DataType::Struct(fields), Tree::Object(_)) => Cell::Row(convert_object(tree, fields)?),
        (DataType::Map(entries, _), Tree::Object(fields)) => {
            let DataType::Struct(types) = entries.data_type() else { return None };
            let cells: Vec<_> = fields
                .iter()
                .map(|(name, value)| Some((name.clone(), convert(value, types[1].data_type())?)))
                .collect::<Option<_>>()?;
            let is_last = |index: usize| cells[index + 1..].iter().all(|(name, _)| *name != cells[index].0);
            Cell::Map((0..cells.len()).filter(|index| is_last(*index)).map(|index| cells[index].clone()).collect())
        }
        _ => return None,
    })
}

/// The values of an object's columns. Every value must fit, even one that a later field replaces.
fn convert_object(tree: &Tree, fields: &Fields) -> Option<Vec<Cell>> {
    let Tree::Object(values) = tree else { return None };
    let mut cells = vec![Cell::Null; fields.len()];
    for (name, value) in values {
        if let Some((index, field)) = fields.find(name) {
            cells[index] = convert(value, field.data_type())?;
        }
    }
    Some(cells)
}

fn cell(array: &dyn Array, row: usize) -> Cell {
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Cell::Float(array.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(row);
            Cell::List((0..elements.len()).map(|index| cell(&elements, index)).collect())
        }
        DataType::Struct(_) => Cell::Row(array.as_struct().columns().iter().map(|column| cell(column, row)).collect()),
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let keys = entries.column(0).as_string::<i32>();
            let values = entries.column(1);
            Cell::Map((0..keys.len()).map(|index| (keys.value(index).to_owned(), cell(values, index))).collect())
        }
        other => panic!("the model has no column of type {other}"),
    }
}

/// Pieces of JSON, and pieces that are not JSON.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&'static [u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"\"a\"",
        b"\"b\"",
        b"\"zz\"",
        b"\"a\":",
        b",\"b\":",
        b"null",
        b"true",
        b"fals",
        b"0",
        b"-",
        b"12",
        b"1.5",
        b"e3",
        b".",
        b" ",
        b"\n",
        b"\\u00e9",
        b"\\ud83d",
        b"\\ude00",
        b"\xc3\xa9",
        b"\xc3",
        b"\xff",
        b"\0",
        b"a",
        b"{}",
        b"[]",
        b"12345678",
        b"\"twelve chars\"",
    ];
    proptest::collection::vec(proptest::sample::select(pieces), 0..16).prop_map(|pieces| pieces.concat())
}

/// Whether the bytes are a JSON object, and whether they are a record that gives no row.
fn expected_of(bytes: &[u8]) -> (bool, bool) {
    let blank = bytes.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    match serde_json::from_slice::<serde_json::Value>(bytes) {
        Ok(value) => (value.is_object(), value.is_null()),
        // A number may be greater than every double. serde_json checks its digits if it does not have to convert it.
        Err(error) if error.to_string().starts_with("number out of range") => {
            let is_valid = serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
            (is_valid && bytes.trim_ascii_start().starts_with(b"{"), false)
        }
        Err(_) => (false, blank),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn bytes_are_accepted_exactly_when_they_are_json_even_if_a_number_is_out_of_range(exponent in 0u32..400) {
        let mut decoder = decoder_with(&Config::default(), &schema(vec![Field::new("absent", DataType::Utf8, true)]));
        let record = format!("{{\"a\":12345678e{exponent}}}");
        prop_assert_eq!(expected_of(record.as_bytes()), (true, false));
        prop_assert_eq!(decoder.decode(record.as_bytes()), Ok(1));
    }

    #[test]
    fn documents_become_what_a_plain_conversion_makes_of_them(
        documents in proptest::collection::vec(document(), 1..5),
        choices in proptest::collection::vec(any::<u8>(), 1..64),
        plain in any::<bool>(),
    ) {
        let schema = model_schema();
        let mut decoder = decoder_with(&Config::default(), &schema);
        let mut expected = Vec::new();
        // Each is read twice, so that the decoder knows the order of the fields at the second time.
        for document in documents.iter().chain(&documents) {
            let mut text = String::new();
            if plain {
                text = compact(document);
            } else {
                Spelling { choices: choices.iter().cycle() }.write(document, &mut text);
            }
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
            let row = convert_object(document, schema.fields());
            let decoded = decoder.decode(text.as_bytes());
            prop_assert_eq!(decoded.is_ok(), row.is_some(), "{} {:?}", text, decoded);
            expected.extend(row);
        }
        let batch = decoder.flush().expect("a batch");
        let found: Vec<Vec<Cell>> = (0..batch.num_rows())
            .map(|row| batch.rows().columns().iter().map(|column| cell(column, row)).collect())
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn bytes_are_accepted_exactly_when_they_are_json(soups in proptest::collection::vec(soup(), 1..8)) {
        let mut decoder = decoder_with(&Config::default(), &schema(vec![Field::new("absent", DataType::Utf8, true)]));
        let mut rows = 0;
        for soup in soups {
            for bytes in [soup.clone(), [&b"{\"a\":"[..], &soup, b"}"].concat(), [&b"{\"a\":0"[..], &soup].concat()] {
                let expected = match expected_of(&bytes) {
                    (true, _) => Some(1),
                    (_, true) => Some(0),
                    _ => None,
                };
                let decoded = decoder.decode(&bytes);
                prop_assert_eq!(decoded.as_ref().ok().copied(), expected, "{:?}", String::from_utf8_lossy(&bytes));
                rows += usize::from(expected == Some(1));
            }
        }
        prop_assert_eq!(decoder.flush().expect("a batch").num_rows(), rows);
    }

    #[test]
    fn a_damaged_record_is_judged_as_serde_json_judges_it(at in 0usize..60, byte in any::<u8>(), cut in any::<bool>()) {
        let good = br#"{"key":"k17","other":{"x":[1,2.5]},"value":-3,"flag":true}"#;
        let fields = vec![nullable("key", DataType::Utf8), nullable("value", DataType::Utf8)];
        let mut decoder = decoder_with(&Config::default(), &schema(fields));
        decoder.decode(good).expect("a good record");
        let mut damaged = good.to_vec();
        if cut {
            damaged.truncate(at);
        } else if let Some(place) = damaged.get_mut(at) {
            *place = byte;
        }
        let (is_object, is_nothing) = expected_of(&damaged);
        prop_assert_eq!(decoder.decode(&damaged).is_ok(), is_object || is_nothing);
        prop_assert_eq!(decoder.decode(good), Ok(1));
        prop_assert_eq!(decoder.flush().expect("a batch").num_rows(), 2 + usize::from(is_object));
    }
}
