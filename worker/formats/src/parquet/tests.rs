//! Tests of files that are written and read again, and of files of other writers.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use bytes::Bytes;
use eddyline_stream::Batch;
use parquet::arrow::ArrowWriter;
use parquet::data_type::{Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::{Compression, Config, FOOTER_GUESS_BYTES, FetchedRanges, FileReader, FileWriter, Footer, footer};
use crate::Error;

fn table(fields: &[(&str, DataType)]) -> SchemaRef {
    let fields: Vec<_> = fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
    Arc::new(Schema::new(fields))
}

fn events() -> SchemaRef {
    table(&[
        ("key", DataType::Utf8),
        ("value", DataType::Int32),
        ("ts", DataType::Timestamp(TimeUnit::Millisecond, None)),
    ])
}

fn event_batch(rows: std::ops::Range<i32>) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.clone().map(|row| format!("k{}", row % 7)))),
        Arc::new(Int32Array::from_iter(rows.clone().map(|row| (row % 5 != 0).then_some(row)))),
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.map(i64::from))),
    ];
    RecordBatch::try_new(events(), columns).expect("a batch")
}

/// A file of another writer.
fn foreign(columns: Vec<(&str, ArrayRef)>) -> Bytes {
    let batch = RecordBatch::try_from_iter(columns).expect("a batch");
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.into_inner().expect("a file").into()
}

fn read_all(file: &Bytes, schema: &SchemaRef, projection: &[usize]) -> Result<RecordBatch, Error> {
    let reader = FileReader::open("f.parquet", file, &Config::default(), schema, projection)?;
    let mut batches = Vec::new();
    for row_group in 0..reader.row_groups() {
        for batch in reader.read(file.clone(), row_group, 0, 8, Arc::default())? {
            batches.push(batch?);
        }
    }
    arrow::compute::concat_batches(reader.schema(), &batches).map_err(Error::Build)
}

#[test]
fn what_is_written_piece_by_piece_is_read_back() {
    for compression in
        [Compression::Uncompressed, Compression::Snappy, Compression::Gzip, Compression::Zstd, Compression::Lz4]
    {
        let config = Config { compression, ..Config::default() };
        let mut writer = FileWriter::new(&config, &events()).expect("a writer");
        let mut file = Vec::new();
        for start in [0, 50] {
            writer.write(&Batch::new(event_batch(start..start + 50))).expect("written");
            assert!(writer.buffered_bytes() > 0);
            writer.writer.flush().expect("a row group");
            file.extend(writer.take());
        }
        assert!(writer.bytes_written() > 0);
        file.extend(writer.finish().expect("the rest"));
        let batch = read_all(&file.into(), &events(), &[0, 1, 2]).expect("read");
        assert_eq!(batch, event_batch(0..100));
    }
}

fn two_row_groups() -> Bytes {
    let mut writer = FileWriter::new(&Config::default(), &events()).expect("a writer");
    writer.write(&Batch::new(event_batch(0..60))).expect("written");
    writer.writer.flush().expect("a row group");
    writer.write(&Batch::new(event_batch(60..100))).expect("written");
    writer.finish().expect("a file").into()
}

#[test]
fn a_part_of_a_file_is_read_from_fetched_ranges() {
    let file = two_row_groups();
    let bytes = file.len() as u64;
    let too_short = file.slice(file.len() - 16..);
    let Ok(Footer::NeedsLast(needed)) = footer("f", &too_short, bytes) else { panic!("16 bytes are too few") };
    assert!(needed <= FOOTER_GUESS_BYTES);
    let tail = file.slice(file.len() - needed as usize..);
    let Ok(Footer::Complete(metadata)) = footer("f", &tail, bytes) else { panic!("it asked for so many") };
    let reader = FileReader::new("f", metadata, &Config::default(), &events(), &[2]).expect("a reader");
    assert_eq!((reader.row_groups(), reader.row_group_rows(1)), (2, 40));
    assert!(reader.row_group_bytes(0).start < reader.row_group_bytes(0).end);
    assert_eq!(reader.row_group_bytes(0).end, reader.row_group_bytes(1).start);
    assert!(reader.row_group_bytes(1).end < bytes);

    let parts: Vec<_> = reader
        .byte_ranges(1)
        .into_iter()
        .map(|range| (range.start, file.slice(range.start as usize..range.end as usize)))
        .collect();
    let fetched = FetchedRanges::new(bytes, parts);
    let rows: Vec<_> = reader
        .read(fetched.clone(), 1, 10, 7, Arc::default())
        .expect("a reader")
        .map(|rows| rows.expect("rows"))
        .collect();
    let times: Vec<_> = rows
        .iter()
        .flat_map(|rows| rows.column(0).as_primitive::<TimestampMillisecondType>().values().to_vec())
        .collect();
    assert_eq!(times, (70..100).collect::<Vec<_>>());
    let outside = reader.read(fetched, 0, 0, 7, Arc::default()).map(|mut rows| rows.next());
    assert!(matches!(outside, Err(_) | Ok(Some(Err(_)))), "the first row group was not fetched");
}

#[test]
fn other_types_that_fit_become_the_tables() {
    let keys: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
    let times = TimestampNanosecondArray::from(vec![1_999_999, -1, 0]).with_timezone("UTC");
    let file = foreign(vec![
        ("more", Arc::new(Int32Array::from(vec![0, 0, 0])) as ArrayRef),
        ("key", Arc::new(keys)),
        ("view", Arc::new(StringViewArray::from(vec!["x", "y", "z"]))),
        ("unmarked", Arc::new(BinaryArray::from_vec(vec![b"1", b"2", b"3"]))),
        ("value", Arc::new(Int32Array::from(vec![1, 2, 3]))),
        ("ns", Arc::new(times)),
        ("us", Arc::new(TimestampMicrosecondArray::from(vec![1_999, -1, 0]))),
    ]);
    let ms = DataType::Timestamp(TimeUnit::Millisecond, None);
    let schema = table(&[
        ("value", DataType::Int64),
        ("key", DataType::Utf8),
        ("view", DataType::Utf8),
        ("unmarked", DataType::Utf8),
        ("ns", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        ("us", ms),
    ]);
    let batch = read_all(&file, &schema, &[5, 0, 1, 2, 3, 4]).expect("read");
    assert_eq!(batch.schema().field(1).data_type(), &DataType::Int64);
    assert_eq!(batch.column(1).as_ref(), &Int64Array::from(vec![1, 2, 3]));
    assert_eq!(batch.column(2).as_ref(), &StringArray::from(vec!["a", "b", "a"]));
    assert_eq!(batch.column(3).as_ref(), &StringArray::from(vec!["x", "y", "z"]));
    assert_eq!(batch.column(4).as_ref(), &StringArray::from(vec!["1", "2", "3"]));
    for column in [0, 5] {
        let times = batch.column(column).as_primitive::<TimestampMillisecondType>();
        assert_eq!(times.values(), &[1, -1, 0], "times are cut towards the past");
    }
}

#[test]
fn int96_timestamps_are_read() {
    let schema = Arc::new(parse_message_type("message m { required int96 ts; }").expect("a schema"));
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).expect("a writer");
    let mut rows = writer.next_row_group().expect("a row group");
    let mut column = rows.next_column().expect("a column").expect("one column");
    let mut value = Int96::new();
    // Noon of 1970-01-02 and 5 ms: nanoseconds of the day in two words, then the Julian day.
    let nanos: u64 = 12 * 3_600 * 1_000_000_000 + 5_000_000;
    value.set_data(nanos as u32, (nanos >> 32) as u32, 2_440_589);
    column.typed::<Int96Type>().write_batch(&[value], None, None).expect("written");
    column.close().expect("closed");
    rows.close().expect("closed");
    let file = Bytes::from(writer.into_inner().expect("a file"));
    let schema = table(&[("ts", DataType::Timestamp(TimeUnit::Millisecond, None))]);
    let batch = read_all(&file, &schema, &[0]).expect("read");
    assert_eq!(batch.column(0).as_primitive::<TimestampMillisecondType>().values(), &[129_600_005]);
}

#[test]
fn columns_that_do_not_fit_are_named_with_file_and_types() {
    let file = foreign(vec![("value", Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef)]);
    let cases = [
        (table(&[("value", DataType::Int32)]), "BIGINT in the file does not fit INT in the table"),
        (table(&[("value", DataType::Utf8)]), "BIGINT in the file does not fit STRING in the table"),
        (table(&[("key", DataType::Utf8)]), "missing, the table has it as STRING; the file has value"),
        (
            Arc::new(Schema::new(vec![Field::new("value", DataType::Int64, false)])),
            "has NULLs in the file and is NOT NULL in the table",
        ),
    ];
    for (schema, expected) in cases {
        let error = read_all(&file, &schema, &[0]).expect_err("it does not fit").to_string();
        assert!(error.starts_with("file 'f.parquet': column '") && error.ends_with(expected), "{error}");
    }
    let error = read_all(&Bytes::from_static(b"no such file format"), &events(), &[0]).expect_err("no parquet");
    assert_eq!(error.to_string(), "cannot read file 'f.parquet'");
}

#[test]
fn rows_are_counted_without_columns() {
    let batch = read_all(&two_row_groups(), &events(), &[]).expect("read");
    assert_eq!((batch.num_rows(), batch.num_columns()), (100, 0));
}
