//! Flink's scalar functions.
