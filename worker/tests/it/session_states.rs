//! The state of SESSION that an earlier release has stored: `fixtures/session_states` has a savepoint in the middle of the
//! rows of [`lines`], and the rows that were out by then.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use eddyline_worker::coordinator::job::{Outcome, Restore};

use crate::golden::{Case, Run, difference, rows_of, sorted};
use crate::memory_tables::MemoryTables;

const SQL: &str = "
CREATE TABLE of_keys (k STRING, n BIGINT, total INT, lo INT, hi STRING, ws TIMESTAMP(3), we TIMESTAMP(3)) WITH ('connector' = 'blackhole');
CREATE TABLE of_values (k STRING, kinds BIGINT, amounts BIGINT, ws TIMESTAMP(3)) WITH ('connector' = 'blackhole');
CREATE TABLE of_orders (k STRING, tags STRING, kinds STRING, last_v INT, we TIMESTAMP(3)) WITH ('connector' = 'blackhole');
CREATE TABLE of_all (n BIGINT, kinds BIGINT, ws TIMESTAMP(3), we TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO of_keys SELECT k, COUNT(*), SUM(v), MIN(v), MAX(tag), window_start, window_end
  FROM TABLE(SESSION(TABLE readings PARTITION BY k, DESCRIPTOR(ts), INTERVAL '4' SECOND)) GROUP BY k, window_start, window_end;
INSERT INTO of_values SELECT k, COUNT(DISTINCT tag), COUNT(DISTINCT price), window_start
  FROM TABLE(SESSION(TABLE readings PARTITION BY k, DESCRIPTOR(ts), INTERVAL '9' SECOND)) GROUP BY k, window_start, window_end;
INSERT INTO of_orders SELECT k, LISTAGG(tag), LISTAGG(DISTINCT tag), LAST_VALUE(v), window_end
  FROM TABLE(SESSION(TABLE readings PARTITION BY k, DESCRIPTOR(ts), INTERVAL '6' SECOND)) GROUP BY k, window_start, window_end;
INSERT INTO of_all SELECT COUNT(*), COUNT(DISTINCT k), window_start, window_end
  FROM TABLE(SESSION(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end;
";

/// Rows of keys that come often and of keys that are gone for a while, out of order by up to two seconds.
fn lines() -> String {
    let mut lines = String::new();
    for row in 0..500usize {
        let key = if row % 7 == 0 { 100 + row / 35 } else { row * 31 % 23 };
        let at = 60_000 + row * 300 + row / 100 * 3_000 - row * 7919 % 1_900;
        let (second, millisecond) = (at / 1000, at % 1000);
        writeln!(
            lines,
            r#"{{"k":{},"v":{},"big":{},"price":{}.25,"ratio":{}.5,"tag":{},"ts":"2024-05-01 08:{:02}:{:02}.{millisecond:03}"}}"#,
            if key == 5 { "null".to_owned() } else { format!("\"key {key} of some length\"") },
            row * 17 % 101,
            row * 1_000_003,
            row % 50,
            row % 9,
            if row % 6 == 0 { "null".to_owned() } else { format!("\"t{}\"", row * 13 % 17) },
            second / 60,
            second % 60,
        )
        .expect("a string takes all");
    }
    lines
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/session_states")
}

fn case() -> Case {
    Case::over("session_states", SQL, |case| {
        BTreeMap::from([("readings".to_owned(), case.decode("readings", lines().as_bytes()))])
    })
}

/// The rows of each table that were out when the savepoint was taken, as sorted text.
fn rows_before() -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(fixture().join("rows_before.txt")).expect("the fixture");
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        let (table, row) = line.split_once(": ").expect("a table and a row");
        rows.entry(table.to_owned()).or_default().push(row.to_owned());
    }
    rows
}

#[test]
fn sessions_that_an_earlier_release_has_stored_are_restored_at_any_parallelism() {
    let case = case();
    for parallelism in 1..=3 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tables = MemoryTables::new(case.inputs.clone());
        let run = Run {
            parallelism,
            checkpoint_dir: Some(folder.path()),
            restore: Restore::Uri(fixture().join("savepoint").display().to_string()),
            ..Run::default()
        };
        let outcome = case.start(&tables, usize::MAX, &run, |_, _| Box::pin(std::future::pending()));
        assert!(matches!(outcome, Some(Outcome::Finished)), "{outcome:?}");
        for (table, before) in rows_before() {
            let after = sorted(tables.committed(&table).iter().flat_map(rows_of).collect());
            assert!(!before.is_empty() && !after.is_empty(), "{table}: the savepoint is in the middle");
            let mut all = [before, after].concat();
            all.sort();
            let (missing, extra) = (difference(case.expected(&table), &all), difference(&all, case.expected(&table)));
            assert!(
                missing.is_empty() && extra.is_empty(),
                "{table} at {parallelism}: missing {missing:#?}, too many {extra:#?}"
            );
        }
    }
}
