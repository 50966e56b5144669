//! Nodes, edges and the graph itself.

use std::num::NonZeroU16;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use eddyline_connectors::TableDescriptor;
use eddyline_expression::Expr;
use eddyline_state::Meaning;
use eddyline_state::meaning::{Operator, short_digest};
use eddyline_stream::{ChangelogMode, OperatorUid};

use crate::{GroupAggregate, Over, Settings, WindowAggregate, WindowAssign};

/// A position in [`JobGraph::nodes`].
pub type NodeId = usize;

/// A planned job. Nodes come after their inputs.
#[derive(Clone, Debug)]
pub struct JobGraph {
    /// The operators.
    pub nodes: Vec<Node>,
    /// The settings from SET statements and configuration.
    pub settings: Settings,
}

impl JobGraph {
    /// The uids and meanings of the operators with state, in the order of the graph.
    pub fn meanings(&self) -> Vec<Operator> {
        let of = |node: &Node| Some((node.uid.clone(), node.meaning.clone()?));
        self.nodes.iter().filter_map(of).collect()
    }

    /// The number of outgoing edges of each node.
    pub fn consumers(&self) -> Vec<usize> {
        let mut consumers = vec![0; self.nodes.len()];
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|edge| consumers[edge.from] += 1);
        consumers
    }

    /// A digest of the meanings of all operators with state. Scripts with the same state have the same fingerprint.
    pub fn fingerprint(&self) -> String {
        let digests = self.meanings().into_iter().map(|(uid, meaning)| format!("{uid}\t{}", meaning.digest()));
        let mut lines: Vec<String> = digests.collect();
        lines.sort_unstable();
        short_digest(&lines.join("\n"))
    }
}

/// One logical operator.
#[derive(Clone, Debug)]
pub struct Node {
    /// The stable name that its state is kept under.
    pub uid: OperatorUid,
    /// What it does, as EXPLAIN and metrics show it.
    pub label: String,
    /// Its inputs. Sources have none, unions several, all others one.
    pub inputs: Vec<Edge>,
    /// What it does.
    pub kind: NodeKind,
    /// The columns that it produces; for a sink those that it accepts.
    pub schema: SchemaRef,
    /// The kinds of rows that it produces; for a sink those that it gets.
    pub changelog: ChangelogMode,
    /// For each output column its canonical spelling in terms of source columns, without aliases.
    pub origins: Vec<String>,
    /// What it computes, if it has state that a restore brings back.
    pub meaning: Option<Meaning>,
    /// The name that its state had in releases which numbered operators.
    pub former_uid: OperatorUid,
}

/// A stream from one node into another.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// The node that produces the rows.
    pub from: NodeId,
    /// Which subtask of the receiver gets a row.
    pub partitioning: Partitioning,
}

/// Which subtask of the receiver gets a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitioning {
    /// The subtask in the same slot. If the receiver has fewer subtasks, always the same one of them, so that rows stay
    /// in order.
    Forward,
    /// The subtask that owns the row's key group. The key is these columns, in this order. No columns: one subtask gets
    /// all rows.
    Hash(Vec<usize>),
}

/// What an operator does.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// Reads a table.
    Source(Box<SourceNode>),
    /// Filters and computes columns.
    Calc(Calc),
    /// Adds window columns to every row, without state.
    WindowAssign(WindowAssign),
    /// Aggregates the rows of a subtask before the exchange. Its only receiver is the [`NodeKind::WindowAggregate`]
    /// with the same configuration, which merges the results. It has no state at a barrier. While keys rarely repeat it
    /// passes rows on unchanged, so its columns are those of its input. A job in one slot runs without it.
    LocalWindowAggregate(WindowAggregate),
    /// Aggregates per key and window.
    WindowAggregate(WindowAggregate),
    /// Aggregates per key over all rows so far.
    GroupAggregate(GroupAggregate),
    /// Aggregates per row over the rows before it.
    Over(Over),
    /// Merges its inputs, which have the same columns.
    Union,
    /// Writes a table.
    Sink(Box<SinkNode>),
}

/// Reads a table: decodes columns, computes columns, and generates watermarks, each per split.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceNode {
    /// The table, with its options.
    pub table: TableDescriptor,
    /// The physical columns of the table that are read, in order. The metadata columns follow them.
    pub projection: Vec<usize>,
    /// The metadata columns that are read, as positions in [`TableDescriptor::metadata`].
    pub metadata: Vec<usize>,
    /// The output columns, computed from the columns of the reader, before watermarks. They include the table's
    /// computed columns.
    pub columns: Vec<Projection>,
    /// `WATERMARK FOR`, if the table has one and it is used.
    pub watermark: Option<WatermarkSpec>,
    /// Pauses splits that run ahead, if the table asks for it.
    pub alignment: Option<Alignment>,
    /// The maximum number of subtasks that read it (`scan.parallelism`); `None`: one in each slot.
    pub parallelism: Option<NonZeroU16>,
}

/// Watermark alignment: which splits are paused when they run ahead, and of which others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// The group whose sources are compared with each other (`scan.watermark.alignment.group`). Without a group, only
    /// the splits of this source are compared.
    pub group: Option<String>,
    /// How far a split may be ahead of the slowest one of the group, in event time
    /// (`scan.watermark.alignment.max-drift`).
    pub drift_max: Duration,
    /// How often the splits are compared (`scan.watermark.alignment.update-interval`).
    pub update_interval: Duration,
}

/// `WATERMARK FOR column AS expression`.
#[derive(Clone, Debug, PartialEq)]
pub struct WatermarkSpec {
    /// The event-time column, in the output of the source.
    pub column: usize,
    /// The watermark of a row, computed from the output columns of the source: a timestamp in milliseconds. NULL: the
    /// row does not move the watermark.
    pub expression: Expr,
    /// The delay of the expression behind its time column in milliseconds, if it has the form `column - INTERVAL`. Then
    /// the expression need not be evaluated for every row.
    pub delay_ms: Option<i64>,
    /// A row that is further ahead of the clock than this does not move the watermark (`watermark.max-future-skew`).
    pub future_skew_max: Option<Duration>,
}

/// One computed column.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// The expression.
    pub expression: Expr,
    /// The column's name.
    pub name: String,
}

/// Filters rows, then computes columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Calc {
    /// Rows for which this is not TRUE are dropped.
    pub filter: Option<Expr>,
    /// The output columns, computed from the input columns.
    pub columns: Vec<Projection>,
}

/// Writes a table. Columns arrive by position, already cast to the table's types.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkNode {
    /// The table, with its options.
    pub table: TableDescriptor,
    /// The maximum number of subtasks that write it (`sink.parallelism`); `None`: one for each subtask upstream.
    pub parallelism: Option<NonZeroU16>,
    /// The constraint enforcers of its columns, as EXPLAIN shows them.
    pub constraints: Vec<String>,
}
