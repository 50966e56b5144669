//! The events of nexmark against a golden file, and its options.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, TimeUnit};

use crate::SourceConfig;
use crate::harness::{Harness, table};

const NUMBER: DataType = DataType::Int64;
const TEXT: DataType = DataType::Utf8;
const TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

fn row(fields: &[(&str, DataType)]) -> DataType {
    DataType::Struct(fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect())
}

fn columns() -> Vec<(&'static str, DataType)> {
    let person = row(&[
        ("id", NUMBER),
        ("name", TEXT),
        ("emailAddress", TEXT),
        ("creditCard", TEXT),
        ("city", TEXT),
        ("state", TEXT),
        ("dateTime", TIME),
        ("extra", TEXT),
    ]);
    let auction = row(&[
        ("id", NUMBER),
        ("itemName", TEXT),
        ("description", TEXT),
        ("initialBid", NUMBER),
        ("reserve", NUMBER),
        ("dateTime", TIME),
        ("expires", TIME),
        ("seller", NUMBER),
        ("category", NUMBER),
        ("extra", TEXT),
    ]);
    let bid = row(&[
        ("auction", NUMBER),
        ("bidder", NUMBER),
        ("price", NUMBER),
        ("channel", TEXT),
        ("url", TEXT),
        ("dateTime", TIME),
        ("extra", TEXT),
    ]);
    vec![("event_type", DataType::Int32), ("person", person), ("auction", auction), ("bid", bid)]
}

#[test]
fn the_first_events_are_those_of_the_golden_file() {
    let harness = Harness::new();
    let options = [("connector", "nexmark"), ("events.num", "50"), ("first-event.rate", "1000")];
    let nexmark = table(&columns(), &options);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/nexmark/first_50_events.json");
    let golden = table(&columns(), &[("connector", "filesystem"), ("path", path), ("format", "json")]);
    let made = harness.read(harness.source(&nexmark).as_ref(), 7).expect("events");
    let expected = harness.read(harness.source(&golden).as_ref(), 100).expect("events");
    assert_eq!(made.num_rows(), 50);
    assert_eq!(made, expected);
}

#[test]
fn proportions_and_batches_do_not_change_events() {
    let harness = Harness::new();
    let options = [("connector", "nexmark"), ("events.num", "5000")];
    let nexmark = table(&columns(), &options);
    let made = harness.read(harness.source(&nexmark).as_ref(), 8192).expect("events");
    assert_eq!(made, harness.read(harness.source(&nexmark).as_ref(), 999).expect("events"));
    let kinds = made.column(0).as_primitive::<Int32Type>();
    let count = |kind| kinds.values().iter().filter(|value| **value == kind).count();
    assert_eq!([count(0), count(1), count(2)], [100, 300, 4600]);
    let ids = made.column(2).as_struct().column(0).as_primitive::<Int64Type>();
    assert!(ids.iter().flatten().eq(1000..1300));
}

#[test]
fn only_projected_columns_are_made() {
    let harness = Harness::new();
    let nexmark = table(&columns(), &[("connector", "nexmark"), ("events.num", "100")]);
    let whole = harness.read(harness.source(&nexmark).as_ref(), 100).expect("events");
    let source = harness.try_source(&nexmark, &[3, 0], &[]).expect("it opens");
    let part = harness.read(source.as_ref(), 100).expect("events");
    assert_eq!(part, whole.project(&[3, 0]).expect("these columns"));
    assert_eq!(part.column(0).null_count(), 8);
}

#[test]
fn wrong_tables_are_refused() {
    let refused = |columns: &[(&str, DataType)], options: &[(&str, &str)]| {
        let mut options = options.to_vec();
        options.push(("connector", "nexmark"));
        SourceConfig::parse(&table(columns, &options)).expect_err("an error").to_string()
    };
    let bid = row(&[("auction", DataType::Int32)]);
    assert!(refused(&[("bid", bid)], &[]).starts_with("column 'bid' must be ROW<auction BIGINT, bidder BIGINT"));
    assert!(refused(&[("other", NUMBER)], &[]).contains("not 'other'"));
    assert!(refused(&columns(), &[("first-event.rate", "1"), ("next-event.rate", "2")]).contains("'next-event.rate'"));
    assert!(refused(&columns(), &[("person.proportion", "0")]).contains("expected 1 to 10000"));
    assert!(refused(&columns(), &[("event.num", "1")]).contains("did you mean 'events.num'?"));
}

#[test]
fn an_endless_table_has_times_that_follow_the_event_number() {
    let config = super::Config::default();
    let events = super::generator::Events::new(config.clone());
    let mut columns = super::columns::Columns::new(super::config::BID, 2);
    events.write_bid(10_000_004, 1, &mut columns);
    let DataType::Struct(fields) = self::columns()[3].1.clone() else { unreachable!("bid is a ROW") };
    let bids = columns.finish(&fields, 2).expect("a column");
    let bids = bids.as_struct();
    assert!(bids.is_null(0) && bids.is_valid(1));
    let times = bids.column(5).as_primitive::<arrow::datatypes::TimestampMillisecondType>();
    assert_eq!(times.value(1), config.start_ms + 1_000_000);
}
