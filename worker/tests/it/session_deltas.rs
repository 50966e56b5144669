//! Checkpoints of changes of sessions, through the runtime: many sessions of which few change between two checkpoints, killed and
//! restored at other parallelisms.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use eddyline_checkpoint::Inspection;
use eddyline_worker::coordinator::job::{Outcome, Restore};

use crate::deltas::{last_checkpoint, savepoint};
use crate::golden::{Case, Run, rows_read, until};
use crate::memory_tables::MemoryTables;

const KEYS: usize = 3_000;
/// Rows between two checkpoints.
const TOUCHED: usize = 24;
/// More of them than a chain has files.
const CHECKPOINTS: usize = 12;
const RUNS: usize = 4;

const SQL: &str = "
CREATE TABLE long_ones (k STRING, n BIGINT, total INT, hi STRING, ws TIMESTAMP(3), we TIMESTAMP(3)) WITH ('connector' = 'blackhole');
CREATE TABLE long_values (k STRING, n BIGINT, kinds BIGINT, ws TIMESTAMP(3), we TIMESTAMP(3)) WITH ('connector' = 'blackhole');
CREATE TABLE joined (k STRING, n BIGINT, kinds BIGINT, hi STRING, ws TIMESTAMP(3), we TIMESTAMP(3)) WITH ('connector' = 'blackhole');
CREATE TABLE short_ones (k STRING, n BIGINT, kinds BIGINT, ws TIMESTAMP(3), we TIMESTAMP(3)) WITH ('connector' = 'blackhole');
CREATE TABLE listed (k STRING, tags STRING, ws TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO long_ones SELECT k, COUNT(*), SUM(v), MAX(tag), window_start, window_end
  FROM TABLE(SESSION(TABLE readings PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY k, window_start, window_end;
INSERT INTO long_values SELECT k, COUNT(*), COUNT(DISTINCT tag), window_start, window_end
  FROM TABLE(SESSION(TABLE readings PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' HOUR)) GROUP BY k, window_start, window_end;
INSERT INTO joined SELECT k, COUNT(*), COUNT(DISTINCT v), MAX(tag), window_start, window_end
  FROM TABLE(SESSION(TABLE readings PARTITION BY k, DESCRIPTOR(ts), INTERVAL '15' MINUTE)) GROUP BY k, window_start, window_end;
INSERT INTO short_ones SELECT k, COUNT(*), COUNT(DISTINCT v), window_start, window_end
  FROM TABLE(SESSION(TABLE readings PARTITION BY k, DESCRIPTOR(ts), INTERVAL '20' SECOND)) GROUP BY k, window_start, window_end;
INSERT INTO listed SELECT k, LISTAGG(DISTINCT tag), window_start
  FROM TABLE(SESSION(TABLE readings PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' MINUTE)) GROUP BY k, window_start, window_end;
";

/// All keys first; then a few at a time, slowly later, with some that come late and some that are new, and late rows that join
/// two sessions of 15 minutes. All are within an hour. The last rows are only for the end of the input.
fn lines() -> String {
    let mut lines = String::new();
    let mut row = |key: &str, value: usize, second: usize| {
        let (minute, second) = (second / 60, second % 60);
        writeln!(
            lines,
            r#"{{"k":{key},"v":{value},"big":1,"price":1.5,"ratio":0.5,"tag":"t{}","ts":"2024-05-01 {:02}:{:02}:{second:02}"}}"#,
            value % 7,
            8 + minute / 60,
            minute % 60
        )
        .expect("a string takes all");
    };
    let name = |key: usize| if key == 7 { "null".to_owned() } else { format!("\"key {key} of some length\"") };
    (0..KEYS).for_each(|key| row(&name(key), key % 100, 0));
    for touch in 0..(RUNS * CHECKPOINTS + 1) * TOUCHED {
        let now = 1_000 + touch * 2;
        let joined = format!("\"joined {}\"", touch / 200);
        match touch % 200 {
            // A session that ends soon, one that begins behind its end, and a row between.
            0 => row(&joined, 1, now - 699),
            100 => row(&joined, 2, now + 2),
            101 => row(&joined, 3, now - 101),
            number if number % 3 == 0 => row("\"busy\"", touch % 50, now),
            number if number % 9 == 1 => row(&name(KEYS + touch), touch % 50, now),
            number if number % 5 == 0 => row(&name(touch * 37 % KEYS), touch % 50, now - 700),
            number if number % 17 == 0 => row("null", touch % 50, now),
            _ => row(&name(touch * 37 % KEYS), touch % 50, now),
        }
    }
    lines
}

/// Rows, stored rows, files with rows that take the place of others, and files, of the tables that have all keys.
fn tables_of_keys(inspection: &Inspection) -> Vec<(u64, u64, usize, usize)> {
    let tables = inspection.operators.values().flat_map(|operator| &operator.tables);
    let tables: Vec<_> = tables
        .filter(|table| table.table.starts_with("session") && table.rows >= KEYS as u64)
        .map(|table| (table.rows, table.stored_rows, table.deltas, table.run_files))
        .collect();
    assert_eq!(tables.len(), 3, "{inspection:?}");
    tables
}

#[test]
fn sessions_are_restored_from_checkpoints_of_changes_at_any_parallelism() {
    let case = Case::over("session_deltas", SQL, |case| {
        BTreeMap::from([("readings".to_owned(), case.decode("readings", lines().as_bytes()))])
    });
    let has_joined = |row: &&String| row.contains("joined") && row.contains(" | 3 | 3 | ");
    assert!(case.expected("joined").iter().filter(has_joined).count() >= 3, "late rows join sessions");
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
                    until(|| completed() >= at + 3).await;
                }
                let checkpoint = last_checkpoint(&path, &name).await;
                for (rows, stored, deltas, files) in tables_of_keys(&checkpoint) {
                    // A home that was handed over as a whole can be in an older file, if it has not changed.
                    let parts = usize::from(eddyline_state::PARTS);
                    assert!(deltas > 0 && deltas <= parts && files < 2 * parts, "{checkpoint:?}");
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
