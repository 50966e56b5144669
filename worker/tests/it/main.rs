//! Whole-process and whole-job tests, in one binary because linking it takes longer than most of them.

mod abandoned_checkpoint;
mod answers;
mod broker;
mod bucket;
mod command_line;
mod edits;
mod exactly_once;
mod file_sinks;
mod full_disk;
mod golden;
mod idle_partitions;
mod idle_splits;
mod kafka_metadata;
mod memory_tables;
mod numbers;
mod outage;
mod parallelism;
mod pod;
mod running;
mod savepoint_elsewhere;
mod split_tables;
mod stopping;
mod store_outage;
mod vanished_folders;
mod waiting;
mod watermark_alignment;
