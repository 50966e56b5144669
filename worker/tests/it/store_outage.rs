//! An outage of the object store while files are written to it and read from it. No attempt ends, nothing is lost, and
//! nothing is there twice.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use eddyline_plan::{PlanOptions, Script, plan};
use eddyline_worker::coordinator::job::{self, Config, Outcome, RestartStrategy, Restore, View};
use eddyline_worker::runtime::connectors::{BuiltIn, Connectors};
use tokio::sync::mpsc::unbounded_channel;

use crate::bucket::{Bucket, Last, Meant};
use crate::numbers::{config, until};

/// The number of rows. Each has a thousand bytes, so together they are several parts of an upload.
const ROWS: u64 = 60_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a script to its end, together with the future `outside`. None of its attempts may fail.
async fn run(script: &str, config: &Config, view: &View, outside: impl Future<Output = ()>) {
    let script = Script { name: "outage.sql".to_owned(), text: script.to_owned() };
    let planned = plan(&script, &PlanOptions::default()).expect("a job");
    let connectors: Arc<dyn Connectors> = Arc::new(BuiltIn);
    let (requests, receiver) = unbounded_channel();
    let running = async { job::run(&planned.graph, config, &connectors, view, receiver).await };
    let both = tokio::time::timeout(PATIENCE, async { tokio::join!(running, outside).0 });
    let outcome = both.await.expect("in time");
    drop(requests);
    assert!(matches!(outcome, Ok(Outcome::Finished)), "{outcome:?}");
    let state = view.status.snapshot();
    assert_eq!((state.attempt, state.restarts, state.checkpoint_error), (1, 0, None));
}

fn no_restarts(checkpoints: &Path) -> Config {
    let config = config(checkpoints, Restore::Latest);
    Config {
        rows_per_read: 1_000,
        restart: RestartStrategy { max_per_window: 0, waits_at_first_start: false, ..config.restart },
        ..config
    }
}

fn written(bucket: &Bucket, name: &str, format: &str, rows_per_second: u64) -> String {
    format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '{rows_per_second}',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{ROWS}');
CREATE TABLE results (n BIGINT, padding STRING) WITH ({}, 'format' = '{format}');
INSERT INTO results SELECT n, REPEAT('x', 1000) FROM numbers;
",
        bucket.options(name)
    )
}

/// All files below a folder with their sizes, and the first number of each line of the visible ones.
fn found(folder: &Path, files: &mut Vec<(String, u64)>, numbers: &mut Vec<u64>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() {
            found(&path, files, numbers);
            continue;
        }
        files.push((path.display().to_string(), entry.metadata().expect("a file").len()));
        if name.starts_with("part-") {
            let text = std::fs::read_to_string(path).expect("text");
            numbers.extend(
                text.lines().map(|line| line.split(',').next().unwrap_or_default().parse::<u64>().expect("a number")),
            );
        }
    }
}

fn assert_exact(bucket: &Bucket) {
    let (mut files, mut numbers) = (Vec::new(), Vec::new());
    found(&bucket.objects(), &mut files, &mut numbers);
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(1..=ROWS), "{} numbers in {files:?}", numbers.len());
    let is_left =
        |(path, size): &&(String, u64)| *size > 0 && !path.contains("/part-") && !path.ends_with("commit.json");
    assert_eq!(files.iter().find(is_left), None, "nothing that is billed is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_away_while_a_file_is_uploaded_ends_no_attempt() {
    let cases: [(&str, Meant, Last); 7] = [
        ("no upload is begun", |request| request.starts_with("POST") && request.contains("?uploads"), Last::Refused),
        (
            "nobody knows the upload",
            |request| request.starts_with("POST") && request.contains("?uploads"),
            Last::Unanswered,
        ),
        ("the note is not written", |request| request.starts_with("PUT") && request.contains(".upload"), Last::Refused),
        ("a part does not arrive", |request| request.contains("partNumber=2"), Last::Refused),
        ("a part is acknowledged to nobody", |request| request.contains("partNumber=2"), Last::Unanswered),
        ("it is not completed", |request| request.starts_with("POST") && request.contains("uploadId="), Last::Refused),
        (
            "it is completed, and nobody knows",
            |request| request.starts_with("POST") && request.contains("uploadId="),
            Last::Unanswered,
        ),
    ];
    for (what, meant, last) in cases {
        let bucket = Bucket::start();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let view = View::default();
        bucket.close_at(meant, last);
        run(&written(&bucket, "out", "csv", 1_000_000), &no_restarts(folder.path()), &view, async {
            // Then the client of the store has reported a failure.
            until(|| view.status.snapshot().checkpoint_error.is_some_and(|why| why.contains(".staging-"))).await;
            assert!(bucket.is_closed(), "{what}");
            bucket.open();
        })
        .await;
        assert_exact(&bucket);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_away_at_a_checkpoint_holds_up_rows_and_not_the_job() {
    let bucket = Bucket::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let view = View::default();
    let mut config = no_restarts(folder.path());
    config.checkpoint_interval = Some(Duration::from_millis(200));
    config.first_checkpoint_after = Duration::from_millis(200);
    run(&written(&bucket, "out", "csv", 10_000), &config, &view, async {
        until(|| view.status.snapshot().checkpoints_completed >= 2).await;
        // Small files are not uploaded in parts.
        bucket.close_at(|request| request.starts_with("PUT") && request.contains("/.staging-"), Last::Unanswered);
        until(|| view.status.snapshot().checkpoint_error.is_some_and(|why| why.contains(".staging-"))).await;
        assert!(bucket.is_closed());
        // Uploads in flight have a bound. At the bound no more rows are accepted.
        let held_up = || view.operators().iter().map(|operator| operator.backpressured_ns.get()).sum::<u64>();
        let before = held_up();
        until(|| held_up() > before).await;
        let completed = view.status.snapshot().checkpoints_completed;
        bucket.open();
        until(|| view.status.snapshot().checkpoints_completed > completed).await;
    })
    .await;
    assert_exact(&bucket);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_away_while_files_are_read_is_named_and_waited_for() {
    let bucket = Bucket::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    for format in ["csv", "parquet"] {
        let script = written(&bucket, format, format, 1_000_000);
        run(&script, &no_restarts(&folder.path().join(format!("write-{format}"))), &View::default(), async {}).await;
    }
    let packed = bucket.objects().join("packed");
    std::fs::create_dir(&packed).expect("a folder");
    let pack = format!("cat {}/csv/part-* | gzip -c > {}/rows.csv.gz", bucket.objects().display(), packed.display());
    assert!(Command::new("sh").args(["-c", &pack]).status().expect("a shell").success());

    for (name, format) in [("csv", "csv"), ("parquet", "parquet"), ("packed", "csv")] {
        let out = folder.path().join(name);
        let script = format!(
            "CREATE TABLE numbers (n BIGINT, padding STRING) WITH ({}, 'format' = '{format}');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
INSERT INTO results SELECT n FROM numbers;
",
            bucket.options(name),
            out.display()
        );
        let view = View::default();
        bucket.close_at(|request| request.starts_with("GET") && !request.contains("list-type"), Last::Unanswered);
        run(&script, &no_restarts(&folder.path().join(format!("read-{name}"))), &view, async {
            let trouble = || view.operators().iter().find_map(|operator| operator.trouble());
            until(|| trouble().is_some_and(|why| why.contains("cannot read object"))).await;
            assert!(bucket.is_closed(), "{name}");
            bucket.open();
        })
        .await;
        assert_eq!(view.operators().iter().find_map(|operator| operator.trouble()), None);
        let (mut files, mut numbers) = (Vec::new(), Vec::new());
        found(&out, &mut files, &mut numbers);
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(1..=ROWS), "{name}: {} numbers in {files:?}", numbers.len());
    }
}
