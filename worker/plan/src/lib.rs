//! The SQL front end: Flink SQL text in, a job graph out.
//!
//! A script passes through these stages. Each is a folder, and uses only the stages above it:
//!
//! - [`parse`]: text becomes statements.
//! - [`bind`]: names become columns, operators and functions get their types. Each INSERT becomes a tree of relational
//!   operators.
//! - [`rewrite`]: the trees become cheaper trees that produce the same rows.
//! - [`build`]: the trees of all INSERTs become one job graph, with operator uids and the meaning of their state.
//! - [`explain`]: shows the graph as text. It uses no other stage.
//!
//! `planner` runs a script through the stages. A new operator has one file in each stage.
//!
//! Invariants:
//!
//! - Planning never panics, whatever the text. Nothing is ignored silently.
//! - A filter never moves below a watermark. A volatile expression is evaluated exactly where the query says.
//! - The uid of an operator with state depends on what the operator computes. The uid of any other operator depends on
//!   its INSERT alone. If several INSERTs share the operator, it depends on the first of them.

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

/// The stack of the planning thread: enough for the deepest expression and query that the limits allow.
const STACK_BYTES: usize = 128 << 20;
/// The longest script. The stack is enough for it.
const SCRIPT_BYTES_MAX: usize = 1 << 20;

/// The text of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its name in errors, such as `file.sql`.
    pub name: String,
    /// The statements.
    pub text: String,
}

/// The inputs of planning besides the script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// Settings from outside of the script, such as `spec.config` of a StreamJob. The keys are those of SET. SET takes
    /// precedence.
    pub config: BTreeMap<String, String>,
}

/// A planned script.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The job.
    pub graph: JobGraph,
    /// Problems that do not prevent the job from running.
    pub warnings: Vec<Diagnostic>,
}

/// Plans a script.
///
/// # Errors
/// All problems of the script, in the order of the text.
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
