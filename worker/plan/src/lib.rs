//! The SQL front end: Flink SQL text in, a job graph out.
//!
//! A script passes through these stages, each in a folder, and each uses only those above it:
//!
//! - [`parse`]: text to statements.
//! - [`bind`]: names to columns, operators and functions with their types: a tree of relational operators an INSERT.
//! - [`rewrite`]: trees that give the same rows for less.
//! - [`build`]: the trees of all inserts to one job graph, with the names of its operators and what their state means.
//! - [`explain`]: the graph as text; it uses no other stage.
//!
//! `planner` leads a script through them. A new operator has one file in each.
//!
//! Invariants: planning never panics, whatever the text; nothing is ignored silently; a filter never moves below a
//! watermark; what is volatile is evaluated exactly where the query says; uids depend on the
//! insert alone, the first of those that share an operator; those of operators with state on what they compute.

use std::collections::BTreeMap;

use eddyline_job_graph::JobGraph;

mod bind;
mod build;
mod diagnostics;
mod duration;
mod explain;
mod parse;
mod planner;
mod rewrite;
mod settings;
mod suggestion;

pub use build::meaning::objection_to_state;
pub use diagnostics::{Diagnostic, Diagnostics};
pub use eddyline_state::meaning::Operator as StateMeaning;
pub use explain::explain;

/// The stack that planning runs on: enough for the deepest expression and query that the limits allow.
const STACK_BYTES: usize = 128 << 20;
/// The longest script: what the stack is enough for.
const SCRIPT_BYTES_MAX: usize = 1 << 20;

/// The text of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What errors call it, such as `file.sql`.
    pub name: String,
    /// The statements.
    pub text: String,
}

/// What a script is planned with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// Settings from outside, such as `spec.config` of a StreamJob: the same keys as SET, which goes before them.
    pub config: BTreeMap<String, String>,
}

/// A planned script.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The job.
    pub graph: JobGraph,
    /// What is worth saying although the job can run.
    pub warnings: Vec<Diagnostic>,
}

/// Plans a script.
///
/// # Errors
/// Everything that is wrong with it, in the order of the text. Never panics.
pub fn plan(script: &Script, options: &PlanOptions) -> Result<Planned, Diagnostics> {
    let failed = |message: &str| {
        let at_start = diagnostics::point(1, 1);
        Err(Diagnostics(vec![Diagnostic::at(at_start, message)]))
    };
    if script.text.len() > SCRIPT_BYTES_MAX {
        return failed("the script is longer than 1 MiB");
    }
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("plan".to_owned()).stack_size(STACK_BYTES);
        match builder.spawn_scoped(scope, || planner::plan(script, options)).map(|planning| planning.join()) {
            Ok(Ok(planned)) => planned,
            Ok(Err(_)) => failed("the planner failed on this script; this is a bug in Eddyline, please report it"),
            Err(_) => failed("there is not enough memory to plan the script"),
        }
    })
}
