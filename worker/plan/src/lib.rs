//! The SQL front end: Flink SQL text in, a job graph out.
//!
//! A script passes through these steps, each in its own file:
//!
//! - `statements`, `ddl`, `window_tvf`: the grammar. sqlparser reads queries and expressions; what it does not know
//!   (Flink's DDL, window table functions) is read here, from the same tokens, so that every place is a place in the
//!   script.
//! - `tables`, `query`, `expression` and its relatives: binding. Names become column positions, operators and functions
//!   get Flink's types, and the result is a tree of relational operators (`relation`).
//! - `grouping`, `over`, `windowing`: the streaming operators.
//! - `prune`, `build`, `uid`: columns nobody reads go, and the trees of all inserts become one graph.
//! - `meaning`, `canonical`: what the operators with state compute, so that state is never restored into something else.
//!
//! Invariants: planning never panics, whatever the text; nothing is ignored silently; a filter never moves below a
//! watermark; what is volatile is evaluated exactly where the query says; uids depend on the insert
//! alone, those of operators with state on what they compute.

use std::collections::BTreeMap;

use eddyline_job_graph::JobGraph;

mod aggregates;
mod arithmetic;
mod bound;
mod build;
mod calc;
mod calls;
mod canonical;
mod cast;
mod catalog;
mod constraints;
mod ddl;
mod diagnostics;
mod dialect;
mod explain;
mod expression;
mod grouping;
mod insert;
mod interval;
mod json_syntax;
mod meaning;
mod over;
mod planner;
mod projection;
mod prune;
mod query;
mod relation;
mod scope;
mod session;
mod settings;
mod statements;
mod tables;
mod time_arithmetic;
mod tokens;
mod types;
mod uid;
mod union;
mod window_tvf;
mod windowing;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use eddyline_state::meaning::Operator as StateMeaning;
pub use explain::explain;
pub use meaning::objection_to_state;

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
