//! Compares operators with a naive model, with arbitrary disorder, batch boundaries, watermarks and restarts.

mod aggregates;
mod behaviour;
mod harness;
mod model;
mod properties;
mod rows;
