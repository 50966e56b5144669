//! The state of OVER that an earlier release has stored: `fixtures/over_states` has a savepoint in the middle of the rows of
//! [`lines`], and the rows that were out by then.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use eddyline_worker::coordinator::job::{Outcome, Restore};

use crate::golden::{Case, Run, difference, rows_of, sorted};
use crate::memory_tables::MemoryTables;

const SQL: &str = "
CREATE TABLE of_rows (k STRING, v INT, n BIGINT, total INT, mean DOUBLE, lo INT, hi STRING, tags STRING) WITH ('connector' = 'blackhole');
CREATE TABLE of_all_rows (k STRING, v INT, n BIGINT, total DECIMAL(38, 2), spread DECIMAL(10, 4), lo INT, hi STRING, tags STRING) WITH ('connector' = 'blackhole');
CREATE TABLE of_range (k STRING, v INT, n BIGINT, total INT, mean DOUBLE, lo INT, hi STRING, tags STRING) WITH ('connector' = 'blackhole');
CREATE TABLE of_all_times (usr STRING, v INT, n BIGINT, total BIGINT, mean DOUBLE, first_tag STRING) WITH ('connector' = 'blackhole');
INSERT INTO of_rows SELECT k, v, COUNT(*) OVER w, SUM(v) OVER w, AVG(ratio) OVER w, MIN(v) OVER w, MAX(tag) OVER w, LISTAGG(tag) OVER w
  FROM readings WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW);
INSERT INTO of_all_rows SELECT k, v, COUNT(*) OVER w, SUM(price) OVER w, CAST(VAR_POP(ratio) OVER w AS DECIMAL(10, 4)), MIN(v) OVER w, LAST_VALUE(tag) OVER w, LISTAGG(tag) OVER w
  FROM readings WINDOW w AS (PARTITION BY k ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);
INSERT INTO of_range SELECT k, v, COUNT(*) OVER w, SUM(v) OVER w, AVG(ratio) OVER w, MIN(v) OVER w, MAX(tag) OVER w, LISTAGG(tag) OVER w
  FROM readings WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '7' SECOND PRECEDING AND CURRENT ROW);
INSERT INTO of_all_times SELECT tag, v, COUNT(*) OVER w, SUM(big) OVER w, AVG(ratio) OVER w, FIRST_VALUE(k) OVER w
  FROM readings WINDOW w AS (PARTITION BY tag ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);
";

/// Rows of keys that come often and of keys that are gone for a while, out of order by up to two seconds.
fn lines() -> String {
    let mut lines = String::new();
    for row in 0..500usize {
        let key = if row % 7 == 0 { 100 + row / 35 } else { row * 31 % 11 };
        let at = 60_000 + row * 300 - row * 7919 % 1_900;
        let (second, millisecond) = (at / 1000, at % 1000);
        writeln!(
            lines,
            r#"{{"k":"key {key}","v":{},"big":{},"price":{}.25,"ratio":{}.5,"tag":{},"ts":"2024-05-01 08:{:02}:{:02}.{millisecond:03}"}}"#,
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
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/over_states")
}

fn case() -> Case {
    Case::over("over_states", SQL, |case| {
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
fn what_an_earlier_release_has_stored_is_restored_at_any_parallelism() {
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
