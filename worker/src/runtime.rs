//! Turns a job graph into tasks and runs them on slot threads.
//!
//! A slot is one thread. It has at most one subtask of every operator and steps them in turn. Those closest to the
//! sinks are first, so that rows leave before others come in. Nothing here waits for I/O. Work that must wait runs on
//! the I/O runtime and wakes the slot when it is done.

pub mod alignment_group;
pub mod build;
pub mod chain;
pub mod connectors;
#[cfg(test)]
mod driven_source;
#[cfg(test)]
mod driven_task;
#[cfg(test)]
mod hand_on_tests;
#[cfg(test)]
mod idle_tests;
pub mod layout;
pub mod listening_clock;
pub mod metrics;
pub mod operator_task;
pub mod output;
#[cfg(test)]
mod piece_tests;
pub mod pipeline;
pub mod read_buffer;
pub mod slot;
pub mod source_task;
pub mod splits;
pub mod task;
#[cfg(test)]
mod timer_tests;
#[cfg(test)]
mod two_input_tests;
pub mod waker;
