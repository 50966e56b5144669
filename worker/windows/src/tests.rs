//! Operators against a naive model, under arbitrary disorder, batch boundaries, watermarks and restarts.

mod aggregates;
mod behaviour;
mod harness;
mod model;
mod properties;
mod rows;
