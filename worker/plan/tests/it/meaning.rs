//! The meanings of operators with state. They are equal for queries that compute the same, and readable where they
//! differ.

use eddyline_plan::{PlanOptions, Script, objection_to_state, plan};

const KAFKA: &str = "
CREATE TABLE orders (id BIGINT, amount INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
WITH ('connector' = 'kafka', 'topic' = 'orders', 'properties.bootstrap.servers' = 'kafka-1:9092,kafka-2:9092',
  'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
CREATE TABLE sums (id BIGINT, total INT) WITH ('connector' = 'blackhole');
CREATE TABLE counts (id BIGINT, total BIGINT) WITH ('connector' = 'blackhole');
";
const SUM: &str =
    "INSERT INTO sums SELECT id, SUM(amount) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
  GROUP BY id, window_start, window_end;\n";
const COUNT: &str =
    "INSERT INTO counts SELECT id, COUNT(*) FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
  GROUP BY id, window_start, window_end;\n";

fn planned(text: &str) -> eddyline_plan::Planned {
    let script = Script { name: "job.sql".to_owned(), text: text.to_owned() };
    plan(&script, &PlanOptions::default()).unwrap_or_else(|diagnostics| panic!("{}", diagnostics.render(&script)))
}

fn objection(before: &str, after: &str) -> Option<String> {
    objection_to_state(&planned(before).graph.meanings(), &planned(after).graph.meanings(), &[])
}

/// The names of operators with state that write these tables.
fn names(text: &str) -> Vec<String> {
    let graph = planned(text).graph;
    graph.meanings().into_iter().map(|(uid, _)| uid.to_string()).filter(|uid| !uid.starts_with("source/")).collect()
}

#[test]
fn positions_in_a_topic_mean_nothing_in_another_one() {
    let job = format!("{KAFKA}{SUM}");
    let text = objection(&job, &job.replace("'topic' = 'orders'", "'topic' = 'orders-2'")).expect("refused");
    assert!(
        text.contains(
            "operator source/orders: its state belongs to another computation\n    topic: orders -> orders-2"
        ),
        "{text}"
    );
    assert!(text.contains("from: kafka orders -> kafka orders-2"), "state behind it too: {text}");
    let text = objection(&job, &job.replace("kafka-1:9092,kafka-2:9092", "other:9092")).expect("refused");
    assert!(text.contains("servers: kafka-1:9092, kafka-2:9092 -> other:9092"), "{text}");
    let pattern = job.replace("'topic' = 'orders'", "'topic-pattern' = 'orders.*'");
    assert!(objection(&job, &pattern).expect("refused").contains("topic: orders -> none"));
}

#[test]
fn options_that_say_nothing_about_positions_may_change() {
    let job = format!("{KAFKA}{SUM}");
    for (from, to) in [
        ("kafka-1:9092,kafka-2:9092", "kafka-2:9092, kafka-3:9092"),
        ("'format' = 'json'", "'format' = 'json', 'properties.fetch.min.bytes' = '1000'"),
        ("'format' = 'json'", "'format' = 'json', 'properties.group.id' = 'sums'"),
        ("'format' = 'json'", "'format' = 'json', 'json.ignore-parse-errors' = 'true'"),
        ("'earliest-offset'", "'latest-offset'"),
        ("'format' = 'json'", "'format' = 'json', 'scan.parallelism' = '2'"),
        ("TABLE orders", "TABLE purchases"),
    ] {
        assert_eq!(objection(&job, &job.replace(from, to)), None, "{to}");
    }
}

#[test]
fn names_follow_from_what_an_operator_computes() {
    let alone = names(&format!("{KAFKA}{SUM}"));
    let [name] = alone.as_slice() else { panic!("{alone:?}") };
    let (kind, digest) = name.rsplit_once('-').expect("a digest");
    assert_eq!((kind, digest.len()), ("sums/window-aggregate", 8));
    let both = names(&format!("{KAFKA}{COUNT}{SUM}"));
    assert!(both.contains(name), "another statement in front changes nothing: {both:?}");
    assert_eq!(names(&format!("{KAFKA}{}", SUM.replace("SUM(amount)", "SUM(amount) AS s"))), alone);
    assert_ne!(names(&format!("{KAFKA}{}", SUM.replace("'1' MINUTE", "'2' MINUTE"))), alone);
    let alone = "SET 'table.optimizer.reuse-sub-plan-enabled' = 'false';\n";
    let twice = names(&format!("{alone}{KAFKA}{SUM}{SUM}"));
    assert_eq!(twice, [name.clone(), format!("{name}#2")], "the same for the same table is numbered");
}

#[test]
fn what_is_shared_is_named_for_the_first_insert_that_uses_it() {
    let alone = names(&format!("{KAFKA}{SUM}"));
    let another = "CREATE TABLE another (id BIGINT, total INT) WITH ('connector' = 'blackhole');";
    let second = SUM.replace("INTO sums", "INTO another");
    assert_eq!(names(&format!("{KAFKA}{another}{SUM}{second}")), alone, "one that is added behind changes no name");
    assert_eq!(names(&format!("{KAFKA}{SUM}{SUM}")), alone);
    let in_front = names(&format!("{KAFKA}{another}{second}{SUM}"));
    assert_eq!(in_front, [alone[0].replace("sums/", "another/")]);
    assert_eq!(objection(&format!("{KAFKA}{SUM}"), &format!("{KAFKA}{another}{second}{SUM}")), None);
}

#[test]
fn former_names_count_the_operators_of_an_insert() {
    let alone = "SET 'table.optimizer.reuse-sub-plan-enabled' = 'false';\n";
    let graph = planned(&format!("{alone}{KAFKA}{SUM}{SUM}")).graph;
    let former: Vec<&str> =
        graph.nodes.iter().filter(|node| node.meaning.is_some()).map(|node| node.former_uid.as_str()).collect();
    assert_eq!(former, ["source/orders", "sums/window-aggregate-1", "sums-2/window-aggregate-1"]);
}

#[test]
fn statements_may_come_and_change_places_and_one_that_goes_is_named() {
    let (both, turned) = (format!("{KAFKA}{SUM}{COUNT}"), format!("{KAFKA}{COUNT}{SUM}"));
    assert_eq!(objection(&both, &turned), None);
    assert_eq!(objection(&format!("{KAFKA}{SUM}"), &turned), None);
    let text = objection(&both, &format!("{KAFKA}{SUM}")).expect("refused");
    assert!(text.contains("operator counts/window-aggregate-"), "{text}");
    assert!(text.contains("has state, but the job has no such operator"), "{text}");
    assert_eq!(planned(&both).graph.fingerprint(), planned(&turned).graph.fingerprint());
    assert_ne!(planned(&both).graph.fingerprint(), planned(&format!("{KAFKA}{SUM}")).graph.fingerprint());
}

#[test]
fn long_expressions_are_distinguished_although_they_are_cut() {
    let sum = |last: &str| {
        let terms: Vec<String> = (0..200).map(|number| format!("amount * {number}")).collect();
        format!("{KAFKA}{}", SUM.replace("SUM(amount)", &format!("SUM({} + {last})", terms.join(" + "))))
    };
    assert_eq!(objection(&sum("1"), &sum("1")), None);
    let text = objection(&sum("1"), &sum("2")).expect("refused");
    assert!(text.len() < 3_000, "{} characters", text.len());
}

#[test]
fn different_literals_are_different_computations() {
    let count =
        |condition: &str| format!("{KAFKA}{}", COUNT.replace("GROUP BY", &format!("WHERE {condition} GROUP BY")));
    let of = |literal: &str| count(&format!("CAST(CAST(id AS STRING) AS BYTES) <> {literal}"));
    let (one, two) = ("x'00112233445566778899aa'", "x'00112233445566778899bb'");
    assert_eq!(objection(&of(one), &of(one)), None);
    let text = objection(&of(one), &of(two)).expect("they agree in ten bytes only");
    assert!(text.contains("00112233445566778899AA") && text.contains("00112233445566778899BB"), "{text}");
    let of = |literal: &str| count(&format!("ARRAY_CONTAINS({literal}, CAST(id AS STRING))"));
    for (one, two) in [
        ("ARRAY['a, b']", "ARRAY['a', 'b']"),
        ("ARRAY['', 'a']", "ARRAY[CAST(NULL AS STRING), 'a']"),
        ("ARRAY['a', 'b']", "ARRAY['b', 'a']"),
    ] {
        assert_eq!(objection(&of(one), &of(one)), None);
        assert!(objection(&of(one), &of(two)).is_some(), "{one} is not {two}");
    }
}

#[test]
fn the_session_time_zone_counts_where_it_is_used() {
    let job = |zone: &str, key: &str| {
        let sum =
            SUM.replace("SELECT id,", &format!("SELECT {key},")).replace("GROUP BY id", &format!("GROUP BY {key}"));
        format!("SET 'table.local-time-zone' = '{zone}';\n{KAFKA}{sum}").replace("sums (id BIGINT", "sums (id STRING")
    };
    let plain = "CAST(id AS STRING)";
    assert_eq!(objection(&job("UTC", plain), &job("Asia/Tokyo", plain)), None);
    let zoned = "CAST(TO_TIMESTAMP_LTZ(id, 3) AS STRING)";
    let text = objection(&job("UTC", zoned), &job("Asia/Tokyo", zoned)).expect("refused");
    assert!(text.contains("in UTC") && text.contains("in Asia/Tokyo"), "{text}");
}

#[test]
fn nine_distinct_arguments_are_planned() {
    let columns: Vec<String> = (0..9).map(|number| format!("COUNT(DISTINCT amount + {number})")).collect();
    let sinks: Vec<String> = (0..9).map(|number| format!("c{number} BIGINT")).collect();
    let text = format!(
        "{KAFKA}CREATE TABLE nine ({}) WITH ('connector' = 'blackhole');
         INSERT INTO nine SELECT {} FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
         GROUP BY window_start, window_end;",
        sinks.join(", "),
        columns.join(", ")
    );
    assert_eq!(names(&text).len(), 1);
}
