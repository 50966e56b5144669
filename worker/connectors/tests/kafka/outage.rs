//! An outage of the broker, and its end.

use std::time::{Duration, Instant};

use eddyline_connectors::sink::Sink;
use eddyline_connectors::source::Poll;
use eddyline_stream::CheckpointId;

use crate::broker::{TestRecord, broker_alone, io};
use crate::table::{Reading, committed_values, open_sink, open_writer, rows, table, values};

#[test]
fn reading_and_writing_go_on_when_the_broker_comes_back() {
    let broker = broker_alone();
    let (input, output, exact) = (broker.topic(1), broker.topic(1), broker.topic(1));
    let folder = tempfile::tempdir().unwrap();
    let record = TestRecord::value(0, r#"{"id":1,"name":"a"}"#);
    broker.produce(&input, &[record]);
    let mut reading = Reading::start(table(&broker, &input, &[]));
    assert_eq!(reading.rows(1), ["1,a"]);
    let sink = open_sink(table(&broker, &output, &[]), folder.path());
    let (mut writer, _) = open_writer(&sink, 0, 1);
    writer.write(&rows(0..10)).unwrap();
    io().block_on(writer.prepare_commit(CheckpointId::new(1))).unwrap();
    let exactly_once = table(&broker, &exact, &[("sink.delivery-guarantee", "exactly-once")]);
    let exact_sink = open_sink(exactly_once, folder.path());
    let (mut exact_writer, _) = open_writer(&exact_sink, 0, 1);
    exact_writer.write(&rows(0..10)).unwrap();
    let staged = io().block_on(exact_writer.prepare_commit(CheckpointId::new(1))).unwrap();
    let mut committer = exact_sink.committer(io().handle().clone()).unwrap().expect("a committer");

    broker.kill();
    // The reader gets no rows, the rows of the writer are not acknowledged, and the commit reaches no broker. None of
    // this is an error.
    for _ in 0..50 {
        assert!(matches!(reading.reader.poll(10).unwrap(), Poll::Pending));
    }
    until(&mut reading, |trouble| trouble.is_some_and(|trouble| trouble.contains("does not answer")));
    reading.discover().unwrap();
    writer.write(&rows(10..20)).unwrap();
    let prepared = io().spawn(writer.prepare_commit(CheckpointId::new(2)));
    let committed = io().spawn(async move {
        let outcome = committer.commit(CheckpointId::new(1), &staged).await;
        outcome.map(|()| committer)
    });
    broker.restart();

    io().block_on(prepared).unwrap().unwrap();
    assert_eq!(committed_values(&broker, &output), values(0..20));
    io().block_on(committed).unwrap().unwrap();
    assert_eq!(committed_values(&broker, &exact), values(0..10));
    broker.produce(&input, &[record, record]);
    assert_eq!(reading.rows(2), ["1,a", "1,a"]);
    until(&mut reading, |trouble| trouble.is_none());
}

/// Keeps reading, without rows, until the reader reports the right state of its brokers.
fn until(reading: &mut Reading, is_right: impl Fn(Option<String>) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_right(reading.reader.trouble()) {
        assert!(Instant::now() < deadline, "{:?}", reading.reader.trouble());
        assert!(matches!(reading.reader.poll(10).unwrap(), Poll::Pending));
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
