use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::DataType;

use super::*;

fn table(options: &[(&str, &str)]) -> TableDescriptor {
    let mut all = BTreeMap::from([
        ("connector".to_owned(), "kafka".to_owned()),
        ("topic".to_owned(), "orders".to_owned()),
        ("properties.bootstrap.servers".to_owned(), "localhost:9092".to_owned()),
        ("scan.startup.mode".to_owned(), "earliest-offset".to_owned()),
        ("format".to_owned(), "json".to_owned()),
    ]);
    for (key, value) in options {
        match *value {
            "" => all.remove(*key),
            value => all.insert((*key).to_owned(), value.to_owned()),
        };
    }
    TableDescriptor {
        name: "orders".to_owned(),
        schema: Arc::new(Schema::new(vec![
            Field::new("k_id", DataType::Int64, true),
            Field::new("amount", DataType::Int64, true),
        ])),
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: all,
    }
}

fn keys(errors: &OptionErrors) -> Vec<&str> {
    errors.iter().map(|error| error.key.as_deref().unwrap_or("the table")).collect()
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let wrong = table(&[
        ("topic", ""),
        ("topci", "orders"),
        ("scan.startup.mode", "earliest"),
        ("scan.parallelism", "none"),
        ("json.ignore-parse-error", "true"),
        ("colour", "green"),
    ]);
    let errors = SourceConfig::parse(&wrong).unwrap_err();
    let expected = ["scan.startup.mode", "scan.parallelism", "colour", "json.ignore-parse-error", "topci"];
    assert_eq!(BTreeSet::from_iter(keys(&errors)), BTreeSet::from(expected), "{errors}");
    let text = errors.to_string();
    assert!(text.contains("unknown option 'topci', did you mean 'topic'?"), "{text}");
    assert!(text.contains("did you mean 'json.ignore-parse-errors'?"), "{text}");
}

#[test]
fn what_is_missing_and_not_misspelt_is_missing() {
    let errors = SourceConfig::parse(&table(&[("topic", ""), ("format", "jsn")])).unwrap_err();
    assert_eq!(keys(&errors), ["the table", "format"], "{errors}");
    let errors = SourceConfig::parse(&table(&[("scan.startup.mode", "timestamp")])).unwrap_err();
    assert_eq!(errors.to_string(), "option 'scan.startup.timestamp-millis' is missing");
    let unreadable = table(&[("scan.startup.mode", "timestamp"), ("scan.startup.timestamp-millis", "now")]);
    let errors = SourceConfig::parse(&unreadable).unwrap_err();
    assert_eq!(keys(&errors), ["scan.startup.timestamp-millis"], "{errors}");
}

#[test]
fn defaults_are_those_of_flink() {
    let source = SourceConfig::parse(&table(&[])).unwrap();
    assert_eq!(source.topics, Topics::Named(vec!["orders".to_owned()]));
    assert_eq!(source.bounded, BoundedMode::Unbounded);
    assert_eq!(source.discovery_interval, Some(DISCOVERY_INTERVAL_DEFAULT));
    let sink = SinkConfig::parse(&table(&[])).unwrap();
    assert_eq!(sink.guarantee, DeliveryGuarantee::AtLeastOnce);
    assert_eq!(sink.partitioner, Partitioner::Default);
    assert_eq!((source.parallelism, sink.parallelism), (None, None));
}

#[test]
fn a_table_has_its_own_numbers_of_readers_and_writers() {
    let both = table(&[("scan.parallelism", "3"), ("sink.parallelism", " 2 ")]);
    assert_eq!(SourceConfig::parse(&both).unwrap().parallelism, NonZeroU16::new(3));
    assert_eq!(SinkConfig::parse(&both).unwrap().parallelism, NonZeroU16::new(2));
    let error = SourceConfig::parse(&table(&[("sink.parallelism", "0")])).unwrap_err();
    assert_eq!(keys(&error), ["sink.parallelism"], "an option is never wrong unnoticed");
}

#[test]
fn a_misspelt_option_is_named() {
    let error = SourceConfig::parse(&table(&[("scan.startup.mod", "latest-offset")])).unwrap_err();
    assert_eq!(keys(&error), ["scan.startup.mod"]);
    assert!(error.to_string().contains("scan.startup.mode"), "{error}");
}

#[test]
fn group_offsets_need_a_group() {
    let groupless = table(&[("scan.startup.mode", "")]);
    assert!(SourceConfig::parse(&groupless).unwrap_err().to_string().contains("properties.group.id"));
    let grouped = table(&[("scan.startup.mode", ""), ("properties.group.id", "g")]);
    assert_eq!(SourceConfig::parse(&grouped).unwrap().startup, StartupMode::GroupOffsets);
}

#[test]
fn specific_offsets_are_read_and_checked() {
    let with = |text| {
        SourceConfig::parse(&table(&[
            ("scan.startup.mode", "specific-offsets"),
            ("scan.startup.specific-offsets", text),
        ]))
    };
    let expected = BTreeMap::from([(0, 42), (1, 300)]);
    assert_eq!(
        with("partition:0,offset:42; partition: 1, offset: 300").unwrap().startup,
        StartupMode::SpecificOffsets(expected)
    );
    for wrong in ["0:42", "partition:0", "partition:0,offset:-1", "partition:0,offset:1;partition:0,offset:2"] {
        assert_eq!(keys(&with(wrong).unwrap_err()), ["scan.startup.specific-offsets"], "{wrong}");
    }
}

#[test]
fn key_columns_leave_the_value_and_lose_their_prefix() {
    let keyed = table(&[
        ("key.format", "json"),
        ("key.fields", "k_id"),
        ("key.fields-prefix", "k_"),
        ("value.fields-include", "EXCEPT_KEY"),
    ]);
    let layout = SourceConfig::parse(&keyed).unwrap().layout;
    let key = layout.key.unwrap();
    assert_eq!(key.schema.field(0).name(), "id");
    assert_eq!(key.columns, [0]);
    assert_eq!(layout.value_columns, [1]);
    let prefixed = table(&[("key.format", "json"), ("key.fields", "k_id"), ("key.fields-prefix", "k_")]);
    assert_eq!(keys(&SourceConfig::parse(&prefixed).unwrap_err()), ["key.fields-prefix"]);
    let unknown = table(&[("key.format", "json"), ("key.fields", "none")]);
    assert_eq!(keys(&SourceConfig::parse(&unknown).unwrap_err()), ["key.fields"]);
}

#[test]
fn several_topics_can_be_read_but_not_written() {
    let several = table(&[("topic", "a;b")]);
    assert!(SourceConfig::parse(&several).is_ok());
    assert_eq!(keys(&SinkConfig::parse(&several).unwrap_err()), ["topic"]);
    let pattern = table(&[("topic", ""), ("topic-pattern", "orders-.*")]);
    let Topics::Pattern(pattern) = SourceConfig::parse(&pattern).unwrap().topics else { panic!("expected a pattern") };
    assert!(pattern.is_match("orders-1") && !pattern.is_match("my-orders-1"));
}

#[test]
fn only_some_metadata_can_be_written() {
    let mut with_offset = table(&[]);
    with_offset.metadata.push(MetadataColumn {
        name: "o".to_owned(),
        key: "offset".to_owned(),
        data_type: DataType::Int64,
        is_virtual: false,
    });
    assert!(SourceConfig::parse(&with_offset).is_ok());
    assert!(SinkConfig::parse(&with_offset).unwrap_err().to_string().contains("VIRTUAL"));
    with_offset.metadata[0].is_virtual = true;
    assert!(SinkConfig::parse(&with_offset).is_ok());
}
