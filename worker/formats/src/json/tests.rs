//! The rows that the JSON decoder reads from records, compared with Flink's.

mod model;

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Config, Decoder, Encoder, TimestampFormat};
use crate::decode::{RECORD_BYTES_MAX, RecordDecoder};
use crate::encode::{EncodedRecords, RecordEncoder};

fn nullable(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

fn decoder_with(config: &Config, schema: &SchemaRef) -> Decoder {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    Decoder::new(config, schema, &all, 16).expect("the types can be carried")
}

/// The schema of the sample records.
fn sample_schema() -> SchemaRef {
    schema(vec![
        nullable("key", DataType::Utf8),
        nullable("value", DataType::Int32),
        nullable("ts", DataType::Timestamp(TimeUnit::Millisecond, None)),
    ])
}

fn map_of(value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// Decodes `{"c": value}` into one column: its value as text, `NULL`, or the error.
fn decode_value(config: &Config, data_type: &DataType, value: &str) -> Result<String, String> {
    let schema = schema(vec![nullable("c", data_type.clone())]);
    let mut decoder = decoder_with(config, &schema);
    decoder.decode(format!("{{\"c\": {value} }}").as_bytes()).map_err(|bad| bad.reason)?;
    let batch = decoder.flush().expect("one row");
    let options = FormatOptions::new().with_null("NULL");
    let column: ArrayRef = match data_type {
        // Arrow prints no time zones that have a name.
        DataType::Timestamp(_, Some(_)) => {
            let times = batch.rows().column(0).as_primitive::<TimestampMillisecondType>().clone();
            Arc::new(times.with_timezone_opt(None::<Arc<str>>))
        }
        _ => Arc::clone(batch.rows().column(0)),
    };
    let formatter = ArrayFormatter::try_new(&column, &options).expect("a printable type");
    Ok(formatter.value(0).to_string())
}

#[test]
fn values_become_what_flink_makes_of_them() {
    let ltz = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
    let array = DataType::List(Arc::new(nullable("element", DataType::Int32)));
    let row = DataType::Struct(Fields::from(vec![nullable("x", DataType::Int32), nullable("y", DataType::Utf8)]));
    let decimal = DataType::Decimal128(10, 2);
    let cases: Vec<(&DataType, &str, Result<&str, &str>)> = vec![
        (&DataType::Utf8, r#""text""#, Ok("text")),
        (&DataType::Utf8, r#""\u00e9\n\ud83d\ude00\/""#, Ok("é\n😀/")),
        (&DataType::Utf8, r#""a long text with an umlaut: ü and more""#, Ok("a long text with an umlaut: ü and more")),
        (&DataType::Utf8, "1.50", Ok("1.50")),
        (&DataType::Utf8, "true", Ok("true")),
        (&DataType::Utf8, r#"{ "a" : [ 1 , "x\u0041" ] , "b" : { } }"#, Ok(r#"{"a":[1,"xA"],"b":{}}"#)),
        (&DataType::Utf8, "null", Ok("NULL")),
        (&DataType::Int32, "-3", Ok("-3")),
        (&DataType::Int32, r#"" 42 ""#, Ok("42")),
        (&DataType::Int32, "3.99", Ok("3")),
        (&DataType::Int32, "-1e3", Ok("-1000")),
        (&DataType::Int32, "2147483647", Ok("2147483647")),
        (&DataType::Int32, "2147483648", Err("expected an INT")),
        (&DataType::Int32, "1e10", Err("expected an INT")),
        (&DataType::Int32, r#""x""#, Err("expected an INT")),
        (&DataType::Int32, "{}", Err("expected an INT")),
        (&DataType::Int32, "true", Err("expected an INT")),
        (&DataType::Int8, "128", Err("expected a TINYINT")),
        (&DataType::Int16, "-32768", Ok("-32768")),
        (&DataType::Int64, "9223372036854775807", Ok("9223372036854775807")),
        (&DataType::Int64, "-9223372036854775808", Ok("-9223372036854775808")),
        (&DataType::Int64, "9223372036854775808", Err("expected a BIGINT")),
        (&DataType::Float64, "0.1", Ok("0.1")),
        (&DataType::Float64, "17", Ok("17.0")),
        (&DataType::Float64, r#""NaN""#, Ok("NaN")),
        (&DataType::Boolean, "true", Ok("true")),
        (&DataType::Boolean, r#""TRUE""#, Ok("true")),
        (&DataType::Boolean, r#""yes""#, Ok("false")),
        (&DataType::Boolean, "[]", Err("expected a BOOLEAN")),
        (&decimal, "1.005", Ok("1.01")),
        (&decimal, r#""-2.5""#, Ok("-2.50")),
        (&decimal, "123456789.1", Ok("NULL")),
        (&DataType::Binary, r#""AQID""#, Ok("010203")),
        (&DataType::Binary, r#""?""#, Err("expected base64")),
        (&DataType::Date32, r#""2024-02-29""#, Ok("2024-02-29")),
        (&DataType::Time32(TimeUnit::Millisecond), r#""12:34:56.789""#, Ok("12:34:56.789")),
        (&timestamp, r#""2026-03-01 23:59:00.123""#, Ok("2026-03-01T23:59:00.123")),
        (&timestamp, r#""2026-03-01 23:59:00.123999""#, Ok("2026-03-01T23:59:00.123")),
        (&timestamp, r#""2026-03-01 23:59:01""#, Ok("2026-03-01T23:59:01")),
        (&timestamp, r#""2026-03-01T23:59:01""#, Err("expected a TIMESTAMP, 'YYYY-MM-DD HH:MM:SS[.fff]'")),
        (&timestamp, r#""2026-03-01 23:59:01Z""#, Err("expected a TIMESTAMP, 'YYYY-MM-DD HH:MM:SS[.fff]'")),
        (&ltz, r#""2026-03-01 23:59:00.5Z""#, Ok("2026-03-01T23:59:00.500")),
        (&ltz, r#""2026-03-01 23:59:00.123Z""#, Ok("2026-03-01T23:59:00.123")),
        (&ltz, r#""2026-03-01 23:59:00""#, Err("expected a TIMESTAMP_LTZ, 'YYYY-MM-DD HH:MM:SS[.fff]Z'")),
        (&array, "[1, null, \"3\" ]", Ok("[1, NULL, 3]")),
        (&array, "[]", Ok("[]")),
        (&array, "{}", Err("expected an ARRAY")),
        (&array, "[1, {}]", Err("expected an INT")),
        (&row, r#"{"y": "b", "x": 1, "z": [{}]}"#, Ok("{x: 1, y: b}")),
        (&row, "[]", Err("expected a ROW, which is an object in JSON")),
    ];
    for (data_type, value, expected) in cases {
        let found = decode_value(&Config::default(), data_type, value);
        let found = found.as_deref().map_err(String::as_str);
        assert_eq!(found, expected, "{data_type}: {value}");
    }
}

#[test]
fn of_two_map_entries_with_the_same_key_the_last_counts() {
    let value = r#"{"a": 1, "b": 2, "a": 3}"#;
    assert_eq!(decode_value(&Config::default(), &map_of(DataType::Int64), value).as_deref(), Ok("{b: 2, a: 3}"));
    let nested = r#"{"k": {"a": 1, "a": 2}, "k": {"a": 3, "a": 4}}"#;
    let found = decode_value(&Config::default(), &map_of(map_of(DataType::Int64)), nested);
    assert_eq!(found.as_deref(), Ok("{k: {a: 4}}"));
}

#[test]
fn iso_timestamps_are_read_with_their_option() {
    let config = Config { timestamp_format: TimestampFormat::Iso8601, ..Config::default() };
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    for (text, expected) in [
        (r#""2026-03-01T23:59:00.123456""#, Ok("2026-03-01T23:59:00.123456")),
        (r#""2026-03-01T23:59:00.123""#, Ok("2026-03-01T23:59:00.123")),
        (r#""2026-03-01T23:59""#, Ok("2026-03-01T23:59:00")),
        (r#""2026-03-01 23:59:00""#, Err("expected a TIMESTAMP, 'YYYY-MM-DDTHH:MM:SS[.fff]'")),
    ] {
        let found = decode_value(&config, &timestamp, text);
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
    }
}

#[test]
fn bad_records_say_what_and_where() {
    let deep = format!("{{\"x\":{}", "[".repeat(1_000_000));
    let cases: Vec<(&[u8], &str, usize)> = vec![
        (b"{\"key\":\"a\",\"value\":1", "the record ends where ',' or '}' should be", 20),
        (b"{\"key\":\"a", "the record ends inside a string", 9),
        (b"{\"key\":\"a\",}", "expected a field name in quotes", 11),
        (b"{\"key\" \"a\"}", "expected ':'", 7),
        (b"{\"key\":}", "expected a value", 7),
        (b"{\"value\":01}", "a number must not start with a zero", 9),
        (b"{\"value\":1.}", "a number must have digits after its point", 9),
        (b"{\"value\":1e}", "a number must have digits in its exponent", 9),
        (b"{\"value\":-}", "expected a value", 9),
        (b"{\"value\":nul}", "expected a value", 9),
        (b"{\"value\":1} x", "something follows the end of the value", 12),
        (b"{\"key\":\"a\xffb\"}", "a string that is not UTF-8", 9),
        (b"{\"other\":\"\xc3\"}", "a string that is not UTF-8", 10),
        (b"{\"key\":\"a\tb\"}", "a control character in a string must be escaped", 9),
        (b"{\"key\":\"\\x\"}", "no such escape in a string", 8),
        (b"{\"key\":\"\\ud800\"}", "half of a surrogate pair in a string", 8),
        (b"{\"key\":\"\\u12g4\"}", "expected four hexadecimal digits", 8),
        (b"[1]", "expected an object", 0),
        (b"17", "expected an object", 0),
        (b"nonsense", "expected a value", 0),
        (b"{\"value\":\"many\"}", "expected an INT", 9),
        (b"{\"ts\":\"2026-02-30 00:00:00.000\"}", "expected a TIMESTAMP, 'YYYY-MM-DD HH:MM:SS[.fff]'", 6),
        (deep.as_bytes(), "objects and arrays are nested more than 127 deep", 131),
    ];
    let mut decoder = decoder_with(&Config::default(), &sample_schema());
    let good = br#"{"key":"k17","value":-3,"ts":"2026-03-01 23:59:00.123"}"#;
    let mut rows = 0;
    for (record, reason, column) in cases {
        let bad = decoder.decode(record).expect_err("a bad record");
        let shown = String::from_utf8_lossy(&record[..record.len().min(60)]).into_owned();
        assert_eq!((bad.reason.as_str(), bad.column), (reason, column), "{shown}");
        assert!(bad.excerpt.chars().count() <= 48, "{shown}");
        assert_eq!(decoder.decode(good), Ok(1));
        rows += 1;
        assert_eq!(decoder.len(), rows, "nothing of a bad record stays: {shown}");
    }
    let batch = decoder.flush().expect("the good rows");
    let keys = batch.rows().column(0).as_string::<i32>();
    assert!(keys.iter().all(|key| key == Some("k17")));
    assert!(batch.rows().column(1).as_primitive::<Int32Type>().iter().all(|value| value == Some(-3)));
    let times = batch.rows().column(2).as_primitive::<TimestampMillisecondType>();
    assert!(times.iter().all(|time| time == Some(1_772_409_540_123)));
}

#[test]
fn an_oversized_record_is_bad() {
    let mut decoder = decoder_with(&Config::default(), &sample_schema());
    let record = vec![b' '; RECORD_BYTES_MAX + 1];
    let bad = decoder.decode(&record).expect_err("a bad record");
    assert_eq!(bad.reason, format!("a record of {} bytes, the longest allowed has {RECORD_BYTES_MAX}", record.len()));
}

#[test]
fn empty_records_and_null_are_no_rows() {
    let mut decoder = decoder_with(&Config::default(), &sample_schema());
    for record in [&b""[..], b"  ", b"null", b" null "] {
        assert_eq!(decoder.decode(record), Ok(0));
    }
    assert_eq!(decoder.flush().expect("no rows").num_rows(), 0);
}

#[test]
fn missing_fields_are_null_or_an_error_as_configured() {
    let mut decoder = decoder_with(&Config::default(), &sample_schema());
    assert_eq!(decoder.decode(b"{}"), Ok(1));
    let batch = decoder.flush().expect("a row of NULLs");
    assert!(batch.rows().columns().iter().all(|column| column.is_null(0)));

    let config = Config { fail_on_missing_field: true, ..Config::default() };
    let bad = decoder_with(&config, &sample_schema()).decode(br#"{"key":"a","value":1}"#).expect_err("ts is missing");
    assert_eq!(bad.reason, "field 'ts' is missing");

    let strict = schema(vec![Field::new("key", DataType::Utf8, false)]);
    let mut decoder = decoder_with(&Config { ignore_parse_errors: true, ..Config::default() }, &strict);
    let bad = decoder.decode(b"{}").expect_err("NOT NULL");
    assert_eq!(bad.reason, "field 'key' is missing, and its column is NOT NULL");
    let bad = decoder.decode(br#"{"key":null}"#).expect_err("NOT NULL");
    assert_eq!(bad.reason, "NULL in a column that is NOT NULL");
}

#[test]
fn ignored_errors_make_values_null_and_broken_records_bad() {
    let config = Config { ignore_parse_errors: true, ..Config::default() };
    let mut decoder = decoder_with(&config, &sample_schema());
    assert_eq!(decoder.decode(br#"{"key":"a","value":"x","ts":[1,2]}"#), Ok(1));
    decoder.decode(br#"{"key":"a","value":"#).expect_err("broken");
    let batch = decoder.flush().expect("one row");
    assert_eq!(batch.num_rows(), 1);
    assert_eq!(batch.rows().column(0).as_string::<i32>().value(0), "a");
    assert!(batch.rows().column(1).is_null(0) && batch.rows().column(2).is_null(0));

    let array = DataType::List(Arc::new(nullable("element", DataType::Int32)));
    assert_eq!(decode_value(&config, &array, r#"[1,"x",3]"#).as_deref(), Ok("[1, NULL, 3]"));
}

#[test]
fn the_projection_decides_about_columns_and_their_order() {
    let mut decoder = Decoder::new(&Config::default(), &sample_schema(), &[2, 0], 16).expect("a decoder");
    decoder.decode(br#"{"key":"k","value":"not looked at","ts":"1970-01-01 00:00:00.001"}"#).expect("a row");
    let batch = decoder.flush().expect("a batch");
    let names: Vec<_> = batch.rows().schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["ts", "key"]);
    assert_eq!(batch.rows().column(1).as_string::<i32>().value(0), "k");

    let mut none = Decoder::new(&Config::default(), &sample_schema(), &[], 16).expect("a decoder");
    none.decode(br#"{"key":1}"#).expect("a row");
    assert_eq!(none.flush().expect("a batch").num_rows(), 1);
}

#[test]
fn lines_are_read_up_to_a_bad_one_and_after_it() {
    let buffer = b"{\"value\":1}\n\r\n{\"value\":2}\r\n{\"value\":x}\n{\"value\":3}\n{\"value\":4}";
    let mut decoder = decoder_with(&Config::default(), &sample_schema());
    let first = decoder.decode_lines(buffer, 100, false);
    assert_eq!((first.lines, first.rows), (4, 2));
    assert_eq!(first.bad.as_ref().map(|bad| bad.column), Some(9));
    let rest = &buffer[first.consumed..];
    let second = decoder.decode_lines(rest, 100, false);
    assert_eq!((second.lines, second.rows, second.bad), (1, 1, None), "the last line is not complete");
    let rest = &rest[second.consumed..];
    assert_eq!(decoder.decode_lines(rest, 100, false).consumed, 0);
    let third = decoder.decode_lines(rest, 100, true);
    assert_eq!((third.consumed, third.rows), (rest.len(), 1));
    let values = decoder.flush().expect("four rows");
    assert_eq!(values.rows().column(1).as_primitive::<Int32Type>().values(), &[1, 2, 3, 4]);
}

#[test]
fn lines_stop_when_the_batch_has_its_rows() {
    let buffer = b"{\"value\":1}\n{\"value\":2}\n{\"value\":3}\n";
    let mut decoder = decoder_with(&Config::default(), &sample_schema());
    let done = decoder.decode_lines(buffer, 2, true);
    assert_eq!((done.rows, done.consumed), (2, 24));
}

#[test]
fn an_endless_line_is_bad_once_and_skipped_to_its_end() {
    let mut decoder = decoder_with(&Config::default(), &sample_schema());
    let endless = vec![b'x'; RECORD_BYTES_MAX + 1];
    let first = decoder.decode_lines(&endless, 10, false);
    assert_eq!((first.consumed, first.lines, first.bad.is_some()), (endless.len(), 1, true));
    let more = decoder.decode_lines(b"still the same line", 10, false);
    assert_eq!((more.consumed, more.bad), (19, None));
    let last = decoder.decode_lines(b"its end\n{\"value\":7}\n", 10, false);
    assert_eq!((last.rows, last.bad), (1, None));
}

#[test]
fn rows_are_written_as_flink_writes_them() {
    let row = DataType::Struct(Fields::from(vec![nullable("x", DataType::Int32), nullable("y", DataType::Utf8)]));
    let schema = schema(vec![
        nullable("s\"", DataType::Utf8),
        nullable("d", DataType::Decimal128(12, 9)),
        nullable("f", DataType::Float64),
        nullable("t", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        nullable("b", DataType::Binary),
        nullable("r", row),
        nullable("m", map_of(DataType::Boolean)),
    ]);
    let record = r#"{"s\"":"a\u0001\n\"é","d":2.7E-8,"f":1.0E10,"t":"2026-03-01 23:59:01.23Z","b":"AQID","r":{"x":1,"y":null},"m":{"k":true}}"#;
    let mut decoder = decoder_with(&Config::default(), &schema);
    decoder.decode(record.as_bytes()).expect("a row");
    decoder.decode(b"{}").expect("a row");
    let batch = decoder.flush().expect("two rows");
    let mut out = EncodedRecords::lines();
    Encoder::new(&Config::default(), &schema)
        .and_then(|mut encoder| encoder.encode(&batch, &mut out))
        .expect("encoded");
    let nulls = r#"{"s\"":null,"d":null,"f":null,"t":null,"b":null,"r":null,"m":null}"#;
    assert_eq!(String::from_utf8_lossy(out.bytes()), format!("{record}\n{nulls}\n"));
    assert_eq!(out.get(0), Some(record.as_bytes()));

    out.clear();
    let config = Config { decimals_plain: true, nulls_left_out: true, ..Config::default() };
    Encoder::new(&config, &schema).and_then(|mut encoder| encoder.encode(&batch, &mut out)).expect("encoded");
    assert_eq!(out.get(1), Some(&b"{}"[..]));
    assert!(String::from_utf8_lossy(out.bytes()).contains(r#""d":0.000000027,"#));
}
