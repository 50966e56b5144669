//! Nodes, edges and the graph itself.

use std::num::NonZeroU16;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use eddyline_connectors::TableDescriptor;
use eddyline_expression::Expr;
use eddyline_state::Meaning;
use eddyline_state::meaning::{Operator, short_digest};
use eddyline_stream::{ChangelogMode, OperatorUid};

use crate::{Over, Settings, WindowAggregate, WindowAssign};

/// A position in [`JobGraph::nodes`].
pub type NodeId = usize;

/// A planned job. Nodes come after their inputs.
#[derive(Clone, Debug)]
pub struct JobGraph {
    /// The operators.
    pub nodes: Vec<Node>,
    /// What the job's SET statements and configuration say.
    pub settings: Settings,
}

impl JobGraph {
    /// What the operators with state compute, in the order of the graph.
    pub fn meanings(&self) -> Vec<Operator> {
        let of = |node: &Node| Some((node.uid.clone(), node.meaning.clone()?));
        self.nodes.iter().filter_map(of).collect()
    }

    /// How many edges leave each node.
    pub fn consumers(&self) -> Vec<usize> {
        let mut consumers = vec![0; self.nodes.len()];
        self.nodes.iter().flat_map(|node| &node.inputs).for_each(|edge| consumers[edge.from] += 1);
        consumers
    }

    /// Stands for all that the operators with state compute: equal for scripts whose state is the same.
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
    /// The stable name under which its state is kept.
    pub uid: OperatorUid,
    /// What it does, as EXPLAIN and metrics show it.
    pub label: String,
    /// Where its rows come from. Sources have none, unions several, all others one.
    pub inputs: Vec<Edge>,
    /// What it does.
    pub kind: NodeKind,
    /// The columns it gives; for a sink those it takes.
    pub schema: SchemaRef,
    /// Which kinds of rows it gives; for a sink those it gets.
    pub changelog: ChangelogMode,
    /// What each of these columns is made of, down to columns of sources: canonical, whatever the query calls them.
    pub origins: Vec<String>,
    /// What it computes, if it has state that a restore gives back.
    pub meaning: Option<Meaning>,
    /// The name under which releases that counted operators kept its state.
    pub former_uid: OperatorUid,
}

/// A stream from one node into another.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// The node whose output this is.
    pub from: NodeId,
    /// Which subtask gets a row.
    pub partitioning: Partitioning,
}

/// Which subtask of the receiver gets a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitioning {
    /// The one in the same slot. Where the receiver has fewer subtasks, always the same one of them, so that rows stay in
    /// order.
    Forward,
    /// The owner of the row's key group; the key is these columns, in order. No columns: one owner for all rows.
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
    /// Aggregates the rows of a subtask in front of the exchange, for the [`NodeKind::WindowAggregate`] of the same
    /// configuration behind it, which is its only receiver and merges the results. Keeps nothing over a barrier. Gives rows as
    /// they are while their keys hardly repeat, so the columns are those of its input. A job in one slot runs without it.
    LocalWindowAggregate(WindowAggregate),
    /// Aggregates per key and window.
    WindowAggregate(WindowAggregate),
    /// Aggregates per row over the rows before it.
    Over(Over),
    /// Merges its inputs, which have the same columns.
    Union,
    /// Writes a table.
    Sink(Box<SinkNode>),
}

/// Reads a table: decoded columns, computed columns, watermarks; all per split.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceNode {
    /// The table, with its options.
    pub table: TableDescriptor,
    /// Which physical columns of the table are read, in order; metadata columns that are used follow them.
    pub projection: Vec<usize>,
    /// Which metadata columns are read, as positions in [`TableDescriptor::metadata`].
    pub metadata: Vec<usize>,
    /// Turns what the reader gives into the table's columns: computed columns are made here, before watermarks.
    /// The node's output schema is that of these columns.
    pub columns: Vec<Projection>,
    /// `WATERMARK FOR`, if the table has one and it is used.
    pub watermark: Option<WatermarkSpec>,
    /// Holds back its splits when they run ahead, if the table asks for it.
    pub alignment: Option<Alignment>,
    /// How many subtasks read it at most (`scan.parallelism`); one in each slot if the table does not say.
    pub parallelism: Option<NonZeroU16>,
}

/// Watermark alignment: which splits are held back when they run ahead, and of which others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// The group whose sources are compared with each other (`scan.watermark.alignment.group`); without one, the splits of
    /// the source are compared among themselves.
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
    /// The watermark of a row, from the output columns of the source; a timestamp in milliseconds. NULL leaves the watermark.
    pub expression: Expr,
    /// How far behind its time column the expression is, when it has the form `column - INTERVAL`: then the operator need
    /// not evaluate it for every row.
    pub delay_ms: Option<i64>,
    /// Refuse to move the watermark by a row further ahead of the clock than this (`watermark.max-future-skew`).
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
    /// Rows for which this is not true are dropped.
    pub filter: Option<Expr>,
    /// The output columns, from the input columns.
    pub columns: Vec<Projection>,
}

/// Writes a table. Columns arrive by position, already cast to the table's types.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkNode {
    /// The table, with its options.
    pub table: TableDescriptor,
    /// How many subtasks write it at most (`sink.parallelism`); one for each subtask before it if the table does not say.
    pub parallelism: Option<NonZeroU16>,
    /// The enforcers of what its columns declare, for people.
    pub constraints: Vec<String>,
}
