//! The options of formats: which are accepted, and the errors of those that are refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use eddyline_formats::{FormatConfig, FormatOptions, Framing, OnBadRecord, cdc, csv, json, parquet, raw};
use eddyline_stream::ChangelogMode;

struct Options(BTreeMap<String, String>);

impl FormatOptions for Options {
    fn get(&mut self, key: &str) -> Option<String> {
        self.0.get(key).cloned()
    }
}

fn parse(prefix: &str, options: &[(&str, &str)], types: &[DataType]) -> Result<FormatConfig, String> {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let fields: Vec<_> = types.iter().map(|data_type| Field::new("c", data_type.clone(), true)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    FormatConfig::parse(&mut Options(options), prefix, &schema).map_err(|error| error.message)
}

fn row() -> DataType {
    DataType::Struct(Fields::from(vec![Field::new("x", DataType::Int32, true)]))
}

fn map(key: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", DataType::Int32, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

#[test]
fn options_are_read_with_their_prefix() {
    let options =
        [("value.format", "json"), ("value.json.ignore-parse-errors", "true"), ("json.ignore-parse-errors", "x")];
    let config = parse("value.", &options, &[DataType::Utf8]).expect("a format");
    assert_eq!(config.on_bad_record(), OnBadRecord::Skip);
    assert_eq!((config.name(), config.framing()), ("json", Framing::Records));
    assert_eq!(parse("key.", &options, &[]), Err("option 'key.format' is missing".to_owned()));
}

#[test]
fn every_option_has_its_effect() {
    let iso = [
        ("format", "json"),
        ("json.timestamp-format.standard", "ISO-8601"),
        ("json.fail-on-missing-field", "true"),
        ("json.encode.decimal-as-plain-number", "true"),
        ("json.encode.ignore-null-fields", "true"),
        ("json.map-null-key.mode", "literal"),
        ("json.map-null-key.literal", "none"),
    ];
    let expected = json::Config {
        ignore_parse_errors: false,
        fail_on_missing_field: true,
        timestamp_format: json::TimestampFormat::Iso8601,
        decimals_plain: true,
        nulls_left_out: true,
        null_map_keys: json::NullMapKeys::Literal("none".to_owned()),
    };
    assert_eq!(parse("", &iso, &[row(), map(DataType::Utf8)]), Ok(FormatConfig::Json(expected)));

    let tabs = [
        ("format", "csv"),
        ("csv.field-delimiter", "\\t"),
        ("csv.disable-quote-character", "true"),
        ("csv.escape-character", "\\"),
        ("csv.null-literal", "n/a"),
        ("csv.array-element-delimiter", "::"),
        ("csv.allow-comments", "true"),
        ("csv.ignore-parse-errors", "true"),
        ("csv.write-bigdecimal-in-scientific-notation", "false"),
    ];
    let expected = csv::Config {
        field_delimiter: b'\t',
        quote_character: None,
        escape_character: Some(b'\\'),
        null_literal: Some("n/a".to_owned()),
        array_element_delimiter: "::".to_owned(),
        allow_comments: true,
        ignore_parse_errors: true,
        decimals_plain: true,
    };
    assert_eq!(parse("", &tabs, &[DataType::Utf8]), Ok(FormatConfig::Csv(expected)));

    let little = [("format", "raw"), ("raw.charset", "utf-8"), ("raw.endianness", "little-endian")];
    let expected = raw::Config { endianness: raw::Endianness::Little };
    assert_eq!(parse("", &little, &[DataType::Int32]), Ok(FormatConfig::Raw(expected)));

    let debezium = [
        ("format", "debezium-json"),
        ("debezium-json.schema-include", "true"),
        ("debezium-json.ignore-parse-errors", "true"),
        ("debezium-json.timestamp-format.standard", "ISO-8601"),
    ];
    let rows = json::Config {
        ignore_parse_errors: true,
        timestamp_format: json::TimestampFormat::Iso8601,
        ..json::Config::default()
    };
    let expected = cdc::Config { rows, schema_include: true, ..cdc::Config::new(cdc::Dialect::Debezium) };
    let parsed = parse("", &debezium, &[row()]);
    assert_eq!(parsed, Ok(FormatConfig::Cdc(expected)));
    let format = parsed.expect("a format");
    assert_eq!(format.changelog_mode(), ChangelogMode::ALL);
    let error = format.check_encoding("value.").expect_err("for reading only");
    assert_eq!(error.key.as_deref(), Some("value.debezium-json.schema-include"));

    let zstd = [("format", "parquet"), ("parquet.compression", "zstd"), ("parquet.block.size", "1000000")];
    let config = parse("", &zstd, &[row()]).expect("a format");
    assert_eq!(config.framing(), Framing::Files);
    let parquet = config.parquet().expect("parquet");
    assert_eq!((parquet.compression, parquet.row_group_bytes_max), (parquet::Compression::Zstd, 1_000_000));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    type Case = (Vec<(&'static str, &'static str)>, Vec<DataType>, &'static str);
    let cases: Vec<Case> = vec![
        (
            vec![("format", "xml")],
            vec![],
            "unknown format 'xml'; the formats are 'json', 'csv', 'parquet', 'raw', 'debezium-json', 'canal-json', \
             'maxwell-json' and 'ogg-json'",
        ),
        (
            vec![("format", "debezium-json"), ("debezium-json.schema-include", "1")],
            vec![],
            "'debezium-json.schema-include' = '1': expected true or false",
        ),
        (
            vec![("format", "ogg-json")],
            vec![map(DataType::Int32)],
            "format 'ogg-json' cannot carry column 'c' of type MAP<INT, INT>: the keys of a MAP must be STRING, as they \
             are in JSON",
        ),
        (
            vec![("format", "json"), ("json.ignore-parse-errors", "yes")],
            vec![],
            "'json.ignore-parse-errors' = 'yes': expected true or false",
        ),
        (
            vec![("format", "json"), ("json.ignore-parse-errors", "true"), ("json.fail-on-missing-field", "true")],
            vec![],
            "'json.fail-on-missing-field' and 'json.ignore-parse-errors' cannot both be true",
        ),
        (
            vec![("format", "json"), ("json.timestamp-format.standard", "RFC")],
            vec![],
            "'json.timestamp-format.standard' = 'RFC': expected SQL or ISO-8601",
        ),
        (
            vec![("format", "json"), ("json.map-null-key.mode", "KEEP")],
            vec![],
            "'json.map-null-key.mode' = 'KEEP': expected FAIL, DROP or LITERAL",
        ),
        (
            vec![("format", "json")],
            vec![map(DataType::Int32)],
            "format 'json' cannot carry column 'c' of type MAP<INT, INT>: the keys of a MAP must be STRING, as they are in JSON",
        ),
        (
            vec![("format", "csv"), ("csv.field-delimiter", "||")],
            vec![],
            "'csv.field-delimiter' = '||': expected one character",
        ),
        (
            vec![("format", "csv"), ("csv.field-delimiter", "\"")],
            vec![],
            "quote, escape and field delimiter must be different characters",
        ),
        (
            vec![("format", "csv")],
            vec![row()],
            "format 'csv' cannot carry column 'c' of type ROW<`x` INT>, only scalar types and arrays of them",
        ),
        (
            vec![("format", "raw"), ("raw.charset", "latin1")],
            vec![DataType::Utf8],
            "'raw.charset' = 'latin1': UTF-8 is the only charset",
        ),
        (
            vec![("format", "raw")],
            vec![DataType::Utf8, DataType::Utf8],
            "format 'raw' needs a table with exactly one physical column, this one has 2",
        ),
        (
            vec![("format", "parquet"), ("parquet.compression", "LZO")],
            vec![],
            "'parquet.compression' = 'LZO': expected UNCOMPRESSED, SNAPPY, GZIP, LZ4_RAW or ZSTD",
        ),
        (
            vec![("format", "parquet"), ("parquet.write.int64.timestamp", "false")],
            vec![],
            "'parquet.write.int64.timestamp' = 'false': timestamps are always written as INT64",
        ),
    ];
    for (options, types, expected) in cases {
        assert_eq!(parse("", &options, &types), Err(expected.to_owned()));
    }
}
