//! Idle partitions, as a reader reports them.

use eddyline_stream::SplitId;

use crate::broker::{TestRecord, broker};
use crate::table::{Reading, table};

#[test]
fn a_partition_is_empty_by_itself_and_not_while_records_of_it_wait() {
    let broker = broker();
    let topic = broker.topic(2);
    let values: Vec<String> = (0..100).map(|id| format!("{{\"id\":{id},\"name\":\"n\"}}")).collect();
    let records: Vec<TestRecord<'_>> =
        values.iter().map(|value| TestRecord { value, partition: 1, ..TestRecord::default() }).collect();
    broker.produce(&topic, &records);
    let mut reading = Reading::start(table(&broker, &topic, &[]));
    let splits: Vec<SplitId> = reading.reader.snapshot().expect("splits").into_iter().map(|split| split.id).collect();
    let [empty, busy] = [0, 1].map(|number| {
        let is_it = |split: &&SplitId| split.as_str() == format!("{topic}/{number}");
        splits.iter().find(is_it).cloned().expect("both partitions")
    });

    // One answer of the broker has all of them.
    assert_eq!(reading.batch(7).len(), 7);
    assert!(!reading.reader.is_empty(&busy), "93 records wait");
    assert!(reading.reader.is_empty(&empty));
    assert_eq!(reading.rows(93).len(), 93);
    assert!(reading.reader.is_empty(&busy));
    assert!(reading.reader.is_empty(&empty));
}
