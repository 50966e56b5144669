//! EXPLAIN of whole scripts.

use eddyline_plan::{PlanOptions, Script, explain, plan};

/// The tables that the queries read and write.
const TABLES: &str = "
CREATE TABLE kv (`key` STRING, `value` INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '2' SECOND)
WITH ('connector' = 'filesystem', 'path' = '/in', 'format' = 'json');
CREATE TABLE orders (
  id BIGINT, region STRING NOT NULL, amount DECIMAL(10, 2), price DOUBLE, tags ARRAY<STRING>, attributes MAP<STRING, INT>,
  buyer ROW<id BIGINT, name STRING, address ROW<city STRING, zip INT>>,
  ts AS TO_TIMESTAMP_LTZ(created, 3), created BIGINT,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'orders', 'properties.bootstrap.servers' = 'kafka:9092',
  'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
CREATE TABLE averages (`key` STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), mean INT, total INT)
WITH ('connector' = 'blackhole');
CREATE TABLE counts (k STRING, s TIMESTAMP(3), e TIMESTAMP(3), n BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE strings (a STRING) WITH ('connector' = 'print');
CREATE TABLE pairs (a STRING, b BIGINT) WITH ('connector' = 'print');
CREATE TABLE rows_of (a ROW<id BIGINT, name STRING>) WITH ('connector' = 'blackhole');
CREATE TABLE times (a TIME, b DATE, c TIMESTAMP(3), d TIMESTAMP(6)) WITH ('connector' = 'blackhole');
CREATE TABLE doubles (a DOUBLE, b DOUBLE, c BOOLEAN) WITH ('connector' = 'print');
CREATE TABLE narrow (a FLOAT, b TINYINT) WITH ('connector' = 'print');
CREATE TABLE decimals (a DECIMAL(38, 6), b DECIMAL(38, 6)) WITH ('connector' = 'print');
";

fn script(sql: &str) -> Script {
    Script { name: "job.sql".to_owned(), text: format!("{TABLES}{sql}") }
}

fn explained(sql: &str) -> String {
    let script = script(sql);
    match plan(&script, &PlanOptions::default()) {
        Ok(planned) => explain(&planned.graph),
        Err(diagnostics) => panic!("{}", diagnostics.render(&script)),
    }
}

#[test]
fn the_kinds_of_rows_are_shown_where_there_are_others_than_inserts() {
    let text = explained(
        "CREATE TABLE accounts (id BIGINT, owner STRING) WITH ('connector' = 'filesystem', 'path' = '/in',
           'format' = 'debezium-json');
         INSERT INTO strings SELECT owner FROM accounts WHERE id > 1 UNION ALL SELECT `key` FROM kv;",
    );
    let modes: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("changelog: ")).collect();
    // The two sources, the branches of the union, and the operators after it.
    let all = "[I,UB,UA,D]";
    assert_eq!(modes, [all, "insert-only", all, "insert-only", all, all, all], "{text}");
}

/// The labels of the operators, in the order of the plan.
fn labels(sql: &str) -> Vec<String> {
    let text = explained(sql);
    let label = |line: &str| Some(line.strip_prefix('[')?.split_once("] ")?.1.to_owned());
    text.lines().filter_map(label).collect()
}

#[test]
fn rows_are_aggregated_in_front_of_an_exchange_if_that_can_be_merged_and_is_wanted() {
    let windows = |calls: &str| {
        format!(
            "INSERT INTO pairs SELECT `key`, {calls} FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '10' SECOND))
             GROUP BY `key`, window_start, window_end;"
        )
    };
    let is_local = |sql: &str| labels(sql).iter().any(|label| label == "LocalWindowAggregate TUMBLE(10 s)");
    assert!(is_local(&windows("COUNT(*)")));
    assert!(is_local(&windows("MAX(DISTINCT `value`)")));
    assert!(!is_local(&windows("COUNT(DISTINCT `value`)")));
    assert!(!is_local(&windows("LAST_VALUE(`value`)")));
    let strategy = |strategy: &str| format!("SET 'table.optimizer.agg-phase-strategy' = '{strategy}';");
    assert!(!is_local(&format!("{}{}", strategy("ONE_PHASE"), windows("COUNT(*)"))));
    assert!(is_local(&format!("{}{}", strategy("two_phase"), windows("COUNT(*)"))));
    // The second level has the same key, so there is no exchange.
    let levels = "CREATE VIEW seconds AS
           SELECT `key`, COUNT(*) AS n, window_time AS wt FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '10' SECOND))
           GROUP BY `key`, window_start, window_end, window_time;
         INSERT INTO pairs SELECT `key`, SUM(n) FROM TABLE(TUMBLE(TABLE seconds, DESCRIPTOR(wt), INTERVAL '1' MINUTE))
         GROUP BY `key`, window_start, window_end;";
    assert_eq!(labels(levels).iter().filter(|label| label.starts_with("LocalWindowAggregate")).count(), 1);
}

#[test]
fn tumbling_average_and_sum_per_key() {
    insta::assert_snapshot!(explained(
        "INSERT INTO averages
         SELECT `key`, window_start, window_end, AVG(`value`), SUM(`value`)
         FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '10' SECOND))
         GROUP BY `key`, window_start, window_end;"
    ));
}

#[test]
fn named_arguments_and_offset() {
    insta::assert_snapshot!(explained(
        "INSERT INTO counts
         SELECT `key`, window_start, window_end, COUNT(*)
         FROM TABLE(TUMBLE(DATA => TABLE kv, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' HOUR, `OFFSET` => INTERVAL '15' MINUTE))
         GROUP BY `key`, window_start, window_end;"
    ));
}

#[test]
fn hopping_count_of_expressions_with_filter_and_having() {
    insta::assert_snapshot!(explained(
        "INSERT INTO counts
         SELECT UPPER(`key`), window_start, window_end, COUNT(*) FILTER (WHERE `value` > 10) + 1
         FROM TABLE(HOP(TABLE kv, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '1' MINUTE))
         WHERE `value` <> 0
         GROUP BY UPPER(`key`), window_start, window_end
         HAVING SUM(`value` * 2) > 100 AND COUNT(DISTINCT `value`) > 1;"
    ));
}

#[test]
fn cumulating_windows_without_key_have_one_owner() {
    insta::assert_snapshot!(explained(
        "INSERT INTO counts
         SELECT 'all', window_start, window_end, COUNT(`value`)
         FROM TABLE(CUMULATE(TABLE kv, DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '1' DAY))
         GROUP BY window_start, window_end;"
    ));
}

#[test]
fn session_per_key() {
    insta::assert_snapshot!(explained(
        "INSERT INTO counts
         SELECT `key`, window_start, window_end, COUNT(*)
         FROM TABLE(SESSION(TABLE kv PARTITION BY `key`, DESCRIPTOR(ts), INTERVAL '30' SECOND))
         GROUP BY `key`, window_start, window_end;"
    ));
}

#[test]
fn window_properties_pass_through_projections_and_filters() {
    insta::assert_snapshot!(explained(
        "CREATE VIEW windowed AS SELECT `key` AS k, window_start AS s, window_end AS e, `value` * 2 AS twice
           FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '10' SECOND));
         INSERT INTO counts SELECT k, s, e, COUNT(*) FROM windowed WHERE twice > 10 GROUP BY k, s, e;"
    ));
}

#[test]
fn filter_on_window_columns_assigns_windows_first() {
    insta::assert_snapshot!(explained(
        "INSERT INTO counts
         SELECT `key`, window_start, window_end, COUNT(*)
         FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '10' SECOND))
         WHERE window_start > TIMESTAMP '2026-01-01 00:00:00'
         GROUP BY `key`, window_start, window_end;"
    ));
}

#[test]
fn windows_are_aggregated_again() {
    insta::assert_snapshot!(explained(
        "INSERT INTO counts
         SELECT 'max', window_start, window_end, MAX(n) FROM (
           SELECT `key`, window_start, window_end, window_time, COUNT(*) AS n
           FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '10' SECOND))
           GROUP BY `key`, window_start, window_end, window_time)
         GROUP BY window_start, window_end;"
    ));
}

#[test]
fn larger_windows_over_window_time() {
    insta::assert_snapshot!(explained(
        "CREATE VIEW small AS SELECT `key`, window_start AS s, window_end AS e, window_time AS rowtime, SUM(`value`) AS total
           FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '10' SECOND))
           GROUP BY `key`, window_start, window_end, window_time;
         INSERT INTO averages
         SELECT `key`, window_start, window_end, MIN(total), SUM(total)
         FROM TABLE(TUMBLE(TABLE small, DESCRIPTOR(rowtime), INTERVAL '1' MINUTE))
         GROUP BY `key`, window_start, window_end;"
    ));
}

#[test]
fn rows_stay_where_the_next_operator_wants_them() {
    let inputs = |select: &str| -> Vec<String> {
        let text = explained(&format!(
            "CREATE VIEW small AS SELECT `key` AS k, `value` AS v, window_time AS rt, COUNT(*) AS n
               FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '10' SECOND))
               GROUP BY `key`, `value`, window_start, window_end, window_time;
             INSERT INTO pairs {select};"
        ));
        let lines = text.lines().filter_map(|line| line.strip_prefix("    input: "));
        lines.filter(|line| !line.ends_with(" forward")).map(|line| line[4..].to_owned()).collect()
    };
    let over = |keys: &str| format!("SELECT k, SUM(n) OVER (PARTITION BY {keys} ORDER BY rt) FROM small");
    assert_eq!(inputs(&over("k, v")), ["hash(key, value)"]);
    assert_eq!(inputs(&over("v, k")), ["hash(key, value)", "hash(v, k)"], "the order is part of the key");
    assert_eq!(inputs(&over("k")), ["hash(key, value)", "hash(k)"]);
    let filtered = "SELECT k, SUM(n) OVER (PARTITION BY k, v ORDER BY rt) FROM small WHERE n > 1";
    assert_eq!(inputs(filtered), ["hash(key, value)"]);
    let changed =
        "SELECT u, SUM(n) OVER (PARTITION BY u, v ORDER BY rt) FROM (SELECT UPPER(k) AS u, v, n, rt FROM small)";
    assert_eq!(inputs(changed).len(), 2, "a computed column is another key");
}

#[test]
fn windows_without_aggregation() {
    insta::assert_snapshot!(explained(
        "INSERT INTO counts
         SELECT `key`, window_start, window_end, CAST(`value` AS BIGINT)
         FROM TABLE(HOP(TABLE kv, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND));"
    ));
}

#[test]
fn distinct_rows_of_a_window() {
    insta::assert_snapshot!(explained(
        "INSERT INTO counts SELECT k, s, e, 1 FROM (
           SELECT DISTINCT `key` AS k, window_start AS s, window_end AS e
           FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '10' SECOND)));"
    ));
}

#[test]
fn groups_of_all_rows_are_updated() {
    insta::assert_snapshot!(explained(
        "CREATE TABLE result (k STRING, n BIGINT, v INT) WITH ('connector' = 'print');
         INSERT INTO result
         SELECT `key`, COUNT(*), MAX(`value`) FILTER (WHERE `value` < 100) FROM kv
         GROUP BY `key` HAVING COUNT(*) > 1;
         INSERT INTO result SELECT DISTINCT UPPER(`key`), 1, `value` FROM kv;
         INSERT INTO result SELECT 'all', COUNT(DISTINCT `key`), 0 FROM kv;"
    ));
}

#[test]
fn over_rows_and_named_window() {
    insta::assert_snapshot!(explained(
        "INSERT INTO averages
         SELECT `key`, ts, ts, AVG(`value`) OVER w, SUM(`value` + 1) OVER w - 1
         FROM kv
         WINDOW w AS (PARTITION BY `key` ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW);"
    ));
}

#[test]
fn over_range_of_an_interval() {
    insta::assert_snapshot!(explained(
        "INSERT INTO pairs
         SELECT `key`, COUNT(*) OVER (PARTITION BY LOWER(`key`) ORDER BY ts RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW)
         FROM kv WHERE `value` > 0;"
    ));
}

#[test]
fn one_source_for_two_inserts_reads_what_both_need() {
    insta::assert_snapshot!(explained(
        "EXECUTE STATEMENT SET BEGIN
           INSERT INTO strings SELECT `key` FROM kv WHERE `value` > 1;
           INSERT INTO pairs SELECT 'x', `value` FROM kv;
         END;"
    ));
}

#[test]
fn union_all_of_two_tables_with_common_types() {
    insta::assert_snapshot!(explained(
        "BEGIN STATEMENT SET;
         INSERT INTO pairs SELECT `key`, `value` FROM kv UNION ALL SELECT region, id FROM orders UNION ALL SELECT 'c', 1 FROM kv;
         END;"
    ));
}

#[test]
fn several_inserts_into_one_table_have_different_uids() {
    insta::assert_snapshot!(explained(
        "INSERT INTO strings SELECT UPPER(`key`) FROM kv;
         INSERT INTO strings SELECT LOWER(`key`) FROM kv;"
    ));
}

#[test]
fn tables_say_how_many_readers_and_writers_they_have_at_most() {
    insta::assert_snapshot!(explained(
        "CREATE TABLE few WITH ('scan.parallelism' = '2') LIKE orders;
         CREATE TABLE one_file (a STRING) WITH ('connector' = 'filesystem', 'path' = '/out', 'format' = 'csv', 'sink.parallelism' = '1');
         INSERT INTO one_file SELECT region FROM few;"
    ));
}

#[test]
fn insert_with_columns_fills_the_others_with_null() {
    insta::assert_snapshot!(explained("INSERT INTO pairs (b) SELECT `value` FROM kv;"));
}

#[test]
fn computed_column_and_zoned_windows() {
    insta::assert_snapshot!(explained(
        "SET 'table.local-time-zone' = 'Europe/Berlin';
         INSERT INTO counts
         SELECT region, window_start, window_end, COUNT(*)
         FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' DAY))
         GROUP BY region, window_start, window_end;"
    ));
}

#[test]
fn nested_fields_arrays_and_maps() {
    insta::assert_snapshot!(explained(
        "INSERT INTO pairs SELECT o.buyer.address.city || tags[1], buyer.id + attributes['x'] FROM orders AS o;"
    ));
}

#[test]
fn decimal_and_integer_arithmetic_follow_flink() {
    insta::assert_snapshot!(explained(
        "INSERT INTO decimals SELECT 0.908 * id, amount / 3 FROM orders;
         INSERT INTO pairs SELECT 'whole', id / 3 + created % 7 FROM orders;"
    ));
}

#[test]
fn a_row_takes_the_field_names_of_the_column_it_is_written_to() {
    insta::assert_snapshot!(explained(
        "INSERT INTO rows_of SELECT ROW(`value`, `key`) FROM kv;
         INSERT INTO rows_of SELECT (`value`, 'x') FROM kv;"
    ));
}

#[test]
fn grouping_by_a_row_is_grouping_by_its_fields() {
    insta::assert_snapshot!(explained(
        "INSERT INTO counts SELECT `key`, window_start, window_end, COUNT(*)
         FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '10' SECOND))
         GROUP BY (`key`, `value`), (window_start, window_end);"
    ));
}

#[test]
fn nullif_and_the_sum_of_float_and_double_have_the_type_of_their_left_side() {
    insta::assert_snapshot!(explained(
        "INSERT INTO narrow SELECT CAST(price AS FLOAT) + price, NULLIF(CAST(id AS TINYINT), 0) FROM orders;"
    ));
}

#[test]
fn intervals_move_times_and_dates_and_are_multiplied() {
    insta::assert_snapshot!(explained(
        "INSERT INTO times SELECT TIME '00:00:00' - INTERVAL '1' MINUTE, DATE '2024-02-28' + INTERVAL '25' HOUR,
           TIMESTAMP '2024-01-31 00:00:00' + 13 * INTERVAL '1' MONTH, TIMESTAMP '2024-01-31 00:00:00.123456' - INTERVAL '1' DAY * 2
         FROM kv;
         INSERT INTO times SELECT TIME '23:00:00' + `value` * INTERVAL '1' HOUR, DATE '2024-02-28' - `value` * INTERVAL '1' DAY,
           ts + `value` * INTERVAL '1' SECOND, CAST(ts AS TIMESTAMP(6)) - `value` * INTERVAL '1' MONTH
         FROM kv;"
    ));
}

#[test]
fn double_beside_decimal_is_double() {
    insta::assert_snapshot!(explained(
        "INSERT INTO doubles SELECT COALESCE(price, 0.0), GREATEST(amount, price, 1), price > 1 FROM orders;"
    ));
}

#[test]
fn the_clauses_of_json_functions_become_arguments() {
    insta::assert_snapshot!(explained(
        "INSERT INTO strings SELECT JSON_OBJECT(KEY `key` VALUE `value`, 'b' VALUE JSON_ARRAY(1, `value` NULL ON NULL), 'c' : 2 ABSENT ON NULL) FROM kv;
         INSERT INTO strings SELECT JSON_OBJECT() || JSON_ARRAY() || JSON_ARRAY(JSON_OBJECT('a' VALUE 1)) FROM kv;
         INSERT INTO strings SELECT TRIM(BOTH FROM `key`) FROM kv WHERE `key` IS JSON OBJECT AND `key` IS NOT JSON OR `key` IS JSON;"
    ));
}

#[test]
fn rows_are_compared_field_by_field() {
    insta::assert_snapshot!(explained(
        "INSERT INTO strings SELECT `key` FROM kv WHERE (`key`, `value`) = ROW('a', 1) OR (`key`, `value`) NOT IN (('a', 1), ('b', 2));"
    ));
}

#[test]
fn a_text_that_is_no_time_is_null_beside_one() {
    insta::assert_snapshot!(explained(
        "INSERT INTO strings SELECT `key` FROM kv WHERE `key` > ts AND ts > '2026-01-01 00:00:00';"
    ));
}

#[test]
fn special_syntax_becomes_functions() {
    insta::assert_snapshot!(explained(
        "INSERT INTO pairs SELECT SUBSTRING(TRIM(BOTH 'x' FROM `key`) FROM 2 FOR 3), EXTRACT(HOUR FROM ts) FROM kv;
         INSERT INTO pairs SELECT JSON_VALUE(`key`, '$.a' RETURNING STRING DEFAULT 'none' ON EMPTY NULL ON ERROR), POSITION('a' IN `key`) FROM kv;
         INSERT INTO pairs SELECT DATE_FORMAT(FLOOR(ts TO HOUR), 'HH'), TIMESTAMPDIFF(SECOND, ts, TIMESTAMPADD(MINUTE, 5, ts)) FROM kv;
         INSERT INTO pairs SELECT OVERLAY(`key` PLACING 'x' FROM 1 FOR 2), CAST(TRY_CAST(`key` AS INT) AS BIGINT) FROM kv;"
    ));
}

#[test]
fn conditions() {
    insta::assert_snapshot!(explained(
        "INSERT INTO pairs
         SELECT CASE `value` WHEN 1 THEN 'one' WHEN 2 THEN 'two' END, CASE WHEN `value` > 5 THEN 1 ELSE NULL END
         FROM kv
         WHERE (`key` LIKE 'a!%%' ESCAPE '!' OR `key` IN ('x', 'y') OR `value` NOT BETWEEN 1 AND 5)
           AND ts >= '2026-01-01 00:00:00' AND `key` IS DISTINCT FROM 'z' AND (`value` > 3) IS NOT TRUE
           AND ts + INTERVAL '1 02:03:04.5' DAY TO SECOND < TIMESTAMP '2027-01-01 00:00:00.000';"
    ));
}

#[test]
fn adjacent_calcs_become_one_unless_volatile() {
    insta::assert_snapshot!(explained(
        "INSERT INTO strings SELECT b FROM (SELECT UPPER(a) AS b FROM (SELECT `key` AS a, `value` AS v FROM kv) WHERE v > 1) WHERE b <> '';
         INSERT INTO strings SELECT a || a FROM (SELECT UUID() AS a FROM kv);"
    ));
}

#[test]
fn with_queries_and_aliases() {
    insta::assert_snapshot!(explained(
        "INSERT INTO pairs
         WITH big (k, v) AS (SELECT `key`, `value` FROM kv WHERE `value` > 1000)
         SELECT t.* FROM big AS t (x, y);"
    ));
}

#[test]
fn metadata_columns_and_like() {
    insta::assert_snapshot!(explained(
        "CREATE TABLE raw (
           body STRING, event_time TIMESTAMP(3) METADATA FROM 'timestamp' VIRTUAL, `partition` INT METADATA VIRTUAL,
           WATERMARK FOR event_time AS event_time
         ) WITH ('connector' = 'kafka', 'topic' = 'a', 'properties.bootstrap.servers' = 'kafka:9092', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
         CREATE TEMPORARY TABLE other WITH ('topic' = 'b') LIKE raw (EXCLUDING WATERMARKS);
         INSERT INTO pairs SELECT body, `partition` FROM raw;
         INSERT INTO strings SELECT CAST(event_time AS STRING) FROM other;"
    ));
}

#[test]
fn aggregates_take_and_give_flinks_types() {
    insta::assert_snapshot!(explained(
        "CREATE TABLE wide (a DECIMAL(38, 2), b DECIMAL(38, 6), c INT, d DOUBLE, e STRING, f BIGINT, g STRING) WITH ('connector' = 'blackhole');
         INSERT INTO wide
         SELECT SUM(amount), AVG(amount), CAST(STDDEV_POP(id) AS INT), AVG(price), LISTAGG(region, ';'), COUNT(DISTINCT region), LAST_VALUE(region)
         FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;"
    ));
}

#[test]
fn settings_are_typed_and_unknown_ones_are_warnings() {
    let script = script(
        "SET 'pipeline.name' = 'orders'; SET 'execution.checkpointing.interval' = '10 s'; SET parallelism.default = 4;
         SET 'table.exec.source.idle-timeout' = '1 min'; SET 'table.exec.mini-batch.enabled' = 'true';
         SET 'execution.buffer-timeout.interval' = '20 ms'; INSERT INTO strings SELECT `key` FROM kv;",
    );
    let planned = plan(&script, &PlanOptions::default()).expect("the script is right");
    let settings = &planned.graph.settings;
    assert_eq!(settings.buffer_timeout.limit(), Some(std::time::Duration::from_millis(20)));
    assert_eq!(settings.name.as_deref(), Some("orders"));
    assert_eq!(settings.parallelism, Some(4));
    assert_eq!(settings.checkpoint_interval, Some(std::time::Duration::from_secs(10)));
    assert_eq!(settings.source_idle_timeout, std::time::Duration::from_secs(60));
    let warnings: Vec<String> = planned.warnings.iter().map(|warning| warning.message.clone()).collect();
    assert_eq!(warnings, ["unknown setting 'table.exec.mini-batch.enabled' has no effect"]);
}

#[test]
fn the_buffer_timeout_is_a_time_or_no_limit() {
    let limit = |set: &str| {
        let planned =
            plan(&script(&format!("{set} INSERT INTO strings SELECT `key` FROM kv;")), &PlanOptions::default());
        planned.expect("the script is right").graph.settings.buffer_timeout.limit()
    };
    let millis = std::time::Duration::from_millis;
    assert_eq!(limit(""), Some(millis(5)));
    assert_eq!(limit("SET 'execution.buffer-timeout.interval' = '0 ms';"), Some(millis(0)));
    let disabled = "SET 'execution.buffer-timeout.enabled' = 'false'; SET 'execution.buffer-timeout.interval' = '1 s';";
    assert_eq!(limit(disabled), None);
    assert_eq!(limit(&format!("{disabled} SET 'execution.buffer-timeout.enabled' = 'true';")), Some(millis(1_000)));
    assert_eq!(limit(&format!("{disabled} RESET;")), Some(millis(5)));
}

#[test]
fn configuration_goes_before_set() {
    let config = [("parallelism.default".to_owned(), "8".to_owned()), ("pipeline.name".to_owned(), "outer".to_owned())];
    let options = PlanOptions { config: config.into_iter().collect() };
    let script = script("SET 'parallelism.default' = '2'; INSERT INTO strings SELECT `key` FROM kv;");
    let planned = plan(&script, &options).expect("the script is right");
    assert_eq!(planned.graph.settings.parallelism, Some(2));
    assert_eq!(planned.graph.settings.name.as_deref(), Some("outer"));
}

#[test]
fn constants_are_computed_with_flinks_types() {
    insta::assert_snapshot!(explained(
        "CREATE TABLE constants (a DECIMAL(38, 8), b INT, c INT, d DECIMAL(10, 3), e INT, f DATE, g TIMESTAMP(3), h DOUBLE, i STRING)
           WITH ('connector' = 'print');
         INSERT INTO constants SELECT 10.00 / 3, 7 / 2, -7 / 2, 2 * 0.908, 5 % 3, DATE '2026-01-31' + INTERVAL '1' DAY,
           TIMESTAMP '2026-01-31 12:00:00' + INTERVAL '1' MONTH - INTERVAL '1 00:00:01' DAY TO SECOND, 1e1 + 1,
           CAST(2.5 AS STRING) || 'x' FROM kv;"
    ));
}

#[test]
fn enforcers_of_a_sink_stand_with_it() {
    let text = explained(
        "SET 'table.exec.sink.type-length-enforcer' = 'TRIM_PAD';
         CREATE TABLE limited (k VARCHAR(3) NOT NULL, v BIGINT) WITH ('connector' = 'print');
         INSERT INTO limited SELECT `key`, `value` FROM kv;",
    );
    assert!(text.contains("ConstraintEnforcer[NotNullEnforcer(fields=[k]), LengthEnforcer(fields=[k])]"), "{text}");
}

/// Two inserts over one view.
const SHARED: &str = "
CREATE VIEW per_key AS SELECT `key` AS k, window_start AS s, window_end AS e, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE kv, DESCRIPTOR(ts), INTERVAL '10' SECOND)) WHERE `value` > 0 GROUP BY `key`, window_start, window_end;
INSERT INTO counts SELECT * FROM per_key;
INSERT INTO counts SELECT k, s, e, n FROM per_key WHERE n > 1;
";

#[test]
fn what_inserts_share_is_computed_once_and_shown_as_reused() {
    insta::assert_snapshot!(explained(SHARED));
}

#[test]
fn nothing_is_shared_where_that_is_turned_off() {
    let without = |setting: &str| explained(&format!("SET 'table.optimizer.{setting}' = 'false';{SHARED}"));
    let (alone, own_sources) = (without("reuse-sub-plan-enabled"), without("reuse-source-enabled"));
    let count = |text: &str, what: &str| text.matches(what).count();
    for (text, sources, reused) in [(explained(SHARED), 1, 1), (alone, 1, 1), (own_sources, 2, 0)] {
        assert_eq!((count(&text, "] Source kv"), count(&text, "Reused(")), (sources, reused), "{text}");
    }
    let aggregates = [SHARED.to_owned(), format!("SET 'table.optimizer.reuse-sub-plan-enabled' = 'false';{SHARED}")];
    assert_eq!(aggregates.map(|script| count(&explained(&script), "] WindowAggregate")), [1, 2]);
}

#[test]
fn what_is_drawn_at_random_is_drawn_for_each_place() {
    let table = "CREATE TABLE drawn (a STRING, id AS UUID(), r AS RAND(), b AS UPPER(a))
        WITH ('connector' = 'filesystem', 'path' = '/in', 'format' = 'json');";
    let text = explained(&format!(
        "{table}
         CREATE VIEW ids AS SELECT id, b FROM drawn;
         INSERT INTO strings SELECT CONCAT(id, b) FROM ids;
         INSERT INTO strings SELECT CONCAT(id, b) FROM ids;
         INSERT INTO strings SELECT b FROM drawn;
         INSERT INTO strings SELECT b FROM drawn;"
    ));
    insta::assert_snapshot!(text);
    assert_eq!(text.to_lowercase().matches("uuid()").count(), 2, "{text}");
}
