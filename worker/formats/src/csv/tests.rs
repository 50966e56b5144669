//! What CSV records mean and how rows are written.

use std::sync::Arc;

use arrow::array::{Array as _, AsArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use eddyline_stream::Batch;
use proptest::prelude::*;

use super::{Config, Decoder, Encoder};
use crate::decode::RecordDecoder;
use crate::encode::{EncodedRecords, RecordEncoder};

fn schema(types: &[DataType]) -> SchemaRef {
    let fields: Vec<_> = types
        .iter()
        .enumerate()
        .map(|(index, data_type)| Field::new(format!("c{index}"), data_type.clone(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

fn decoder(config: &Config, types: &[DataType]) -> Decoder {
    let all: Vec<usize> = (0..types.len()).collect();
    Decoder::new(config, &schema(types), &all, 16).expect("the types can be carried")
}

/// Decodes a record and encodes it again.
fn again(config: &Config, types: &[DataType], record: &str) -> Result<String, String> {
    let mut decoder = decoder(config, types);
    decoder.decode(record.as_bytes()).map_err(|bad| format!("{} at {}", bad.reason, bad.column))?;
    let batch = decoder.flush().expect("a batch");
    let mut out = EncodedRecords::records();
    Encoder::new(config, &schema(types)).and_then(|mut encoder| encoder.encode(&batch, &mut out)).expect("encoded");
    Ok(String::from_utf8_lossy(out.bytes()).into_owned())
}

#[test]
fn records_are_read_and_written_as_flink_does() {
    use DataType::*;
    let timestamp = Timestamp(TimeUnit::Millisecond, None);
    let array = List(Arc::new(Field::new("element", Int32, true)));
    let cases: Vec<(Vec<DataType>, &str, Result<&str, &str>)> = vec![
        (vec![Utf8, Int32], "key,-3", Ok("key,-3")),
        (vec![Utf8, Int32], "\"a,\"\"b\"\"\", 7", Ok("\"a,\"\"b\"\"\",7")),
        (vec![Utf8, Utf8], "two words,plain", Ok("\"two words\",plain")),
        (vec![Utf8, Utf8], "a-text-of-25-characters-xx,", Ok("\"a-text-of-25-characters-xx\",")),
        (vec![Int32, Int32], ",5", Ok(",5")),
        (
            vec![timestamp.clone(), Date32],
            "2026-03-01 23:59:01.230,2026-03-01",
            Ok("\"2026-03-01 23:59:01.23\",2026-03-01"),
        ),
        (vec![Float64, Decimal128(10, 2)], "1,2.005", Ok("1.0,2.01")),
        (vec![Boolean, Binary], "TRUE,AQID", Ok("true,AQID")),
        (vec![array, Int8], "1;;3,4", Ok("1;;3,4")),
        (vec![Int32, Int32], "1", Err("1 fields instead of 2 at 1")),
        (vec![Int32, Int32], "1,2,3", Err("more than the 2 fields of the table at 4")),
        (vec![Int32, Int32], "1,x", Err("expected an INT at 2")),
        (vec![Utf8, Int32], "\"open,1", Err("the record ends inside quotes at 0")),
        (vec![Utf8, Int32], "\"a\"b,1", Err("expected a delimiter after the closing quote at 3")),
    ];
    for (types, record, expected) in cases {
        let found = again(&Config::default(), &types, record);
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{record}");
    }
}

#[test]
fn options_change_what_characters_mean() {
    use DataType::*;
    let types = [Utf8, Int32];
    let pipe = Config { field_delimiter: b'|', ..Config::default() };
    assert_eq!(again(&pipe, &types, "a,b|1").as_deref(), Ok("\"a,b\"|1"));
    let escaped = Config { escape_character: Some(b'\\'), ..Config::default() };
    assert_eq!(again(&escaped, &types, "\"a\\\"b\",1").as_deref(), Ok("\"a\\\"b\",1"));
    assert_eq!(again(&escaped, &types, "a\\,b,1").as_deref(), Ok("\"a,b\",1"));
    let unquoted = Config { quote_character: None, ..Config::default() };
    assert_eq!(again(&unquoted, &types, "\"a\",1").as_deref(), Ok("\"a\",1"));
    let nulls = Config { null_literal: Some("n/a".to_owned()), ..Config::default() };
    assert_eq!(again(&nulls, &types, "n/a,n/a").as_deref(), Ok("n/a,n/a"));
    assert_eq!(again(&nulls, &types, ",1").as_deref(), Ok(",1"));
}

#[test]
fn ignored_errors_make_values_null_and_a_record_with_too_many_fields_bad() {
    use DataType::*;
    let config = Config { ignore_parse_errors: true, ..Config::default() };
    let mut decoder = decoder(&config, &[Int32, Int32, Int32]);
    assert_eq!(decoder.decode(b"1,x"), Ok(1));
    assert!(decoder.decode(b"1,2,3,4").is_err());
    assert_eq!(decoder.decode(b"1,2,3"), Ok(1));
    let batch = decoder.flush().expect("two rows");
    assert!(batch.rows().column(1).is_null(0) && batch.rows().column(2).is_null(0));
    assert_eq!(batch.rows().column(2).as_primitive::<Int32Type>().value(1), 3);
}

#[test]
fn a_quoted_field_may_have_line_ends() {
    use DataType::*;
    let mut decoder = decoder(&Config { allow_comments: true, ..Config::default() }, &[Utf8, Int32]);
    let buffer = b"# it's \"a comment\n\"two\nlines, \"\"quoted\"\"\",1\nplain \"text,2\n\"open";
    let done = decoder.decode_lines(buffer, 10, false);
    assert_eq!((done.rows, done.bad, &buffer[done.consumed..]), (2, None, &b"\"open"[..]));
    let batch = decoder.flush().expect("two rows");
    let texts: Vec<_> = batch.rows().column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(texts, ["two\nlines, \"quoted\"", "plain \"text"]);
}

#[test]
fn the_projection_decides_about_columns_and_their_order() {
    use DataType::*;
    let mut decoder = Decoder::new(&Config::default(), &schema(&[Int32, Utf8, Int32]), &[2, 1], 16).expect("a decoder");
    decoder.decode(b"not looked at,b,3").expect("a row");
    let batch = decoder.flush().expect("a batch");
    assert_eq!(batch.rows().column(0).as_primitive::<Int32Type>().value(0), 3);
    assert_eq!(batch.rows().column(1).as_string::<i32>().value(0), "b");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_without_a_trace(
        records in proptest::collection::vec("[a1,\"\\\\;\n \u{e9}]{0,12}", 0..8), escape: bool, ignore: bool
    ) {
        let config = Config {
            escape_character: escape.then_some(b'\\'), ignore_parse_errors: ignore, ..Config::default()
        };
        let array = DataType::List(Arc::new(Field::new("element", DataType::Int32, true)));
        let mut decoder = decoder(&config, &[DataType::Utf8, DataType::Int32, array]);
        let mut rows = 0;
        for record in records {
            rows += usize::from(decoder.decode(record.as_bytes()) == Ok(1));
        }
        prop_assert_eq!(decoder.flush().expect("a batch").num_rows(), rows);
    }

    #[test]
    fn texts_survive_a_file(
        texts in proptest::collection::vec("[a-z,\"\\\\\n\r#;| \u{e9}]{0,30}", 1..8),
        escape: bool, delimiter in proptest::sample::select(vec![b',', b'|', b'\t'])
    ) {
        let config = Config {
            field_delimiter: delimiter, escape_character: escape.then_some(b'\\'), ..Config::default()
        };
        let types = [DataType::Utf8, DataType::Int32];
        let texts_array = arrow::array::StringArray::from(texts.clone());
        let numbers = arrow::array::Int32Array::from_iter_values(0..texts.len() as i32);
        let batch = arrow::array::RecordBatch::try_new(schema(&types), vec![Arc::new(texts_array), Arc::new(numbers)])
            .expect("a batch");
        let mut out = EncodedRecords::lines();
        Encoder::new(&config, &schema(&types)).and_then(|mut encoder| encoder.encode(&Batch::new(batch.clone()), &mut out)).expect("ok");
        let mut decoder = decoder(&config, &types);
        let done = decoder.decode_lines(out.bytes(), 100, false);
        prop_assert_eq!((done.rows, done.consumed, done.bad), (texts.len(), out.bytes().len(), None));
        let read = decoder.flush().expect("a batch");
        prop_assert_eq!(read.rows(), &batch);
    }
}
