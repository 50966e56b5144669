//! An outage of the broker of one minute. A job reads from the broker and writes to it exactly once.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::running::{Running, pause};

/// The duration of the outage. It is longer than the timeouts of requests and shorter than that of a publication.
const OUTAGE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(180);

fn job(broker: &str) -> String {
    format!(
        "CREATE TABLE source (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'in',
  'properties.bootstrap.servers' = '{broker}', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
CREATE TABLE sink (n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'out', 'properties.bootstrap.servers' = '{broker}',
  'format' = 'json', 'sink.delivery-guarantee' = 'exactly-once');
INSERT INTO sink SELECT n FROM source;
"
    )
}

fn produce(broker: &Broker, numbers: RangeInclusive<u64>) {
    broker.produce("in", numbers.map(|number| ((number % 2) as i32, format!(r#"{{"n":{number}}}"#))));
}

fn wanted(numbers: RangeInclusive<u64>) -> BTreeSet<String> {
    numbers.map(|number| format!(r#"{{"n":{number}}}"#)).collect()
}

/// Runs a job through an outage.
fn survive(go_away: fn(&Broker), come_back: fn(&Broker)) {
    let broker = Broker::start();
    broker.create_topic("in", 2);
    broker.create_topic("out", 2);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (job_file, log) = (folder.path().join("job.sql"), folder.path().join("log"));
    std::fs::write(&job_file, job(&broker.address())).expect("a file");
    produce(&broker, 1..=5_000);
    let mut running = Running::start(Running::eddyline(), &job_file, &folder.path().join("checkpoints"), &log);
    let seen = broker.consume_committed("out", 2, PATIENCE, |seen| seen.len() >= 5_000);
    assert!(seen.len() >= 5_000, "{} of 5000; the log: {}", seen.len(), running.log());

    // Some of these are read, staged, or in a transaction when the outage begins.
    produce(&broker, 5_001..=20_000);
    go_away(&broker);
    let back = Instant::now() + OUTAGE;
    while Instant::now() < back {
        assert!(running.is_alive(), "the job waits for its broker; the log: {}", running.log());
        pause();
    }
    come_back(&broker);

    produce(&broker, 20_001..=25_000);
    let wanted = wanted(1..=25_000);
    let seen = broker.consume_committed("out", 2, PATIENCE, |seen| seen.len() >= wanted.len());
    assert!(seen.len() >= wanted.len(), "{} of {}; the log: {}", seen.len(), wanted.len(), running.log());
    // A stopped job commits nothing more, so the output is complete now.
    running.terminate();
    assert!(running.ended().success(), "{}", running.log());
    let seen = broker.all_committed("out", 2);
    assert_eq!(seen.len(), wanted.len(), "records that are there twice; the log: {}", running.log());
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), wanted);
}

#[test]
fn results_are_exact_after_a_minute_without_a_broker_frozen_or_dead() {
    // Both run at the same time, so that the test takes one minute and not two.
    std::thread::scope(|scope| {
        let frozen = scope.spawn(|| survive(Broker::freeze, Broker::thaw));
        let dead = scope.spawn(|| survive(Broker::kill, Broker::restart));
        frozen.join().expect("a broker that was frozen for a minute");
        dead.join().expect("a broker that was dead for a minute");
    });
}
