//! Apache Kafka topics as tables.
//!
//! Reading ([`KafkaSource`]): a split is a partition, its position an offset. Offsets come from checkpoints, never from a
//! consumer group; group offsets are committed for monitoring only. There is one client for each reader, one queue for
//! each partition, and records are decoded where librdkafka put them.
//!
//! Writing ([`KafkaSink`]): `at-least-once` produces at once and waits for acknowledgements at the barrier.
//! `exactly-once` stages the encoded records of an epoch beside the checkpoint, as objects; when that is complete, each
//! slot's objects are published in short transactions that also commit the slot's progress as an offset of a consumer
//! group. How much of a checkpoint has been published can so be asked of Kafka itself, and publishing it again is harmless.
//!
//! Invariants: a position is an offset that was known when it was taken, never "latest"; a record is either returned as a
//! row, or counted as bad, or ends the job with its topic, partition and offset; a staged object is never deleted here.

pub mod config;
pub mod modes;
pub mod properties;
pub mod security;

#[cfg(feature = "io")]
mod client;
#[cfg(feature = "io")]
mod committer;
#[cfg(feature = "io")]
mod dead_letter;
#[cfg(feature = "io")]
mod enumerator;
#[cfg(feature = "io")]
mod metadata;
#[cfg(feature = "io")]
mod partition_queue;
#[cfg(feature = "io")]
mod producer;
#[cfg(feature = "io")]
mod producing;
#[cfg(feature = "io")]
mod publisher;
#[cfg(feature = "io")]
mod reachability;
#[cfg(feature = "io")]
mod records;
#[cfg(feature = "io")]
mod refusal;
#[cfg(feature = "io")]
mod rows;
#[cfg(feature = "io")]
mod sink;
#[cfg(feature = "io")]
mod source;
#[cfg(feature = "io")]
mod split;
#[cfg(feature = "io")]
mod staged;

pub use config::{SinkConfig, SourceConfig};
#[cfg(feature = "io")]
pub use sink::KafkaSink;
#[cfg(feature = "io")]
pub use source::KafkaSource;
