//! A job that copies numbers from one table in memory to another, with a test that observes it and sends requests.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use eddyline_api::Phase;
use eddyline_plan::{PlanOptions, Script, plan};
use eddyline_stream::Batch;
use eddyline_worker::coordinator::job::{self, Config, Error, Outcome, RestartStrategy, Restore, View};
use eddyline_worker::coordinator::request::Request;
use eddyline_worker::runtime::connectors::Connectors;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::golden::Run;
use crate::memory_tables::MemoryTables;

/// The number of rows.
pub const ROWS: usize = 40;
const PATIENCE: Duration = Duration::from_secs(60);

const JOB: &str = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen');
CREATE TABLE results (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO results SELECT n FROM numbers;
";

/// The numbers from 1 to [`ROWS`], of which the first `released` can be read.
pub fn tables(released: usize) -> MemoryTables {
    let numbers = Int64Array::from_iter_values(1..=ROWS as i64);
    let rows = RecordBatch::try_from_iter([("n", Arc::new(numbers) as _)]).expect("a column");
    let tables = MemoryTables::new(BTreeMap::from([("numbers".to_owned(), Batch::new(rows))]));
    tables.release(released);
    tables
}

/// The settings of the job. It takes no checkpoints by itself.
pub fn config(checkpoints: &Path, restore: Restore) -> Config {
    let run = Run { rows_per_read: 5, checkpoint_dir: Some(checkpoints), restore, ..Run::default() };
    let restart = RestartStrategy { backoff_initial: Duration::from_millis(1), ..RestartStrategy::default() };
    Config { restart, ..run.config("numbers") }
}

/// Runs the job, with a test that observes it and sends requests. The job must not fail.
pub async fn run<F: Future<Output = ()>>(
    tables: &MemoryTables,
    config: &Config,
    view: &Arc<View>,
    outside: impl FnOnce(Arc<View>, UnboundedSender<Request>) -> F,
) -> Outcome {
    try_run(tables, config, view, outside).await.expect("the job does not fail")
}

/// Runs the job to its end, with a test that observes it and sends requests.
pub async fn try_run<F: Future<Output = ()>>(
    tables: &MemoryTables,
    config: &Config,
    view: &Arc<View>,
    outside: impl FnOnce(Arc<View>, UnboundedSender<Request>) -> F,
) -> Result<Outcome, Error> {
    let script = Script { name: "numbers.sql".to_owned(), text: JOB.to_owned() };
    let planned = plan(&script, &PlanOptions::default()).expect("a job");
    let connectors: Arc<dyn Connectors> = Arc::new(tables.clone());
    let (requests, receiver) = unbounded_channel();
    let outside = outside(Arc::clone(view), requests);
    let running = async { job::run(&planned.graph, config, &connectors, view, receiver).await };
    let both = tokio::time::timeout(PATIENCE, async { tokio::join!(running, outside).0 });
    both.await.expect("in time")
}

/// Waits until a condition holds.
pub async fn until(mut condition: impl FnMut() -> bool) {
    let mut turns = tokio::time::interval(Duration::from_millis(1));
    while !condition() {
        turns.tick().await;
    }
}

/// Waits until the running attempt has read this number of rows.
pub async fn until_read(view: &View, rows: u64) {
    use eddyline_worker::runtime::metrics::Role;
    until(|| {
        let operators = view.operators();
        let sources = operators.iter().filter(|metrics| metrics.role == Role::Source);
        view.status.phase() == Phase::Running && sources.map(|metrics| metrics.rows_in.get()).sum::<u64>() == rows
    })
    .await;
}

/// The count of visible numbers. They must be the numbers from 1 on, each once.
pub fn visible(tables: &MemoryTables) -> usize {
    let rows = tables.committed("results");
    let mut numbers: Vec<i64> =
        rows.iter().flat_map(|batch| batch.rows().column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
    numbers.len()
}
