//! Kafka partitions that become idle in the middle of a window, at parallelism 1, 2 and 3.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

use crate::broker::{Broker, broker, free_port};
use crate::running::Running;

/// 2026-03-01 00:00:00, in milliseconds.
const START: i64 = 1_772_323_200_000;
const KEYS: i64 = 5;

fn job(broker: &Broker, topic: &str, out: &Path) -> String {
    format!(
        "SET 'table.exec.source.idle-timeout' = '300 ms';
CREATE TABLE readings (k BIGINT, ms BIGINT, ts AS TO_TIMESTAMP_LTZ(ms, 3), WATERMARK FOR ts AS ts) WITH (
  'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}',
  'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
CREATE TABLE results (seconds BIGINT, k BIGINT, n BIGINT)
  WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
INSERT INTO results
  SELECT CAST(EXTRACT(SECOND FROM window_start) + 60 * EXTRACT(MINUTE FROM window_start) AS BIGINT), k, COUNT(*)
  FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end;
",
        broker.address(),
        out.display()
    )
}

/// A row of each key at each of these seconds.
fn rows(partition: i32, seconds: impl IntoIterator<Item = i64>) -> Vec<(i32, String)> {
    let row = |second: i64, k: i64| (partition, format!("{{\"k\":{k},\"ms\":{}}}", START + second * 1000));
    seconds.into_iter().flat_map(|second| (0..KEYS).map(move |k| row(second, k))).collect()
}

/// The number of slots in which the event time of the windows has reached this second.
fn windows_at(port: u16, second: i64) -> usize {
    let mut text = String::new();
    if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) {
        stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n").expect("a request");
        stream.read_to_string(&mut text).expect("an answer");
    }
    let lag_max = chrono::Utc::now().timestamp_millis() - (START + second * 1000);
    let lines = text.lines().filter(|line| line.starts_with("eddyline_watermark_lag_milliseconds{"));
    let lags = lines.filter(|line| line.contains("name=\"WindowAggregate")).filter_map(|line| line.rsplit(' ').next());
    lags.filter(|lag| lag.parse::<i64>().expect("a whole number") <= lag_max).count()
}

/// The sum of the counts in visible files by second of the window start, and the number of rows.
fn results(folder: &Path) -> BTreeMap<i64, (i64, usize)> {
    let mut results: BTreeMap<i64, (i64, usize)> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        for line in std::fs::read_to_string(entry.path()).expect("a text file").lines() {
            let columns: Vec<i64> = line.split(',').map(|column| column.parse().expect("a whole number")).collect();
            let of_window = results.entry(columns[0]).or_default();
            of_window.0 += columns[2];
            of_window.1 += 1;
        }
    }
    results
}

#[test]
fn one_partition_continues_when_all_were_silent_in_the_middle_of_a_window() {
    let broker = broker();
    for parallelism in 1..=3 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (out, log) = (folder.path().join("out"), folder.path().join("log"));
        std::fs::create_dir(&out).expect("a folder");
        let topic = format!("silent-at-{parallelism}");
        broker.create_topic(&topic, 2);
        let job_file = folder.path().join("job.sql");
        std::fs::write(&job_file, job(broker, &topic, &out)).expect("a file");
        let checkpoints = folder.path().join("checkpoints");
        let (slots, port) = (parallelism.to_string(), free_port());
        let address = format!("127.0.0.1:{port}");
        let more = ["--parallelism", slots.as_str(), "--metrics-addr", &address];
        let mut running = Running::start_with(Running::eddyline(), &job_file, &checkpoints, &log, &more);

        // Both are idle in the middle of the first window. Event time is that of the partition furthest ahead.
        broker.produce(&topic, rows(0, 1..6).into_iter().chain(rows(1, 4..9)));
        running.until("silence", |_| windows_at(port, 8) == parallelism);
        broker.produce(&topic, rows(0, [25]));
        running.until("the first window", |_| results(&out).contains_key(&0));
        // All are idle again, and checkpoints are taken. Only one partition resumes.
        for second in [45, 65, 85] {
            broker.produce(&topic, rows(0, [second]));
            let window = (second - 20) / 10 * 10;
            running.until("the next window", |_| results(&out).contains_key(&window));
        }
        running.terminate();
        assert!(running.ended().success(), "{}", running.log());
        let keys = usize::try_from(KEYS).expect("small");
        let (all, alone) = ((10 * KEYS, keys), (KEYS, keys));
        let expected = BTreeMap::from([(0, all), (20, alone), (40, alone), (60, alone)]);
        assert_eq!(results(&out), expected, "parallelism {parallelism}");
    }
}
