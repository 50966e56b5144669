//! Sources: one a table, with all columns that any INSERT reads. Without reuse, one for each place that reads the
//! table.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use arrow::datatypes::SchemaRef;
use eddyline_connectors::config::SERVERS;
use eddyline_job_graph::{Node, NodeId, NodeKind, Projection, SourceNode, WatermarkSpec};
use eddyline_state::Meaning;
use eddyline_state::meaning::{Fact, Rule, SOURCE};
use eddyline_stream::sql_type;
use sqlparser::tokenizer::Span;

use super::canonical::{short, spell};
use super::meaning::Rows;
use super::{Builder, unchecked};
use crate::bind::calc::column;
use crate::bind::catalog::{Catalog, ColumnSource, Object, Table};
use crate::bind::relation::{Rel, RelKind, schema};
use crate::diagnostics::{Diagnostic, Result};
use crate::rewrite::Usage;

/// The sources of a table.
pub(super) struct TableSources {
    /// One, or one for each place that reads the table.
    nodes: Vec<NodeId>,
    /// How many places have got their source.
    taken: usize,
    /// The position of each of the table's columns in the output of the sources.
    positions: BTreeMap<usize, usize>,
}

impl Builder {
    /// Adds the sources that an INSERT reads and that do not exist yet.
    pub(super) fn add_sources(&mut self, tables: &Catalog, rel: &Rel, usage: &Usage, span: Span) -> Result<()> {
        match &rel.kind {
            RelKind::Scan { table } => {
                if self.graph.settings.reuse_sources && self.sources.contains_key(table) {
                    return Ok(());
                }
                let Object::Table(found) = tables.get(table, span)? else {
                    return Err(Diagnostic::at(span, format!("'{table}' is not a table")));
                };
                let config = found.source().map_err(|error| unchecked(error, span))?;
                let identity = config.identity(&found.descriptor);
                let none = BTreeSet::new();
                let (node, output, positions) = source(found, config.parallelism(), usage.get(table).unwrap_or(&none));
                let uid = self.uids.source(table);
                let id =
                    self.push(uid, format!("Source {table}"), Vec::new(), NodeKind::Source(Box::new(node)), output);
                self.identities.insert(id, identity);
                let new = TableSources { nodes: Vec::new(), taken: 0, positions };
                self.sources.entry(table.clone()).or_insert(new).nodes.push(id);
                Ok(())
            }
            RelKind::Calc { input, .. }
            | RelKind::Window { input, .. }
            | RelKind::Aggregate { input, .. }
            | RelKind::Group { input, .. }
            | RelKind::Over { input, .. } => self.add_sources(tables, input, usage, span),
            RelKind::Union { inputs } => {
                inputs.iter().try_for_each(|input| self.add_sources(tables, input, usage, span))
            }
        }
    }

    /// The source for the next place that reads a table. Sources were added in the order of these places.
    pub(super) fn next_source(&mut self, table: &str) -> NodeId {
        let Some(sources) = self.sources.get_mut(table) else { return 0 };
        let node = sources.nodes[sources.taken.min(sources.nodes.len() - 1)];
        sources.taken += 1;
        node
    }

    /// The position of each column of a table in the output of its source.
    pub(super) fn positions(&self, table: &str) -> Option<&BTreeMap<usize, usize>> {
        self.sources.get(table).map(|sources| &sources.positions)
    }
}

/// The source of a table with the columns in `used` and those of its watermark. Also returns its output schema, and the
/// position of each column in it.
fn source(
    table: &Table,
    parallelism: Option<NonZeroU16>,
    used: &BTreeSet<usize>,
) -> (SourceNode, SchemaRef, BTreeMap<usize, usize>) {
    let mut needed = used.clone();
    if let Some(watermark) = &table.watermark {
        needed.insert(watermark.column);
        needed.extend(watermark.expression.columns());
    }
    // The reader's columns that the needed columns are computed from.
    let physical = table.descriptor.schema.fields().len();
    let reader = table.reader_schema();
    let expression_of = |index: usize| match &table.columns[index].source {
        ColumnSource::Physical(position) => column(&reader, *position),
        ColumnSource::Metadata(position) => column(&reader, physical + position),
        ColumnSource::Computed(expression) => expression.clone(),
    };
    let mut read = BTreeSet::new();
    needed.iter().for_each(|index| read.extend(expression_of(*index).columns()));
    let projection: Vec<usize> = read.iter().copied().filter(|index| *index < physical).collect();
    let metadata: Vec<usize> = read.iter().filter_map(|index| index.checked_sub(physical)).collect();
    let reader_positions: BTreeMap<usize, usize> = read.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let columns = needed
        .iter()
        .map(|index| Projection {
            expression: expression_of(*index).remap(&reader_positions),
            name: table.columns[*index].field.name().clone(),
        })
        .collect();
    let output = schema(needed.iter().map(|index| table.columns[*index].field.clone()));
    let positions: BTreeMap<usize, usize> = needed.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let watermark = table.watermark.as_ref().map(|watermark| WatermarkSpec {
        column: positions.get(&watermark.column).copied().unwrap_or(0),
        expression: watermark.expression.remap(&positions),
        delay_ms: watermark.delay_ms,
        future_skew_max: table.future_skew_max,
    });
    let node = SourceNode {
        table: table.descriptor.clone(),
        projection,
        metadata,
        columns,
        watermark,
        alignment: table.alignment.clone(),
        parallelism,
    };
    (node, output, positions)
}

/// What a source reads, as its connector describes it: aspects with their values.
pub(super) type Identity = Vec<(&'static str, Vec<String>)>;

/// The meaning of a source, and its rows. A restore uses positions only if they belong to what the source reads.
pub(super) fn meaning(
    source: &SourceNode,
    node: &Node,
    identity: &[(&'static str, Vec<String>)],
) -> (Option<Meaning>, Rows) {
    let table = &source.table;
    let typed = |name: &str, data_type| format!("{name} {}", sql_type(data_type));
    let physical = source.projection.iter().map(|index| {
        let field = table.schema.field(*index);
        typed(field.name(), field.data_type())
    });
    let metadata = source.metadata.iter().map(|index| {
        let column = &table.metadata[*index];
        typed(&format!("METADATA '{}'", column.key), &column.data_type)
    });
    let read: Vec<String> = physical.chain(metadata).collect();
    let rule = |aspect: &str| if aspect == SERVERS { Rule::OneInCommon } else { Rule::AnyOrder };
    let place = identity.iter().filter(|(aspect, _)| *aspect != SERVERS).flat_map(|(_, values)| values.clone());
    let rows = Rows {
        from: vec![short(place.collect::<Vec<_>>().join(" "))],
        conditions: Vec::new(),
        sources: vec![node.uid.clone()],
        columns: source.columns.iter().map(|projection| spell(&projection.expression, &read)).collect(),
    };
    let facts = identity.iter().map(|(aspect, values)| Fact::of(aspect, values.clone(), rule(aspect))).collect();
    (Some(Meaning { kind: SOURCE.to_owned(), facts, sources: Vec::new() }), rows)
}
