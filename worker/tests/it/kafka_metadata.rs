//! Timestamps and headers that a Kafka sink writes as metadata, read back by a bounded source.

use std::path::Path;

use crate::broker::broker;
use crate::running::Running;

fn run(folder: &Path, name: &str, script: &str) {
    let (job_file, log) = (folder.join(format!("{name}.sql")), folder.join(format!("{name}.log")));
    std::fs::write(&job_file, script).expect("a file");
    let checkpoints = folder.join("checkpoints").join(name);
    let more = ["--parallelism", "2"];
    let mut running = Running::start_with(Running::eddyline(), &job_file, &checkpoints, &log, &more);
    assert!(running.ended().success(), "{name}: {}", running.log());
}

#[test]
fn a_record_keeps_the_timestamp_and_headers_that_were_written_and_a_bounded_read_without_discovery_ends() {
    let broker = broker();
    for guarantee in ["at-least-once", "exactly-once"] {
        let topic = format!("metadata-{guarantee}");
        broker.create_topic(&topic, 2);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (rows, out) = (folder.path().join("rows"), folder.path().join("out"));
        std::fs::create_dir(&rows).expect("a folder");
        std::fs::write(rows.join("a.json"), "{\"id\":1,\"ms\":0}\n{\"id\":2,\"ms\":1767225600123}\n").expect("a file");
        let kafka = format!(
            "'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}', 'format' = 'json'",
            broker.address()
        );
        let write = format!(
            "CREATE TABLE src (id INT, ms BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');
CREATE TABLE k (id INT, stamp TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', headers MAP<STRING, BYTES> METADATA)
  WITH ({kafka}, 'sink.delivery-guarantee' = '{guarantee}');
INSERT INTO k SELECT id, TO_TIMESTAMP_LTZ(ms, 3), MAP['source', ENCODE('file', 'UTF-8')] FROM src;
",
            rows.display()
        );
        let read = format!(
            "CREATE TABLE k (id INT, stamp TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  ttype STRING METADATA FROM 'timestamp-type' VIRTUAL, headers MAP<STRING, BYTES> METADATA VIRTUAL)
  WITH ({kafka}, 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'properties.isolation.level' = 'read_committed', 'scan.topic-partition-discovery.interval' = '0');
CREATE TABLE res (id INT, stamp STRING, ttype STRING, h STRING)
  WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');
INSERT INTO res SELECT id, CAST(stamp AS STRING), ttype, DECODE(headers['source'], 'UTF-8') FROM k;
",
            out.display()
        );
        run(folder.path(), "write", &write);
        run(folder.path(), "read", &read);
        let mut lines = Vec::new();
        for entry in std::fs::read_dir(&out).expect("a folder").flatten().filter(|entry| entry.path().is_file()) {
            let text = std::fs::read_to_string(entry.path()).expect("a text file");
            lines.extend(text.lines().map(str::to_owned));
        }
        lines.sort();
        let expected = [
            // The time is not 00:00:00.000, because the client replaces 0 by the time of writing.
            r#"{"id":1,"stamp":"1970-01-01 00:00:00.001","ttype":"CreateTime","h":"file"}"#,
            r#"{"id":2,"stamp":"2026-01-01 00:00:00.123","ttype":"CreateTime","h":"file"}"#,
        ];
        assert_eq!(lines, expected, "{guarantee}");
    }
}
