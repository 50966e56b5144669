//! Whole jobs with file sinks: folders that do not exist yet, at any parallelism, and names of partition folders.

use std::collections::BTreeSet;
use std::path::Path;

use crate::running::Running;

/// Runs a script to its end.
pub fn run(folder: &Path, name: &str, script: &str, parallelism: u16) {
    let mut running = start(folder, name, script, parallelism);
    assert!(running.ended().success(), "{name} at parallelism {parallelism}: {}", running.log());
}

/// Runs a script that ends with an error. Returns its log.
pub fn fails(folder: &Path, name: &str, script: &str) -> String {
    let mut running = start(folder, name, script, 1);
    assert!(!running.ended().success(), "{name}: {}", running.log());
    running.log()
}

fn start(folder: &Path, name: &str, script: &str, parallelism: u16) -> Running {
    let (job_file, log) = (folder.join(format!("{name}.sql")), folder.join(format!("{name}.log")));
    std::fs::write(&job_file, script).expect("a file");
    let parallelism = parallelism.to_string();
    let more = ["--parallelism", parallelism.as_str(), "--restore", "none"];
    Running::start_with(Running::eddyline(), &job_file, &folder.join("checkpoints"), &log, &more)
}

/// The sorted lines of all visible files below a folder, and the folders that have these files.
pub fn lines_below(folder: &Path) -> (Vec<String>, BTreeSet<String>) {
    fn walk(root: &Path, folder: &Path, lines: &mut Vec<String>, folders: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
                continue;
            }
            if path.is_dir() {
                walk(root, &path, lines, folders);
            } else {
                folders.insert(folder.strip_prefix(root).expect("below").display().to_string());
                let text = std::fs::read_to_string(&path).expect("a text file");
                lines.extend(text.lines().map(str::to_owned));
            }
        }
    }
    let (mut lines, mut folders) = (Vec::new(), BTreeSet::new());
    walk(folder, folder, &mut lines, &mut folders);
    lines.sort();
    (lines, folders)
}

#[test]
fn a_folder_that_does_not_exist_yet_is_written_at_any_parallelism() {
    for parallelism in [1, 2, 4] {
        for (name, input, partitioned) in [
            ("no-rows", "", false),
            ("one-slot", "{\"a\":1,\"p\":\"x\"}\n{\"a\":2,\"p\":\"y\"}\n", false),
            ("partitions", "{\"a\":1,\"p\":\"x\"}\n{\"a\":2,\"p\":\"y\"}\n", true),
        ] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let (rows, out) = (folder.path().join("rows"), folder.path().join("new/folder/out"));
            std::fs::create_dir(&rows).expect("a folder");
            std::fs::write(rows.join("a.json"), input).expect("a file");
            let partitions = if partitioned { "PARTITIONED BY (p)" } else { "" };
            let script = format!(
                "CREATE TABLE src (a INT, p STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');
CREATE TABLE res (a INT, p STRING) {partitions} WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');
INSERT INTO res SELECT a, p FROM src;
",
                rows.display(),
                out.display()
            );
            run(folder.path(), name, &script, parallelism);
            let (lines, folders) = lines_below(&out);
            let expected: &[&str] = match (input.is_empty(), partitioned) {
                (true, _) => &[],
                (false, false) => &["{\"a\":1,\"p\":\"x\"}", "{\"a\":2,\"p\":\"y\"}"],
                (false, true) => &["{\"a\":1}", "{\"a\":2}"],
            };
            assert_eq!(lines, expected, "{name} at parallelism {parallelism}");
            assert_eq!(partitioned, folders == BTreeSet::from(["p=x".to_owned(), "p=y".to_owned()]), "{folders:?}");
        }
    }
}

#[test]
fn partition_values_are_escaped_in_names_of_folders_and_read_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(folder.path().join("src")).expect("a folder");
    let input = r#"{"id":1,"p":"a{b}c","q":"x"}
{"id":2,"p":"10:30","q":"50%"}
{"id":3,"p":"a/b=c","q":"sp ace"}
{"id":6,"p":"Zoë","q":"it's"}
"#;
    std::fs::write(folder.path().join("src/a.json"), input).expect("a file");
    let table = |name: &str, partitions: &str| {
        format!(
            "CREATE TABLE {name} (id INT, p STRING, q STRING) {partitions}
  WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');\n",
            path(name)
        )
    };
    let partitioned = "PARTITIONED BY (p, q)";
    let write = format!(
        "{}{}{}INSERT INTO parts SELECT id, p, q FROM src;
INSERT INTO nulls SELECT id + 10, CAST(NULL AS STRING), '' FROM src WHERE id = 1;
",
        table("src", ""),
        table("parts", partitioned),
        table("nulls", partitioned)
    );
    let read = format!(
        "{}{}INSERT INTO back SELECT id + 100, p, q FROM parts;\n",
        table("parts", partitioned),
        table("back", "")
    );
    for (name, script) in [("write", &write), ("read", &read)] {
        run(folder.path(), name, script, 2);
    }
    let (lines, folders) = lines_below(&folder.path().join("parts"));
    assert_eq!(lines, ["{\"id\":1}", "{\"id\":2}", "{\"id\":3}", "{\"id\":6}"]);
    let expected = ["p=10%3A30/q=50%25", "p=Zoë/q=it%27s", "p=a%2Fb%3Dc/q=sp ace", "p=a%7Bb%7Dc/q=x"];
    assert_eq!(folders.into_iter().collect::<Vec<_>>(), expected);
    let (_, folders) = lines_below(&folder.path().join("nulls"));
    let default = "p=__DEFAULT_PARTITION__/q=__DEFAULT_PARTITION__".to_owned();
    assert_eq!(folders, BTreeSet::from([default]));
    let (lines, _) = lines_below(&folder.path().join("back"));
    let expected = [
        r#"{"id":101,"p":"a{b}c","q":"x"}"#,
        r#"{"id":102,"p":"10:30","q":"50%"}"#,
        r#"{"id":103,"p":"a/b=c","q":"sp ace"}"#,
        r#"{"id":106,"p":"Zoë","q":"it's"}"#,
    ];
    assert_eq!(lines, expected);
}
