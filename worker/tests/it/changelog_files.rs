//! Whole jobs over changelogs in files. A changelog that is read in one format of change data capture and written in
//! another one still describes the same table, at parallelism 1, 2 and 3.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::file_sinks::{lines_below, run};

/// The balance of each account, by id.
type Table = BTreeMap<i64, i64>;

/// Changes of accounts as Debezium reports them, and the final table. Each change may move a balance across 50.
fn accounts(count: i64) -> (String, Table) {
    let (mut lines, mut table) = (String::new(), Table::new());
    let row = |id: i64, balance: i64| json!({"id": id, "branch": balance % 3, "balance": balance});
    let mut report = |before: Value, after: Value, op: &str| {
        lines.push_str(&format!("{}\n", json!({"before": before, "after": after, "op": op, "ts_ms": 1})));
    };
    for step in 0..count {
        let (id, balance) = (step * 7 % 40, step * 31 % 100);
        match table.get(&id).copied() {
            None => {
                report(Value::Null, row(id, balance), if step % 2 == 0 { "c" } else { "r" });
                table.insert(id, balance);
            }
            Some(old) if step % 5 == 0 => {
                report(row(id, old), Value::Null, "d");
                table.remove(&id);
            }
            Some(old) => {
                report(row(id, old), row(id, balance), "u");
                table.insert(id, balance);
            }
        }
    }
    (lines, table)
}

/// The rows of messages: whether each is a retraction, and its content.
fn rows(format: &str, lines: &[String]) -> Vec<(bool, Value)> {
    let one = |line: &String| {
        let message: Value = serde_json::from_str(line).expect("JSON");
        let (is_delete, row) = match format {
            "debezium-json" => (message["op"] == "d", &message[if message["op"] == "d" { "before" } else { "after" }]),
            "ogg-json" => {
                let is_delete = message["op_type"] == "D";
                (is_delete, &message[if is_delete { "before" } else { "after" }])
            }
            "maxwell-json" => (message["type"] == "delete", &message["data"]),
            _ => (message["type"] == "DELETE", &message["data"][0]),
        };
        (is_delete, row.clone())
    };
    lines.iter().map(one).collect()
}

/// The number of times that the final table has each row. The order of files is not known, so this is the sum over all.
fn fold(format: &str, lines: &[String]) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for (is_delete, row) in rows(format, lines) {
        *counts.entry(row.to_string()).or_default() += if is_delete { -1 } else { 1 };
    }
    counts.retain(|_, count| *count != 0);
    counts
}

fn table(name: &str, folder: &Path, format: &str, partitioned: bool) -> String {
    let partitions = if partitioned { "PARTITIONED BY (branch)" } else { "" };
    format!(
        "CREATE TABLE {name} (id BIGINT, branch INT, balance INT) {partitions}
         WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = '{format}');\n",
        folder.display()
    )
}

#[test]
fn a_changelog_describes_the_same_table_in_every_format_and_behind_a_filter() {
    let (lines, expected) = accounts(400);
    let expected: BTreeMap<String, i64> = expected
        .into_iter()
        .filter(|(_, balance)| *balance > 50)
        .map(|(id, balance)| (json!({"id": id, "branch": balance % 3, "balance": balance}).to_string(), 1))
        .collect();
    assert!(expected.len() > 5);
    for parallelism in 1..=3 {
        for format in ["debezium-json", "canal-json", "maxwell-json", "ogg-json"] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let (changes, middle, out) =
                (folder.path().join("changes"), folder.path().join("middle"), folder.path().join("out"));
            std::fs::create_dir(&changes).expect("a folder");
            std::fs::write(changes.join("a.json"), &lines).expect("a file");
            std::fs::write(changes.join("empty.json"), "").expect("a file");
            let there = table("changes", &changes, "debezium-json", false) + &table("middle", &middle, format, false);
            let filtered = format!("{there}INSERT INTO middle SELECT * FROM changes WHERE balance > 50;\n");
            run(folder.path(), "there", &filtered, parallelism);
            let (written, _) = lines_below(&middle);
            assert_eq!(fold(format, &written), expected, "{format} at parallelism {parallelism}");
            let back = table("middle", &middle, format, false) + &table("result", &out, "debezium-json", false);
            run(folder.path(), "back", &format!("{back}INSERT INTO result SELECT * FROM middle;\n"), parallelism);
            let (written, _) = lines_below(&out);
            assert_eq!(fold("debezium-json", &written), expected, "{format} and back at parallelism {parallelism}");
        }
    }
}

/// An update that moves a row is a delete in one folder and an insert in another.
#[test]
fn every_partition_has_the_changelog_of_its_rows() {
    let (lines, expected) = accounts(400);
    for parallelism in 1..=3 {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (changes, out) = (folder.path().join("changes"), folder.path().join("out"));
        std::fs::create_dir(&changes).expect("a folder");
        std::fs::write(changes.join("a.json"), &lines).expect("a file");
        let tables = table("changes", &changes, "debezium-json", false) + &table("result", &out, "debezium-json", true);
        run(folder.path(), "job", &format!("{tables}INSERT INTO result SELECT * FROM changes;\n"), parallelism);
        for branch in 0..3 {
            let (written, _) = lines_below(&out.join(format!("branch={branch}")));
            let of_branch: BTreeMap<String, i64> = expected
                .iter()
                .filter(|(_, balance)| *balance % 3 == branch)
                .map(|(id, balance)| (json!({"id": id, "balance": balance}).to_string(), 1))
                .collect();
            assert_eq!(fold("debezium-json", &written), of_branch, "branch {branch} at parallelism {parallelism}");
        }
    }
}

#[test]
fn a_message_that_cannot_be_read_ends_the_job_with_its_file_and_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let changes = folder.path().join("changes");
    std::fs::create_dir(&changes).expect("a folder");
    let lines = "{\"after\":{\"id\":1},\"op\":\"c\"}\n{\"before\":null,\"after\":{\"id\":1},\"op\":\"u\"}\n";
    std::fs::write(changes.join("a.json"), lines).expect("a file");
    let script = table("changes", &changes, "debezium-json", false)
        + "CREATE TABLE shown (id BIGINT) WITH ('connector' = 'print');\nINSERT INTO shown SELECT id FROM changes;\n";
    let log = crate::file_sinks::fails(folder.path(), "job", &script);
    for part in
        ["a.json', line 2", "\"before\" of an update is missing", "'debezium-json.ignore-parse-errors' = 'true'"]
    {
        assert!(log.contains(part), "{part} is not in {log}");
    }
}
