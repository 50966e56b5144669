//! Two sources in one alignment group whose event time advances at very different speeds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::Path;

use crate::broker::free_port;
use crate::running::Running;

/// 2026-03-01 00:00:00, in seconds.
const START: i64 = 1_772_323_200;
const HOUR: i64 = 3_600;
/// The slow source has a row every 200 seconds of event time and gives 50 rows per second.
const SLOW_ROWS: i64 = 1_000;
const SLOW_STEP: i64 = 200;
/// The fast source has a row every second of event time and is read at full speed. It begins later.
const FAST_ROWS: i64 = 100_000;
const FAST_BEGIN: i64 = 20 * HOUR;
/// The maximum drift, in seconds.
const DRIFT: i64 = 600;
/// The most rows of one read.
const READ_ROWS: i64 = 8_192;

fn job(folder: &Path) -> String {
    let alignment = format!(
        "'scan.watermark.alignment.group' = 'together', 'scan.watermark.alignment.max-drift' = '{DRIFT} s',
  'scan.watermark.alignment.update-interval' = '5 ms'"
    );
    format!(
        "CREATE TABLE fast (s BIGINT, ts AS TO_TIMESTAMP_LTZ(s * 1000, 3), WATERMARK FOR ts AS ts)
  WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv', 'source.monitor-interval' = '20 ms', {alignment});
CREATE TABLE slow (n BIGINT, ts AS TO_TIMESTAMP_LTZ(({START} + n * {SLOW_STEP}) * 1000, 3), WATERMARK FOR ts AS ts)
  WITH ('connector' = 'datagen', 'rows-per-second' = '50', 'fields.n.kind' = 'sequence', 'fields.n.start' = '0',
  'fields.n.end' = '{}', {alignment});
CREATE TABLE results (hour_start TIMESTAMP(3), n BIGINT)
  WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
CREATE VIEW readings AS SELECT ts FROM fast UNION ALL SELECT ts FROM slow;
INSERT INTO results SELECT window_start, COUNT(*)
  FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY window_start, window_end;
",
        folder.join("fast").display(),
        SLOW_ROWS - 1,
        folder.join("out").display()
    )
}

fn text(time: i64) -> String {
    chrono::DateTime::from_timestamp_secs(time).expect("a time").format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Moves a complete file of times into a watched folder.
fn put(folder: &Path, name: &str, times: impl Iterator<Item = i64>) {
    let lines: String = times.map(|time| format!("{time}\n")).collect();
    let hidden = folder.join(format!(".{name}"));
    std::fs::write(&hidden, lines).expect("a file");
    std::fs::rename(hidden, folder.join(name)).expect("a file");
}

/// The metrics that a job serves.
struct Metrics {
    port: u16,
}

impl Metrics {
    /// The value of the first line that begins with `name` and contains `label`. 0 if there is none.
    fn number(&self, name: &str, label: &str) -> i64 {
        let mut text = String::new();
        if let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", self.port)) {
            stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: localhost\r\n\r\n").expect("a request");
            stream.read_to_string(&mut text).expect("an answer");
        }
        let line = text.lines().find(|line| line.starts_with(name) && line.contains(label));
        line.and_then(|line| line.rsplit(' ').next()).map_or(0, |number| number.parse().expect("a whole number"))
    }

    fn rows_of(&self, table: &str) -> i64 {
        self.number("eddyline_rows_in_total{", &format!("name=\"Source {table}\""))
    }
}

/// The rows of the visible files: the count of each hour.
fn results(folder: &Path) -> BTreeMap<String, i64> {
    let mut results = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        for line in std::fs::read_to_string(entry.path()).expect("a text file").lines() {
            let (hour, count) = line.rsplit_once(',').expect("two columns");
            let twice = results.insert(hour.trim_matches('"').to_owned(), count.parse().expect("a number"));
            assert_eq!(twice, None, "{hour}");
        }
    }
    results
}

#[test]
fn a_source_whose_event_time_runs_ahead_waits_for_the_other_of_its_group_and_results_are_exact() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (fast, out) = (folder.path().join("fast"), folder.path().join("out"));
    std::fs::create_dir(&fast).expect("a folder");
    let (job_file, log) = (folder.path().join("job.sql"), folder.path().join("log"));
    std::fs::write(&job_file, job(folder.path())).expect("a file");
    let metrics = Metrics { port: free_port() };
    let (checkpoints, address) = (folder.path().join("checkpoints"), format!("127.0.0.1:{}", metrics.port));
    let more = ["--metrics-addr", &address];
    let mut running = Running::start_with(Running::eddyline(), &job_file, &checkpoints, &log, &more);

    // The slow source starts first, because a source without a watermark does not hold back others.
    running.until("rows of the slow source", |_| metrics.rows_of("slow") > 0);
    put(&fast, "1", (0..FAST_ROWS).map(|row| START + FAST_BEGIN + row));
    let mut steps = BTreeSet::new();
    running.until("all rows of the fast source", |_| {
        // The fast source is asked first. The slow one may have advanced meanwhile, which only allows more.
        let (fast, slow) = (metrics.rows_of("fast"), metrics.rows_of("slow"));
        let reached = (slow * SLOW_STEP - FAST_BEGIN).max(0);
        let allowed = reached + DRIFT + 1 + READ_ROWS;
        assert!(fast <= allowed || slow == SLOW_ROWS, "{fast} rows read, {allowed} are within the drift");
        steps.insert(fast);
        fast == FAST_ROWS
    });
    assert!(steps.len() > 5, "it advances step by step: {steps:?}");
    // This row is after all counted rows.
    put(&fast, "2", std::iter::once(START + 1000 * HOUR));

    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    let slow_times = (0..SLOW_ROWS).map(|row| row * SLOW_STEP);
    let times = slow_times.chain((0..FAST_ROWS).map(|row| FAST_BEGIN + row));
    times.for_each(|time| *expected.entry(text(START + time - time % HOUR)).or_default() += 1);
    running.until("all windows", |_| results(&out).len() >= expected.len());
    running.terminate();
    assert!(running.ended().success(), "{}", running.log());
    let mut results = results(&out);
    results.retain(|hour, _| *hour < text(START + 900 * HOUR));
    assert_eq!(results, expected);
}
