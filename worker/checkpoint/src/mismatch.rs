//! Explains to people why the state of a checkpoint or savepoint does not fit the operators of a job.

use std::collections::BTreeSet;
use std::fmt;

use arrow::datatypes::SchemaRef;
use eddyline_state::meaning::{Refusal, ways_out};
use eddyline_stream::OperatorUid;

use crate::schema;

/// A table whose columns are not those of its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMismatch {
    /// The operator whose state was recorded.
    pub operator: OperatorUid,
    /// The table.
    pub table: String,
    /// The columns of the state.
    pub recorded: SchemaRef,
    /// The columns of the operator's table; `None` if it has no such table.
    pub expected: Option<SchemaRef>,
}

/// Why state cannot be restored into a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct StateMismatch {
    /// The location of the state.
    pub uri: String,
    /// The job that wrote it.
    pub job: String,
    /// Operators of the checkpoint whose state no operator of the job can restore, and a description of that state.
    pub operators: Vec<(Refusal, String)>,
    /// Tables that differ.
    pub tables: Vec<TableMismatch>,
    /// Operators of the job that have no state. This alone is not a mismatch, but it often shows that an operator was
    /// renamed.
    pub added: Vec<OperatorUid>,
}

impl StateMismatch {
    /// The operators that do not fit.
    pub fn refused(&self) -> BTreeSet<&OperatorUid> {
        let operators = self.operators.iter().map(|(refusal, _)| &refusal.recorded);
        operators.chain(self.tables.iter().map(|table| &table.operator)).collect()
    }
}

impl fmt::Display for StateMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the state at {} (of job {}) does not fit this job:", self.uri, self.job)?;
        for (refusal, has) in &self.operators {
            write!(f, "\n  {refusal}\n    it has {has}")?;
        }
        for table in &self.tables {
            let recorded = schema::describe(&table.recorded);
            match &table.expected {
                None => write!(
                    f,
                    "\n  operator {} has no table {}; the state has it with {recorded}",
                    table.operator, table.table
                )?,
                Some(expected) => {
                    let expected = schema::describe(expected);
                    write!(
                        f,
                        "\n  operator {}, table {}: the state has {recorded}, the job needs {expected}",
                        table.operator, table.table
                    )?;
                }
            }
        }
        if self.operators.iter().any(|(refusal, _)| refusal.nearest.is_none()) {
            for operator in &self.added {
                write!(f, "\n  operator {operator} of the job has no state")?;
            }
        }
        write!(f, "\n{}", ways_out(self.refused()))
    }
}
