//! Tests of sources and sinks over real folders, and over S3 if a server is configured.

mod config;
mod s3;
mod sink;
mod source;

use arrow::datatypes::DataType;

use crate::TableDescriptor;
use crate::harness::table;

/// A table of `id BIGINT, name STRING` at `path`.
fn people(path: &str, format: &str, options: &[(&str, &str)]) -> TableDescriptor {
    let mut all = vec![("connector", "filesystem"), ("path", path), ("format", format)];
    all.extend_from_slice(options);
    table(&[("id", DataType::Int64), ("name", DataType::Utf8)], &all)
}

/// Lines of JSON for ids from `from` up to `to`.
fn lines(from: i64, to: i64) -> String {
    (from..to).map(|id| format!("{{\"id\":{id},\"name\":\"n{}\"}}\n", "x".repeat((id % 7) as usize))).collect()
}
