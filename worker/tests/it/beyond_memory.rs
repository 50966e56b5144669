//! A window job with several times more state than the memory that it may have. It is killed, and resumes. Its results are
//! those of a computation that keeps everything in memory.
//!
//! Builds for tests write state in very small blocks, which need much memory of their own. So how much memory a job has is
//! measured with a release build: `benches/memory.sh`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const LIMIT_MIB: u64 = 32;
const KEYS: i64 = 250_000;
const ROWS: i64 = 350_000;
const ROWS_PER_MS: i64 = 120;
/// A window has most of the rows, so that most keys are open at the same time.
const WINDOW_MS: i64 = 2_000;
/// The bytes of a key. With them the state is several times the limit.
const KEY_BYTES: usize = 300;
const DEADLINE: Duration = Duration::from_secs(600);

fn job(out: &Path) -> String {
    format!(
        "SET 'pipeline.name' = 'beyond';
CREATE TABLE readings (
  n BIGINT,
  id AS ABS(MOD(n * 6364136223846793005, {KEYS})),
  v AS MOD(n * 2862933555777941757, 1000),
  ts AS TO_TIMESTAMP_LTZ(n / {ROWS_PER_MS}, 3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH ('connector' = 'datagen', 'number-of-rows' = '{ROWS}', 'rows-per-second' = '1000000000',
        'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '{ROWS}');
CREATE TABLE sums (w BIGINT, k BIGINT, n BIGINT, total BIGINT, most BIGINT)
  WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');
CREATE VIEW keyed AS SELECT CONCAT(REPEAT('k', {KEY_BYTES}), CAST(id AS STRING)) AS k, id, v, ts FROM readings;
CREATE VIEW per_key AS
  SELECT k, MAX(id) AS id, COUNT(*) AS n, SUM(v) AS total, MAX(v) AS most, window_time
  FROM TABLE(TUMBLE(TABLE keyed, DESCRIPTOR(ts), INTERVAL '2' SECOND)) GROUP BY k, window_start, window_end, window_time;
INSERT INTO sums
  SELECT COUNT(*), MOD(id, 100), SUM(n), SUM(total * (1 + MOD(id, 8191))), SUM(most * (1 + MOD(id, 127)))
  FROM TABLE(TUMBLE(TABLE per_key, DESCRIPTOR(window_time), INTERVAL '2' SECOND))
  GROUP BY MOD(id, 100), window_start, window_end;
",
        out.display()
    )
}

/// The lines that the job writes, computed row by row.
fn expected() -> Vec<String> {
    let mut per_key: BTreeMap<(i64, i64), (i64, i64, i64)> = BTreeMap::new();
    // The sequence includes its end, unless the number of rows cuts it off.
    for n in 0..ROWS {
        let id = (n.wrapping_mul(6_364_136_223_846_793_005) % KEYS).abs();
        let v = n.wrapping_mul(2_862_933_555_777_941_757) % 1000;
        let window = n / ROWS_PER_MS / WINDOW_MS;
        let (count, total, most) = per_key.entry((window, id)).or_insert((0, 0, i64::MIN));
        *count += 1;
        *total += v;
        *most = v.max(*most);
    }
    let mut sums: BTreeMap<(i64, i64), [i64; 4]> = BTreeMap::new();
    for ((window, id), (count, total, most)) in per_key {
        let sum = sums.entry((window, id % 100)).or_default();
        sum[0] += 1;
        sum[1] += count;
        sum[2] += total * (1 + id % 8191);
        sum[3] += most * (1 + id % 127);
    }
    let line = |((_, k), [w, n, total, most]): (&(i64, i64), &[i64; 4])| {
        format!(r#"{{"w":{w},"k":{k},"n":{n},"total":{total},"most":{most}}}"#)
    };
    let mut lines: Vec<String> = sums.iter().map(line).collect();
    lines.sort();
    lines
}

/// The lines of all finished files in a folder.
fn lines_in(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(['.', '_']) {
            let text = std::fs::read_to_string(entry.path()).expect("a file of lines");
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    lines.sort();
    lines
}

struct Worker {
    child: Child,
    port: u16,
    /// The most state on disk that was seen, in MiB.
    peak: u64,
}

impl Worker {
    fn start(folder: &Path, parallelism: u16) -> Self {
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).expect("a port").port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
        command.arg("run").arg(folder.join("job.sql"));
        command.arg("--checkpoint-dir").arg(folder.join("checkpoints"));
        command.arg("--local-directory").arg(folder.join("local"));
        command.args(["--memory", &format!("{LIMIT_MIB}Mi"), "--checkpoint-interval", "1s"]);
        command.args(["--parallelism", &parallelism.to_string(), "--metrics-addr", &format!("127.0.0.1:{port}")]);
        let log = std::fs::File::options().append(true).create(true).open(folder.join("log")).expect("a log");
        let child = command.stdin(Stdio::null()).stderr(log).spawn().expect("the eddyline binary");
        Self { child, port, peak: 0 }
    }

    /// The sum of a metric; 0 if there is none.
    fn metric(&self, name: &str) -> u64 {
        let mut text = String::new();
        let asked = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).and_then(|mut stream| {
            stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
            stream.read_to_string(&mut text)
        });
        if asked.is_err() {
            return 0;
        }
        let lines = text.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>() as u64
    }

    /// Watches the process until it has ended or `is_enough`. Returns whether it has ended well.
    fn watch(&mut self, folder: &Path, mut is_enough: impl FnMut(&Self) -> bool) -> bool {
        let (_sender, receiver) = mpsc::channel::<()>();
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                assert!(status.success(), "{status}: {log}");
                return true;
            }
            self.peak = self.peak.max(self.metric("eddyline_spilled_bytes") >> 20);
            if is_enough(self) {
                return false;
            }
            assert!(Instant::now() < deadline, "the job makes no progress");
            let _timeout = receiver.recv_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[test]
fn state_of_several_times_the_memory_gives_the_same_results_after_a_kill() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    std::fs::write(folder.join("job.sql"), job(&folder.join("out"))).expect("a file");
    let mut most_on_disk = 0;
    for (parallelism, checkpoints) in [(1, Some(2)), (1, None)] {
        let mut worker = Worker::start(folder, parallelism);
        let has_ended = worker.watch(folder, |worker| {
            checkpoints.is_some_and(|enough| {
                worker.metric("eddyline_checkpoints_completed") >= enough
                    && worker.metric("eddyline_spilled_bytes") > 1 << 20
            })
        });
        most_on_disk = most_on_disk.max(worker.peak);
        assert!(checkpoints.is_none() || !has_ended, "too fast to be killed");
    }
    assert!(most_on_disk > 0, "all state was in memory");
    assert_eq!(lines_in(&folder.join("out")), expected());
}
