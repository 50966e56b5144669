//! Exactly-once output from Kafka to Kafka and to files. The worker is killed repeatedly, at random moments and at
//! every named step between barrier and commit, and starts again with another parallelism. A reader of committed
//! records sees each result once, and none is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::broker::{Broker, broker};

const PARTITIONS: u16 = 4;
const KEYS: u64 = 20;
/// The number of kills at random moments. Those at named steps come in addition.
const RANDOM_KILLS: usize = 30;
const WINDOW_MS: i64 = 1_000;
/// 2026-03-01 00:00:00.
const START_MS: i64 = 1_772_323_200_000;

/// A pseudorandom sequence of numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

fn job(broker: &str, files: &Path) -> String {
    format!(
        "SET 'pipeline.name' = 'exactly-once';
CREATE TABLE readings (k STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
  WITH ('connector' = 'kafka', 'topic' = 'eo-in', 'properties.bootstrap.servers' = '{broker}',
        'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
CREATE TABLE kafka_out (k STRING, w TIMESTAMP(3), n BIGINT, total INT)
  WITH ('connector' = 'kafka', 'topic' = 'eo-out', 'properties.bootstrap.servers' = '{broker}', 'format' = 'json',
        'sink.delivery-guarantee' = 'exactly-once');
CREATE TABLE file_out (k STRING, w TIMESTAMP(3), n BIGINT, total INT)
  WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');
CREATE VIEW windows AS
  SELECT k, window_start AS w, COUNT(*) AS n, SUM(v) AS total
  FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY k, window_start, window_end;
EXECUTE STATEMENT SET BEGIN
  INSERT INTO kafka_out SELECT * FROM windows;
  INSERT INTO file_out SELECT * FROM windows;
END;
",
        files.display()
    )
}

/// Every named crash point in the sources of the worker.
fn crash_points() -> BTreeSet<String> {
    fn walk(folder: &Path, points: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a source folder").flatten() {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "tests" && name != "target") {
                walk(&path, points);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let named = text.split("crash_point(\"").skip(1).filter_map(|rest| rest.split('"').next());
                points.extend(named.map(str::to_owned));
            }
        }
    }
    let mut points = BTreeSet::new();
    walk(Path::new(env!("CARGO_MANIFEST_DIR")), &mut points);
    // This job does not reach these.
    points.retain(|point| !point.starts_with("savepoint.") && !point.starts_with("local-copy."));
    points
}

struct Load {
    records: Vec<(i32, String)>,
    /// The count and the sum of each key and window.
    expected: BTreeMap<(String, i64), (i64, i64)>,
}

/// Rows that are one millisecond of event time apart, slightly out of order, distributed over all partitions.
fn load(seconds: i64, per_second: i64) -> Load {
    let mut random = Random(42);
    let mut load = Load { records: Vec::new(), expected: BTreeMap::new() };
    for index in 0..seconds * per_second {
        let time = START_MS + index * 1000 / per_second - random.next(700) as i64;
        let (key, value) = (format!("k{}", random.next(KEYS)), random.next(200) as i64 - 100);
        let partition = random.next(u64::from(PARTITIONS)) as i32;
        let window = time.div_euclid(WINDOW_MS) * WINDOW_MS;
        let cell = load.expected.entry((key.clone(), window)).or_default();
        *cell = (cell.0 + 1, cell.1 + value);
        load.records.push((partition, format!(r#"{{"k":"{key}","v":{value},"ts":"{}"}}"#, time_text(time))));
    }
    load
}

fn time_text(time_ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(time_ms).expect("a time").format("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// The last rows. They move every partition's watermark past all windows of the load. Their own window never fires.
fn closing_records() -> Vec<(i32, String)> {
    let far = time_text(START_MS + 86_400_000);
    (0..i32::from(PARTITIONS)).map(|partition| (partition, format!(r#"{{"k":"end","v":0,"ts":"{far}"}}"#))).collect()
}

struct Worker {
    child: Child,
}

impl Worker {
    fn start(job: &Path, checkpoints: &Path, parallelism: u64, crash_at: Option<&str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
        command
            .arg("run")
            .arg(job)
            .arg("--checkpoint-dir")
            .arg(checkpoints)
            .args(["--checkpoint-interval", "150 ms", "--parallelism", &parallelism.to_string()])
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stderr(
                std::fs::File::options()
                    .append(true)
                    .create(true)
                    .open(checkpoints.with_extension("log"))
                    .expect("a log"),
            );
        if let Some(point) = crash_at {
            command.env("EDDYLINE_CRASH_AT", point);
        }
        Self { child: command.spawn().expect("the eddyline binary") }
    }

    /// Whether the process has ended by `deadline`.
    fn is_gone_by(&mut self, deadline: Instant) -> bool {
        let (_sender, receiver) = std::sync::mpsc::channel::<()>();
        while Instant::now() < deadline {
            if self.child.try_wait().expect("a child").is_some() {
                return true;
            }
            let _timeout = receiver.recv_timeout(Duration::from_millis(5));
        }
        false
    }

    fn kill(&mut self) {
        self.child.kill().expect("a signal");
        self.child.wait().expect("a child");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[test]
fn each_result_is_visible_once_through_kills_at_every_step_and_changes_of_parallelism() {
    let broker = broker();
    broker.create_topic("eo-in", PARTITIONS);
    broker.create_topic("eo-out", 2);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (files, checkpoints) = (folder.path().join("files"), folder.path().join("checkpoints"));
    let job_file = folder.path().join("job.sql");
    std::fs::write(&job_file, job(&broker.address(), &files)).expect("a file");

    let load = load(120, 500);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| produce_slowly(broker, &load.records, &done));
        let kills = kill_again_and_again(&job_file, &checkpoints);
        assert!(kills >= 50, "only {kills} kills");
        done.store(true, Ordering::SeqCst);
    });
    broker.produce("eo-in", closing_records());

    let mut worker = Worker::start(&job_file, &checkpoints, 2, None);
    let expected = rows_of(&load.expected);
    let seen = broker.consume_committed("eo-out", 2, Duration::from_secs(90), |rows| rows.len() >= expected.len());
    compare("kafka", &expected, seen, &checkpoints);
    let deadline = Instant::now() + Duration::from_secs(30);
    while files_of(&files).len() < expected.len() && Instant::now() < deadline {
        assert!(!worker.is_gone_by(Instant::now() + Duration::from_millis(100)), "the last worker runs on");
    }
    worker.kill();
    compare("files", &expected, files_of(&files), &checkpoints);
}

/// Writes records slowly until the kills are over, then writes the rest at once.
fn produce_slowly(broker: &Broker, records: &[(i32, String)], done: &AtomicBool) {
    let (_sender, receiver) = std::sync::mpsc::channel::<()>();
    for chunk in records.chunks(100) {
        broker.produce("eo-in", chunk.iter().cloned());
        if !done.load(Ordering::SeqCst) {
            let _timeout = receiver.recv_timeout(Duration::from_millis(100));
        }
    }
}

fn kill_again_and_again(job: &Path, checkpoints: &Path) -> usize {
    let mut random = Random(7);
    let mut kills = 0;
    for point in crash_points() {
        let at = format!("{point}:{}", 1 + random.next(3));
        let mut worker = Worker::start(job, checkpoints, 1 + random.next(3), Some(&at));
        // A process does not reach every point: a commit that is repeated at the start has no barrier before it.
        if !worker.is_gone_by(Instant::now() + Duration::from_secs(4)) {
            worker.kill();
        }
        kills += 1;
    }
    for _ in 0..RANDOM_KILLS {
        let mut worker = Worker::start(job, checkpoints, 1 + random.next(3), None);
        let alive = Duration::from_millis(100 + random.next(1500));
        assert!(!worker.is_gone_by(Instant::now() + alive), "a worker died by itself: {}", log_of(checkpoints));
        worker.kill();
        kills += 1;
    }
    kills
}

fn log_of(checkpoints: &Path) -> String {
    let log = std::fs::read_to_string(checkpoints.with_extension("log")).unwrap_or_default();
    log.lines().rev().take(10).collect::<Vec<_>>().join("\n")
}

fn rows_of(expected: &BTreeMap<(String, i64), (i64, i64)>) -> Vec<String> {
    let row = |((key, window), (count, total)): (&(String, i64), &(i64, i64))| {
        let time = chrono::DateTime::from_timestamp_millis(*window).expect("a time").format("%Y-%m-%d %H:%M:%S");
        format!(r#"{{"k":"{key}","w":"{time}","n":{count},"total":{total}}}"#)
    };
    let mut rows: Vec<String> = expected.iter().map(row).collect();
    rows.sort();
    rows
}

fn files_of(folder: &PathBuf) -> Vec<String> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_file() && !name.starts_with('.') && !name.starts_with('_') {
            let text = std::fs::read_to_string(entry.path()).expect("a text file");
            rows.extend(text.lines().map(str::to_owned));
        }
    }
    rows
}

fn compare(what: &str, expected: &[String], mut seen: Vec<String>, checkpoints: &Path) {
    seen.sort();
    let twice: Vec<_> = seen.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    let set: BTreeSet<_> = seen.iter().collect();
    let missing: Vec<_> = expected.iter().filter(|row| !set.contains(row)).collect();
    let wrong: Vec<_> = seen.iter().filter(|row| expected.binary_search(row).is_err()).collect();
    assert!(
        twice.is_empty() && missing.is_empty() && wrong.is_empty(),
        "{what}: {} twice {:?}, {} missing {:?}, {} not expected {:?}\n{}",
        twice.len(),
        twice.first(),
        missing.len(),
        missing.first(),
        wrong.len(),
        wrong.first(),
        log_of(checkpoints)
    );
}
