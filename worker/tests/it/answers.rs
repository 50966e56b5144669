//! Scripts with handwritten expected rows, as Flink gives them. They test what the reference executor does not support,
//! and what it may get wrong in the same way. Each runs with one, two and three slots.
//!
//! Comments in a file of `tests/answers` list the input (`-- in FOLDER`, then rows), and the expected output (`-- out
//! FOLDER`, then rows) or the text of the expected error (`-- fails TEXT`). `@IN@` and `@OUT@` are the folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use eddyline_job_graph::JobGraph;
use eddyline_plan::{PlanOptions, Script, plan};
use eddyline_worker::coordinator::job::{self, Outcome, View};
use eddyline_worker::runtime::connectors::{BuiltIn, Connectors};
use serde_json::Value;
use tokio::sync::mpsc::unbounded_channel;

use crate::golden::Run;

macro_rules! answers {
    ($($name:ident)*) => {
        $(#[test] fn $name() { Answer::load(stringify!($name)).run(); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

answers! {
    aggregates_of_nested_values dates_and_units delimiter_of_no_pattern division_by_zero float_comparisons float_keys
    greatest_of_floats groups_of_nested_values integers_wrap invalid_patterns json_on_no_json ltz_windows_of_an_offset map_with_duplicate_keys map_with_null_key maps_of_texts
    sink_drops_and_trims sink_enforces_rows_only sink_refuses_lengths sink_refuses_null sums_wrap types_without_arguments
}

const PATIENCE: Duration = Duration::from_secs(60);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/answers")
}

#[test]
fn every_answer_is_asked_for() {
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder of answers")
        .filter_map(|entry| entry.expect("an entry").file_name().to_str()?.strip_suffix(".sql").map(str::to_owned))
        .collect();
    files.sort();
    let mut names = NAMES.to_vec();
    names.sort_unstable();
    assert_eq!(files, names);
}

struct Answer {
    name: String,
    script: String,
    /// The rows to read, by folder.
    inputs: BTreeMap<String, Vec<String>>,
    outputs: BTreeMap<String, Vec<String>>,
    failure: Option<String>,
}

impl Answer {
    fn load(name: &str) -> Self {
        let script = std::fs::read_to_string(folder().join(format!("{name}.sql"))).expect("a file of answers");
        let mut answer =
            Self { name: name.to_owned(), script, inputs: BTreeMap::new(), outputs: BTreeMap::new(), failure: None };
        let mut rows: Option<&mut Vec<String>> = None;
        for line in answer.script.lines().filter_map(|line| line.strip_prefix("-- ")) {
            if let Some(folder) = line.strip_prefix("in ") {
                rows = Some(answer.inputs.entry(folder.to_owned()).or_default());
            } else if let Some(folder) = line.strip_prefix("out ") {
                rows = Some(answer.outputs.entry(folder.to_owned()).or_default());
            } else if let Some(words) = line.strip_prefix("fails ") {
                answer.failure = Some(words.to_owned());
            } else if let Some(rows) = rows.as_mut().filter(|_| line.starts_with('{')) {
                rows.push(line.to_owned());
            }
        }
        answer
    }

    fn run(&self) {
        for parallelism in [1, 2, 3] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            for (name, rows) in &self.inputs {
                let path = folder.path().join("in").join(name);
                std::fs::create_dir_all(&path).expect("a folder");
                std::fs::write(path.join("rows.json"), rows.join("\n")).expect("a file");
            }
            let outcome = self.outcome(folder.path(), parallelism);
            match (&self.failure, outcome) {
                (None, Ok(outcome)) => assert!(matches!(outcome, Outcome::Finished), "{}: {outcome:?}", self.name),
                (None, Err(error)) => panic!("{}: {error}", self.name),
                (Some(words), Err(error)) => assert!(error.contains(words), "{}: {error}", self.name),
                (Some(words), Ok(outcome)) => panic!("{}: '{words}' was expected, not {outcome:?}", self.name),
            }
            for (name, rows) in &self.outputs {
                let mut expected: Vec<String> = rows.iter().map(|row| canonical(row)).collect();
                let mut actual = rows_in(&folder.path().join("out").join(name));
                expected.sort();
                actual.sort();
                assert_eq!(actual, expected, "{}: {name} with {parallelism} slots", self.name);
            }
        }
    }

    fn planned(&self, folder: &Path) -> JobGraph {
        let place = |name: &str| folder.join(name).display().to_string();
        let text = self.script.replace("@IN@", &place("in")).replace("@OUT@", &place("out"));
        let script = Script { name: format!("{}.sql", self.name), text };
        match plan(&script, &PlanOptions::default()) {
            Ok(planned) => planned.graph,
            Err(diagnostics) => panic!("{}", diagnostics.render(&script)),
        }
    }

    fn outcome(&self, folder: &Path, parallelism: u16) -> Result<Outcome, String> {
        // The parent of a sink's folder exists before the job starts.
        std::fs::create_dir_all(folder.join("out")).expect("a folder");
        let graph = self.planned(folder);
        let config = Run { parallelism, rows_per_read: 64, ..Run::default() }.config(&self.name);
        let connectors: Arc<dyn Connectors> = Arc::new(BuiltIn);
        let view = View::default();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (_requests, receiver) = unbounded_channel();
            let ended = tokio::time::timeout(PATIENCE, job::run(&graph, &config, &connectors, &view, receiver)).await;
            ended.expect("done in time").map_err(|error| eddyline_worker::chain_of(&error))
        })
    }
}

/// A row with its fields sorted by name.
fn canonical(row: &str) -> String {
    let row: BTreeMap<String, Value> = serde_json::from_str(row).unwrap_or_else(|error| panic!("{row}: {error}"));
    serde_json::to_string(&row).expect("JSON")
}

fn rows_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let parts = entries.flatten().filter(|entry| !entry.file_name().to_string_lossy().starts_with(['.', '_']));
    let files = parts.filter(|entry| entry.path().is_file());
    files
        .flat_map(|entry| {
            let text = std::fs::read_to_string(entry.path()).expect("a part");
            text.lines().map(canonical).collect::<Vec<_>>()
        })
        .collect()
}
