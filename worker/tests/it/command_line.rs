//! The `eddyline` binary as a user runs it.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn eddyline(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_eddyline"))
        .args(arguments)
        .current_dir(folder)
        .env("RUST_LOG", "warn")
        .output()
        .expect("the eddyline binary")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).expect("a file");
    }
    folder
}

const READINGS: &str = r#"{"key":"a","value":1,"ts":"2026-03-01 09:00:01.000"}
{"key":"a","value":4,"ts":"2026-03-01 09:00:02.000"}
{"key":"b","value":-3,"ts":"2026-03-01 09:00:03.500"}
{"key":"a","value":10,"ts":"2026-03-01 09:00:11.000"}
"#;

const JOB: &str = "CREATE TABLE readings (
  `key` STRING, `value` INT, ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH ('connector' = 'filesystem', 'path' = 'readings.json', 'format' = 'json');
CREATE TABLE totals (`key` STRING, window_end TIMESTAMP(3), average INT, total INT)
  WITH ('connector' = 'filesystem', 'path' = 'out', 'format' = 'csv');
INSERT INTO totals
SELECT `key`, window_end, AVG(`value`), SUM(`value`)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY `key`, window_start, window_end;
";

/// The rows of all visible files of a folder, sorted.
fn rows_below(folder: &Path) -> Vec<String> {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name.starts_with('_') {
            continue;
        }
        if entry.path().is_dir() {
            rows.extend(rows_below(&entry.path()));
        } else {
            rows.extend(std::fs::read_to_string(entry.path()).expect("a text file").lines().map(str::to_owned));
        }
    }
    rows.sort();
    rows
}

#[test]
fn a_bounded_job_ends_with_its_results_in_files_and_a_summary() {
    let folder = folder_with(&[("job.sql", JOB), ("readings.json", READINGS)]);
    let output = eddyline(folder.path(), &["run", "job.sql"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        rows_below(&folder.path().join("out")),
        ["a,\"2026-03-01 09:00:10\",2,5", "a,\"2026-03-01 09:00:20\",10,10", "b,\"2026-03-01 09:00:10\",-3,-3"]
    );
    assert!(text(&output.stderr).contains("job finished in"), "{}", text(&output.stderr));
}

#[test]
fn a_wrong_column_is_named_with_line_and_caret_and_exit_code_2() {
    let folder = folder_with(&[("job.sql", &JOB.replace("AVG(`value`)", "AVG(`valeu`)"))]);
    let output = eddyline(folder.path(), &["validate", "job.sql"]);
    assert_eq!(output.status.code(), Some(2));
    let errors = text(&output.stderr);
    assert!(errors.contains("job.sql:8:"), "{errors}");
    assert!(errors.contains('^') && errors.contains("valeu"), "{errors}");
}

#[test]
fn a_bad_record_names_file_and_line() {
    let readings = READINGS.replace("-3", "\"minus three\"");
    let folder = folder_with(&[("job.sql", JOB), ("readings.json", &readings)]);
    let output = eddyline(folder.path(), &["run", "job.sql"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(errors.contains("readings.json") && errors.contains("line 3"), "{errors}");
    assert!(rows_below(&folder.path().join("out")).is_empty(), "nothing of a failed job is visible");
}

#[test]
fn a_missing_file_is_named() {
    let folder = folder_with(&[("job.sql", JOB)]);
    let output = eddyline(folder.path(), &["run", "job.sql"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("readings.json"), "{}", text(&output.stderr));
}

#[test]
fn explain_shows_operators_uids_and_distribution() {
    let folder = folder_with(&[("job.sql", JOB)]);
    let output = eddyline(folder.path(), &["explain", "job.sql"]);
    let graph = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for part in ["readings", "totals", "hash", "window-aggregate"] {
        assert!(graph.to_lowercase().contains(part), "{graph}");
    }
}

#[test]
fn a_stopped_job_says_how_to_resume_and_the_resumed_job_gives_each_result_once() {
    let job = JOB.replace("'format' = 'json'", "'format' = 'json', 'source.monitor-interval' = '50 ms'");
    let folder = folder_with(&[("job.sql", &job)]);
    std::fs::create_dir(folder.path().join("in")).expect("a folder");
    let job = job.replace("readings.json", "in");
    std::fs::write(folder.path().join("job.sql"), &job).expect("a file");
    std::fs::write(folder.path().join("in/1.json"), READINGS).expect("a file");

    let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
    let arguments =
        ["run", "job.sql", "--checkpoint-dir", "chk", "--checkpoint-interval", "50 ms", "--parallelism", "2"];
    let running = command.args(arguments).current_dir(folder.path()).stderr(Stdio::piped()).spawn().expect("eddyline");
    wait_for(|| !rows_below(&folder.path().join("out")).is_empty());
    let stop = Command::new("kill").args(["-TERM", &running.id().to_string()]).status().expect("kill");
    assert!(stop.success());
    let output = running.wait_with_output().expect("it ends");
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("resume it with: eddyline run job.sql --restore "), "{errors}");
    let savepoint = errors.split("--restore ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a URI");

    let inspected = eddyline(folder.path(), &["savepoint", "inspect", savepoint]);
    assert!(inspected.status.success(), "{}", text(&inspected.stderr));
    assert!(text(&inspected.stdout).contains("window-aggregate"), "{}", text(&inspected.stdout));

    // The rest of the input arrives. The job resumes from its savepoint in one slot, and its input is bounded now.
    std::fs::write(folder.path().join("in/2.json"), r#"{"key":"b","value":7,"ts":"2026-03-01 09:00:12.000"}"#)
        .expect("a file");
    let bounded = job.replace(", 'source.monitor-interval' = '50 ms'", "");
    std::fs::write(folder.path().join("job.sql"), bounded).expect("a file");
    let output = eddyline(folder.path(), &["run", "job.sql", "--checkpoint-dir", "chk", "--restore", savepoint]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows = rows_below(&folder.path().join("out"));
    let keys: Vec<String> = rows.iter().map(|row| row.split(',').next().expect("a key").to_owned()).collect();
    assert_eq!(keys, ["a", "a", "b", "b"], "{rows:?}");
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let (_sender, receiver) = std::sync::mpsc::channel::<()>();
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "not in time");
        // This is only a pause, because nothing is ever sent.
        let _timeout = receiver.recv_timeout(Duration::from_millis(10));
    }
}

#[test]
fn a_savepoint_of_the_latest_checkpoint_is_made_without_the_job() {
    let folder = folder_with(&[("job.sql", JOB), ("readings.json", READINGS)]);
    let run = eddyline(folder.path(), &["run", "job.sql", "--checkpoint-dir", "checkpoints"]);
    assert!(run.status.success(), "{}", text(&run.stderr));

    let arguments = ["savepoint", "copy", "--from", "checkpoints/job", "--to", "final", "--report", "report.json"];
    let copied = eddyline(folder.path(), &arguments);
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    let report = std::fs::read(folder.path().join("report.json")).expect("a report");
    let report: eddyline_api::savepoint::CopiedSavepoint = serde_json::from_slice(&report).expect("its form");
    assert!(report.uri.ends_with("/final") && report.checkpoint > 0, "{report:?}");
    std::fs::remove_dir_all(folder.path().join("checkpoints")).expect("removed");
    let inspected = eddyline(folder.path(), &["savepoint", "inspect", "final"]);
    assert!(text(&inspected.stdout).starts_with("savepoint "), "{}", text(&inspected.stdout));

    let arguments = ["savepoint", "copy", "--from", "nothing", "--to", "other", "--report", "report.json"];
    let copied = eddyline(folder.path(), &arguments);
    assert!(!copied.status.success());
    let report = std::fs::read(folder.path().join("report.json")).expect("a report");
    let report: eddyline_api::savepoint::Problem = serde_json::from_slice(&report).expect("its form");
    assert!(report.message.contains("there is no checkpoint or savepoint"), "{report:?}");
}
