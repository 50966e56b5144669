//! Checkpoints of changes, through the runtime: windows with many groups of which few change between two checkpoints, killed and
//! restored at other parallelisms.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use eddyline_api::SavepointState;
use eddyline_checkpoint::{Inspection, inspect};
use eddyline_worker::coordinator::job::{Outcome, Restore, View};
use eddyline_worker::coordinator::request::{Request, SavepointOrder};

use crate::golden::{Case, Run, rows_read, until};
use crate::memory_tables::MemoryTables;

const KEYS: usize = 3_000;
/// Rows that touch a few keys between two checkpoints.
const TOUCHED: usize = 24;
/// More of them than a chain has files.
const CHECKPOINTS: usize = 12;
const RUNS: usize = 4;

const SQL: &str = "
CREATE TABLE tumbled (k STRING, n BIGINT, total INT, hi STRING, kinds BIGINT, ws TIMESTAMP(3)) WITH ('connector' = 'blackhole');
CREATE TABLE hopped (k STRING, n BIGINT, total INT, hi STRING, ws TIMESTAMP(3)) WITH ('connector' = 'blackhole');
CREATE TABLE stacked (k STRING, lo INT, kinds BIGINT, ws TIMESTAMP(3)) WITH ('connector' = 'blackhole');
CREATE TABLE cumulated (k STRING, n BIGINT, lo INT, kinds BIGINT, we TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO tumbled SELECT k, COUNT(*), SUM(v), MAX(tag), COUNT(DISTINCT tag), window_start
  FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY k, window_start, window_end;
INSERT INTO hopped SELECT k, COUNT(*), SUM(v), MAX(tag), window_start
  FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' MINUTE, INTERVAL '1' HOUR)) GROUP BY k, window_start, window_end;
INSERT INTO stacked SELECT k, MIN(v), COUNT(DISTINCT tag), window_start
  FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '30' MINUTE, INTERVAL '1' HOUR)) GROUP BY k, window_start, window_end;
INSERT INTO cumulated SELECT k, COUNT(*), MIN(v), COUNT(DISTINCT tag), window_end
  FROM TABLE(CUMULATE(TABLE readings, DESCRIPTOR(ts), INTERVAL '20' MINUTE, INTERVAL '1' HOUR)) GROUP BY k, window_start, window_end;
";

/// All keys first; then a few at a time, slowly later, with some late for their slice and some that are new. All are within an
/// hour, in which windows of less than an hour end. The last rows are only for the end of the input.
fn lines() -> String {
    let mut lines = String::new();
    let mut row = |key: usize, value: usize, second: usize| {
        let (minute, second) = (second / 60, second % 60);
        writeln!(
            lines,
            r#"{{"k":"key {key} of some length","v":{value},"big":1,"price":1.5,"ratio":0.5,"tag":"t{}","ts":"2024-05-01 {:02}:{:02}:{second:02}"}}"#,
            value % 7,
            8 + minute / 60,
            minute % 60
        )
        .expect("a string takes all");
    };
    (0..KEYS).for_each(|key| row(key, key % 100, 0));
    for touch in 0..(RUNS * CHECKPOINTS + 1) * TOUCHED {
        let key = if touch % 9 == 0 { KEYS + touch } else { touch * 37 % KEYS };
        let late = if touch % 5 == 0 { 700 } else { 0 };
        row(key, touch % 50, 1_000 + touch * 2 - late);
    }
    lines
}

pub(crate) async fn last_checkpoint(folder: &Path, name: &str) -> Inspection {
    let uri = folder.join(name).display().to_string();
    inspect(&uri, &BTreeMap::new()).await.expect("a checkpoint")
}

pub(crate) async fn savepoint(
    view: &View,
    requests: &tokio::sync::mpsc::UnboundedSender<Request>,
    folder: &Path,
) -> Inspection {
    let name = format!("whole-{}", view.status.snapshot().attempt);
    let order = SavepointOrder { name: name.clone(), folder: folder.join("savepoints").display().to_string() };
    view.status.savepoint_requested(&name);
    requests.send(Request::Savepoint(order)).expect("the job runs");
    let done = || view.status.savepoint(&name).filter(|savepoint| savepoint.state == SavepointState::Completed);
    until(|| done().is_some()).await;
    let uri = done().and_then(|savepoint| savepoint.uri).expect("a complete one has a place");
    inspect(&uri, &BTreeMap::new()).await.expect("a savepoint")
}

/// Rows, stored rows, files with rows that take the place of others, and files, of the tables that have all keys: one of each
/// operator.
fn tables_of_keys(inspection: &Inspection) -> Vec<(u64, u64, usize, usize)> {
    let tables = inspection.operators.values().flat_map(|operator| &operator.tables);
    let tables: Vec<_> = tables
        .filter(|table| ["groups", "cycles"].contains(&table.table.as_str()) && table.rows >= KEYS as u64)
        .map(|table| (table.rows, table.stored_rows, table.deltas, table.run_files))
        .collect();
    assert_eq!(tables.len(), 4, "{inspection:?}");
    tables
}

#[test]
fn windows_are_restored_from_checkpoints_of_changes_at_any_parallelism() {
    let case = Case::over("deltas", SQL, |case| {
        BTreeMap::from([("readings".to_owned(), case.decode("readings", lines().as_bytes()))])
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tables = MemoryTables::new(case.inputs.clone());
    let parallelisms: [u16; RUNS] = [1, 3, 2, 1];
    for (number, parallelism) in parallelisms.into_iter().enumerate() {
        let run = Run {
            parallelism,
            rows_per_piece: if number % 2 == 0 { 1_000 } else { 77 },
            checkpoint_interval: Some(Duration::from_millis(3)),
            checkpoint_dir: Some(folder.path()),
            restore: Restore::Latest,
            ..Run::default()
        };
        let (is_first, is_last) = (number == 0, number + 1 == parallelisms.len());
        let before = if is_first { 0 } else { KEYS + number * CHECKPOINTS * TOUCHED };
        let first = KEYS + number * CHECKPOINTS * TOUCHED;
        let (released, path, name) = (tables.clone(), folder.path().to_owned(), case.name.clone());
        let outcome = case.start(&tables, first, &run, move |view, requests| {
            Box::pin(async move {
                let completed = || view.status.snapshot().checkpoints_completed;
                until(|| rows_read(view) + before >= first).await;
                let at = completed();
                until(|| completed() >= at + 2).await;
                for step in 1..=CHECKPOINTS {
                    released.release(first + step * TOUCHED);
                    until(|| rows_read(view) + before >= first + step * TOUCHED).await;
                    let at = completed();
                    // The one in flight can have passed the source before, and the next one a window that is half given out.
                    until(|| completed() >= at + 3).await;
                }
                let checkpoint = last_checkpoint(&path, &name).await;
                for (rows, stored, deltas, files) in tables_of_keys(&checkpoint) {
                    assert!(deltas > 0 && files <= usize::from(eddyline_state::PARTS), "{checkpoint:?}");
                    assert!(stored < 3 * rows, "{checkpoint:?}");
                }
                let whole = savepoint(view, &requests, &path).await;
                for (rows, stored, deltas, _) in tables_of_keys(&whole) {
                    assert_eq!((rows, deltas), (stored, 0), "{whole:?}");
                }
                if is_last {
                    released.release(usize::MAX);
                    std::future::pending::<()>().await;
                }
            })
        });
        assert_eq!(matches!(outcome, Some(Outcome::Finished)), is_last, "run {number}: {outcome:?}");
    }
    case.check("killed and restored from checkpoints of changes", &tables);
}
