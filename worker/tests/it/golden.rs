//! Golden queries. Every query runs in several ways: at batch sizes 1 and 8192, with frequent checkpoints, with pieces
//! of a few rows, restored after a crash, and rescaled 1→3→2 through savepoints. All results are those of the
//! row-at-a-time reference executor. Each query also runs over splits that become idle, at parallelism 1, 2 and 3.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use eddyline_api::SavepointState;
use eddyline_connectors::{Options, SourceConfig};
use eddyline_formats::FormatConfig;
use eddyline_harness::{Change, Written, fold};
use eddyline_job_graph::{JobGraph, NodeKind};
use eddyline_operators::PIECE_ROWS;
use eddyline_plan::{PlanOptions, Script, plan};
use eddyline_stream::{Batch, RowKind, Watermark};
use eddyline_worker::coordinator::job::{self, Config, LocalDirectory, Outcome, RestartStrategy, Restore, View};
use eddyline_worker::coordinator::request::{Request, SavepointOrder};
use eddyline_worker::runtime::connectors::Connectors;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::idle_splits;
use crate::memory_tables::MemoryTables;

macro_rules! golden {
    ($($name:ident)*) => {
        $(#[test] fn $name() { Case::load(stringify!($name)).run(); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

golden! {
    tumble hop cumulate session session_without_key distinct filtered_aggregates statistics first_last_listagg
    window_of_windows window_over_window_time window_columns over_rows over_rows_unbounded over_range
    over_range_unbounded union_all calc_and_functions nulls late_rows global_window views_and_ctes having decimals
    negative_times two_inserts many_distincts nested_values shared_views changelog changelog_filtered changelog_union
    group_by group_by_changelog group_by_distinct group_by_filtered group_by_global group_by_nested select_distinct union_distinct
}

#[test]
fn every_golden_file_is_run() {
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder of golden files")
        .filter_map(|entry| entry.expect("an entry").file_name().to_str()?.strip_suffix(".sql").map(str::to_owned))
        .filter(|name| name != "tables")
        .collect();
    files.sort();
    let mut names = NAMES.to_vec();
    names.sort_unstable();
    assert_eq!(files, names);
}

#[test]
fn what_is_shared_gives_the_rows_that_it_gives_alone() {
    let settings = ["table.optimizer.reuse-sub-plan-enabled", "table.optimizer.reuse-source-enabled"];
    for case in NAMES.iter().map(|name| Case::load(name)) {
        for setting in settings {
            let alone = case.graph_with(&format!("SET '{setting}' = 'false';"));
            assert_eq!(reference(&alone, &case.inputs), case.expected, "{}, {setting}", case.name);
        }
    }
    let case = Case::load("shared_views");
    let windows = |graph: &JobGraph| {
        graph.nodes.iter().filter(|node| node.label.starts_with("Window") && node.label.contains("(10 s)")).count()
    };
    let alone = settings.map(|setting| windows(&case.graph_with(&format!("SET '{setting}' = 'false';"))));
    assert_eq!(alone, [6, 6]);
    assert_eq!(windows(&case.graph), 2);
}

const ALL: usize = usize::MAX;
/// The time limit of a run.
pub const PATIENCE: Duration = Duration::from_secs(180);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A query over the tables of `tables.sql`.
pub struct Case {
    /// Its name.
    pub name: String,
    sql: String,
    /// The planned query.
    pub graph: JobGraph,
    /// The rows of each source table, over its physical columns.
    pub inputs: BTreeMap<String, Batch>,
    /// The expected rows of each sink table.
    expected: BTreeMap<String, Vec<String>>,
}

/// The settings of one run.
pub struct Run<'a> {
    /// The number of slots.
    pub parallelism: u16,
    /// The number of rows that a source reads at a time.
    pub rows_per_read: usize,
    /// The number of rows of a piece of output.
    pub rows_per_piece: usize,
    /// The memory that the process may have, in bytes.
    pub memory_limit: Option<u64>,
    /// The most bytes that a subtask restores at a time.
    pub restore_part_bytes: Option<u64>,
    /// The interval between checkpoints. `None` for none.
    pub checkpoint_interval: Option<Duration>,
    /// The folder of checkpoints.
    pub checkpoint_dir: Option<&'a Path>,
    /// With copies of their run files in this folder.
    pub local_directory: Option<&'a Path>,
    /// The state to restore.
    pub restore: Restore,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self {
            parallelism: 1,
            rows_per_read: 8192,
            rows_per_piece: PIECE_ROWS,
            memory_limit: None,
            restore_part_bytes: None,
            checkpoint_interval: None,
            checkpoint_dir: None,
            local_directory: None,
            restore: Restore::None,
        }
    }
}

impl Run<'_> {
    /// The configuration of the job for this run.
    pub fn config(&self, name: &str) -> Config {
        Config {
            name: name.to_owned(),
            parallelism: self.parallelism,
            rows_per_read: self.rows_per_read,
            rows_per_piece: self.rows_per_piece,
            memory_limit: self.memory_limit,
            restore_part_bytes: self.restore_part_bytes,
            checkpoint_dir: self.checkpoint_dir.map(|path| path.display().to_string()),
            storage_options: BTreeMap::new(),
            local_directory: self
                .local_directory
                .map(|path| LocalDirectory { path: path.to_owned(), bytes_max: u64::MAX }),
            checkpoint_interval: self.checkpoint_interval,
            first_checkpoint_after: Duration::MAX,
            start: None,
            restore: self.restore.clone(),
            restore_first: None,
            allow_non_restored: std::collections::BTreeSet::new(),
            restart: RestartStrategy { max_per_window: 0, ..RestartStrategy::default() },
        }
    }
}

fn planned(name: &str, sql: &str, settings: &str) -> JobGraph {
    let tables = std::fs::read_to_string(folder().join("tables.sql")).expect("the tables");
    let script = Script { name: format!("{name}.sql"), text: format!("{settings}\n{tables}\n{sql}") };
    let planned = plan(&script, &PlanOptions::default());
    planned.unwrap_or_else(|diagnostics| panic!("{}", diagnostics.render(&script))).graph
}

impl Case {
    fn load(name: &str) -> Self {
        let sql = std::fs::read_to_string(folder().join(format!("{name}.sql"))).expect("a golden file");
        Self::of(name, &sql)
    }

    /// A query that is not in a golden file.
    pub fn of(name: &str, sql: &str) -> Self {
        let graph = planned(name, sql, "");
        let inputs = inputs(&graph);
        let expected = reference(&graph, &inputs);
        Self { name: name.to_owned(), sql: sql.to_owned(), graph, inputs, expected }
    }

    /// A query over other rows, which can be made with the case that has those of the golden queries.
    pub fn over(name: &str, sql: &str, inputs: impl FnOnce(&Self) -> BTreeMap<String, Batch>) -> Self {
        let case = Self::of(name, sql);
        let inputs = inputs(&case);
        let expected = reference(&case.graph, &inputs);
        Self { inputs, expected, ..case }
    }

    /// The rows that a sink table gets, as sorted text.
    pub fn expected(&self, table: &str) -> &[String] {
        &self.expected[table]
    }

    /// The query, planned with these SET statements before it.
    pub fn graph_with(&self, settings: &str) -> JobGraph {
        planned(&self.name, &self.sql, settings)
    }

    /// Rows of a source table, from one object a line.
    pub fn decode(&self, table: &str, lines: &[u8]) -> Batch {
        decode(&self.inputs[table].rows().schema(), lines)
    }

    fn run(&self) {
        assert!(
            self.expected.values().any(|rows| !rows.is_empty()),
            "{}: a query without results shows nothing",
            self.name
        );
        self.run_whole("plain", &Run::default());
        self.run_whole("batch size 1", &Run { rows_per_read: 1, ..Run::default() });
        self.run_whole("two slots", &Run { parallelism: 2, rows_per_read: 64, ..Run::default() });
        let often = Some(Duration::from_millis(1));
        self.run_whole("checkpointed", &Run { rows_per_read: 3, checkpoint_interval: often, ..Run::default() });
        for rows_per_piece in 1..=7 {
            let run = Run { rows_per_piece, checkpoint_interval: often, ..Run::default() };
            self.run_whole(&format!("pieces of {rows_per_piece}"), &run);
        }
        self.run_restored(PIECE_ROWS);
        self.run_restored(2);
        self.run_rescaled(PIECE_ROWS);
        self.run_rescaled(3);
        self.run_rescaled_in_place();
        idle_splits::run_golden(self);
    }

    fn run_whole(&self, what: &str, run: &Run<'_>) {
        let tables = MemoryTables::new(self.inputs.clone());
        let outcome = self.start(&tables, ALL, run, |_, _| Box::pin(std::future::pending()));
        assert!(matches!(outcome, Some(Outcome::Finished)), "{what}");
        self.check(what, &tables);
    }

    /// Crashes after a checkpoint in the middle, and resumes from the latest one.
    fn run_restored(&self, rows_per_piece: usize) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tables = MemoryTables::new(self.inputs.clone());
        for (part, rows) in [self.thirds(1), self.thirds(2), ALL].into_iter().enumerate() {
            let run = Run {
                rows_per_read: 7,
                rows_per_piece,
                checkpoint_interval: Some(Duration::from_millis(2)),
                checkpoint_dir: Some(folder.path()),
                restore: Restore::Latest,
                // Each key group is a part.
                restore_part_bytes: (rows_per_piece == 2).then_some(1),
                ..Run::default()
            };
            let is_last = rows == ALL;
            let outcome = self.start(&tables, rows, &run, move |view, _| {
                Box::pin(async move {
                    if is_last {
                        std::future::pending::<()>().await;
                    }
                    until(|| view.status.snapshot().checkpoints_completed >= 3).await;
                })
            });
            assert_eq!(outcome.is_some(), is_last, "part {part}");
        }
        self.check(&format!("restored, pieces of {rows_per_piece}"), &tables);
    }

    fn run_rescaled(&self, rows_per_piece: usize) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tables = MemoryTables::new(self.inputs.clone());
        let mut restore = Restore::None;
        for (parallelism, rows) in [(1, self.thirds(1)), (3, self.thirds(2)), (2, ALL)] {
            let run = Run {
                parallelism,
                rows_per_read: 5,
                rows_per_piece,
                restore_part_bytes: (rows_per_piece == 3).then_some(1),
                checkpoint_dir: Some(folder.path()),
                restore: restore.clone(),
                ..Run::default()
            };
            let sources = self.inputs.len();
            let savepoints = folder.path().join("savepoints").display().to_string();
            let outcome = self.start(&tables, rows, &run, move |view, requests| {
                Box::pin(async move {
                    if rows != ALL {
                        // The savepoint has at least some rows of each source. Their number does not matter.
                        until(|| rows_read(view) >= sources).await;
                        let savepoint = SavepointOrder { name: "middle".to_owned(), folder: savepoints };
                        requests
                            .send(Request::Stop { savepoint: Some(savepoint), deadline: None })
                            .expect("the job runs");
                    }
                    std::future::pending::<()>().await;
                })
            });
            restore = match outcome {
                Some(Outcome::Stopped { savepoint: Some(savepoint) }) => Restore::Uri(savepoint),
                Some(Outcome::Finished) if rows == ALL => Restore::None,
                other => panic!("{}: rescaled: {other:?}", self.name),
            };
        }
        self.check(&format!("rescaled 1→3→2, pieces of {rows_per_piece}"), &tables);
    }

    /// Changes the number of slots twice while the job runs, without leaving the process.
    fn run_rescaled_in_place(&self) {
        let tables = MemoryTables::new(self.inputs.clone());
        let run = Run { rows_per_read: 5, ..Run::default() };
        let tables_read = self.graph.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Source(source) => Some(self.inputs[&source.table.name].clone()),
            _ => None,
        });
        let read: Vec<Batch> = tables_read.collect();
        let rows_up_to = |row: usize| read.iter().map(|rows| rows.cut_at(row)).sum::<usize>();
        let steps = [(3, rows_up_to(self.thirds(1)), self.thirds(2)), (2, rows_up_to(self.thirds(2)), ALL)];
        let (sources, mut read_before) = (read.len(), 0);
        let released = tables.clone();
        let outcome = self.start(&tables, self.thirds(1), &run, move |view, requests| {
            Box::pin(async move {
                for (parallelism, so_far, next) in steps {
                    until(|| rows_read(view) + read_before == so_far).await;
                    read_before = so_far;
                    requests.send(Request::Rescale { parallelism }).expect("the job runs");
                    let is_rescaled = || view.status.snapshot().last_rescale.is_some_and(|last| last.to == parallelism);
                    until(is_rescaled).await;
                    only_splits_count(view, &requests, (usize::from(parallelism) - 1) * sources).await;
                    released.release(next);
                }
                std::future::pending::<()>().await;
            })
        });
        assert!(matches!(outcome, Some(Outcome::Finished)), "{}: rescaled in place: {outcome:?}", self.name);
        self.check("rescaled in place 1→3→2", &tables);
    }

    /// The number of rows in `count` thirds of the inputs.
    fn thirds(&self, count: usize) -> usize {
        self.inputs.values().map(Batch::num_rows).max().unwrap_or(0) * count / 3
    }

    /// Runs the job over the first `rows` rows of each table until it ends or `until` does.
    pub fn start(
        &self,
        tables: &MemoryTables,
        rows: usize,
        run: &Run<'_>,
        until: impl for<'v> FnOnce(&'v View, UnboundedSender<Request>) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'v>>,
    ) -> Option<Outcome> {
        let config = run.config(&self.name);
        let connectors: Arc<dyn Connectors> = Arc::new(tables.clone());
        let view = View::default();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        tables.release(0);
        runtime.block_on(async {
            let (requests, receiver) = unbounded_channel();
            tokio::select! {
                outcome = tokio::time::timeout(PATIENCE, job::run(&self.graph, &config, &connectors, &view, receiver)) => {
                    let outcome = outcome.unwrap_or_else(|_| panic!("{}: not done in time", self.name));
                    Some(outcome.unwrap_or_else(|error| panic!("{}: {}", self.name, eddyline_worker::chain_of(&error))))
                }
                () = async {
                    let without_split = (usize::from(run.parallelism) - 1) * self.inputs.len();
                    only_splits_count(&view, &requests, without_split).await;
                    tables.release(rows);
                    until(&view, requests).await;
                } => None,
            }
        })
    }

    /// Compares what is visible in the sinks with what the reference executor gives.
    pub fn check(&self, what: &str, tables: &MemoryTables) {
        for (table, expected) in &self.expected {
            let rows = tables.committed(table).iter().flat_map(rows_of).collect::<Vec<_>>();
            if let Err(error) = fold(&rows) {
                panic!("{}, {what}, table {table}: no changelog: {error}", self.name);
            }
            let actual = result(&self.graph, rows);
            let missing: Vec<_> = difference(expected, &actual);
            let extra: Vec<_> = difference(&actual, expected);
            assert!(
                missing.is_empty() && extra.is_empty(),
                "{}, {what}, table {table}: missing {missing:#?}\nnot expected {extra:#?}",
                self.name
            );
        }
    }
}

/// Waits until the subtasks of sources without a split no longer hold back any watermark, because only then it is known
/// which rows are late. The savepoint's barriers follow everything that these subtasks have sent through all channels.
async fn only_splits_count(view: &View, requests: &UnboundedSender<Request>, without_split: usize) {
    if without_split == 0 {
        return;
    }
    until(|| sources_ended(view) >= without_split).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let name = format!("attempt-{}", view.status.snapshot().attempt);
    let order = SavepointOrder { name: name.clone(), folder: folder.path().display().to_string() };
    view.status.savepoint_requested(&name);
    requests.send(Request::Savepoint(order)).expect("the job runs");
    until(|| view.status.savepoint(&name).is_some_and(|savepoint| savepoint.state == SavepointState::Completed)).await;
}

pub(crate) fn rows_read(view: &View) -> usize {
    use eddyline_worker::runtime::metrics::Role;
    let operators = view.operators.read().expect("no panic");
    let sources = operators.iter().filter(|metrics| metrics.role == Role::Source);
    sources.map(|metrics| usize::try_from(metrics.rows_in.get()).expect("small")).sum()
}

fn sources_ended(view: &View) -> usize {
    use eddyline_worker::runtime::metrics::Role;
    let operators = view.operators.read().expect("no panic");
    operators.iter().filter(|metrics| metrics.role == Role::Source && metrics.watermark() == Watermark::MAX).count()
}

/// Waits until a condition holds. The caller has a deadline.
pub async fn until(mut condition: impl FnMut() -> bool) {
    let mut turns = tokio::time::interval(Duration::from_millis(1));
    while !condition() {
        turns.tick().await;
    }
}

/// The sorted results of the reference executor.
fn reference(graph: &JobGraph, inputs: &BTreeMap<String, Batch>) -> BTreeMap<String, Vec<String>> {
    let tables = inputs.iter().map(|(table, rows)| (table.clone(), vec![rows.clone()])).collect();
    let rows = eddyline_harness::execute(graph, &tables).expect("the reference executor runs");
    rows.into_iter().map(|(table, rows)| (table, result(graph, rows))).collect()
}

/// Whether a job's changelogs depend on how its rows are cut into batches.
pub fn folds_batches(graph: &JobGraph) -> bool {
    graph.nodes.iter().any(|node| matches!(node.kind, NodeKind::GroupAggregate(_)))
}

/// What two runs of a job have in common: the rows of a sink, or the table that they describe if the changes in between
/// depend on batches.
pub fn result(graph: &JobGraph, rows: Vec<Written>) -> Vec<String> {
    if !folds_batches(graph) {
        return sorted(rows);
    }
    let table = fold(&rows).unwrap_or_else(|error| panic!("no changelog: {error}"));
    table.into_iter().flat_map(|(row, count)| std::iter::repeat_n(row, count)).collect()
}

/// Elements of one sorted list that are not in the other.
pub fn difference(from: &[String], other: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in other {
        *counts.entry(row).or_default() += 1;
    }
    from.iter()
        .filter(|row| match counts.get_mut(row.as_str()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        })
        .cloned()
        .collect()
}

/// The rows of a batch, with their kinds.
pub fn rows_of(batch: &Batch) -> Vec<Written> {
    let changes = Change::all_of(batch).expect("whole updates of readable values");
    changes.iter().flat_map(Change::rows).map(|(kind, row)| (kind, row.clone())).collect()
}

/// Rows as sorted text. A row that is not an insert begins with its kind.
pub fn sorted(rows: Vec<Written>) -> Vec<String> {
    let text = |(kind, row): &Written| {
        let values = row.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
        if *kind == RowKind::Insert { values } else { format!("{kind} {values}") }
    };
    let mut rows: Vec<String> = rows.iter().map(text).collect();
    rows.sort();
    rows
}

/// The rows of every source table: `data/{table}.json`, one object a line.
fn inputs(graph: &JobGraph) -> BTreeMap<String, Batch> {
    graph
        .nodes
        .iter()
        .filter_map(|node| match &node.kind {
            NodeKind::Source(source) => Some(&source.table),
            _ => None,
        })
        .map(|table| {
            let lines = std::fs::read(folder().join(format!("data/{}.json", table.name))).expect("the table's rows");
            let Ok(SourceConfig::Filesystem(config)) = SourceConfig::parse(table) else { panic!("a table of files") };
            (table.name.clone(), decode_as(&config.format, &table.schema, &lines))
        })
        .collect()
}

pub(crate) fn decode(schema: &SchemaRef, lines: &[u8]) -> Batch {
    let options = BTreeMap::from([("format".to_owned(), "json".to_owned())]);
    let config = Options::read(&options, |options| Ok(FormatConfig::parse(options, "", schema)?)).expect("a format");
    decode_as(&config, schema, lines)
}

fn decode_as(format: &FormatConfig, schema: &SchemaRef, lines: &[u8]) -> Batch {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let mut decoder = format.decoder(schema, &all, 8192).expect("a decoder");
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        decoder.decode(line).expect("a row");
    }
    decoder.flush().expect("rows")
}
