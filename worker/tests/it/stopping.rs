//! Stopping a job: what it is stopped with, and that it runs on when it cannot be stopped.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use eddyline_api::{Phase, SavepointState};
use eddyline_plan::{PlanOptions, Script, plan};
use eddyline_worker::coordinator::job::{self, Config, Outcome, RestartStrategy, Restore, View};
use eddyline_worker::coordinator::request::{Request, SavepointOrder};
use eddyline_worker::runtime::connectors::Connectors;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::memory_tables::MemoryTables;

const ROWS: usize = 40;
const PATIENCE: Duration = Duration::from_secs(60);

const JOB: &str = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO results SELECT n FROM numbers;
";

/// The numbers from 1 to [`ROWS`], of which the first `released` can be read.
fn tables(released: usize) -> MemoryTables {
    let numbers = Int64Array::from_iter_values(1..=ROWS as i64);
    let rows = RecordBatch::try_from_iter([("n", Arc::new(numbers) as _)]).expect("a column");
    let tables = MemoryTables::new(BTreeMap::from([("numbers".to_owned(), rows)]));
    tables.release(released);
    tables
}

fn config(checkpoints: &Path, restore: Restore) -> Config {
    Config {
        name: "numbers".to_owned(),
        parallelism: 1,
        rows_per_read: 5,
        checkpoint_dir: Some(checkpoints.display().to_string()),
        storage_options: BTreeMap::new(),
        checkpoint_interval: None,
        first_checkpoint_after: Duration::MAX,
        start: None,
        restore,
        restore_first: None,
        restart: RestartStrategy { backoff_initial: Duration::from_millis(1), ..RestartStrategy::default() },
    }
}

/// Runs the job to its end, with somebody who looks and asks.
async fn run<F: Future<Output = ()>>(
    tables: &MemoryTables,
    config: &Config,
    view: &Arc<View>,
    outside: impl FnOnce(Arc<View>, UnboundedSender<Request>) -> F,
) -> Outcome {
    let script = Script { name: "numbers.sql".to_owned(), text: JOB.to_owned() };
    let planned = plan(&script, &PlanOptions::default()).expect("a job");
    let connectors: Arc<dyn Connectors> = Arc::new(tables.clone());
    let (requests, receiver) = unbounded_channel();
    let outside = outside(Arc::clone(view), requests);
    let running = async { job::run(&planned.graph, config, &connectors, view, receiver).await };
    let both = tokio::time::timeout(PATIENCE, async { tokio::join!(running, outside).0 });
    both.await.expect("in time").expect("the job does not fail")
}

async fn until(mut condition: impl FnMut() -> bool) {
    let mut turns = tokio::time::interval(Duration::from_millis(1));
    while !condition() {
        turns.tick().await;
    }
}

/// Waits until the running attempt has read so many rows.
async fn until_read(view: &View, rows: u64) {
    use eddyline_worker::runtime::metrics::Role;
    until(|| {
        let operators = view.operators();
        let sources = operators.iter().filter(|metrics| metrics.role == Role::Source);
        view.status.phase() == Phase::Running && sources.map(|metrics| metrics.rows_in.get()).sum::<u64>() == rows
    })
    .await;
}

fn stop(savepoint: Option<SavepointOrder>) -> Request {
    Request::Stop { savepoint, deadline: None }
}

/// The numbers that are visible, which must be those from 1 on, each once.
fn visible(tables: &MemoryTables) -> usize {
    let rows = tables.committed("results");
    let mut numbers: Vec<i64> =
        rows.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
    numbers.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_asked_for_twice_gives_the_savepoint_that_the_job_ended_with() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tables = tables(10);
    tables.failing_commits.store(1, Ordering::SeqCst);
    let view = Arc::new(View::default());
    let order = SavepointOrder { name: "last".to_owned(), folder: folder.path().join("saved").display().to_string() };
    let config = config(&folder.path().join("checkpoints"), Restore::Latest);
    let outcome = run(&tables, &config, &view, async |view, requests| {
        until_read(&view, 10).await;
        view.status.savepoint_to_stop_with(&order.name);
        requests.send(stop(Some(order.clone()))).expect("the job runs");
        // What was stored has not been made visible: the job comes back, and nobody may hold its savepoint for the last.
        until(|| view.status.snapshot().restarts == 1 && view.status.phase() == Phase::Running).await;
        let first = view.status.savepoint(&order.name).expect("it was asked for");
        assert_eq!((first.state, first.uri), (SavepointState::Failed, None), "{:?}", first.error);
        tables.release(20);
        until_read(&view, 10).await;
        view.status.savepoint_to_stop_with(&order.name);
        requests.send(stop(Some(order.clone()))).expect("the job runs");
    })
    .await;
    let Outcome::Stopped { savepoint: Some(uri) } = outcome else { panic!("{outcome:?}") };
    let stopped_with = view.status.snapshot().stopped_with.expect("it was stopped with one");
    assert_eq!((stopped_with.state, stopped_with.uri.as_deref()), (SavepointState::Completed, Some(uri.as_str())));
    assert_eq!(visible(&tables), 20);

    tables.release(ROWS);
    let elsewhere = self::config(&folder.path().join("elsewhere"), Restore::Uri(uri));
    let outcome = run(&tables, &elsewhere, &Arc::new(View::default()), async |_, _| ()).await;
    assert!(matches!(outcome, Outcome::Finished), "{outcome:?}");
    assert_eq!(visible(&tables), ROWS);
}

#[test]
fn a_savepoint_of_the_same_name_from_before_is_not_what_a_job_is_stopped_with() {
    let view = View::default();
    assert!(view.status.savepoint_requested("s"));
    view.status.savepoint_ended("s", Some(1), Ok("file:///old".to_owned()));
    view.status.savepoint_to_stop_with("s");
    assert_eq!(view.status.savepoint("s").expect("asked for").state, SavepointState::InProgress);
    view.status.savepoint_ended("s", Some(7), Ok("file:///new".to_owned()));
    view.status.stopped(Some(("s", "file:///new")));
    let stopped_with = view.status.snapshot().stopped_with.expect("a savepoint");
    assert_eq!((stopped_with.checkpoint, stopped_with.uri.as_deref()), (Some(7), Some("file:///new")));
}

/// Stops a job whose sink does not commit, has the stop taken back, and reads on.
async fn taken_back(deadline: Option<Duration>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tables = tables(10);
    tables.held_commits.store(true, Ordering::SeqCst);
    let view = Arc::new(View::default());
    let order = SavepointOrder { name: "last".to_owned(), folder: folder.path().join("saved").display().to_string() };
    let config = config(&folder.path().join("checkpoints"), Restore::Latest);
    let outcome = run(&tables, &config, &view, async |view, requests| {
        until_read(&view, 10).await;
        view.status.savepoint_to_stop_with(&order.name);
        let deadline = deadline.map(|after| Instant::now() + after);
        requests.send(Request::Stop { savepoint: Some(order.clone()), deadline }).expect("the job runs");
        if deadline.is_none() {
            until(|| view.status.snapshot().checkpoints_completed == 1).await;
            assert_eq!(view.status.phase(), Phase::Stopping);
            let open = view.status.savepoint(&order.name).expect("it was asked for");
            assert_eq!(open.state, SavepointState::InProgress, "stored, and not yet visible");
            requests.send(Request::Resume).expect("the job runs");
        }
        until(|| view.status.savepoint(&order.name).is_some_and(|last| last.state == SavepointState::Failed)).await;
        tables.release(20);
        until_read(&view, 20).await;
        tables.held_commits.store(false, Ordering::SeqCst);
        requests.send(stop(None)).expect("the job runs");
    })
    .await;
    assert!(matches!(outcome, Outcome::Stopped { savepoint: None }), "{outcome:?}");
    assert_eq!(view.status.snapshot().restarts, 0);
    assert_eq!(visible(&tables), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_taken_back_lets_sources_read_on() {
    taken_back(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_does_not_end_in_its_time_is_taken_back_by_itself() {
    taken_back(Some(Duration::from_millis(20))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_stopped_stays_so_when_its_last_note_cannot_be_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkpoints = folder.path().join("checkpoints");
    let tables = tables(10);
    tables.held_commits.store(true, Ordering::SeqCst);
    let view = Arc::new(View::default());
    let outcome = run(&tables, &config(&checkpoints, Restore::Latest), &view, async |view, requests| {
        until_read(&view, 10).await;
        requests.send(stop(None)).expect("the job runs");
        until(|| view.status.snapshot().checkpoints_completed == 1).await;
        std::fs::remove_dir_all(&checkpoints).expect("removed");
        std::fs::write(&checkpoints, "no folder any more").expect("a file");
        tables.held_commits.store(false, Ordering::SeqCst);
    })
    .await;
    assert!(matches!(outcome, Outcome::Stopped { savepoint: None }), "{outcome:?}");
    assert_eq!(visible(&tables), 10);
}
