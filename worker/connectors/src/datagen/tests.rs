//! Options of datagen, and their rows.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType};

use crate::harness::{Harness, table};
use crate::{SourceConfig, TableDescriptor};

fn error(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> String {
    let mut options = options.to_vec();
    options.push(("connector", "datagen"));
    SourceConfig::parse(&table(columns, &options)).expect_err("an error").to_string()
}

fn made(columns: &[(&str, DataType)], options: &[(&str, &str)], rows_max: usize) -> RecordBatch {
    let mut options = options.to_vec();
    options.extend([("connector", "datagen"), ("rows-per-second", "1000000000")]);
    let harness = Harness::new();
    let table: TableDescriptor = table(columns, &options);
    harness.read(harness.source(&table).as_ref(), rows_max).expect("rows")
}

#[test]
fn wrong_options_are_named() {
    let id = [("id", DataType::Int32)];
    for (options, expected) in [
        (&[("rows-per-second", "0")][..], "'rows-per-second' = '0': expected 1 or more"),
        (&[("fields.id.kind", "serial")], "'fields.id.kind' = 'serial': expected random or sequence"),
        (&[("fields.id.kind", "sequence")], "option 'fields.id.start' is missing: column 'id' is a sequence"),
        (&[("fields.id.min", "9999999999")], "expected -2147483648 to 2147483647"),
        (&[("fields.id.min", "5"), ("fields.id.max", "4")], "must not be below 'fields.id.min'"),
        (&[("fields.id.null-rate", "2")], "expected 0 to 1"),
        (&[("fields.idd.min", "1")], "unknown option 'fields.idd.min', did you mean 'fields.id.min'?"),
        (&[("number-of-rows", "-1")], "expected a whole number"),
    ] {
        let message = error(&id, options);
        assert!(message.contains(expected), "{message}");
    }
    let message = error(&[("flag", DataType::Boolean)], &[("fields.flag.kind", "sequence")]);
    assert!(message.contains("column 'flag' cannot be a sequence"), "{message}");
}

#[test]
fn a_sequence_bounds_the_table() {
    let options = [("fields.id.kind", "sequence"), ("fields.id.start", "5"), ("fields.id.end", "9")];
    let rows = made(&[("id", DataType::Int64)], &options, 2);
    assert_eq!(rows.column(0).as_primitive::<Int64Type>().values(), &[5, 6, 7, 8, 9]);
    let rows = made(&[("id", DataType::Utf8)], &options, 100);
    assert_eq!(rows.column(0).as_string::<i32>().value(4), "9");
}

#[test]
fn random_values_stay_in_their_bounds_and_do_not_depend_on_batches() {
    let columns = [("a", DataType::Int32), ("b", DataType::Utf8), ("c", DataType::Int32)];
    let options = [
        ("number-of-rows", "1000"),
        ("fields.a.min", "-3"),
        ("fields.a.max", "3"),
        ("fields.b.length", "7"),
        ("fields.b.var-len", "true"),
        ("fields.c.null-rate", "0.5"),
    ];
    let rows = made(&columns, &options, 1000);
    assert_eq!(rows, made(&columns, &options, 37));
    let mut numbers = rows.column(0).as_primitive::<Int32Type>().values().to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, [-3, -2, -1, 0, 1, 2, 3]);
    assert!(rows.column(1).as_string::<i32>().iter().all(|text| (1..=7).contains(&text.expect("no NULL").len())));
    assert!((400..600).contains(&rows.column(2).null_count()));
    let other = made(&columns, &[&options[..], &[("seed", "2")]].concat(), 1000);
    assert_ne!(rows, other);
}

#[test]
fn the_clock_option_makes_timestamps_a_function_of_the_row() {
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
    let options = [
        ("connector", "datagen"),
        ("number-of-rows", "3"),
        ("rows-per-second", "4"),
        ("clock.start", "2026-03-01 00:00:00"),
    ];
    let harness = Harness::new();
    let table = table(&[("ts", timestamp)], &options);
    let rows = harness.read(harness.source(&table).as_ref(), 10).expect("rows");
    let times = rows.column(0).as_primitive::<TimestampMillisecondType>().values();
    assert_eq!(times.iter().map(|time| time - times[0]).collect::<Vec<_>>(), [0, 250, 500]);
    assert_eq!(times[0], 1_772_323_200_000);
}

#[test]
fn every_sql_type_can_be_made() {
    let number = Field::new("element", DataType::Int32, true);
    let row = DataType::Struct(vec![Field::new("x", DataType::Float64, true)].into());
    let entries = DataType::Struct(
        vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)].into(),
    );
    let columns = [
        ("boolean", DataType::Boolean),
        ("tinyint", DataType::Int8),
        ("smallint", DataType::Int16),
        ("float", DataType::Float32),
        ("double", DataType::Float64),
        ("decimal", DataType::Decimal128(38, 3)),
        ("bytes", DataType::Binary),
        ("date", DataType::Date32),
        ("time", DataType::Time32(TimeUnit::Millisecond)),
        ("timestamp", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("instant", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        ("list", DataType::List(number.into())),
        ("map", DataType::Map(Field::new("entries", entries, false).into(), false)),
        ("row", row),
    ];
    let options = [
        ("number-of-rows", "10"),
        ("fields.row.x.min", "1"),
        ("fields.list.length", "2"),
        ("fields.list.element.max", "5"),
    ];
    let rows = made(&columns, &options, 4);
    assert_eq!(rows.num_rows(), 10);
    for ((name, data_type), column) in columns.iter().zip(rows.columns()) {
        assert_eq!(column.data_type(), data_type, "{name}");
        assert_eq!(column.null_count(), 0, "{name}");
    }
}
