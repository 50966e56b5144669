//! The start of reading: startup modes, restored positions, partitions that appear later.

use std::time::Duration;

use eddyline_connectors::kafka::{KafkaSource, SourceConfig};
use eddyline_connectors::source::Source;
use eddyline_stream::CheckpointId;

use crate::broker::{Broker, TestRecord, broker};
use crate::table::{Reading, table};

fn numbered(broker: &Broker, topic: &str, ids: std::ops::Range<i64>) {
    let values: Vec<String> = ids.clone().map(|id| format!("{{\"id\":{id},\"name\":\"n\"}}")).collect();
    let at = |(id, value): (i64, &'_ String)| -> (i64, String) { (1_000_000 + id * 1000, value.clone()) };
    let stamped: Vec<(i64, String)> = ids.zip(&values).map(at).collect();
    let records: Vec<TestRecord<'_>> = stamped
        .iter()
        .map(|(timestamp, value)| TestRecord { value, timestamp: Some(*timestamp), ..TestRecord::default() })
        .collect();
    broker.produce(topic, &records);
}

#[test]
fn earliest_reads_all_there_is_and_what_comes() {
    let broker = broker();
    let topic = broker.topic(1);
    numbered(&broker, &topic, 0..3);
    let mut reading = Reading::start(table(&broker, &topic, &[]));
    assert_eq!(reading.rows(3), ["0,n", "1,n", "2,n"]);
    numbered(&broker, &topic, 3..5);
    assert_eq!(reading.rows(2), ["3,n", "4,n"]);
    assert!(!reading.is_complete());
    let counters = reading.reader.counters();
    assert_eq!((counters.bytes, counters.bad_records, counters.lag_records), (5 * 19, 0, Some(0)));
}

#[test]
fn latest_reads_only_what_comes() {
    let broker = broker();
    let topic = broker.topic(1);
    numbered(&broker, &topic, 0..3);
    let mut reading = Reading::start(table(&broker, &topic, &[("scan.startup.mode", "latest-offset")]));
    numbered(&broker, &topic, 3..4);
    assert_eq!(reading.rows(1), ["3,n"]);
}

#[test]
fn a_timestamp_starts_at_the_first_record_that_is_not_older() {
    let broker = broker();
    let topic = broker.topic(1);
    numbered(&broker, &topic, 0..5);
    let from = |millis| [("scan.startup.mode", "timestamp"), ("scan.startup.timestamp-millis", millis)];
    let mut reading = Reading::start(table(&broker, &topic, &from("1002500")));
    assert_eq!(reading.rows(2), ["3,n", "4,n"]);
    let mut behind_all = Reading::start(table(&broker, &topic, &from("2000000")));
    numbered(&broker, &topic, 5..6);
    assert_eq!(behind_all.rows(1), ["5,n"]);
}

#[test]
fn specific_offsets_start_there_and_other_partitions_at_their_oldest_record() {
    let broker = broker();
    let topic = broker.topic(2);
    numbered(&broker, &topic, 0..3);
    broker.produce(&topic, &[TestRecord::value(1, r#"{"id":100,"name":"p1"}"#)]);
    let options =
        [("scan.startup.mode", "specific-offsets"), ("scan.startup.specific-offsets", "partition:0,offset:2")];
    let mut rows = Reading::start(table(&broker, &topic, &options)).rows(2);
    rows.sort();
    assert_eq!(rows, ["100,p1", "2,n"]);
}

#[test]
fn group_offsets_are_committed_with_checkpoints_and_found_again() {
    let broker = broker();
    let topic = broker.topic(1);
    numbered(&broker, &topic, 0..4);
    let group = format!("group-of-{topic}");
    let mut first = Reading::start(table(&broker, &topic, &[("properties.group.id", &group)]));
    assert_eq!(first.rows(4).len(), 4);
    first.reader.snapshot().unwrap();
    first.reader.checkpoint_complete(CheckpointId::new(1));
    // Closing the client sends the commit.
    drop(first);
    numbered(&broker, &topic, 4..5);
    let grouped = [("properties.group.id", group.as_str()), ("scan.startup.mode", "group-offsets")];
    assert_eq!(Reading::start(table(&broker, &topic, &grouped)).rows(1), ["4,n"]);
}

#[test]
fn a_group_without_offsets_needs_a_reset_policy() {
    let broker = broker();
    let topic = broker.topic(1);
    numbered(&broker, &topic, 0..2);
    let grouped = [("properties.group.id", "never-seen"), ("scan.startup.mode", "group-offsets")];
    let error = Reading::open(table(&broker, &topic, &grouped)).discover().unwrap_err().to_string();
    assert!(error.contains("never-seen") && error.contains("properties.auto.offset.reset"), "{error}");
    let reset = [grouped[0], grouped[1], ("properties.auto.offset.reset", "earliest")];
    assert_eq!(Reading::start(table(&broker, &topic, &reset)).rows(2), ["0,n", "1,n"]);
}

#[test]
fn a_restored_position_wins_over_the_startup_mode() {
    let broker = broker();
    let topic = broker.topic(1);
    numbered(&broker, &topic, 0..4);
    let mut first = Reading::start(table(&broker, &topic, &[]));
    assert_eq!(first.reader.snapshot().unwrap().len(), 1);
    assert_eq!(first.rows(4).len(), 4);
    let splits = first.reader.snapshot().unwrap();
    drop(first);
    numbered(&broker, &topic, 4..6);

    let mut second = Reading::open(table(&broker, &topic, &[("scan.startup.mode", "latest-offset")]));
    second.enumerator.restored(&[splits[0].id.clone()]);
    second.give(splits[0].clone());
    second.discover().unwrap();
    assert_eq!(second.rows(2), ["4,n", "5,n"]);
}

#[test]
fn a_partition_that_appears_later_is_read_from_its_beginning() {
    let broker = broker();
    let topic = broker.topic(1);
    let options = [("scan.startup.mode", "latest-offset"), ("scan.topic-partition-discovery.interval", "1 s")];
    let descriptor = table(&broker, &topic, &options);
    let source = KafkaSource::open(SourceConfig::parse(&descriptor).unwrap(), descriptor.clone(), vec![0], vec![]);
    assert_eq!(source.unwrap().discovery_interval(), Some(Duration::from_secs(1)));

    let mut reading = Reading::start(descriptor.clone());
    let before = reading.reader.snapshot().unwrap();
    broker.add_partitions(&topic, 2);
    broker.produce(&topic, &[TestRecord::value(1, r#"{"id":7,"name":"new"}"#)]);
    reading.discover().unwrap();
    assert_eq!(reading.rows(1), ["7,new"]);

    // The same holds when the partition appeared while the job was down.
    let mut restored = Reading::open(descriptor);
    restored.enumerator.restored(&[before[0].id.clone()]);
    restored.give(before[0].clone());
    restored.discover().unwrap();
    assert_eq!(restored.rows(1), ["7,new"]);
}

#[test]
fn topics_are_found_by_pattern_and_by_list() {
    let broker = broker();
    let (one, two) = (broker.topic(1), broker.topic(1));
    numbered(&broker, &one, 0..1);
    numbered(&broker, &two, 1..2);
    let mut rows = Reading::start(table(&broker, &format!("{one};{two}"), &[])).rows(2);
    rows.sort();
    assert_eq!(rows, ["0,n", "1,n"]);
    let mut by_pattern = table(&broker, "", &[("topic-pattern", &format!("{one}|{two}"))]);
    by_pattern.options.remove("topic");
    assert_eq!(Reading::start(by_pattern).rows(2).len(), 2);
}

#[test]
fn a_topic_that_does_not_exist_is_named() {
    let broker = broker();
    let error = Reading::open(table(&broker, "no-such-topic", &[])).discover().unwrap_err().to_string();
    assert_eq!(error, "topic no-such-topic does not exist: create it, or correct 'topic'");
    let topics = broker.admin();
    let metadata = topics.inner().fetch_metadata(None, crate::broker::DEADLINE).unwrap();
    assert!(metadata.topics().iter().all(|topic| topic.name() != "no-such-topic"), "asking must not make it");
}
