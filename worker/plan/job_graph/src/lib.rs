//! The job graph: what the planner makes of SQL and what the runtime runs.
//!
//! Nodes are logical operators; each runs as one subtask a slot, or as fewer where a table asks for it. Expressions are bound to column positions, keys and
//! arguments are plain columns (a [`Calc`] in front computes what is not), so operators evaluate nothing but columns.
//! Names and order of nodes carry no meaning for state: only [`Node::meaning`] does.

pub mod aggregate;
pub mod distribution;
pub mod graph;
pub mod over;
pub mod settings;
pub mod window;

pub use aggregate::{AggregateCall, AggregateFunction};
pub use distribution::{distribution, distributions};
pub use graph::{
    Alignment, Calc, Edge, JobGraph, Node, NodeId, NodeKind, Partitioning, Projection, SinkNode, SourceNode,
    WatermarkSpec,
};
pub use over::{Over, OverFrame};
pub use settings::{NestedConstraintEnforcer, NotNullEnforcer, Settings, SinkConstraints, TypeLengthEnforcer};
pub use window::{TimeColumn, WindowAggregate, WindowAssign, WindowAssigner, WindowColumn};
