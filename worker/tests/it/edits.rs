//! Edits of queries whose jobs have state. For each edit, the comparison of both scripts predicts whether a restore
//! succeeds. A restore gives exactly the rows that the edited query gives over the whole input.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use eddyline_job_graph::{JobGraph, NodeKind};
use eddyline_plan::{PlanOptions, Script, objection_to_state, plan};
use eddyline_stream::Batch;
use eddyline_worker::coordinator::job::{self, Error, Outcome, Restore, View};
use eddyline_worker::coordinator::request::{Request, SavepointOrder};
use eddyline_worker::runtime::connectors::Connectors;
use tokio::sync::mpsc::unbounded_channel;

use crate::golden::{Run, decode, difference, rows_of, rows_read, sorted, until};
use crate::memory_tables::MemoryTables;

const PATIENCE: Duration = Duration::from_secs(60);
/// The number of rows of each table that the job has read before the edit.
const BEFORE: usize = 30;

/// No window fires and no OVER emits a row before the end of the input, so all results depend on the restored state.
const TABLES: &str = "
CREATE TABLE readings (k STRING, v INT, w INT, n BIGINT, x DOUBLE, ts TIMESTAMP(3), at TIMESTAMP_LTZ(3),
  WATERMARK FOR ts AS ts - INTERVAL '1' DAY)
WITH ('connector' = 'filesystem', 'path' = 'data/readings.json', 'format' = 'json');
CREATE TABLE others (k STRING, v INT, w INT, n BIGINT, x DOUBLE, ts TIMESTAMP(3), at TIMESTAMP_LTZ(3),
  WATERMARK FOR ts AS ts - INTERVAL '1' DAY)
WITH ('connector' = 'filesystem', 'path' = 'data/others.json', 'format' = 'json');
CREATE TABLE zoned (k STRING, v INT, w INT, n BIGINT, x DOUBLE, ts TIMESTAMP(3), at TIMESTAMP_LTZ(3),
  WATERMARK FOR at AS at - INTERVAL '1' DAY)
WITH ('connector' = 'filesystem', 'path' = 'data/zoned.json', 'format' = 'json');
CREATE TABLE sums (k STRING, s TIMESTAMP(3), e TIMESTAMP(3), total BIGINT, rest BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE more (k STRING, s TIMESTAMP(3), e TIMESTAMP(3), total BIGINT, rest BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE running (k STRING, ts TIMESTAMP(3), v INT, total BIGINT, rest BIGINT) WITH ('connector' = 'blackhole');
";

const TUMBLE: &str = "
INSERT INTO sums SELECT k, window_start, window_end, SUM(v), COUNT(DISTINCT w)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE n > 3
GROUP BY k, window_start, window_end;
";
const SUMS: &str = "
INSERT INTO sums SELECT k, window_start, window_end, SUM(v), SUM(w)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY k, window_start, window_end;
";
const HOP: &str = "
INSERT INTO sums SELECT k, window_start, window_end, SUM(v), COUNT(DISTINCT w)
FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '3' MINUTE))
GROUP BY k, window_start, window_end;
";
const CUMULATE: &str = "
INSERT INTO sums SELECT k, window_start, window_end, COUNT(DISTINCT v), COUNT(DISTINCT w)
FROM TABLE(CUMULATE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '4' MINUTE))
GROUP BY k, window_start, window_end;
";
const SESSION: &str = "
INSERT INTO sums SELECT k, window_start, window_end, SUM(v), COUNT(DISTINCT w)
FROM TABLE(SESSION(TABLE readings PARTITION BY k, DESCRIPTOR(ts), INTERVAL '20' SECOND))
GROUP BY k, window_start, window_end;
";
const ZONED: &str = "
SET 'table.local-time-zone' = 'UTC';
INSERT INTO sums SELECT k, window_start, window_end, SUM(v), COUNT(*)
FROM TABLE(TUMBLE(TABLE zoned, DESCRIPTOR(at), INTERVAL '1' DAY)) GROUP BY k, window_start, window_end;
";
const OVER_ROWS: &str = "
INSERT INTO running SELECT k, ts, v, SUM(v) OVER last, MAX(w) OVER last
FROM readings WINDOW last AS (PARTITION BY k ORDER BY ts ROWS BETWEEN 5 PRECEDING AND CURRENT ROW);
";
const OVER_ALL: &str = "
INSERT INTO running SELECT k, ts, v, SUM(v) OVER w, SUM(n) OVER w
FROM readings WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);
";
const TWO: &str = "
INSERT INTO sums SELECT k, window_start, window_end, SUM(v), SUM(w)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY k, window_start, window_end;
INSERT INTO more SELECT k, window_start, window_end, MAX(v), MAX(w)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY k, window_start, window_end;
";
const TWO_TURNED: &str = "
INSERT INTO more SELECT k, window_start, window_end, MAX(v), MAX(w)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY k, window_start, window_end;
INSERT INTO sums SELECT k, window_start, window_end, SUM(v), SUM(w)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY k, window_start, window_end;
";
const INSERT_MORE: &str = "
INSERT INTO more SELECT k, window_start, window_end, SUM(w), COUNT(*)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY k, window_start, window_end;
INSERT INTO sums";
const INSERT_SUMS: &str = "
INSERT INTO sums SELECT k, window_start, window_end, SUM(w), COUNT(*)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '7' MINUTE)) GROUP BY k, window_start, window_end;
INSERT INTO sums";
const UNION: &str = "
CREATE VIEW both_tables AS SELECT k, v, ts FROM readings UNION ALL SELECT k, v, ts FROM others;
INSERT INTO sums SELECT k, window_start, window_end, SUM(v), COUNT(*)
FROM TABLE(TUMBLE(TABLE both_tables, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY k, window_start, window_end;
";
const NESTED: &str = "
INSERT INTO sums SELECT k, window_start, window_end, SUM(total), COUNT(*) FROM (
  SELECT k, w, window_start, window_end, SUM(v) AS total
  FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY k, w, window_start, window_end
) GROUP BY k, window_start, window_end;
";

const VIEW: &str = "
CREATE VIEW per_minute AS SELECT k, window_start AS s, window_end AS e, SUM(v) AS total, COUNT(DISTINCT w) AS rest
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE n > 3 GROUP BY k, window_start, window_end;
INSERT INTO sums SELECT * FROM per_minute;
";
const VIEW_TWICE: &str = "
CREATE VIEW per_minute AS SELECT k, window_start AS s, window_end AS e, SUM(v) AS total, COUNT(DISTINCT w) AS rest
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE n > 3 GROUP BY k, window_start, window_end;
INSERT INTO sums SELECT * FROM per_minute;
INSERT INTO more SELECT * FROM per_minute;
";
const OVER_TWICE: &str = "
CREATE VIEW running_sums AS SELECT k, ts, v, SUM(v) OVER w AS total, SUM(n) OVER w AS rest
FROM readings WINDOW w AS (PARTITION BY k ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);
INSERT INTO running SELECT * FROM running_sums;
INSERT INTO running SELECT k, ts, -v, total, rest FROM running_sums WHERE v > 2;
";
const FIRST: &str = "INSERT INTO sums SELECT * FROM per_minute;";
const SECOND: &str = "INSERT INTO more SELECT * FROM per_minute;";
const VIEW_FILTERED: &str = "
INSERT INTO sums SELECT * FROM per_minute;
INSERT INTO more SELECT * FROM per_minute WHERE total > 10;
";
const VIEW_ALONE: &str = "
SET 'table.optimizer.reuse-sub-plan-enabled' = 'false';
CREATE VIEW per_minute AS SELECT k, window_start AS s, window_end AS e, SUM(v) AS total, COUNT(DISTINCT w) AS rest
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE n > 3 GROUP BY k, window_start, window_end;
INSERT INTO sums SELECT * FROM per_minute;
INSERT INTO more SELECT * FROM per_minute;
";
const VIEW_OF_TWO_SOURCES: &str = "
SET 'table.optimizer.reuse-source-enabled' = 'false';
CREATE VIEW per_minute AS SELECT k, window_start AS s, window_end AS e, SUM(v) AS total, COUNT(DISTINCT w) AS rest
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) WHERE n > 3 GROUP BY k, window_start, window_end;
INSERT INTO sums SELECT * FROM per_minute;
INSERT INTO more SELECT * FROM per_minute;
";
const TO_FALSE: &str = "'false'";
const TO_TRUE: &str = "'true'";
/// An edit after which no sub-plan is shared.
const ALONE: (&str, &str) = ("CREATE VIEW", "SET 'table.optimizer.reuse-sub-plan-enabled' = 'false';\nCREATE VIEW");
const OWN_SOURCES: (&str, &str) = ("CREATE VIEW", "SET 'table.optimizer.reuse-source-enabled' = 'false';\nCREATE VIEW");

/// The expected outcome of an edit.
enum Verdict {
    /// The state is restored.
    Fits,
    /// The state is restored, and the operators that were added begin with the rest of the input.
    FitsBeside,
    /// The restore is refused, with an error that has this text.
    Refused(&'static str),
}
use Verdict::{Fits, FitsBeside, Refused};

/// A query, the replacements in it and in the tables, and the outcome.
type Edit = (&'static str, &'static [(&'static str, &'static str)], Verdict);

/// Edits of queries with window aggregates.
const WINDOWS: &[Edit] = &[
    (TUMBLE, &[], Fits),
    (TUMBLE, &[("GROUP BY k", "-- a remark\n  GROUP   BY k")], Fits),
    (TUMBLE, &[("SELECT k,", "SELECT k AS the_key,")], Fits),
    (TUMBLE, &[("SUM(v), COUNT(DISTINCT w)", "SUM(v) AS t, COUNT(DISTINCT w) AS d")], Fits),
    (TUMBLE, &[("SUM(v), COUNT(DISTINCT w)", "COUNT(DISTINCT w), SUM(v)")], Fits),
    (TUMBLE, &[("SUM(v), COUNT(DISTINCT w)", "SUM(v) * 2 + 1, COUNT(DISTINCT w)")], Fits),
    (TUMBLE, &[("SUM(v), COUNT(DISTINCT w)", "SUM(v), 7")], Fits),
    (TUMBLE, &[("window_end;", "window_end HAVING SUM(v) > 10;")], Fits),
    (TUMBLE, &[("rest BIGINT) WITH ('connector' = 'blackhole')", "rest BIGINT) WITH ('connector' = 'print')")], Fits),
    (TUMBLE, &[("CREATE TABLE readings (k STRING,", "CREATE TABLE readings (k STRING NOT NULL,")], Fits),
    (TUMBLE, &[("ts - INTERVAL '1' DAY", "ts - INTERVAL '2' DAY")], Fits),
    (TUMBLE, &[("(k STRING, v INT, w INT,", "(w INT, k STRING, v INT,")], Fits),
    (
        TUMBLE,
        &[("FROM TABLE(TUMBLE(TABLE readings,", "FROM TABLE(TUMBLE(TABLE (SELECT n, ts, w, v, k FROM readings),")],
        Fits,
    ),
    (
        TUMBLE,
        &[
            ("TABLE readings, DESC", "TABLE (SELECT * FROM readings WHERE n > 3), DESC"),
            ("WHERE n > 3\nGROUP", "GROUP"),
        ],
        Fits,
    ),
    (TUMBLE, &[("TABLE readings", "TABLE measurements")], Fits),
    (TUMBLE, &[("'1' MINUTE", "'5' MINUTE")], Refused("window: TUMBLE(1 min) -> TUMBLE(5 min)")),
    (TUMBLE, &[("'1' MINUTE", "'1' MINUTE, INTERVAL '10' SECOND")], Refused("-> TUMBLE(1 min, offset 10 s)")),
    (
        TUMBLE,
        &[("TUMBLE(TABLE readings, DESCRIPTOR(ts)", "HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE")],
        Refused("-> HOP("),
    ),
    (TUMBLE, &[("SUM(v)", "SUM(w)")], Refused("aggregates: SUM(v INT) -> SUM(w INT)")),
    (TUMBLE, &[("SUM(v)", "MAX(v)")], Refused("aggregates: SUM(v INT) -> MAX(v INT)")),
    (TUMBLE, &[("SUM(v)", "SUM(v) FILTER (WHERE w > 2)")], Refused("FILTER (WHERE (w INT > 2))")),
    (TUMBLE, &[("SUM(v)", "SUM(v + 1)")], Refused("SUM((v INT + 1))")),
    (TUMBLE, &[("COUNT(DISTINCT w)", "COUNT(w)")], Refused("COUNT(DISTINCT w INT) -> COUNT(w INT)")),
    (TUMBLE, &[("COUNT(DISTINCT w)", "COUNT(DISTINCT v)")], Refused("COUNT(DISTINCT v INT)")),
    (TUMBLE, &[("WHERE n > 3", "WHERE n > 4")], Refused("where: ")),
    (TUMBLE, &[("WHERE n > 3", "")], Refused("where: ")),
    (TUMBLE, &[("WHERE n > 3", "WHERE n > 3 AND v > 0")], Refused("where: none -> (v INT > 0)")),
    (TUMBLE, &[("GROUP BY k,", "GROUP BY k, w,")], Refused("keys: ")),
    (
        TUMBLE,
        &[("k, window_start, window_end", "UPPER(k), window_start, window_end")],
        Refused("keys: k STRING -> upper("),
    ),
    (
        TUMBLE,
        &[("data/readings.json", "data/elsewhere.json")],
        Refused("path: data/readings.json -> data/elsewhere.json"),
    ),
    (
        TUMBLE,
        &[("TABLE readings, DESC", "TABLE others, DESC")],
        Refused("path: data/readings.json -> data/others.json"),
    ),
    (TUMBLE, &[("v INT, w INT, n BIGINT", "v BIGINT, w INT, n BIGINT")], Refused("SUM(v INT) -> SUM(v BIGINT)")),
    (SUMS, &[("SUM(v), SUM(w)", "SUM(w), SUM(v)")], Fits),
    (SUMS, &[("SUM(v), SUM(w)", "SUM(w), SUM(w)")], Fits),
    (SUMS, &[("SUM(v), SUM(w)", "SUM(v), SUM(n)")], Refused("aggregates: SUM(w INT) -> SUM(n BIGINT)")),
    (HOP, &[("SUM(v), COUNT(DISTINCT w)", "COUNT(DISTINCT w), SUM(v)")], Fits),
    (
        HOP,
        &[("INTERVAL '3' MINUTE", "INTERVAL '4' MINUTE")],
        Refused("HOP(3 min every 1 min) -> HOP(4 min every 1 min)"),
    ),
    (HOP, &[("SUM(v), COUNT(DISTINCT w)", "SUM(v), 1")], Refused("aggregates: COUNT(DISTINCT w INT) -> none")),
    (CUMULATE, &[("COUNT(DISTINCT v), COUNT(DISTINCT w)", "COUNT(DISTINCT w), COUNT(DISTINCT v)")], Fits),
    (
        CUMULATE,
        &[("INTERVAL '4' MINUTE", "INTERVAL '8' MINUTE")],
        Refused("CUMULATE(4 min by 1 min) -> CUMULATE(8 min by 1 min)"),
    ),
    (SESSION, &[("SUM(v), COUNT(DISTINCT w)", "COUNT(DISTINCT w), SUM(v)")], Fits),
    (SESSION, &[("INTERVAL '20' SECOND", "INTERVAL '5' SECOND")], Refused("SESSION(gap 20 s) -> SESSION(gap 5 s)")),
    (
        ZONED,
        &[("'UTC'", "'Asia/Tokyo'")],
        Refused("time: at TIMESTAMP_LTZ(3) in UTC -> at TIMESTAMP_LTZ(3) in Asia/Tokyo"),
    ),
];

/// Edits of queries with OVER.
const OVERS: &[Edit] = &[
    (OVER_ROWS, &[("SELECT k, ts, v,", "SELECT k AS a, ts AS b, v AS c,")], Fits),
    (OVER_ROWS, &[("SUM(v) OVER last, MAX(w) OVER last", "MAX(w) OVER last, SUM(v) OVER last")], Fits),
    (
        OVER_ROWS,
        &[("ROWS BETWEEN 5 PRECEDING", "ROWS BETWEEN 10 PRECEDING")],
        Refused("frame: ROWS 5 PRECEDING -> ROWS 10 PRECEDING"),
    ),
    (OVER_ROWS, &[("PARTITION BY k", "PARTITION BY w")], Refused("partition by: k STRING -> w INT")),
    (
        OVER_ROWS,
        &[("SELECT k, ts, v, SUM(v)", "SELECT k, ts, CAST(n AS INT), SUM(v)")],
        Refused("columns: none -> n BIGINT"),
    ),
    (OVER_ALL, &[("SUM(v) OVER w, SUM(n) OVER w", "SUM(n) OVER w, SUM(v) OVER w")], Fits),
    (OVER_ALL, &[("SUM(v) OVER w, SUM(n) OVER w", "SUM(v) OVER w, 0")], Fits),
    (OVER_ALL, &[("SUM(v) OVER w", "AVG(v) OVER w")], Refused("aggregates: SUM(v INT) -> AVG(v INT)")),
    (OVER_ALL, &[("FROM readings", "FROM readings WHERE v > 2")], Refused("where: none -> (v INT > 2)")),
];

/// Edits of queries with several tables, nested windows or several statements.
const SCRIPTS: &[Edit] = &[
    (NESTED, &[("total", "subtotal")], Fits),
    (
        NESTED,
        &[("SELECT k, w, window_start, window_end, SUM(v)", "SELECT window_end, w, k, window_start, SUM(v)")],
        Fits,
    ),
    (NESTED, &[("'1' MINUTE", "'2' MINUTE")], Refused("from: window-aggregate TUMBLE(1 min)")),
    (NESTED, &[("SUM(v) AS total", "MAX(v) AS total")], Refused("SUM(SUM(v INT)) -> SUM(MAX(v INT))")),
    (
        UNION,
        &[("readings UNION ALL SELECT k, v, ts FROM others", "others UNION ALL SELECT k, v, ts FROM readings")],
        Fits,
    ),
    (UNION, &[(" UNION ALL SELECT k, v, ts FROM others", "")], Refused("from: filesystem data/others.json -> none")),
    (UNION, &[("FROM others", "FROM others WHERE v > 0")], Refused("where (v INT > 0)")),
    (UNION, &[("SELECT k, v, ts FROM readings", "SELECT k, w AS v, ts FROM readings")], Refused("SUM(")),
    // These add, remove or reorder statements.
    (TUMBLE, &[("INSERT INTO sums", INSERT_MORE)], FitsBeside),
    (TUMBLE, &[("INSERT INTO sums", INSERT_SUMS)], FitsBeside),
    (TWO, &[(TWO, TWO_TURNED)], Fits),
    (TWO, &[("INSERT INTO more", "INSERT INTO sums")], Fits),
    (TWO, &[(TWO, SUMS)], Refused("has state, but the job has no such operator")),
    (TWO, &[("SUM(v), SUM(w)", "SUM(w), SUM(v)"), ("MAX(v), MAX(w)", "MAX(w), MAX(v)")], Fits),
];

/// Edits of operators that several inserts share.
const SHARED: &[Edit] = &[
    (VIEW, &[(FIRST, "INSERT INTO sums SELECT * FROM per_minute;\nINSERT INTO more SELECT * FROM per_minute;")], Fits),
    (VIEW, &[(FIRST, "INSERT INTO more SELECT * FROM per_minute;\nINSERT INTO sums SELECT * FROM per_minute;")], Fits),
    (
        VIEW,
        &[(
            FIRST,
            "INSERT INTO more SELECT k, s, e, total, 7 FROM per_minute;\nINSERT INTO sums SELECT * FROM per_minute;",
        )],
        Fits,
    ),
    (VIEW, &[(FIRST, VIEW_FILTERED)], Fits),
    (
        VIEW,
        &[ALONE, (FIRST, "INSERT INTO more SELECT * FROM per_minute;\nINSERT INTO sums SELECT * FROM per_minute;")],
        Fits,
    ),
    (
        VIEW,
        &[
            OWN_SOURCES,
            (FIRST, "INSERT INTO more SELECT * FROM per_minute;\nINSERT INTO sums SELECT * FROM per_minute;"),
        ],
        Fits,
    ),
    (VIEW_TWICE, &[], Fits),
    (VIEW_TWICE, &[(SECOND, "")], Fits),
    (VIEW_TWICE, &[(FIRST, "")], Fits),
    (VIEW_TWICE, &[ALONE], Fits),
    (VIEW_TWICE, &[OWN_SOURCES], Fits),
    (
        VIEW_TWICE,
        &[
            ("INSERT INTO sums", "INSERT INTO third"),
            ("INSERT INTO more", "INSERT INTO sums"),
            ("INSERT INTO third", "INSERT INTO more"),
        ],
        Fits,
    ),
    (VIEW_TWICE, &[("SUM(v)", "MAX(v)")], Refused("aggregates: SUM(v INT) -> MAX(v INT)")),
    (VIEW_TWICE, &[(SECOND, "INSERT INTO more SELECT k, s, e, total, 0 FROM per_minute;")], Fits),
    (VIEW_ALONE, &[(TO_FALSE, TO_TRUE)], Fits),
    (VIEW_ALONE, &[(SECOND, "")], Fits),
    (
        VIEW_OF_TWO_SOURCES,
        &[(TO_FALSE, TO_TRUE)],
        Refused("source/readings#2 has state, but the job has no such operator"),
    ),
    (OVER_TWICE, &[], Fits),
    (OVER_TWICE, &[("WHERE v > 2", "WHERE v > 5")], Fits),
    (OVER_TWICE, &[ALONE], Fits),
];

/// The edited script.
fn edited(query: &str, replacements: &[(&str, &str)]) -> String {
    replacements.iter().fold(format!("{TABLES}{query}"), |text, (from, to)| {
        assert!(text.contains(from), "{from} does not occur");
        text.replace(from, to)
    })
}

fn planned(text: String) -> JobGraph {
    let script = Script { name: "job.sql".to_owned(), text };
    match plan(&script, &PlanOptions::default()) {
        Ok(planned) => planned.graph,
        Err(diagnostics) => panic!("{}", diagnostics.render(&script)),
    }
}

/// The same rows for every table, in the columns of that table.
fn inputs(graph: &JobGraph) -> BTreeMap<String, Batch> {
    let tables = graph.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Source(source) => Some(&source.table),
        _ => None,
    });
    let lines: Vec<String> = (0..2 * BEFORE)
        .map(|row| {
            // The rows are out of order, so that windows have rows from before and after the edit.
            let second = (row * 37) % 360;
            let time = format!("2026-05-01 10:{:02}:{:02}", second / 60, second % 60);
            let (k, v, w, n) = (["a", "b", "c"][row % 3], row % 7, row % 5, row % 11);
            format!(r#"{{"k": "{k}", "v": {v}, "w": {w}, "n": {n}, "x": {v}.5, "ts": "{time}", "at": "{time}Z"}}"#)
        })
        .collect();
    let rows = lines.join("\n");
    tables.map(|table| (table.name.clone(), decode(&table.schema, rows.as_bytes()))).collect()
}

/// Runs a job over the released rows to its end. With `stop_at`, stops it with a savepoint after that number of rows.
fn run(
    graph: &JobGraph,
    tables: &MemoryTables,
    folder: &Path,
    restore: Restore,
    stop_at: Option<usize>,
) -> Result<Outcome, Error> {
    let config = Run { rows_per_read: 7, checkpoint_dir: Some(folder), restore, ..Run::default() }.config("edited");
    let connectors: Arc<dyn Connectors> = Arc::new(tables.clone());
    let view = View::default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (requests, receiver) = unbounded_channel();
        let job = job::run(graph, &config, &connectors, &view, receiver);
        let ask = async {
            if let Some(rows) = stop_at {
                until(|| rows_read(&view) >= rows).await;
                let folder = folder.join("savepoints").display().to_string();
                let savepoint = SavepointOrder { name: "edit".to_owned(), folder };
                requests.send(Request::Stop { savepoint: Some(savepoint), deadline: None }).expect("the job runs");
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            outcome = tokio::time::timeout(PATIENCE, job) => outcome.expect("done in time"),
            () = ask => unreachable!("it waits for ever"),
        }
    })
}

/// A savepoint in the middle of the input, before the first result.
fn savepoint(graph: &JobGraph, folder: &Path) -> String {
    let inputs = inputs(graph);
    let tables = MemoryTables::new(inputs.clone());
    tables.release(BEFORE);
    let outcome = run(graph, &tables, folder, Restore::None, Some(BEFORE * inputs.len()));
    let Ok(Outcome::Stopped { savepoint: Some(savepoint) }) = outcome else { panic!("{outcome:?}") };
    for table in ["sums", "more", "running"] {
        assert!(tables.committed(table).is_empty(), "a row has come out before the edit");
    }
    savepoint
}

/// The results of a graph over its whole input.
fn reference(graph: &JobGraph) -> BTreeMap<String, Vec<String>> {
    let tables = inputs(graph).into_iter().map(|(table, rows)| (table, vec![rows])).collect();
    let rows = eddyline_harness::execute(graph, &tables).expect("the reference executor runs");
    rows.into_iter().map(|(table, rows)| (table, sorted(rows))).collect()
}

fn check((query, replacements, verdict): &Edit) {
    let what = format!("{query}{replacements:?}");
    let (before, after) = (planned(edited(query, &[])), planned(edited(query, replacements)));
    let objection = objection_to_state(&before.meanings(), &after.meanings(), &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let savepoint = savepoint(&before, folder.path());
    let tables = MemoryTables::new(inputs(&after));
    tables.release(usize::MAX);
    let outcome = run(&after, &tables, folder.path(), Restore::Uri(savepoint), None);
    match (verdict, outcome) {
        (Refused(words), Err(error)) => {
            let objection = objection.unwrap_or_else(|| panic!("{what}: refused only when it is restored: {error}"));
            let text = error.to_string();
            assert!(text.contains("does not fit this job"), "{what}: {text}");
            assert!(objection.contains(words) && text.contains(words), "{what}\nobjection: {objection}\nerror: {text}");
        }
        (Fits | FitsBeside, Ok(outcome)) => {
            assert_eq!(objection, None, "{what}: refused before it is restored, but restored");
            assert!(matches!(outcome, Outcome::Finished), "{what}: {outcome:?}");
            let is_beside = matches!(verdict, FitsBeside);
            let expected = reference(if is_beside { &before } else { &after });
            assert!(expected.values().any(|rows| !rows.is_empty()), "{what}: no rows show nothing");
            for (table, expected) in expected {
                let actual = sorted(tables.committed(&table).iter().flat_map(rows_of).collect());
                let (missing, extra) = (difference(&expected, &actual), difference(&actual, &expected));
                assert!(missing.is_empty(), "{what}: {table} has not {missing:#?}, but {extra:#?}");
                assert!(is_beside || extra.is_empty(), "{what}: {table} has {extra:#?} too");
            }
        }
        (Fits | FitsBeside, Err(error)) => panic!("{what}: it should fit: {}", eddyline_worker::chain_of(&error)),
        (Refused(_), Ok(_)) => panic!("{what}: restored into another computation; before that: {objection:?}"),
    }
}

#[test]
fn edits_of_windows_restore_rightly_or_are_refused() {
    WINDOWS.iter().for_each(check);
}

#[test]
fn edits_of_over_restore_rightly_or_are_refused() {
    OVERS.iter().for_each(check);
}

#[test]
fn edits_of_scripts_restore_rightly_or_are_refused() {
    SCRIPTS.iter().for_each(check);
}

#[test]
fn edits_of_what_inserts_share_restore_rightly_or_are_refused() {
    SHARED.iter().for_each(check);
}
