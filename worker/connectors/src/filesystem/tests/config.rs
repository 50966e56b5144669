//! Options of filesystem tables.

use arrow::datatypes::DataType;

use super::people;
use crate::filesystem::config::parse_size;
use crate::harness::{metadata, table};
use crate::{SinkConfig, SourceConfig};

#[test]
fn wrong_options_are_named() {
    for (options, expected) in [
        (&[("source.monitor-interval", "soon")][..], "'source.monitor-interval' = 'soon': expected a duration"),
        (&[("source.path.regex-pattern", "(")], "'source.path.regex-pattern' = '('"),
        (&[("sink.rolling-policy.file-size", "big")], "expected a size such as 128 mb"),
        (&[("sink.partition-commit.policy.kind", "metastore")], "only success-file is supported"),
        (&[("auto-compaction", "true")], "'auto-compaction' is not supported"),
        (&[("s3.access-key", "x")], "'s3.access-key' and 's3.secret-key' need each other"),
        (&[("sink.rolling-policy.filesize", "1")], "did you mean 'sink.rolling-policy.file-size'?"),
        (&[("path", "hdfs://x/y")], "'path' = 'hdfs://x/y': 'hdfs://' is not supported"),
    ] {
        for message in [
            SourceConfig::parse(&people("/in", "json", options)).expect_err("an error").to_string(),
            SinkConfig::parse(&people("/in", "json", options)).expect_err("an error").to_string(),
        ] {
            assert!(message.contains(expected), "{message}");
        }
    }
    let message = SinkConfig::parse(&people("/in/*", "json", &[])).expect_err("an error").to_string();
    assert!(message.contains("a sink writes into one folder"), "{message}");
}

#[test]
fn secrets_do_not_show() {
    let options = [("s3.access-key", "id"), ("s3.secret-key", "hush")];
    let config = SourceConfig::parse(&people("s3://b/in", "json", &options)).expect("valid");
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn columns_that_files_do_not_have_are_refused() {
    let mut people = people("/in", "json", &[]);
    people.metadata.push(metadata("file.owner", DataType::Utf8));
    let message = SourceConfig::parse(&people).expect_err("an error").to_string();
    assert!(message.contains("no metadata 'file.owner'"), "{message}");
    people.metadata[0] = metadata("file.size", DataType::Int32);
    let message = SourceConfig::parse(&people).expect_err("an error").to_string();
    assert!(message.contains("must be BIGINT"), "{message}");
    people.metadata.clear();
    people.partition_keys = vec!["day".to_owned()];
    let message = SourceConfig::parse(&people).expect_err("an error").to_string();
    assert!(message.contains("'day' is not a physical column"), "{message}");
    people.partition_keys = vec!["id".to_owned(), "name".to_owned()];
    let message = SinkConfig::parse(&people).expect_err("an error").to_string();
    assert!(message.contains("at least one column"), "{message}");
}

#[test]
fn connectors_are_known_by_name_and_direction() {
    let parse = |connector| {
        let table = table(&[("id", DataType::Int64)], &[("connector", connector)]);
        (
            SourceConfig::parse(&table).err().map(|error| error.to_string()),
            SinkConfig::parse(&table).err().map(|error| error.to_string()),
        )
    };
    let (source, sink) = parse("datagen");
    assert_eq!(source, None);
    assert!(sink.expect("a source").contains("'datagen' is a source; 'kafka', 'filesystem', 'print' and 'blackhole'"));
    let (source, sink) = parse("blackhole");
    assert!(source.expect("a sink").contains("'blackhole' is a sink; 'kafka', 'filesystem', 'datagen' and 'nexmark'"));
    assert_eq!(sink, None);
    let (source, sink) = parse("mysql");
    assert!(source.expect("unknown").contains("unknown connector 'mysql'"));
    assert!(sink.expect("unknown").contains("unknown connector 'mysql'"));
}

#[test]
fn sizes_are_read_as_in_flink() {
    assert_eq!(parse_size("128MB"), Ok(128 << 20));
    assert_eq!(parse_size("1 g"), Ok(1 << 30));
    assert_eq!(parse_size("17"), Ok(17));
    assert!(parse_size("MB").is_err());
    assert!(parse_size("99999999999999 tb").is_err());
}
