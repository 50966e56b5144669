//! Checkpoints of changes of OVER, through the runtime: many keys and rows of which few come between two checkpoints, killed and
//! restored at other parallelisms.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use eddyline_checkpoint::Inspection;
use eddyline_worker::coordinator::job::{Outcome, Restore};

use crate::deltas::{last_checkpoint, savepoint};
use crate::golden::{Case, Run, rows_read, until};
use crate::memory_tables::MemoryTables;

const KEYS: usize = 2_000;
/// Rows that come between two checkpoints.
const TOUCHED: usize = 24;
/// More of them than a chain has files.
const CHECKPOINTS: usize = 12;
const RUNS: usize = 4;

const SQL: &str = "
CREATE TABLE counted (k STRING, v INT, n BIGINT, total INT, mean DOUBLE, lo INT, hi STRING) WITH ('connector' = 'blackhole');
CREATE TABLE all_rows (k STRING, v INT, n BIGINT, total BIGINT, lo INT, last_tag STRING, tags STRING) WITH ('connector' = 'blackhole');
CREATE TABLE lately (k STRING, v INT, n BIGINT, total INT, hi STRING) WITH ('connector' = 'blackhole');
CREATE TABLE all_times (k STRING, v INT, n BIGINT, total INT, first_tag STRING) WITH ('connector' = 'blackhole');
INSERT INTO counted SELECT k, v, COUNT(*) OVER w, SUM(v) OVER w, AVG(ratio) OVER w, MIN(v) OVER w, MAX(tag) OVER w
  FROM readings WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW);
INSERT INTO all_rows SELECT k, v, COUNT(*) OVER w, SUM(big) OVER w, MIN(v) OVER w, LAST_VALUE(tag) OVER w, LISTAGG(tag) OVER w
  FROM readings WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);
INSERT INTO lately SELECT k, v, COUNT(*) OVER w, SUM(v) OVER w, MAX(tag) OVER w
  FROM readings WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '20' MINUTE PRECEDING AND CURRENT ROW);
INSERT INTO all_times SELECT k, v, COUNT(*) OVER w, SUM(v) OVER w, FIRST_VALUE(tag) OVER w
  FROM readings WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);
";

/// All keys first; then a few at a time, some of which are new. Within 20 minutes, after which the first rows are out of the range.
/// The last rows are only for the end of the input.
fn lines() -> String {
    let mut lines = String::new();
    let mut row = |key: usize, value: usize, second: usize| {
        let (minute, second) = (second / 60, second % 60);
        writeln!(
            lines,
            r#"{{"k":"key {key} of some length","v":{value},"big":{},"price":1.5,"ratio":0.5,"tag":"t{}","ts":"2024-05-01 {:02}:{:02}:{second:02}"}}"#,
            value * 1_000_000,
            value % 7,
            8 + minute / 60,
            minute % 60
        )
        .expect("a string takes all");
    };
    (0..KEYS).for_each(|key| row(key, key % 100, 0));
    for touch in 0..(RUNS * CHECKPOINTS + 1) * TOUCHED {
        let key = if touch % 9 == 0 { KEYS + touch } else { touch * 37 % KEYS };
        row(key, touch % 50, 100 + touch + touch % 3);
    }
    lines
}

/// Rows, stored rows, files with rows that take the place of others, and files, of a table of each operator that has it with all
/// keys.
fn tables(inspection: &Inspection, name: &str) -> Vec<(u64, u64, usize, usize)> {
    let tables = inspection.operators.values().flat_map(|operator| &operator.tables);
    let tables = tables.filter(|table| table.table == name && table.rows >= KEYS as u64);
    tables.map(|table| (table.rows, table.stored_rows, table.deltas, table.run_files)).collect()
}

#[test]
fn an_over_is_restored_from_checkpoints_of_changes_at_any_parallelism() {
    let case = Case::over("over_deltas", SQL, |case| {
        BTreeMap::from([("readings".to_owned(), case.decode("readings", lines().as_bytes()))])
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sinks = MemoryTables::new(case.inputs.clone());
    let parallelisms: [u16; RUNS] = [1, 3, 2, 1];
    for (number, parallelism) in parallelisms.into_iter().enumerate() {
        let run = Run {
            parallelism,
            rows_per_piece: if number % 2 == 0 { 1_000 } else { 3 },
            checkpoint_interval: Some(Duration::from_millis(3)),
            checkpoint_dir: Some(folder.path()),
            restore: Restore::Latest,
            ..Run::default()
        };
        let (is_first, is_last) = (number == 0, number + 1 == parallelisms.len());
        let before = if is_first { 0 } else { KEYS + number * CHECKPOINTS * TOUCHED };
        let first = KEYS + number * CHECKPOINTS * TOUCHED;
        let (released, path, name) = (sinks.clone(), folder.path().to_owned(), case.name.clone());
        let outcome = case.start(&sinks, first, &run, move |view, requests| {
            Box::pin(async move {
                let completed = || view.status.snapshot().checkpoints_completed;
                until(|| rows_read(view) + before >= first).await;
                let at = completed();
                until(|| completed() >= at + 2).await;
                for step in 1..=CHECKPOINTS {
                    released.release(first + step * TOUCHED);
                    until(|| rows_read(view) + before >= first + step * TOUCHED).await;
                    let at = completed();
                    // The one in flight can have passed the source before.
                    until(|| completed() >= at + 3).await;
                }
                let checkpoint = last_checkpoint(&path, &name).await;
                let keys = tables(&checkpoint, "accumulators");
                assert_eq!(keys.len(), 4, "{checkpoint:?}");
                for (rows, stored, deltas, files) in keys {
                    assert!(deltas > 0 && files <= usize::from(eddyline_state::PARTS), "{checkpoint:?}");
                    assert!(stored < 3 * rows, "{checkpoint:?}");
                }
                let kept = tables(&checkpoint, "retained");
                assert_eq!(kept.len(), 2, "{checkpoint:?}");
                for (rows, stored, deltas, files) in kept {
                    // Each part of a subtask is in one file, as a whole. If it is unchanged when it is handed over, that is the
                    // file that had it before.
                    assert_eq!((rows, deltas), (stored, 0), "{checkpoint:?}");
                    assert!(files > 1 && files < 2 * usize::from(eddyline_state::PARTS), "{checkpoint:?}");
                }
                let whole = savepoint(view, &requests, &path).await;
                let all = [tables(&whole, "accumulators"), tables(&whole, "retained")].concat();
                for (rows, stored, deltas, _) in all {
                    assert_eq!((rows, deltas), (stored, 0), "{whole:?}");
                }
                let of_whole = whole.operators.values().flat_map(|operator| &operator.tables);
                assert!(of_whole.clone().all(|table| !table.table.ends_with("removed")), "{whole:?}");
                if is_last {
                    released.release(usize::MAX);
                    std::future::pending::<()>().await;
                }
            })
        });
        assert_eq!(matches!(outcome, Some(Outcome::Finished)), is_last, "run {number}: {outcome:?}");
    }
    case.check("killed and restored from checkpoints of changes", &sinks);
}
