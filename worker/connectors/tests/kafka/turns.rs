//! Partitions are read in turns.

use std::time::Instant;

use crate::broker::{DEADLINE, TestRecord, broker};
use crate::table::{Reading, table};

#[test]
fn a_partition_full_of_records_that_are_no_rows_keeps_none_from_the_others() {
    const BAD: i64 = 2_000;
    let broker = broker();
    let topic = broker.topic(2);
    let bad: Vec<TestRecord<'_>> = (0..BAD).map(|_| TestRecord::value(0, "no JSON")).collect();
    broker.produce(&topic, &bad);
    broker.produce(&topic, &[TestRecord::value(1, "{\"id\":7,\"name\":\"n\"}")]);
    let mut reading = Reading::start(table(&broker, &topic, &[("json.ignore-parse-errors", "true")]));
    let splits = reading.reader.snapshot().expect("splits");
    let deadline = Instant::now() + DEADLINE;
    while splits.iter().any(|split| reading.reader.is_empty(&split.id)) {
        assert!(Instant::now() < deadline, "records of both partitions come");
        std::thread::yield_now();
    }

    assert_eq!(reading.batch(10), ["7,n"]);
    let behind = reading.reader.snapshot().expect("splits").into_iter().map(|split| split.position["offset"].as_i64());
    let behind: i64 = behind.map(|offset| offset.expect("an offset")).sum();
    assert!(behind < BAD / 2, "{behind} records were looked at before the first row");
    assert!(reading.reader.snapshot().expect("splits").iter().all(|split| !split.finished));
}
