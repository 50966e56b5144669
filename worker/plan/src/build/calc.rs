//! Calculations: filters and columns.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use eddyline_job_graph::{Calc, Node, NodeId, NodeKind, Projection};

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
            RelKind::Scan { table } => self.sources.get(table).map(|(_, positions)| positions.clone()),
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

    /// The rows of a node under exactly these names and with this NOT NULL.
    pub(super) fn with_schema(&mut self, from: NodeId, output: &SchemaRef, path: &mut Path) -> NodeId {
        let node = &mut self.graph.nodes[from];
        if node.schema == *output {
            return from;
        }
        if self.calcs.contains(&from) {
            for (projection, field) in columns_of(node).iter_mut().zip(output.fields()) {
                projection.name.clone_from(field.name());
            }
            node.schema = Arc::clone(output);
            return from;
        }
        let columns: Vec<Projection> = output
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| Projection { expression: column(&node.schema, index), name: field.name().clone() })
            .collect();
        self.push_calc(from, Calc { filter: None, columns }, Arc::clone(output), path)
    }

    fn push_calc(&mut self, from: NodeId, calc: Calc, output: SchemaRef, path: &mut Path) -> NodeId {
        let label = label(&calc);
        let uid = self.uids.operator(path, "calc");
        let id = self.push(uid, label, forward(from), NodeKind::Calc(calc), output);
        self.calcs.insert(id);
        id
    }
}

fn columns_of(node: &mut Node) -> &mut [Projection] {
    match &mut node.kind {
        NodeKind::Calc(calc) => &mut calc.columns,
        _ => &mut [],
    }
}

fn label(calc: &Calc) -> String {
    match &calc.filter {
        Some(_) => format!("Calc filter, {} columns", calc.columns.len()),
        None => format!("Calc {} columns", calc.columns.len()),
    }
}

/// The rows behind a calculation.
pub(super) fn rows(calc: &Calc, input: Rows) -> Rows {
    let mut rows = input.clone();
    if let Some(filter) = &calc.filter {
        conditions(filter, &input.columns, &mut rows.conditions);
    }
    rows.columns = calc.columns.iter().map(|projection| spell(&projection.expression, &input.columns)).collect();
    rows
}
