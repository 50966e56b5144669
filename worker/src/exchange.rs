//! Moves elements between tasks: the partitioner picks the receiver of each row, and bounded channels connect slots.
//!
//! Each pair of sending and receiving subtask has its own channel, so a channel that is blocked for alignment never
//! delays another. The bound of a channel is soft: a sender checks [`channel::Sender::has_room`] before it starts a
//! step, and then sends all output of the step.

pub mod alignment;
pub mod channel;
mod gather;
pub mod partitioner;
