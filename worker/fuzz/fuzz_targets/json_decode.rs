//! The JSON decoder on arbitrary lines: it never panics, agrees with serde_json on what is an object, and keeps its columns
//! in step, also when the order of fields that it has learned is wrong.

#![no_main]

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use eddyline_formats::{FormatConfig, RecordDecoder, json};
use libfuzzer_sys::fuzz_target;

fn schema() -> SchemaRef {
    let row = Fields::from(vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)]);
    let entries = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Decimal128(10, 2), true),
    ]);
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("key", DataType::Utf8),
        field("value", DataType::Int32),
        field("ts", DataType::Timestamp(TimeUnit::Millisecond, None)),
        field("big", DataType::Int64),
        field("double", DataType::Float64),
        field("bytes", DataType::Binary),
        field("list", DataType::List(Arc::new(field("element", DataType::Int64)))),
        field("row", DataType::Struct(row)),
        field("map", DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)),
    ]))
}

/// Reads the lines and returns how many rows they gave. With `ignore`, only the grammar decides about a record.
fn read(decoder: &mut dyn RecordDecoder, data: &[u8], ignore: bool) {
    let mut rows = 0;
    for line in data.split(|byte| *byte == b'\n') {
        let decoded = decoder.decode(line);
        rows += usize::from(decoded == Ok(1));
        if ignore && let Ok(value) = serde_json::from_slice::<serde_json::Value>(line) {
            assert_eq!(decoded.is_ok(), value.is_object() || value.is_null(), "{decoded:?}");
        }
        if decoded == Ok(1)
            && let Err(error) = serde_json::from_slice::<serde_json::Value>(line)
        {
            // The one thing that serde_json refuses and the decoder reads: numbers beyond the largest double.
            assert!(error.to_string().contains("out of range"), "{error}");
        }
    }
    let batch = decoder.flush().expect("columns in step");
    assert_eq!(batch.num_rows(), rows);
}

fuzz_target!(|data: &[u8]| {
    for ignore in [false, true] {
        let config = FormatConfig::Json(json::Config { ignore_parse_errors: ignore, ..json::Config::default() });
        let schema = schema();
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let mut decoder = config.decoder(&schema, &all, 16).expect("the types can be carried");
        decoder.decode(br#"{"key":"k","value":1,"ts":"2026-03-01 23:59:00.123"}"#).expect("a good record");
        decoder.flush().expect("one row");
        read(decoder.as_mut(), data, ignore);
        read(decoder.as_mut(), data, ignore);
        // The same as lines of a file, in one go.
        let mut rest = data;
        loop {
            let done = decoder.decode_lines(rest, usize::MAX, true);
            rest = &rest[done.consumed..];
            if rest.is_empty() {
                break;
            }
        }
        decoder.flush().expect("columns in step");
    }
});
