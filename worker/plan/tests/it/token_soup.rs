//! Planning of arbitrary text gives a plan, or errors with a place in the text, and never panics.

use eddyline_plan::{Diagnostics, PlanOptions, Script, explain, plan};
use proptest::prelude::*;

const WORDS: &[&str] = &[
    "CREATE",
    "TABLE",
    "VIEW",
    "TEMPORARY",
    "IF",
    "NOT",
    "EXISTS",
    "INSERT",
    "INTO",
    "SELECT",
    "DISTINCT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "HAVING",
    "UNION",
    "ALL",
    "WITH",
    "AS",
    "LIKE",
    "SET",
    "RESET",
    "DROP",
    "EXECUTE",
    "STATEMENT",
    "BEGIN",
    "END",
    "WATERMARK",
    "FOR",
    "PRIMARY",
    "KEY",
    "ENFORCED",
    "METADATA",
    "VIRTUAL",
    "PARTITIONED",
    "ROW",
    "ARRAY",
    "MAP",
    "STRING",
    "INT",
    "BIGINT",
    "DECIMAL",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "NULL",
    "TUMBLE",
    "HOP",
    "CUMULATE",
    "SESSION",
    "DESCRIPTOR",
    "PARTITION",
    "INTERVAL",
    "SECOND",
    "DAY",
    "TO",
    "YEAR",
    "MONTH",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "CAST",
    "TRY_CAST",
    "EXTRACT",
    "HOUR",
    "FLOOR",
    "CEIL",
    "POSITION",
    "IN",
    "SUBSTRING",
    "TRIM",
    "BOTH",
    "OVERLAY",
    "PLACING",
    "JSON_VALUE",
    "RETURNING",
    "DEFAULT",
    "EMPTY",
    "ERROR",
    "ON",
    "BETWEEN",
    "AND",
    "OR",
    "IS",
    "OVER",
    "ORDER",
    "ROWS",
    "RANGE",
    "PRECEDING",
    "UNBOUNDED",
    "CURRENT",
    "WINDOW",
    "FILTER",
    "COUNT",
    "SUM",
    "AVG",
    "LISTAGG",
    "UPPER",
    "CONCAT",
    "CURRENT_TIMESTAMP",
    "TIMESTAMPADD",
    "kv",
    "k",
    "v",
    "ts",
    "out",
    "w",
    "window_start",
    "window_end",
    "window_time",
    "`",
    "'",
    "\"",
    "'x'",
    "'1'",
    "'1 2'",
    "'connector'",
    "'print'",
    "1",
    "0",
    "2.5",
    "1e9",
    "9999999999999999999999",
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    ",",
    ";",
    ".",
    "=",
    "=>",
    "*",
    "+",
    "-",
    "/",
    "%",
    "||",
    "<>",
    "--",
    "/*",
    "*/",
    "`kv`",
    "é",
    "\u{1}window:0",
    "$",
    "{",
    "}",
    ":",
    "\n",
];

const TABLES: &str = "CREATE TABLE kv (k STRING, v INT, r ROW<a INT, b STRING>, l ARRAY<INT>, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND) WITH ('connector' = 'filesystem', 'path' = '/in', 'format' = 'json');
CREATE TABLE out (a STRING) WITH ('connector' = 'print');\n";

/// Plans a text and checks the result.
fn check(text: String) -> Result<(), TestCaseError> {
    let script = Script { name: "soup.sql".to_owned(), text };
    match plan(&script, &PlanOptions::default()) {
        Ok(planned) => prop_assert!(!explain(&planned.graph).is_empty()),
        Err(Diagnostics(diagnostics)) => {
            prop_assert!(!diagnostics.is_empty());
            for diagnostic in &diagnostics {
                prop_assert!(!diagnostic.message.contains("bug in Eddyline"), "{}", script.text);
                prop_assert!(diagnostic.line >= 1 && diagnostic.column >= 1 && diagnostic.length >= 1);
                prop_assert!(diagnostic.render(&script).starts_with("soup.sql:"));
            }
        }
    }
    Ok(())
}

/// Expressions that are often valid, so they get further than the parser.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "k",
        "v",
        "ts",
        "r.a",
        "r.b",
        "l[1]",
        "1",
        "-1",
        "0.5",
        "1e3",
        "'a'",
        "'2026-01-01'",
        "NULL",
        "TRUE",
        "kv.k",
        "INTERVAL '1' DAY",
        "INTERVAL '1' MONTH",
        "TIMESTAMP '2026-01-01 00:00:00'",
        "DATE '2026-01-01'",
        "CURRENT_DATE",
        "99999999999",
        "123456789012345678901234567890.12345678",
        "window_start",
        "window_end",
        "COUNT(*)",
        "X'0F'",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "||",
            "=",
            "<>",
            "<",
            ">=",
            "AND",
            "OR",
            "IS DISTINCT FROM",
            "LIKE",
            "SIMILAR TO",
        ]);
        let function = prop::sample::select(vec![
            "UPPER",
            "CONCAT",
            "ABS",
            "MOD",
            "COALESCE",
            "IF",
            "NULLIF",
            "SUM",
            "AVG",
            "MIN",
            "COUNT",
            "STDDEV_POP",
            "LISTAGG",
            "DATE_FORMAT",
            "TO_TIMESTAMP",
            "GREATEST",
            "SUBSTRING",
            "CHAR_LENGTH",
            "REGEXP_EXTRACT",
            "POWER",
            "ROUND",
        ]);
        let data_type = prop::sample::select(vec![
            "INT",
            "BIGINT",
            "STRING",
            "DECIMAL(10, 2)",
            "DOUBLE",
            "TIMESTAMP(3)",
            "DATE",
            "BOOLEAN",
            "BYTES",
            "ARRAY<INT>",
            "TIME",
            "VARCHAR(3)",
            "ROW<a INT, b STRING>",
            "TIMESTAMP_LTZ(3)",
            "DECIMAL(38, 38)",
        ]);
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (function, prop::collection::vec(inner.clone(), 0..4))
                .prop_map(|(f, args)| format!("{f}({})", args.join(", "))),
            (inner.clone(), data_type.clone()).prop_map(|(a, t)| format!("CAST({a} AS {t})")),
            (inner.clone(), data_type).prop_map(|(a, t)| format!("TRY_CAST({a} AS {t})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("CASE WHEN {a} THEN {b} ELSE {c} END")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} BETWEEN {b} AND {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} IN ({b}, {a}))")),
            inner.clone().prop_map(|a| format!("SUM({a}) OVER (PARTITION BY k ORDER BY ts)")),
            inner.prop_map(|a| format!("-({a}) IS NOT NULL")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tokens_are_planned_or_refused(words in prop::collection::vec(prop::sample::select(WORDS), 0..40), tables in any::<bool>()) {
        let text = words.join(" ");
        check(if tables { format!("{TABLES}{text}") } else { text })?;
    }

    #[test]
    fn any_text_is_planned_or_refused(text in "\\PC{0,80}") {
        check(text)?;
    }

    #[test]
    fn any_expression_is_planned_or_refused(a in expression(), b in expression(), windowed in 0..4u8) {
        let from = match windowed {
            0 | 1 => "kv".to_owned(),
            _ => "TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '1' MINUTE))".to_owned(),
        };
        let group = if windowed == 3 { " GROUP BY window_start, window_end, k" } else { "" };
        check(format!("{TABLES}INSERT INTO out SELECT {a} FROM {from} WHERE {b}{group};"))?;
        check(format!("{TABLES}INSERT INTO out SELECT CAST({a} AS STRING) FROM {from}{group};"))?;
    }
}

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in
        [("(", ")"), ("-", ""), ("NOT ", ""), ("CAST(", " AS INT)"), ("UPPER(", ")"), ("CASE WHEN TRUE THEN ", " END")]
    {
        let text = format!("{TABLES}INSERT INTO out SELECT {}1{} FROM kv;", open.repeat(20_000), close.repeat(20_000));
        let script = Script { name: "deep.sql".to_owned(), text };
        let errors = plan(&script, &PlanOptions::default()).expect_err("it is too deep");
        assert!(!errors.0[0].message.contains("bug"), "{}", errors.0[0].message);
    }
    let chain = format!("{TABLES}INSERT INTO out SELECT {}1 FROM kv;", "1 + ".repeat(50_000));
    let errors =
        plan(&Script { name: "long.sql".to_owned(), text: chain }, &PlanOptions::default()).expect_err("too deep");
    assert_eq!(errors.0[0].message, "the expression is nested too deeply");
}

#[test]
fn views_that_multiply_are_refused_or_planned_in_bounds() {
    let mut text = format!("{TABLES}CREATE VIEW v0 AS SELECT k FROM kv;\n");
    for n in 1..40 {
        text.push_str(&format!("CREATE VIEW v{n} AS SELECT k FROM v{m} UNION ALL SELECT k FROM v{m};\n", m = n - 1));
    }
    text.push_str("INSERT INTO out SELECT k FROM v39;");
    let errors = plan(&Script { name: "views.sql".to_owned(), text }, &PlanOptions::default()).expect_err("too large");
    assert!(errors.0[0].message.contains("tables and views"), "{}", errors.0[0].message);
}
