//! Moves elements from task to task: who gets a row, and the bounded channels between slots.
//!
//! Each pair of sending and receiving subtask has a channel of its own, so a channel that is blocked for alignment
//! never delays another. A channel's bound is soft: a sender asks [`channel::Sender::has_room`] before it starts a step
//! and then sends all that the step gives.

pub mod alignment;
pub mod channel;
mod gather;
pub mod partitioner;
