//! Rows that are written and read again are the same rows, in every record format and every type it carries.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray, Time32MillisecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, SchemaRef};
use eddyline_formats::{EncodedRecords, FormatConfig, csv, json};
use eddyline_stream::Batch;
use proptest::prelude::*;

type Row = (
    (Option<bool>, Option<i8>, Option<i16>, Option<i32>, Option<i64>, Option<f32>, Option<f64>, Option<i64>),
    (Option<String>, Option<Vec<u8>>, Option<i32>, Option<i32>, Option<i64>, Option<i64>, Option<Vec<Option<i64>>>),
);

/// Times that can be written and read: some thousand years around 1970.
fn millis() -> impl Strategy<Value = i64> {
    -100_000_000_000_000..100_000_000_000_000i64
}

fn row() -> impl Strategy<Value = Row> {
    use proptest::option::of;
    let text = "[a-z \"\\\\,;{}\n\té€😀]{1,30}";
    let finite = any::<f64>().prop_filter("NaN is not equal to itself", |value| !value.is_nan());
    let finite32 = any::<f32>().prop_filter("NaN is not equal to itself", |value| !value.is_nan());
    let numbers =
        (any::<Option<bool>>(), any::<Option<i8>>(), any::<Option<i16>>(), any::<Option<i32>>(), any::<Option<i64>>());
    let floats = (of(finite32), of(finite), of(-999_999_999_999i64..1_000_000_000_000));
    let texts = (of(text), of(proptest::collection::vec(any::<u8>(), 1..20)));
    let times = (of(-700_000..2_000_000i32), of(0..86_400_000i32), of(millis()), of(millis()));
    // CSV cannot represent an empty list.
    let list = of(proptest::collection::vec(any::<Option<i64>>(), 2..4));
    (numbers, floats, texts, times, list).prop_map(
        |((a, b, c, d, e), (f, g, h), (text, bytes), (date, time, ms, us), list)| {
            ((a, b, c, d, e, f, g, h), (text, bytes, date, time, ms, us, list))
        },
    )
}

fn batch(rows: &[Row]) -> RecordBatch {
    macro_rules! column {
        ($array:ty, $group:tt, $index:tt) => {
            Arc::new(<$array>::from_iter(rows.iter().map(|row| row.$group.$index.clone()))) as ArrayRef
        };
    }
    let decimal = Decimal128Array::from_iter(rows.iter().map(|row| row.0.7.map(i128::from)));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("boolean", column!(BooleanArray, 0, 0)),
        ("tinyint", column!(Int8Array, 0, 1)),
        ("smallint", column!(Int16Array, 0, 2)),
        ("int", column!(Int32Array, 0, 3)),
        ("bigint", column!(Int64Array, 0, 4)),
        ("float", column!(Float32Array, 0, 5)),
        ("double", column!(Float64Array, 0, 6)),
        ("decimal", Arc::new(decimal.with_precision_and_scale(12, 9).expect("a decimal"))),
        ("string", column!(StringArray, 1, 0)),
        ("bytes", column!(BinaryArray, 1, 1)),
        ("date", column!(Date32Array, 1, 2)),
        ("time", column!(Time32MillisecondArray, 1, 3)),
        ("ts", column!(TimestampMillisecondArray, 1, 4)),
        ("ltz", Arc::new(TimestampMicrosecondArray::from_iter(rows.iter().map(|row| row.1.5)).with_timezone("UTC"))),
        ("list", list(rows.iter().map(|row| row.1.6.clone()))),
    ];
    let fields: Vec<_> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect())
        .expect("a batch")
}

fn list(values: impl Iterator<Item = Option<Vec<Option<i64>>>>) -> ArrayRef {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(values);
    let (_, offsets, elements, nulls) = list.into_parts();
    Arc::new(ListArray::new(Arc::new(Field::new("element", DataType::Int64, true)), offsets, elements, nulls))
}

/// All columns again, inside a ROW.
fn nested(batch: &RecordBatch) -> RecordBatch {
    let fields: Fields = batch.schema().fields().clone();
    let row: ArrayRef = Arc::new(StructArray::new(fields, batch.columns().to_vec(), None));
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("row", row.data_type().clone(), true)]));
    RecordBatch::try_new(schema, vec![row]).expect("a batch")
}

fn written_and_read(config: &FormatConfig, batch: &RecordBatch) -> RecordBatch {
    let schema = batch.schema();
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let mut out = EncodedRecords::lines();
    config
        .encoder(&schema)
        .and_then(|mut encoder| encoder.encode(&Batch::new(batch.clone()), &mut out))
        .expect("encoded");
    assert_eq!(out.len(), batch.num_rows());
    let mut by_line = config.decoder(&schema, &all, 4).expect("a decoder");
    let done = by_line.decode_lines(out.bytes(), usize::MAX, false);
    assert_eq!((done.rows, done.consumed, done.bad), (batch.num_rows(), out.bytes().len(), None));
    let mut by_record = config.decoder(&schema, &all, 4).expect("a decoder");
    for record in out.iter().flatten() {
        by_record.decode(record).expect("a row");
    }
    let read = by_line.flush().expect("a batch").into_inserts().expect("inserts");
    assert_eq!(&read, by_record.flush().expect("a batch").rows());
    read
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn json_rows_survive(rows in proptest::collection::vec(row(), 1..10), iso: bool, plain: bool, left_out: bool) {
        let timestamp_format = if iso { json::TimestampFormat::Iso8601 } else { json::TimestampFormat::Sql };
        let config = FormatConfig::Json(json::Config {
            timestamp_format, decimals_plain: plain, nulls_left_out: left_out, ..json::Config::default()
        });
        let batch = batch(&rows);
        prop_assert_eq!(&written_and_read(&config, &batch), &batch);
        let nested = nested(&batch);
        prop_assert_eq!(&written_and_read(&config, &nested), &nested);
    }

    #[test]
    fn csv_rows_survive(rows in proptest::collection::vec(row(), 1..10), nulls in any::<bool>(), pipe: bool) {
        let config = FormatConfig::Csv(csv::Config {
            field_delimiter: if pipe { b'|' } else { b',' },
            null_literal: Some(if nulls { "NULL".to_owned() } else { String::new() }),
            ..csv::Config::default()
        });
        let batch = batch(&rows);
        prop_assert_eq!(&written_and_read(&config, &batch), &batch);
    }
}
