//! Operators against a naive model, under arbitrary disorder, batch boundaries, watermarks and restarts.

mod aggregates;
mod behaviour;
mod chain;
mod harness;
mod model;
mod properties;
mod rows;
