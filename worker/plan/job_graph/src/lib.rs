//! The job graph: the planner makes it from SQL, and the runtime runs it.
//!
//! Nodes are logical operators. Each runs as one subtask a slot, or as fewer if a table asks for that. Expressions
//! refer to columns by position. Keys and arguments are plain columns: a [`Calc`] upstream computes them, so other
//! operators evaluate no expressions. Names and order of nodes have no meaning for state: only [`Node::meaning`] has.

pub mod aggregate;
pub mod distribution;
pub mod graph;
pub mod over;
pub mod settings;
pub mod window;

pub use aggregate::{AggregateCall, AggregateFunction, GroupAggregate};
pub use distribution::{distribution, distributions};
pub use graph::{
    Alignment, Calc, Edge, JobGraph, Node, NodeId, NodeKind, Partitioning, Projection, SinkNode, SourceNode,
    WatermarkSpec,
};
pub use over::{Over, OverFrame};
pub use settings::{NestedConstraintEnforcer, NotNullEnforcer, Settings, SinkConstraints, TypeLengthEnforcer};
pub use window::{TimeColumn, WindowAggregate, WindowAssign, WindowAssigner, WindowColumn};
