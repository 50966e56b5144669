//! What a query is bound to: a tree of relational operators over column positions, and the names under which its
//! columns are known.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use eddyline_job_graph::{Over, Projection, TimeColumn, WindowAggregate, WindowAssigner};

/// An expression over column positions.
pub(crate) use eddyline_expression::Expr as Expression;

/// A relational operator and what is below it.
#[derive(Clone, Debug)]
pub(crate) struct Rel {
    /// The columns it gives.
    pub schema: SchemaRef,
    /// What it does.
    pub kind: RelKind,
}

impl Rel {
    /// The tables that are read below, each as often as it is read.
    pub(crate) fn tables(&self) -> Vec<&str> {
        match &self.kind {
            RelKind::Scan { table } => vec![table],
            RelKind::Calc { input, .. }
            | RelKind::Window { input, .. }
            | RelKind::Aggregate { input, .. }
            | RelKind::Over { input, .. } => input.tables(),
            RelKind::Union { inputs } => inputs.iter().flat_map(Self::tables).collect(),
        }
    }
}

/// What a relational operator does.
#[derive(Clone, Debug)]
pub(crate) enum RelKind {
    /// Reads a table: all of its columns, in DDL order.
    Scan {
        /// The table's name.
        table: String,
    },
    /// Filters and computes.
    Calc {
        /// What is below.
        input: Box<Rel>,
        /// Which rows stay.
        filter: Option<Expression>,
        /// The columns.
        columns: Vec<Projection>,
    },
    /// Adds `window_start`, `window_end`, `window_time` behind the columns.
    Window {
        /// What is below.
        input: Box<Rel>,
        /// How windows are cut.
        assigner: WindowAssigner,
        /// The time attribute.
        time: TimeColumn,
        /// The columns of PARTITION BY, of a session.
        partition: Vec<usize>,
        /// The place of the call, as line, column and length.
        place: sqlparser::tokenizer::Span,
    },
    /// Aggregates over windows.
    Aggregate {
        /// What is below.
        input: Box<Rel>,
        /// What is computed.
        aggregate: WindowAggregate,
        /// The place of the window.
        place: sqlparser::tokenizer::Span,
    },
    /// Aggregates over the rows before.
    Over {
        /// What is below.
        input: Box<Rel>,
        /// What is computed.
        over: Over,
        /// The place of its first call.
        place: sqlparser::tokenizer::Span,
    },
    /// All rows of all.
    Union {
        /// What is below.
        inputs: Vec<Rel>,
    },
}

/// What a column is besides its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing else.
    Plain,
    /// An event-time attribute: the watermark speaks about it.
    Rowtime,
    /// A processing-time attribute.
    Proctime,
    /// `window_start` of the window that rows are in.
    WindowStart,
    /// `window_end`.
    WindowEnd,
    /// `window_time`: an event-time attribute too.
    WindowTime,
}

impl Role {
    /// Whether windows can be cut by it.
    pub(crate) fn is_event_time(self) -> bool {
        matches!(self, Self::Rowtime | Self::WindowTime)
    }
}

/// A column under its name.
#[derive(Clone, Debug)]
pub(crate) struct ScopeField {
    /// The table or alias in front of the point.
    pub qualifier: Option<String>,
    /// The column's name.
    pub name: String,
    /// What it is besides its values.
    pub role: Role,
}

/// A bound query.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    /// The operators.
    pub rel: Rel,
    /// The names of the columns of `rel`, in order.
    pub fields: Vec<ScopeField>,
}

impl Relation {
    /// The same under another qualifier.
    pub(crate) fn qualified(mut self, qualifier: &str) -> Self {
        for field in &mut self.fields {
            field.qualifier = Some(qualifier.to_owned());
        }
        self
    }

    /// The column with a role.
    pub(crate) fn with_role(&self, role: Role) -> Option<usize> {
        self.fields.iter().position(|field| field.role == role)
    }

    /// The type of a column.
    pub(crate) fn data_type(&self, column: usize) -> &DataType {
        self.rel.schema.field(column).data_type()
    }
}

/// A schema of these columns.
pub(crate) fn schema(fields: impl IntoIterator<Item = Field>) -> SchemaRef {
    Arc::new(Schema::new(fields.into_iter().collect::<Vec<_>>()))
}
