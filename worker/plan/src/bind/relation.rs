//! A bound query: a tree of relational operators over column positions, and the names of its columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use eddyline_job_graph::{GroupAggregate, Over, Projection, TimeColumn, WindowAggregate, WindowAssigner};

/// An expression over column positions.
pub(crate) use eddyline_expression::Expr as Expression;

/// A relational operator and its inputs.
#[derive(Clone, Debug)]
pub(crate) struct Rel {
    /// The columns that it produces.
    pub schema: SchemaRef,
    /// What it does.
    pub kind: RelKind,
}

impl Rel {
    /// The tables that the tree reads, each as often as it is read.
    pub(crate) fn tables(&self) -> Vec<&str> {
        match &self.kind {
            RelKind::Scan { table } => vec![table],
            RelKind::Calc { input, .. }
            | RelKind::Window { input, .. }
            | RelKind::Aggregate { input, .. }
            | RelKind::Group { input, .. }
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
    /// Filters rows and computes columns.
    Calc {
        /// The input.
        input: Box<Rel>,
        /// Rows for which this is not TRUE are dropped.
        filter: Option<Expression>,
        /// The columns.
        columns: Vec<Projection>,
    },
    /// Appends the columns `window_start`, `window_end` and `window_time`.
    Window {
        /// The input.
        input: Box<Rel>,
        /// How rows are assigned to windows.
        assigner: WindowAssigner,
        /// The time attribute.
        time: TimeColumn,
        /// The columns of PARTITION BY, only for SESSION.
        partition: Vec<usize>,
        /// The place of the call in the script.
        place: sqlparser::tokenizer::Span,
    },
    /// Aggregates over windows.
    Aggregate {
        /// The input.
        input: Box<Rel>,
        /// The aggregates.
        aggregate: WindowAggregate,
        /// The place of the window or of GROUP BY.
        place: sqlparser::tokenizer::Span,
    },
    /// Aggregates over all rows.
    Group {
        /// The input.
        input: Box<Rel>,
        /// The keys and aggregates.
        aggregate: GroupAggregate,
        /// The place of GROUP BY, or of what stands for it.
        place: sqlparser::tokenizer::Span,
    },
    /// Aggregates with OVER.
    Over {
        /// The input.
        input: Box<Rel>,
        /// The aggregates.
        over: Over,
        /// The place of the first call.
        place: sqlparser::tokenizer::Span,
    },
    /// UNION ALL.
    Union {
        /// The input.
        inputs: Vec<Rel>,
    },
}

/// The special meaning of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// No special meaning.
    Plain,
    /// An event-time attribute: the watermark refers to it.
    Rowtime,
    /// A processing-time attribute.
    Proctime,
    /// `window_start` of the row's window.
    WindowStart,
    /// `window_end`.
    WindowEnd,
    /// `window_time`: an event-time attribute too.
    WindowTime,
}

impl Role {
    /// Whether it is an event-time attribute.
    pub(crate) fn is_event_time(self) -> bool {
        matches!(self, Self::Rowtime | Self::WindowTime)
    }
}

/// A named column.
#[derive(Clone, Debug)]
pub(crate) struct ScopeField {
    /// The table or alias that qualifies the name.
    pub qualifier: Option<String>,
    /// The column's name.
    pub name: String,
    /// Its special meaning.
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
    /// The relation with this qualifier for all columns.
    pub(crate) fn qualified(mut self, qualifier: &str) -> Self {
        for field in &mut self.fields {
            field.qualifier = Some(qualifier.to_owned());
        }
        self
    }

    /// The position of the first column with a role.
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
