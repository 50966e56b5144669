//! Whether the state of a checkpoint or savepoint fits the operators of a job.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use arrow::datatypes::SchemaRef;
use eddyline_state::StateTable;
use eddyline_stream::OperatorUid;

use crate::manifest::Manifest;
use crate::schema;

/// A table whose columns are not those of its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableMismatch {
    /// The operator.
    pub operator: OperatorUid,
    /// The table.
    pub table: String,
    /// The columns of the state.
    pub recorded: SchemaRef,
    /// The columns that the job's operator has; `None` when it has no such table.
    pub expected: Option<SchemaRef>,
}

/// Why state cannot be restored into a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct StateMismatch {
    /// Where the state is.
    pub uri: String,
    /// The job that wrote it.
    pub job: String,
    /// Operators that have state and are not in the job, and what they have.
    pub without_operator: Vec<(OperatorUid, String)>,
    /// Tables that differ.
    pub tables: Vec<TableMismatch>,
    /// Operators of the job that have no state; no reason against it, but often the other half of a renaming.
    pub added: Vec<OperatorUid>,
}

impl fmt::Display for StateMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the state at {} (of job {}) does not fit this job:", self.uri, self.job)?;
        for (operator, what) in &self.without_operator {
            write!(
                f,
                "\n  operator {operator} has state ({what}) but is not in the job; allow non-restored state to drop it"
            )?;
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
        if !self.without_operator.is_empty() {
            for operator in &self.added {
                write!(f, "\n  operator {operator} of the job has no state")?;
            }
        }
        Ok(())
    }
}

/// Compares. `expected` are all operators of the job, sources and sinks too, with their tables.
pub(crate) fn compare(
    uri: &str,
    manifest: &Manifest,
    expected: &[(OperatorUid, Vec<StateTable>)],
    allow_non_restored: bool,
) -> Result<(), StateMismatch> {
    let operators: BTreeMap<&OperatorUid, &Vec<StateTable>> =
        expected.iter().map(|(operator, tables)| (operator, tables)).collect();
    let mut held: BTreeMap<OperatorUid, Vec<String>> = BTreeMap::new();
    let mut tables = Vec::new();
    for table in manifest.tables.iter().filter(|table| table.rows > 0) {
        held.entry(table.operator.clone()).or_default().push(format!("table {} with {} rows", table.name, table.rows));
        let Some(of_operator) = operators.get(&table.operator) else { continue };
        let known = of_operator.iter().find(|known| known.name == table.name);
        let expected = known.map(|known| schema::plain(&known.schema));
        if expected.as_ref() != Some(&table.schema) {
            tables.push(TableMismatch {
                operator: table.operator.clone(),
                table: table.name.clone(),
                recorded: table.schema.clone(),
                expected,
            });
        }
    }
    let unions: BTreeSet<&str> = manifest.union_values.iter().map(|value| value.operator.as_str()).collect();
    for operator in unions {
        held.entry(OperatorUid::new(operator)).or_default().push("values of its subtasks".to_owned());
    }
    for (operator, splits) in manifest.splits.iter().filter(|(_, splits)| !splits.is_empty()) {
        held.entry(operator.clone()).or_default().push(format!("{} source splits", splits.len()));
    }
    let is_added = |operator: &&OperatorUid| !held.contains_key(operator);
    let added = operators.keys().copied().filter(is_added).cloned().collect();
    let without_operator: Vec<_> = held
        .iter()
        .filter(|(operator, _)| !allow_non_restored && !operators.contains_key(operator))
        .map(|(operator, what)| (operator.clone(), what.join(", ")))
        .collect();
    if without_operator.is_empty() && tables.is_empty() {
        return Ok(());
    }
    Err(StateMismatch { uri: uri.to_owned(), job: manifest.job.clone(), without_operator, tables, added })
}
