//! An epoch of exactly-once output that is published in several transactions, and the worker dies between two of them.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::broker::{Broker, broker};
use crate::running::assert_gapless;

/// With the text of each row: four staged objects of a slot that writes all of them.
const ROWS: u64 = 150_000;
const TEXT: u64 = 320;
const PARTITIONS: u16 = 2;

fn job(broker: &Broker, topic: &str) -> String {
    format!(
        "CREATE TABLE numbers (n BIGINT, filling STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '100000000',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{ROWS}', 'fields.filling.length' = '{TEXT}');
CREATE TABLE results (n BIGINT, filling STRING) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'format' = 'json',
  'properties.bootstrap.servers' = '{}', 'sink.delivery-guarantee' = 'exactly-once');
INSERT INTO results SELECT n, filling FROM numbers;
",
        broker.address()
    )
}

/// Runs the job to its end, or until it dies at a step.
fn run(folder: &Path, parallelism: u16, crash_at: Option<&str>) -> (ExitStatus, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
    command.arg("run").arg(folder.join("job.sql")).arg("--checkpoint-dir").arg(folder.join("checkpoints"));
    // The only checkpoint is the last one.
    command.args(["--checkpoint-interval", "1 h", "--parallelism", &parallelism.to_string()]);
    command.env("RUST_LOG", "warn").stdin(Stdio::null());
    if let Some(step) = crash_at {
        command.env("EDDYLINE_CRASH_AT", step);
    }
    let output = command.output().expect("the eddyline binary");
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The numbers that a reader of committed records sees, sorted.
fn visible(broker: &Broker, topic: &str) -> Vec<u64> {
    let number = |record: &String| {
        let rest = record.strip_prefix(r#"{"n":"#).expect("a record of the job");
        rest[..rest.find(',').expect("two columns")].parse().expect("a number")
    };
    let mut numbers: Vec<u64> = broker.all_committed(topic, i32::from(PARTITIONS)).iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn an_epoch_of_many_transactions_is_published_once_although_the_worker_dies_between_them() {
    let broker = broker();
    for parallelism in 1..=3 {
        let topic = format!("large-epoch-{parallelism}");
        broker.create_topic(&topic, PARTITIONS);
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("job.sql"), job(broker, &topic)).expect("a file");

        let (status, log) = run(folder.path(), parallelism, Some("kafka-sink.after-transaction:2"));
        assert!(!status.success(), "{log}");
        let first = visible(broker, &topic);
        assert!(!first.is_empty() && first.len() < ROWS as usize, "{} rows are visible: {log}", first.len());
        assert!(first.windows(2).all(|pair| pair[0] < pair[1]), "a row is there twice");

        // In the middle of the next transaction, with another parallelism.
        let (status, log) = run(folder.path(), parallelism % 3 + 1, Some("kafka-sink.after-offsets:1"));
        assert!(!status.success(), "{log}");
        let (status, log) = run(folder.path(), (parallelism + 1) % 3 + 1, None);
        assert!(status.success(), "{log}");
        assert_eq!(assert_gapless(&visible(broker, &topic)), ROWS);
    }
}
