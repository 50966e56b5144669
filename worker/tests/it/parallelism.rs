//! `scan.parallelism` and `sink.parallelism`: the number of subtasks that read and write a table, at any number of
//! slots.

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use eddyline_job_graph::JobGraph;
use eddyline_plan::{PlanOptions, Script, plan};
use eddyline_worker::coordinator::job::{self, Outcome, Restore, View};
use eddyline_worker::coordinator::request::Request;
use eddyline_worker::runtime::connectors::{BuiltIn, Connectors};
use eddyline_worker::runtime::metrics::Role;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::golden::Run;
use crate::running::{assert_gapless, numbers_in};

const PATIENCE: Duration = Duration::from_secs(60);

/// The graph of a script.
pub fn planned(text: String) -> JobGraph {
    let script = Script { name: "job.sql".to_owned(), text };
    match plan(&script, &PlanOptions::default()) {
        Ok(planned) => planned.graph,
        Err(diagnostics) => panic!("{}", diagnostics.render(&script)),
    }
}

/// Runs a job, from its latest checkpoint if it has one, until it or `until` ends. Then it is dropped.
pub fn run(
    graph: &JobGraph,
    checkpoints: &Path,
    parallelism: u16,
    until: impl for<'v> FnOnce(&'v View, UnboundedSender<Request>) -> Pin<Box<dyn Future<Output = ()> + 'v>>,
) -> Option<Outcome> {
    let run = Run { parallelism, checkpoint_dir: Some(checkpoints), ..Run::default() };
    run_as(graph, run, until)
}

/// As [`run`], with checkpoints all the time and small batches.
pub fn run_as(
    graph: &JobGraph,
    run: Run<'_>,
    until: impl for<'v> FnOnce(&'v View, UnboundedSender<Request>) -> Pin<Box<dyn Future<Output = ()> + 'v>>,
) -> Option<Outcome> {
    let config =
        Run { rows_per_read: 64, checkpoint_interval: Some(Duration::from_millis(5)), restore: Restore::Latest, ..run }
            .config("job");
    let connectors: Arc<dyn Connectors> = Arc::new(BuiltIn);
    let view = View::default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (requests, receiver) = unbounded_channel();
        let ended = tokio::time::timeout(PATIENCE, job::run(graph, &config, &connectors, &view, receiver));
        tokio::select! {
            ended = ended => Some(ended.expect("done in time").expect("the job does not fail")),
            () = until(&view, requests) => None,
        }
    })
}

/// Waits until a condition holds. The caller has a deadline.
pub async fn until(mut condition: impl FnMut() -> bool) {
    let mut turns = tokio::time::interval(Duration::from_millis(1));
    while !condition() {
        turns.tick().await;
    }
}

/// The slots with sources, and the slots with sinks.
fn slots(view: &View) -> (Vec<usize>, Vec<usize>) {
    let of = |role| {
        let operators = view.operators();
        operators.iter().filter(|metrics| metrics.role == role).map(|metrics| metrics.slot.index()).collect()
    };
    (of(Role::Source), of(Role::Sink))
}

/// The slot and the checkpoint of each visible part in a folder.
fn parts(folder: &Path) -> Vec<(u64, u64)> {
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        if let Some(stem) = name.strip_suffix(".csv").filter(|name| name.starts_with("part-")) {
            let mut numbers = stem.rsplit('-').map(|number| number.parse().expect("a number"));
            let (_number, checkpoint, slot) = (numbers.next(), numbers.next(), numbers.next());
            parts.push((slot.expect("a slot"), checkpoint.expect("a checkpoint")));
        }
    }
    parts
}

#[test]
fn two_readers_and_one_writer_give_every_row_once_through_crashes_and_rescaling() {
    const ROWS: u64 = 120_000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, checkpoints) = (folder.path().join("out"), folder.path().join("checkpoints"));
    let graph = planned(format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '60000',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{ROWS}', 'scan.parallelism' = '2');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
  'sink.parallelism' = '1');
INSERT INTO results SELECT n FROM numbers;",
        out.display()
    ));
    for (parallelism, expected) in [(3, (vec![0, 1], vec![0])), (1, (vec![0], vec![0]))] {
        let crashed = run(&graph, &checkpoints, parallelism, |view, _| {
            Box::pin(async move {
                until(|| view.status.snapshot().checkpoints_completed >= 3).await;
                assert_eq!(slots(view), expected, "{parallelism} slots");
            })
        });
        assert_eq!(crashed.map(|_| ()), None, "it ended before");
    }
    let outcome = run(&graph, &checkpoints, 4, |view, requests| {
        Box::pin(async move {
            until(|| view.status.snapshot().checkpoints_completed >= 2).await;
            assert_eq!(slots(view), (vec![0, 1], vec![0]));
            requests.send(Request::Rescale { parallelism: 2 }).expect("the job runs");
            until(|| view.status.snapshot().last_rescale.is_some_and(|last| last.to == 2)).await;
            assert_eq!(slots(view), (vec![0, 1], vec![0]));
            std::future::pending::<()>().await;
        })
    });
    assert!(matches!(outcome, Some(Outcome::Finished)), "{outcome:?}");

    assert_eq!(assert_gapless(&numbers_in(&out)), ROWS);
    let parts = parts(&out);
    assert!(parts.iter().all(|(slot, _)| *slot == 0), "{parts:?}");
    let of_checkpoints: BTreeSet<u64> = parts.iter().map(|(_, checkpoint)| *checkpoint).collect();
    assert_eq!(of_checkpoints.len(), parts.len(), "one part a checkpoint: {parts:?}");
}

#[test]
fn windows_fire_although_not_every_slot_has_a_reader() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let table = |name: &str, readers: u16| {
        format!(
            "CREATE TABLE {name} (k INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen',
  'clock.start' = '2026-03-01 00:00:00', 'rows-per-second' = '20000', 'scan.parallelism' = '{readers}');\n"
        )
    };
    let graph = planned(format!(
        "{}{}CREATE TABLE results (k INT, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
  'sink.parallelism' = '2');
CREATE VIEW readings AS SELECT k % 10 AS k, ts FROM one UNION ALL SELECT k % 10, ts FROM two;
INSERT INTO results SELECT k, COUNT(*) FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' SECOND))
  GROUP BY k, window_start, window_end;",
        table("one", 1),
        table("two", 2),
        folder.path().join("out").display()
    ));
    let outcome = run(&graph, &folder.path().join("checkpoints"), 4, |view, _| {
        Box::pin(async move {
            let written = || {
                let operators = view.operators();
                let sinks = operators.iter().filter(|metrics| metrics.role == Role::Sink);
                sinks.map(|metrics| metrics.rows_in.get()).collect::<Vec<_>>()
            };
            until(|| written().iter().filter(|rows| **rows > 0).count() == 2).await;
            assert_eq!(slots(view), (vec![0, 0, 1], vec![0, 1]));
        })
    });
    assert_eq!(outcome.map(|_| ()), None, "a table without end ended");
}
