//! Sources whose splits become idle, at parallelism 1, 2 and 3.
//!
//! Golden queries run over splits that get rows in turn. After each turn all splits become idle and a barrier passes.
//! The committed rows must be those of the reference executor up to this point, which shows that event time is exact.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eddyline_api::SavepointState;
use eddyline_harness::Reference;
use eddyline_job_graph::JobGraph;
use eddyline_stream::Batch;
use eddyline_worker::coordinator::job::{self, Outcome, View};
use eddyline_worker::coordinator::request::{Request, SavepointOrder};
use eddyline_worker::runtime::connectors::Connectors;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::golden::{Case, PATIENCE, Run, difference, folds_batches, result, rows_of, sorted, until};
use crate::split_tables::SplitTables;

/// The number of splits. The last one never has a row, and the one before it gets its first rows late.
const SPLITS: usize = 4;
/// The number of parts into which the rows of a table are cut. The splits get them in turn.
const PARTS: usize = 7;

/// A running job, as the test sees it.
struct Running<'a> {
    tables: &'a SplitTables,
    view: &'a View,
    requests: UnboundedSender<Request>,
    savepoints: tempfile::TempDir,
    barriers: usize,
}

impl Running<'_> {
    /// Waits until all splits are idle.
    async fn idle(&self) {
        until(|| self.tables.are_idle()).await;
    }

    /// Waits until a barrier has passed after everything that was sent.
    async fn barrier(&mut self) {
        self.barriers += 1;
        let name = format!("barrier-{}", self.barriers);
        let order = SavepointOrder { name: name.clone(), folder: self.savepoints.path().display().to_string() };
        self.view.status.savepoint_requested(&name);
        self.requests.send(Request::Savepoint(order)).expect("the job runs");
        let status = &self.view.status;
        until(|| status.savepoint(&name).is_some_and(|savepoint| savepoint.state == SavepointState::Completed)).await;
    }

    /// Waits until a table has this number of committed rows. Returns the committed rows.
    async fn committed(&self, table: &str, rows: usize) -> Vec<String> {
        let count = || self.tables.sinks.committed(table).iter().map(Batch::num_rows).sum::<usize>();
        // The caller compares the rows and reports those that are missing.
        let _late = tokio::time::timeout(PATIENCE / 3, until(|| count() >= rows)).await;
        committed(self.tables, table)
    }

    /// Waits until the committed rows of a table have this result. Returns what they have.
    async fn result(&self, graph: &JobGraph, table: &str, expected: &[String]) -> Vec<String> {
        let actual = || result(graph, self.tables.sinks.committed(table).iter().flat_map(rows_of).collect());
        let _late = tokio::time::timeout(PATIENCE / 3, until(|| actual() == expected)).await;
        actual()
    }
}

fn committed(tables: &SplitTables, table: &str) -> Vec<String> {
    sorted(tables.sinks.committed(table).iter().flat_map(rows_of).collect())
}

/// Runs a job until it ends, or until `act` does.
fn run(
    (name, graph): (&str, &JobGraph),
    parallelism: u16,
    rows_per_read: usize,
    tables: &SplitTables,
    act: impl AsyncFnOnce(Running<'_>),
) {
    let config = Run { parallelism, rows_per_read, ..Run::default() }.config(name);
    let connectors: Arc<dyn Connectors> = Arc::new(tables.clone());
    let view = View::default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (requests, receiver) = unbounded_channel();
        let savepoints = tempfile::tempdir().expect("a temporary folder");
        let running = Running { tables, view: &view, requests, savepoints, barriers: 0 };
        let job = tokio::time::timeout(PATIENCE, job::run(graph, &config, &connectors, &view, receiver));
        tokio::select! {
            outcome = job => {
                let outcome = outcome.unwrap_or_else(|_| panic!("{name}, parallelism {parallelism}: not done in time"));
                let outcome = outcome.unwrap_or_else(|error| panic!("{name}: {}", eddyline_worker::chain_of(&error)));
                assert!(matches!(outcome, Outcome::Finished), "{name}: {outcome:?}");
            }
            () = act(running) => {}
        }
    });
}

/// Runs a golden query over splits that become idle.
pub fn run_golden(case: &Case) {
    let graph = case.graph_with("SET 'table.exec.source.idle-timeout' = '1 ms';");
    for parallelism in 1..=3 {
        let mut reference = Reference::new(&graph, SPLITS).expect("the reference runs");
        let tables = SplitTables::new(reference.sources().len(), SPLITS);
        run((&case.name, &graph), parallelism, 16, &tables, async |running| {
            take_turns(case, parallelism, running, &mut reference).await;
        });
        for (table, expected) in reference.written() {
            let actual = result(&graph, tables.sinks.committed(table).iter().flat_map(rows_of).collect());
            check(case, parallelism, (table, "at the end"), &result(&graph, expected.clone()), &actual);
        }
    }
}

/// Gives rows to the splits in turn, and compares the results after each turn.
async fn take_turns(case: &Case, parallelism: u16, mut running: Running<'_>, reference: &mut Reference<'_>) {
    let sources = reference.sources();
    for source in 0..sources.len() {
        (0..SPLITS).for_each(|split| reference.idle(source, split).expect("nothing has come yet"));
    }
    running.idle().await;
    running.barrier().await;
    for part in 0..PARTS {
        let split = part % (SPLITS - 1);
        for (source, table) in sources.iter().enumerate() {
            let rows = &case.inputs[table];
            let cut = |part: usize| rows.cut_at(rows.num_rows() * part / PARTS);
            let mut rest = rows.clone();
            rest.split_to(cut(part));
            let rows = rest.split_to(cut(part + 1) - cut(part));
            running.tables.give(source, split, rows.clone());
            reference.rows(source, split, &rows).expect("the reference runs");
            reference.idle(source, split).expect("the reference runs");
            running.idle().await;
            running.barrier().await;
            for (table, expected) in reference.written() {
                let what = format!("after part {part} of source {source}");
                let expected = result(&case.graph, expected.clone());
                let actual = match folds_batches(&case.graph) {
                    true => running.result(&case.graph, table, &expected).await,
                    false => running.committed(table, expected.len()).await,
                };
                check(case, parallelism, (table, &what), &expected, &actual);
            }
        }
    }
    running.tables.end();
    for source in 0..sources.len() {
        (0..SPLITS).for_each(|split| reference.end(source, split).expect("the reference runs"));
    }
    std::future::pending::<()>().await;
}

fn check(case: &Case, parallelism: u16, (table, what): (&str, &str), expected: &[String], actual: &[String]) {
    let (missing, extra) = (difference(expected, actual), difference(actual, expected));
    assert!(
        missing.is_empty() && extra.is_empty(),
        "{}, parallelism {parallelism}, table {table}, {what}: missing {missing:#?}\nnot expected {extra:#?}",
        case.name
    );
}

/// Counts of clicks of a user in ten seconds.
fn counts() -> Case {
    Case::of(
        "counts",
        "SET 'table.exec.source.idle-timeout' = '1 ms';
         CREATE TABLE results (usr BIGINT, start TIMESTAMP(3), n BIGINT) WITH ('connector' = 'blackhole');
         INSERT INTO results SELECT usr, window_start, COUNT(*)
           FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY usr, window_start, window_end;",
    )
}

/// Clicks of users 1 to 3, one of each at each of these seconds.
fn clicks(case: &Case, seconds: impl IntoIterator<Item = u32>) -> Batch {
    let line = |second: u32, usr: u32| {
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!("{{\"usr\":{usr},\"page\":\"/\",\"ts\":\"2026-03-01 {hour:02}:{minute:02}:{second:02}.000\"}}\n")
    };
    let lines: String = seconds.into_iter().flat_map(|second| (1..4).map(move |usr| line(second, usr))).collect();
    case.decode("clicks", lines.as_bytes())
}

/// The number of times that each window start and count occurs in lines of user, start, count.
fn by_window(lines: &[String]) -> BTreeMap<(String, String), usize> {
    let mut windows = BTreeMap::new();
    for line in lines {
        let columns: Vec<&str> = line.split(" | ").collect();
        *windows.entry((columns[1].to_owned(), columns[2].to_owned())).or_default() += 1;
    }
    windows
}

#[test]
fn rows_before_silence_in_the_middle_of_a_window_count_and_one_split_alone_continues_through_checkpoints() {
    let case = counts();
    let given = |split: u32| if split == 0 { 1..6 } else { 3..8 };
    for parallelism in 1..=3 {
        let tables = SplitTables::new(1, 2);
        run((&case.name, &case.graph), parallelism, 8192, &tables, async |mut running| {
            running.idle().await;
            tables.give(0, 0, clicks(&case, given(0)));
            tables.give(0, 1, clicks(&case, given(1)));
            running.idle().await;
            // No barrier has passed. One split resumes, and the window ends.
            tables.give(0, 0, clicks(&case, [25]));
            running.idle().await;
            running.barrier().await;
            let windows = by_window(&running.committed("results", 3).await);
            assert_eq!(windows.values().collect::<Vec<_>>(), [&3], "parallelism {parallelism}: {windows:?}");
            assert!(windows.keys().all(|(_, count)| count == "10"), "parallelism {parallelism}: {windows:?}");
            // The same holds after each checkpoint.
            for (round, second) in [45, 65, 85].into_iter().enumerate() {
                tables.give(0, 0, clicks(&case, [second]));
                running.idle().await;
                running.barrier().await;
                let expected = 3 * (round + 2);
                let results = running.committed("results", expected).await;
                assert_eq!(results.len(), expected, "parallelism {parallelism}, second {second}");
            }
        });
    }
}

#[test]
fn an_empty_split_does_not_hold_back_a_busy_one_of_its_reader() {
    let case = counts();
    for parallelism in 1..=2 {
        // At parallelism 2 the reader of splits 0 and 2 is busy.
        let tables = SplitTables::new(1, 3);
        run((&case.name, &case.graph), parallelism, 1, &tables, async |mut running| {
            let mut seconds = (1..86_400).cycle();
            let mut feed = || {
                // The backlog never ends.
                if tables.waiting(0, 0) < 3_000 {
                    tables.give(0, 0, clicks(&case, (&mut seconds).take(1_000)));
                }
            };
            feed();
            let mut turns = tokio::time::interval(Duration::from_millis(1));
            while tables.sinks.committed("results").is_empty() {
                running.barriers += 1;
                let name = format!("barrier-{}", running.barriers);
                let folder = running.savepoints.path().display().to_string();
                running.view.status.savepoint_requested(&name);
                running.requests.send(Request::Savepoint(SavepointOrder { name: name.clone(), folder })).expect("runs");
                let status = &running.view.status;
                let is_done =
                    || status.savepoint(&name).is_some_and(|savepoint| savepoint.state == SavepointState::Completed);
                while !is_done() {
                    feed();
                    turns.tick().await;
                }
            }
            assert!(tables.waiting(0, 0) > 0, "parallelism {parallelism}");
        });
    }
}
