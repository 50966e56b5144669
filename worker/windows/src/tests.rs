//! Compares operators with a naive model, with arbitrary disorder, batch boundaries, watermarks and restarts.

mod aggregates;
mod behaviour;
mod chain;
mod harness;
mod model;
mod properties;
mod rows;
mod sessions;
mod spilled;
