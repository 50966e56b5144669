//! Calculations: filters and computed columns.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use eddyline_job_graph::{Calc, NodeId, NodeKind, Projection};

use super::canonical::{conditions, spell};
use super::meaning::Rows;
use super::uid::Path;
use super::{Builder, forward};
use crate::bind::calc::{column, is_identity};
use crate::bind::relation::{Expression, Rel, RelKind};
use crate::diagnostics::Result;

impl Builder {
    pub(super) fn add_calc(
        &mut self,
        input: Rel,
        filter: Option<Expression>,
        columns: Vec<Projection>,
        output: SchemaRef,
        path: &mut Path,
    ) -> Result<NodeId> {
        let positions = match &input.kind {
            RelKind::Scan { table } => self.positions(table).cloned(),
            _ => None,
        };
        let from = self.add(input, path)?;
        let input_schema = Arc::clone(&self.graph.nodes[from].schema);
        let moved = |expression: &Expression| match &positions {
            Some(positions) => expression.remap(positions),
            None => expression.clone(),
        };
        let filter = filter.as_ref().map(moved);
        let columns: Vec<Projection> = columns
            .into_iter()
            .map(|projection| Projection { expression: moved(&projection.expression), name: projection.name })
            .collect();
        if is_identity(filter.as_ref(), &columns, &input_schema) && output == input_schema {
            return Ok(from);
        }
        Ok(self.push_calc(from, Calc { filter, columns }, output, path))
    }

    /// Adds the operators of a relation, with the names and the nullability of `output`.
    pub(super) fn add_as(&mut self, rel: Rel, output: &SchemaRef, path: &mut Path) -> Result<NodeId> {
        let from = self.add(named(rel, output), path)?;
        let given = &self.graph.nodes[from].schema;
        if given == output {
            return Ok(from);
        }
        let columns: Vec<Projection> = output
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| Projection { expression: column(given, index), name: field.name().clone() })
            .collect();
        Ok(self.push_calc(from, Calc { filter: None, columns }, Arc::clone(output), path))
    }

    fn push_calc(&mut self, from: NodeId, calc: Calc, output: SchemaRef, path: &mut Path) -> NodeId {
        let label = label(&calc);
        let uid = self.uids.operator(path, "calc");
        self.push(uid, label, forward(from), NodeKind::Calc(calc), output)
    }
}

/// The relation, with the columns of its last calculation renamed to those of `output`.
fn named(rel: Rel, output: &SchemaRef) -> Rel {
    match rel.kind {
        // A calculation that only forwards the rows of another one is left out.
        RelKind::Calc { input, filter, columns }
            if matches!(input.kind, RelKind::Calc { .. })
                && rel.schema == input.schema
                && is_identity(filter.as_ref(), &columns, &input.schema) =>
        {
            named(*input, output)
        }
        RelKind::Calc { input, filter, mut columns } => {
            for (projection, field) in columns.iter_mut().zip(output.fields()) {
                projection.name.clone_from(field.name());
            }
            Rel { schema: Arc::clone(output), kind: RelKind::Calc { input, filter, columns } }
        }
        kind => Rel { schema: rel.schema, kind },
    }
}

/// Whether a calculation is volatile, for example random numbers or the current time.
pub(super) fn is_volatile(calc: &Calc) -> bool {
    calc.filter.iter().chain(calc.columns.iter().map(|column| &column.expression)).any(Expression::is_volatile)
}

fn label(calc: &Calc) -> String {
    match &calc.filter {
        Some(_) => format!("Calc filter, {} columns", calc.columns.len()),
        None => format!("Calc {} columns", calc.columns.len()),
    }
}

/// The rows after a calculation.
pub(super) fn rows(calc: &Calc, input: Rows) -> Rows {
    let mut rows = input.clone();
    if let Some(filter) = &calc.filter {
        conditions(filter, &input.columns, &mut rows.conditions);
    }
    rows.columns = calc.columns.iter().map(|projection| spell(&projection.expression, &input.columns)).collect();
    rows
}
