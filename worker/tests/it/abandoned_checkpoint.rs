//! A checkpoint that is abandoned after one sink has received its barrier and before another one has, whose broker is
//! down.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::running::{Running, pause};

const ROWS: u64 = 30_000;

/// A job with an exchange before each of its two sinks. The client of the first sink has room for few records. While
/// its broker is down, its tasks stop reading at once and no barrier reaches them. The second sink gets a row each
/// second and receives its barriers.
fn job(far: &str, near: &str) -> String {
    format!(
        "SET 'execution.checkpointing.timeout' = '2 s';
CREATE TABLE numbers (n BIGINT, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen',
  'rows-per-second' = '20000', 'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{ROWS}');
CREATE TABLE each_number (n BIGINT, c BIGINT) WITH ('connector' = 'kafka', 'topic' = 'each', 'format' = 'json',
  'properties.bootstrap.servers' = '{far}', 'properties.queue.buffering.max.messages' = '100');
CREATE TABLE seconds (w BIGINT, c BIGINT) WITH ('connector' = 'kafka', 'topic' = 'seconds', 'format' = 'json',
  'properties.bootstrap.servers' = '{near}');
EXECUTE STATEMENT SET BEGIN
INSERT INTO each_number SELECT n, COUNT(*)
  FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), INTERVAL '0.1' SECOND)) GROUP BY n, window_start, window_end;
INSERT INTO seconds SELECT MIN(n) / 1000, COUNT(*)
  FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end;
END;
"
    )
}

/// Waits for an abandoned checkpoint for a limited time. Returns whether there is one.
fn is_abandoned(running: &mut Running) -> bool {
    let deadline = Instant::now() + Duration::from_secs(15);
    while Instant::now() < deadline {
        assert!(running.is_alive(), "{}", running.log());
        if running.log().contains("checkpoint abandoned") {
            return true;
        }
        pause();
    }
    false
}

#[test]
fn sinks_behind_an_exchange_continue_after_a_checkpoint_that_only_some_of_them_took() {
    let (far, near) = (Broker::start(), Broker::start());
    far.create_topic("each", 1);
    near.create_topic("seconds", 1);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (job_file, log) = (folder.path().join("job.sql"), folder.path().join("log"));
    std::fs::write(&job_file, job(&far.address(), &near.address())).expect("a file");
    let checkpoints = folder.path().join("checkpoints");

    far.freeze();
    let mut running = Running::start_with(Running::eddyline(), &job_file, &checkpoints, &log, &["--parallelism", "2"]);
    // If the barrier arrives while the client has room, the checkpoint is not abandoned. Then the broker answers again
    // for a while, and the next checkpoint is a new try.
    let mut tries = 0;
    while !is_abandoned(&mut running) {
        tries += 1;
        assert!(tries < 6, "no checkpoint is abandoned; the log: {}", running.log());
        far.thaw();
        let before = far.all_committed("each", 1).len();
        let more = far.consume_committed("each", 1, Duration::from_secs(30), |seen| seen.len() > before);
        assert!(more.len() > before, "{}", running.log());
        far.freeze();
    }
    far.thaw();

    // The job ends by itself with its last checkpoint, which no sink may delay.
    assert!(running.ended().success(), "{}", running.log());
    let numbers: BTreeSet<String> = far.all_committed("each", 1).into_iter().collect();
    assert_eq!(numbers, (1..=ROWS).map(|n| format!("{{\"n\":{n},\"c\":1}}")).collect::<BTreeSet<_>>());
    let seconds: BTreeSet<String> = near.all_committed("seconds", 1).into_iter().collect();
    assert_eq!(seconds.len() as u64, ROWS / 1000 + 1, "{seconds:?}");
}
