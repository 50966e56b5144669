//! The rows of records: keys, metadata columns, records that cannot be read.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use eddyline_connectors::Error;

use crate::broker::{TestRecord, broker};
use crate::table::{Reading, committed, table, with_metadata};

fn headers_type() -> DataType {
    let fields =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields), false)), false)
}

#[test]
fn metadata_columns_tell_where_a_record_was() {
    let broker = broker();
    let topic = broker.topic(2);
    let record = TestRecord {
        partition: 1,
        key: None,
        value: r#"{"id":1,"name":"a"}"#,
        timestamp: Some(1_700_000_000_123),
        header: Some(("trace", "x")),
    };
    broker.produce(&topic, &[record, TestRecord { header: None, ..record }]);
    let mut descriptor = table(&broker, &topic, &[]);
    for (key, data_type) in [
        ("topic", DataType::Utf8),
        ("partition", DataType::Int64),
        ("offset", DataType::Int64),
        ("timestamp", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        ("timestamp-type", DataType::Utf8),
        ("leader-epoch", DataType::Int32),
        ("headers", headers_type()),
    ] {
        descriptor = with_metadata(descriptor, key, data_type, true);
    }
    let at = 1_700_000_000_123_i64;
    let rows = Reading::start(descriptor).rows(2);
    assert_eq!(rows[0], format!("1,a,{topic},1,0,{at},CreateTime,0,{{trace: 78}}"));
    assert_eq!(rows[1], format!("1,a,{topic},1,1,{at},CreateTime,0,{{}}"));
}

#[test]
fn key_columns_come_from_the_key() {
    let broker = broker();
    let topic = broker.topic(1);
    let record = TestRecord { key: Some(r#"{"id":5}"#), value: r#"{"name":"v"}"#, ..TestRecord::default() };
    let no_key = TestRecord { key: None, value: r#"{"name":"no key"}"#, ..TestRecord::default() };
    broker.produce(&topic, &[record, no_key, record]);
    let keyed = [("key.format", "json"), ("key.fields", "id"), ("value.fields-include", "EXCEPT_KEY")];
    assert_eq!(Reading::start(table(&broker, &topic, &keyed)).rows(2), ["5,v", "5,v"]);
}

#[test]
fn a_bad_record_ends_the_read_and_is_named() {
    let broker = broker();
    let topic = broker.topic(2);
    let good = TestRecord::value(1, r#"{"id":1,"name":"a"}"#);
    broker.produce(&topic, &[good, good, TestRecord::value(1, "{broken")]);
    let error = Reading::start(table(&broker, &topic, &[])).error();
    assert!(matches!(error, Error::BadRecord { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("topic {topic}, partition 1, offset 2: ")), "{text}");
    assert!(text.contains("json.ignore-parse-errors"), "{text}");
}

#[test]
fn bad_records_can_be_skipped_and_are_counted() {
    let broker = broker();
    let topic = broker.topic(1);
    let good = TestRecord::value(0, r#"{"id":1,"name":"a"}"#);
    let bad = TestRecord::value(0, "{broken");
    broker.produce(&topic, &[bad, good, bad, bad, good]);
    let skipping = [("json.ignore-parse-errors", "true"), ("scan.bounded.mode", "latest-offset")];
    let mut reading = Reading::start(table(&broker, &topic, &skipping));
    assert_eq!(reading.all_rows(), ["1,a", "1,a"]);
    assert_eq!(reading.reader.counters().bad_records, 3);
}

#[test]
fn bad_records_go_to_the_dead_letter_topic_before_a_snapshot() {
    let broker = broker();
    let (topic, dead) = (broker.topic(1), broker.topic(1));
    let good = TestRecord::value(0, r#"{"id":1,"name":"a"}"#);
    broker.produce(&topic, &[good, TestRecord { key: Some("k"), value: "{broken", ..TestRecord::default() }, good]);
    let options = [("scan.dead-letter.topic", dead.as_str()), ("scan.bounded.mode", "latest-offset")];
    let mut reading = Reading::start(table(&broker, &topic, &options));
    assert_eq!(reading.all_rows(), ["1,a", "1,a"]);
    reading.reader.snapshot().unwrap();
    assert_eq!(committed(&broker, &dead), [(0, "k".to_owned(), "{broken".to_owned())]);
    assert_eq!(reading.reader.counters().bad_records, 1);
}

#[test]
fn a_paused_split_waits_and_resumes() {
    let broker = broker();
    let topic = broker.topic(2);
    let one = TestRecord::value(0, r#"{"id":0,"name":"p0"}"#);
    let two = TestRecord::value(1, r#"{"id":1,"name":"p1"}"#);
    broker.produce(&topic, &[one, two, two]);
    let mut reading = Reading::start(table(&broker, &topic, &[]));
    let first = reading.reader.snapshot().unwrap()[0].id.clone();
    reading.reader.pause(&first, true);
    assert_eq!(reading.rows(2), ["1,p1", "1,p1"]);
    reading.reader.pause(&first, false);
    assert_eq!(reading.rows(1), ["0,p0"]);
}

/// The options of a bounded table of Debezium messages, with the key in the record's key.
const DEBEZIUM: [(&str, &str); 4] =
    [("format", "debezium-json"), ("key.format", "json"), ("key.fields", "id"), ("scan.bounded.mode", "latest-offset")];

#[test]
fn a_message_with_two_rows_has_key_and_metadata_for_both_and_a_tombstone_is_none() {
    let broker = broker();
    let topic = broker.topic(1);
    let message = |value| TestRecord { key: Some(r#"{"id":1}"#), value, ..TestRecord::default() };
    let update = message(r#"{"before":{"name":"a"},"after":{"name":"b"},"op":"u"}"#);
    // If the key gives no row, the record has no rows at all.
    let without_key = TestRecord { key: None, ..update };
    broker.produce(
        &topic,
        &[
            message(r#"{"before":null,"after":{"name":"a"},"op":"c"}"#),
            without_key,
            update,
            message(r#"{"before":{"name":"b"},"op":"d"}"#),
            message(""),
        ],
    );
    let except_key = [DEBEZIUM.as_slice(), &[("value.fields-include", "EXCEPT_KEY")]].concat();
    let descriptor = with_metadata(table(&broker, &topic, &except_key), "offset", DataType::Int64, true);
    assert_eq!(Reading::start(descriptor).all_rows(), ["1,a,0", "-U 1,a,2", "+U 1,b,2", "-D 1,b,3"]);
}

#[test]
fn a_bad_message_of_a_changelog_is_named_with_the_option_of_its_format() {
    let broker = broker();
    let topic = broker.topic(1);
    broker.produce(&topic, &[TestRecord::value(0, r#"{"after":{"id":1,"name":"a"},"op":"u"}"#)]);
    let text = Reading::start(table(&broker, &topic, &[("format", "debezium-json")])).error().to_string();
    assert!(text.starts_with(&format!("topic {topic}, partition 0, offset 0: \"before\" of an update")), "{text}");
    assert!(text.contains("'debezium-json.ignore-parse-errors' skips such records"), "{text}");
}
