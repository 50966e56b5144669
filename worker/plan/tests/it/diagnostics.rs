//! Scripts with errors: the message of each, and the exact place that it points to.
//!
//! The place is marked in each script: «like this».

use eddyline_plan::{PlanOptions, Script, plan};

/// The tables that the scripts use. They are on one line, so that the script begins at line 2.
const TABLES: &str = "CREATE TABLE kv (k STRING, v INT, r ROW<a INT, b STRING>, ts TIMESTAMP(3), p AS PROCTIME(), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) WITH ('connector' = 'filesystem', 'path' = '/in', 'format' = 'json'); CREATE TABLE plain (k STRING, ts TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = '/in', 'format' = 'json'); CREATE TABLE out (a STRING) WITH ('connector' = 'print'); CREATE TABLE numbers (n INT) WITH ('connector' = 'print'); CREATE TABLE counts (s TIMESTAMP(3), n BIGINT) WITH ('connector' = 'print'); CREATE TABLE accounts (id BIGINT, owner STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'filesystem', 'path' = '/in', 'format' = 'debezium-json'); CREATE TABLE jsons (a STRING) WITH ('connector' = 'filesystem', 'path' = '/out', 'format' = 'json');\n";

/// The script, the message, and a part of the help.
const CASES: &[(&str, &str, &str)] = &[
    // Changelogs.
    (
        "INSERT INTO «jsons» SELECT owner FROM accounts WHERE id > 1;",
        "table 'jsons' doesn't support consuming update and delete changes, which table 'accounts' produces",
        "whose format is 'debezium-json'",
    ),
    (
        "INSERT INTO «jsons» SELECT k FROM kv UNION ALL SELECT owner FROM accounts;",
        "table 'jsons' doesn't support consuming update and delete changes, which table 'accounts' produces",
        "",
    ),
    (
        "INSERT INTO counts SELECT window_start, COUNT(*) FROM «TABLE(TUMBLE(TABLE accounts, DESCRIPTOR(ts), \
         INTERVAL '1' SECOND))» GROUP BY window_start, window_end;",
        "a window doesn't support consuming update and delete changes, which table 'accounts' produces",
        "projections, filters",
    ),
    (
        "INSERT INTO out SELECT owner FROM «TABLE(TUMBLE(TABLE accounts, DESCRIPTOR(ts), INTERVAL '1' SECOND))»;",
        "a window doesn't support consuming update and delete changes, which table 'accounts' produces",
        "",
    ),
    (
        "INSERT INTO counts SELECT ts, «COUNT»(*) OVER (ORDER BY ts) FROM accounts WHERE id > 1;",
        "OVER doesn't support consuming update and delete changes, which table 'accounts' produces",
        "projections, filters",
    ),
    (
        "CREATE TABLE o (a STRING) WITH ('connector' = 'filesystem', 'path' = '/out', 'format' = 'debezium-json', \
         «'debezium-json.schema-include' = 'true'»); INSERT INTO o SELECT owner FROM accounts;",
        "'debezium-json.schema-include': messages cannot be written with their schema",
        "",
    ),
    (
        "CREATE TABLE o (a STRING) WITH ('connector' = 'filesystem', 'path' = '/in', 'format' = 'canal-json', \
         «'canal-json.table.include' = '('»); INSERT INTO out SELECT a FROM o;",
        "'canal-json.table.include' = '(': not a regular expression: regex parse error:",
        "",
    ),
    (
        "INSERT INTO «jsons» SELECT MAX(k) FROM kv UNION ALL SELECT owner FROM accounts;",
        "table 'jsons' doesn't support consuming update and delete changes, which GROUP BY without a window and table \
         'accounts' produce",
        "'connector' = 'print' takes them",
    ),
    (
        "INSERT INTO «jsons» SELECT k FROM kv GROUP BY k HAVING COUNT(*) > 1;",
        "table 'jsons' doesn't support consuming update and delete changes, which GROUP BY without a window produces",
        "",
    ),
    (
        "INSERT INTO out SELECT MAX(k) FROM (SELECT k, v, COUNT(*) AS n FROM kv GROUP BY k, v) GROUP BY «n»;",
        "MAX(k) doesn't support consuming update changes, which GROUP BY without a window produces",
        "SUM and AVG of whole numbers",
    ),
    (
        "INSERT INTO numbers SELECT CAST(«COUNT»(DISTINCT owner) AS INT) FROM accounts;",
        "COUNT(DISTINCT owner) doesn't support consuming update and delete changes, which table 'accounts' produces",
        "without DISTINCT",
    ),
    // The grammar.
    ("«SELEC» k FROM kv;", "unknown statement 'SELEC'", "statements are"),
    ("«SELECT» k FROM kv;", "a query needs a table for its result", "INSERT INTO"),
    ("INSERT INTO out SELECT k FRM «kv» x;", "unexpected 'kv' after a query", ""),
    ("INSERT INTO out SELECT k FROM kv WHERE «;»", "expected an expression, found the end of the statement", ""),
    ("INSERT INTO out SELECT «\"k\"» FROM kv;", "double quotes do not quote anything in Flink SQL", "`backticks`"),
    ("CREATE TABLE t (a «TEXTT») WITH ('connector' = 'print');", "unknown type 'TEXTT'", ""),
    ("CREATE TABLE t (a «TEXT») WITH ('connector' = 'print');", "unknown type 'TEXT'", "use STRING"),
    (
        "CREATE TABLE t (a «DECIMAL»(40, 2)) WITH ('connector' = 'print');",
        "DECIMAL(40, 2): the precision is from 1 to 38, the scale from 0 to the precision",
        "",
    ),
    (
        "CREATE TABLE t (a INT, «PRIMARY KEY (a)») WITH ('connector' = 'print');",
        "a PRIMARY KEY must be NOT ENFORCED",
        "add NOT ENFORCED",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'print', «'connector'» = 'kafka');",
        "option 'connector' is given twice",
        "",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'datagen', «'scan.watermark.alignment.group' = 'g'»);",
        "'scan.watermark.alignment.group' has no effect without 'scan.watermark.alignment.max-drift'",
        "how far a split may be ahead",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'datagen', 'scan.watermark.alignment.max-drift' = '1 s', \
         «'scan.watermark.alignment.update-interval' = '0 s'»);",
        "'scan.watermark.alignment.update-interval' must be longer than 0",
        "",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'datagen', «'scan.parallelism' = '0'»); INSERT INTO numbers SELECT a FROM t;",
        "'scan.parallelism' = '0': expected a whole number from 1 to 32768",
        "",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'print', «'sink.parallelism' = '-2'»); INSERT INTO t SELECT v FROM kv;",
        "'sink.parallelism' = '-2': expected a whole number from 1 to 32768",
        "",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'filesystem', 'path' = '/out', 'format' = 'csv', \
         «'sink.parallelism' = 'all'»); INSERT INTO t SELECT v FROM kv;",
        "'sink.parallelism' = 'all': expected a whole number from 1 to 32768",
        "",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topic' = 't', 'properties.bootstrap.servers' = 'b:9092', \
         'format' = 'json', «'sink.parallelism' = '32769'»); INSERT INTO t SELECT v FROM kv;",
        "'sink.parallelism' = '32769': expected a whole number from 1 to 32768",
        "",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'filesystem', 'path' = '/in', 'format' = 'csv', \
         «'scan.parallelism' = '2'»); INSERT INTO numbers SELECT a FROM t;",
        "unknown option 'scan.parallelism'",
        "",
    ),
    (
        "CREATE TABLE t (a INT) WITH ('connector' = 'blackhole', «'sink.parallelism' = '2'»); INSERT INTO t SELECT v FROM kv;",
        "unknown option 'sink.parallelism'",
        "",
    ),
    ("CREATE TABLE t (a INT) WITH (connector = 'print');", "", ""),
    ("CREATE «FUNCTION» f AS 'x';", "CREATE FUNCTION is not supported", ""),
    ("CREATE «OR REPLACE» TABLE t (a INT);", "CREATE OR REPLACE is not supported", ""),
    ("«ALTER» TABLE kv RENAME TO x;", "ALTER is not supported", ""),
    ("INSERT «OVERWRITE» out SELECT k FROM kv;", "INSERT OVERWRITE is not supported", "INSERT INTO"),
    ("SET 'a' 'b';", "", ""),
    (
        "EXECUTE STATEMENT SET BEGIN INSERT INTO out SELECT k FROM kv; «CREATE» TABLE x (a INT); END;",
        "expected INSERT INTO or END in a statement set, found 'CREATE'",
        "",
    ),
    // Names.
    ("INSERT INTO out SELECT «kk» FROM kv;", "column 'kk' not found", "the columns are k, v, r, ts, p"),
    ("INSERT INTO out SELECT «K» FROM kv;", "column 'K' not found", "case-sensitive"),
    ("INSERT INTO out SELECT k FROM «kw»;", "table or view 'kw' not found", "did you mean `kv`"),
    ("INSERT INTO «outt» SELECT k FROM kv;", "table or view 'outt' not found", "did you mean `out`"),
    ("INSERT INTO out SELECT kv.«x» FROM kv;", "column 'x' not found", ""),
    ("INSERT INTO out SELECT r.«c» FROM kv;", "the row has no field 'c'", "its fields are a, b"),
    ("INSERT INTO out SELECT k.«c» FROM kv;", "'c': only a ROW has fields, this is STRING", ""),
    ("INSERT INTO out SELECT «UPER»(k) FROM kv;", "there is no function 'UPER'", "did you mean UPPER"),
    (
        "INSERT INTO counts SELECT window_start, «AVVG»(v) FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) \
         GROUP BY window_start, window_end;",
        "there is no function 'AVVG'",
        "did you mean AVG",
    ),
    ("INSERT INTO out SELECT «UPER»(nothing) FROM kv;", "there is no function 'UPER'", "did you mean UPPER"),
    (
        "INSERT INTO numbers SELECT «SUMM»(v) OVER (ORDER BY ts) FROM kv;",
        "there is no function 'SUMM'",
        "did you mean SUM",
    ),
    (
        "INSERT INTO numbers SELECT COUNT(*) OVER (PARTITION BY «NULL» ORDER BY ts) FROM kv;",
        "PARTITION BY NULL is not supported",
        "",
    ),
    ("INSERT INTO out SELECT CAST(v AS «VARCHA») FROM kv;", "unknown type 'VARCHA'", "did you mean VARCHAR"),
    (
        "SET 'table.local-time-zone' = «'GMT+25'»;",
        "'table.local-time-zone' = 'GMT+25': expected the name of a time zone, such as Europe/Berlin",
        "or an offset, such as GMT+08:00",
    ),
    (
        "SET 'table.exec.sink.not-null-enforcer' = «'IGNORE'»;",
        "'table.exec.sink.not-null-enforcer' = 'IGNORE': expected ERROR or DROP",
        "",
    ),
    ("CREATE VIEW «kv» AS SELECT 1 FROM plain;", "table or view 'kv' already exists", ""),
    ("DROP TABLE «nothing»;", "table or view 'nothing' not found", ""),
    ("CREATE TABLE t (a INT, «a» STRING) WITH ('connector' = 'print');", "column 'a' is declared twice", ""),
    // Types.
    (
        "INSERT INTO numbers «SELECT k FROM kv»;",
        "column 1 of the query, 'k', is STRING, but 'n' of 'numbers' is INT",
        "CAST(… AS INT)",
    ),
    (
        "INSERT INTO counts SELECT CAST(«v» AS TIMESTAMP(3)), v FROM kv;",
        "INT cannot be converted to TIMESTAMP(3)",
        "use TO_TIMESTAMP_LTZ(seconds, 0)",
    ),
    (
        "INSERT INTO out SELECT k FROM kv WHERE («v > 1) = 'true'»;",
        "operator = takes values of one type, not BOOLEAN and STRING",
        "CAST",
    ),
    (
        "INSERT INTO numbers SELECT CAST(«ts» AS INT) FROM kv;",
        "TIMESTAMP(3) cannot be converted to INT",
        "UNIX_TIMESTAMP",
    ),
    ("INSERT INTO numbers SELECT CAST(CAST(«ts» AS DATE) AS INT) FROM kv;", "DATE cannot be converted to INT", ""),
    ("INSERT INTO out «SELECT k, v FROM kv»;", "the query has 2 columns, 'out' takes 1", "it takes a"),
    (
        "INSERT INTO numbers SELECT «k * r» FROM kv;",
        "operator * takes numbers, not STRING and ROW<`a` INT, `b` STRING>",
        "",
    ),
    ("INSERT INTO out SELECT k FROM kv WHERE «v»;", "WHERE takes a condition (BOOLEAN), not INT", ""),
    ("INSERT INTO out SELECT k FROM kv WHERE «ts > 'yesterday'»;", "'yesterday' is not a TIMESTAMP(3)", ""),
    (
        "INSERT INTO numbers SELECT «ts - ts» FROM kv;",
        "operator - takes numbers, not TIMESTAMP(3) and TIMESTAMP(3)",
        "TIMESTAMPDIFF",
    ),
    (
        "CREATE TABLE t (a STRING, WATERMARK FOR «a» AS a) WITH ('connector' = 'print');",
        "WATERMARK FOR 'a': the column is STRING, not TIMESTAMP(3) or TIMESTAMP_LTZ(3)",
        "compute one",
    ),
    // Clauses that are refused by name.
    (
        "INSERT INTO numbers SELECT CARDINALITY(«STR_TO_MAP(k, ',', '['»)) FROM kv;",
        "the delimiter '[' of STR_TO_MAP is no regular expression; escape special characters with \\",
        "",
    ),
    ("INSERT INTO out SELECT kv.k FROM kv JOIN «plain» ON kv.k = plain.k;", "JOIN is not supported yet", ""),
    ("INSERT INTO out SELECT kv.k FROM kv, «plain»;", "a join of several tables in FROM is not supported yet", ""),
    ("INSERT INTO out SELECT k FROM kv ORDER BY «ts»;", "ORDER BY is not supported", ""),
    ("INSERT INTO out SELECT k FROM kv LIMIT «10»;", "LIMIT is not supported", ""),
    ("INSERT INTO out VALUES «('a')»;", "VALUES is not supported", "datagen"),
    ("INSERT INTO out SELECT k FROM kv WHERE «k IN (SELECT k FROM plain»);", "IN with a subquery is not supported", ""),
    (
        "INSERT INTO numbers SELECT «ROW_NUMBER»() OVER (PARTITION BY k ORDER BY ts) FROM kv;",
        "ROW_NUMBER is not supported",
        "Top-N",
    ),
    // Windows.
    (
        "INSERT INTO counts SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE plain, DESCRIPTOR(«ts»), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;",
        "column 'ts' (TIMESTAMP(3)) is not a time attribute",
        "WATERMARK FOR ts",
    ),
    (
        "INSERT INTO counts SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(«p»), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;",
        "windows by processing time are not supported",
        "event-time",
    ),
    (
        "INSERT INTO counts SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY «window_start»;",
        "GROUP BY over windows needs window_end too",
        "",
    ),
    (
        "INSERT INTO counts SELECT window_start, COUNT(*) FROM TABLE(HOP(TABLE kv, DESCRIPTOR(ts), INTERVAL '2' MINUTE, «INTERVAL '3' MINUTE»)) GROUP BY window_start, window_end;",
        "the size of HOP must be a multiple of its slide",
        "slide, then size",
    ),
    (
        "INSERT INTO counts SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), «10»)) GROUP BY window_start, window_end;",
        "SIZE must be an interval",
        "",
    ),
    (
        "INSERT INTO counts SELECT window_start, COUNT(*) FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), «INTERVAL '1' MONTH»)) GROUP BY window_start, window_end;",
        "SIZE must not be in months or years",
        "days",
    ),
    (
        "INSERT INTO counts SELECT window_start, v FROM «TABLE(SESSION(TABLE kv PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' MINUTE))»;",
        "SESSION without GROUP BY window_start, window_end is not supported",
        "",
    ),
    (
        "INSERT INTO counts SELECT window_start, COUNT(*) FROM «TABLE(SESSION(TABLE kv, DESCRIPTOR(ts), INTERVAL '1' MINUTE))» GROUP BY k, window_start, window_end;",
        "the PARTITION BY of a SESSION must be the columns of GROUP BY, besides the window",
        "",
    ),
    (
        "INSERT INTO counts SELECT window_start, «v» FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;",
        "column 'v' is neither grouped nor inside an aggregate",
        "add `v` to GROUP BY",
    ),
    ("INSERT INTO numbers SELECT SUM(v) OVER (ORDER BY «p») FROM kv;", "OVER by processing time is not supported", ""),
    (
        "INSERT INTO numbers SELECT SUM(v) OVER (ORDER BY «v») FROM kv;",
        "OVER must be ordered by an event-time attribute",
        "WATERMARK",
    ),
    (
        "INSERT INTO numbers SELECT SUM(v) OVER (ORDER BY ts) + «SUM»(v) OVER (PARTITION BY k ORDER BY ts) FROM kv;",
        "all OVER windows of a SELECT must be the same",
        "subquery",
    ),
    ("INSERT INTO numbers SELECT v FROM kv WHERE «SUM»(v) > 1;", "aggregate SUM is not allowed in WHERE", ""),
    // Options and settings.
    (
        "CREATE TABLE t (a STRING) WITH ('connector' = 'print', «'formt' = 'json'»); INSERT INTO t SELECT k FROM kv;",
        "unknown option 'formt'",
        "",
    ),
    ("CREATE TABLE t (a STRING) WITH («'connector' = 'pulsar'»); INSERT INTO t SELECT k FROM kv;", "", ""),
    (
        "SET 'execution.checkpointing.interval' = «'soon'»; INSERT INTO out SELECT k FROM kv;",
        "'execution.checkpointing.interval' = 'soon': expected a duration such as 500 ms, 10 s, 5 min, 1 h",
        "",
    ),
    (
        "SET 'table.local-time-zone' = «'Mars/Olympus'»; INSERT INTO out SELECT k FROM kv;",
        "'table.local-time-zone' = 'Mars/Olympus': expected the name of a time zone, such as Europe/Berlin",
        "",
    ),
];

fn errors(text: &str) -> (Script, Vec<eddyline_plan::Diagnostic>) {
    let script = Script { name: "job.sql".to_owned(), text: text.to_owned() };
    let errors = plan(&script, &PlanOptions::default()).expect_err(&script.text);
    (script, errors.0)
}

#[test]
fn errors_point_at_what_is_wrong() {
    let mut failures = Vec::new();
    for (marked, message, help) in CASES {
        let text = format!("{TABLES}{}", marked.replace(['«', '»'], ""));
        let script = Script { name: "job.sql".to_owned(), text };
        let Err(errors) = plan(&script, &PlanOptions::default()) else {
            failures.push(format!("no error: {marked}"));
            continue;
        };
        let first = &errors.0[0];
        let place = marked.find('«').map(|start| {
            let column = marked[..start].chars().count() + 1;
            let length = marked[start..marked.find('»').unwrap_or(marked.len())].chars().count() - 1;
            (2, column, length)
        });
        let right = errors.0.len() == 1
            && first.message.starts_with(message)
            && first.help.as_deref().unwrap_or_default().contains(help)
            && place.is_none_or(|place| place == (first.line, first.column, first.length));
        if !right {
            failures.push(format!("expected {message} at {place:?}\n{}", errors.render(&script)));
        }
    }
    assert!(failures.is_empty(), "{} of {}\n{}", failures.len(), CASES.len(), failures.join("\n"));
}

#[test]
fn diagnostics_show_the_line_and_a_caret() {
    let (script, errors) = errors(
        "CREATE TABLE t (\n  a STRING,\n  b INT\n) WITH ('connector' = 'print');\nINSERT INTO t\nSELECT x, 1\nFROM t2;\n",
    );
    let rendered: Vec<String> = errors.iter().map(|error| error.render(&script)).collect();
    assert_eq!(
        rendered.join("\n"),
        "job.sql:7:6: error: table or view 't2' not found\n  |\n7 | FROM t2;\n  |      ^^\n  = help: create it before it is used; known here: t\n"
    );
}

#[test]
fn an_error_in_a_table_is_reported_once() {
    let (_, errors) = errors(
        "CREATE TABLE t (a TEXTT) WITH ('connector' = 'print');\nINSERT INTO t SELECT b FROM t;\nINSERT INTO t SELECT c FROM t;",
    );
    let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(messages, ["unknown type 'TEXTT'"]);
}

#[test]
fn all_errors_of_a_script_are_reported_in_order() {
    let text = format!(
        "{TABLES}INSERT INTO out SELECT x FROM kv;\nINSERT INTO out SELECT y FROM kv;\nSET 'pipeline.max-parallelism' = 'many';"
    );
    let (_, errors) = errors(&text);
    let places: Vec<(usize, usize)> = errors.iter().map(|error| (error.line, error.column)).collect();
    assert_eq!(places, [(2, 24), (3, 24), (4, 34)]);
}

#[test]
fn all_errors_of_a_statement_are_reported_at_once() {
    let (_, errors) = errors(&format!(
        "{TABLES}INSERT INTO nowhere SELECT a + 1, UPPER(b), v FROM kv WHERE c > 1 AND v = 'x' AND d IN (1, e);\n\
         INSERT INTO counts SELECT window_start, SUM(f) + MAX(g) FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '1' \
         MINUTE)) GROUP BY window_start, window_end;"
    ));
    let messages: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.line, error.message)).collect();
    let missing = |line: usize, column: &str| format!("{line}: column '{column}' not found");
    let mut expected = vec!["2: table or view 'nowhere' not found".to_owned()];
    expected.extend(["a", "b", "c"].map(|column| missing(2, column)));
    expected.push("2: 'x' is not a INT".to_owned());
    expected.extend(["d", "e"].map(|column| missing(2, column)));
    expected.extend(["f", "g"].map(|column| missing(3, column)));
    assert_eq!(messages, expected);
}

#[test]
fn all_options_that_are_wrong_are_reported_at_once_wherever_else_an_error_is() {
    let (script, errors) = errors(
        "CREATE TABLE t (a INT) WITH ('connector' = 'kafka', 'topci' = 'x', 'properties.bootstrap.server' = 'b:1',
  'format' = 'json', 'json.ignore-parse-error' = 'true', 'scan.startup.mode' = 'first');
CREATE TABLE idle (a INT) WITH ('connector' = 'kafka', 'colour' = 'green');
CREATE VIEW v AS SELECT a FROM t;
CREATE TABLE o (a INT) WITH ('connector' = 'print', 'print-identifer' = 'x');
INSERT INTO o SELECT b FROM v;
INSERT INTO o SELECT a FROM t;",
    );
    let rendered: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.line, error.message)).collect();
    assert_eq!(
        rendered,
        [
            "1: unknown option 'topci', did you mean 'topic'?",
            "1: unknown option 'properties.bootstrap.server', did you mean 'properties.bootstrap.servers'?",
            "2: unknown option 'json.ignore-parse-error', did you mean 'json.ignore-parse-errors'?",
            "2: 'scan.startup.mode' = 'first': expected earliest-offset, latest-offset, group-offsets, timestamp or specific-offsets",
            "5: unknown option 'print-identifer', did you mean 'print-identifier'?",
            "6: column 'b' not found",
        ],
        "{}",
        errors.iter().map(|error| error.render(&script)).collect::<String>()
    );
    assert!(errors[0].render(&script).contains("^^^^^^^^^^^^^"), "{}", errors[0].render(&script));
}

#[test]
fn a_script_without_insert_has_nothing_to_run() {
    let (_, errors) = errors(TABLES);
    assert_eq!(errors[0].message, "the script has no INSERT INTO: there is nothing to run");
}
