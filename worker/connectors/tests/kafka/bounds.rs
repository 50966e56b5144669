//! The end of reading: bounded modes, and records or topics that no longer exist.

use eddyline_connectors::Error;
use eddyline_connectors::source::Poll;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, Producer};

use crate::broker::{Broker, DEADLINE, TestRecord, broker};
use crate::table::{Reading, table};

fn five_records(broker: &Broker, topic: &str) {
    let values: Vec<String> = (0..5).map(|id| format!("{{\"id\":{id},\"name\":\"n\"}}")).collect();
    let records: Vec<TestRecord<'_>> = values
        .iter()
        .zip(0..)
        .map(|(value, id)| TestRecord { value, timestamp: Some(1000 + id), ..TestRecord::default() })
        .collect();
    broker.produce(topic, &records);
}

#[test]
fn latest_ends_where_the_topic_ended_at_the_start() {
    let broker = broker();
    let topic = broker.topic(2);
    five_records(&broker, &topic);
    let mut reading = Reading::start(table(&broker, &topic, &[("scan.bounded.mode", "latest-offset")]));
    assert!(reading.is_complete());
    five_records(&broker, &topic);
    assert_eq!(reading.all_rows(), ["0,n", "1,n", "2,n", "3,n", "4,n"]);
    let splits = reading.reader.snapshot().unwrap();
    assert!(splits.iter().all(|split| split.finished), "{splits:?}");
    assert!(matches!(reading.reader.poll(10).unwrap(), Poll::Pending));
}

#[test]
fn a_finished_split_stays_finished_after_a_restore() {
    let broker = broker();
    let topic = broker.topic(1);
    five_records(&broker, &topic);
    let descriptor = table(&broker, &topic, &[("scan.bounded.mode", "latest-offset")]);
    let mut reading = Reading::start(descriptor.clone());
    assert_eq!(reading.all_rows().len(), 5);
    let splits = reading.reader.snapshot().unwrap();
    let mut restored = Reading::open(descriptor);
    for split in splits {
        restored.give(split);
    }
    assert!(matches!(restored.reader.poll(10).unwrap(), Poll::Pending));
    assert!(restored.reader.snapshot().unwrap()[0].finished);
}

#[test]
fn timestamps_and_specific_offsets_bound_a_read() {
    let broker = broker();
    let topic = broker.topic(2);
    five_records(&broker, &topic);
    let by_time = [("scan.bounded.mode", "timestamp"), ("scan.bounded.timestamp-millis", "1003")];
    assert_eq!(Reading::start(table(&broker, &topic, &by_time)).all_rows(), ["0,n", "1,n", "2,n"]);
    let by_offset =
        [("scan.bounded.mode", "specific-offsets"), ("scan.bounded.specific-offsets", "partition:0,offset:2")];
    assert_eq!(Reading::start(table(&broker, &topic, &by_offset)).all_rows(), ["0,n", "1,n"]);
}

#[test]
fn group_offsets_bound_a_read() {
    let broker = broker();
    let topic = broker.topic(1);
    five_records(&broker, &topic);
    let group = format!("bound-of-{topic}");
    let consumer: BaseConsumer = broker.client().set("group.id", &group).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&topic, 0, Offset::Offset(4)).unwrap();
    let deadline = std::time::Instant::now() + DEADLINE;
    while let Err(error) = consumer.commit(&offsets, CommitMode::Sync) {
        assert!(std::time::Instant::now() < deadline, "{error}");
    }
    let options = [("scan.bounded.mode", "group-offsets"), ("properties.group.id", group.as_str())];
    assert_eq!(Reading::start(table(&broker, &topic, &options)).all_rows().len(), 4);
}

#[test]
fn transaction_markers_at_the_end_do_not_hold_up_a_bounded_read_and_aborted_records_are_not_seen() {
    let broker = broker();
    let topic = broker.topic(1);
    let producer: BaseProducer =
        broker.client().set("transactional.id", format!("writer-of-{topic}")).create().unwrap();
    producer.init_transactions(DEADLINE).unwrap();
    for (value, commit) in [(r#"{"id":1,"name":"kept"}"#, true), (r#"{"id":2,"name":"aborted"}"#, false)] {
        producer.begin_transaction().unwrap();
        producer.send(TestRecord::value(0, value).to(&topic)).map_err(|(error, _)| error).unwrap();
        producer.flush(DEADLINE).unwrap();
        if commit {
            producer.commit_transaction(DEADLINE).unwrap();
        } else {
            producer.abort_transaction(DEADLINE).unwrap();
        }
    }
    let descriptor = table(&broker, &topic, &[("scan.bounded.mode", "latest-offset")]);
    assert_eq!(Reading::start(descriptor).all_rows(), ["1,kept"]);
}

#[test]
fn an_offset_that_is_gone_is_an_error_that_says_what_to_do() {
    let broker = broker();
    let topic = broker.topic(1);
    five_records(&broker, &topic);
    let descriptor = |reset: &[(&'static str, &'static str)]| {
        let mut options =
            vec![("scan.startup.mode", "specific-offsets"), ("scan.startup.specific-offsets", "partition:0,offset:99")];
        options.extend_from_slice(reset);
        table(&broker, &topic, &options)
    };
    let error = Reading::start(descriptor(&[])).error();
    let text = error.to_string();
    assert!(matches!(error, Error::Restore { .. }), "{error:?}");
    assert!(text.contains(&format!("{topic}/0")) && text.contains("offset 99"), "{text}");
    assert!(text.contains("properties.auto.offset.reset"), "{text}");
    let mut reset = Reading::start(descriptor(&[("properties.auto.offset.reset", "earliest")]));
    assert_eq!(reset.rows(5).len(), 5);
}

#[test]
fn a_topic_that_is_deleted_while_it_is_read_is_an_error_that_names_it() {
    let broker = broker();
    let topic = broker.topic(1);
    five_records(&broker, &topic);
    let mut reading = Reading::start(table(&broker, &topic, &[]));
    assert_eq!(reading.rows(5).len(), 5);
    broker.delete_topic(&topic);
    let text = reading.error().to_string();
    assert!(text.contains(&topic) && text.contains("deleted"), "{text}");
}
