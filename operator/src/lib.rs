//! The controller of stream jobs.
