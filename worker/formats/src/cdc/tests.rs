//! The rows that messages give, messages that are refused, and messages that are written.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, SchemaRef};
use eddyline_stream::{Batch, KindsBuilder, RowKind};
use proptest::prelude::*;
use regex::Regex;

use super::{Config, Decoder, Dialect, Encoder};
use crate::decode::RecordDecoder;
use crate::encode::{EncodedRecords, RecordEncoder};

/// `id INT, name STRING`.
fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int32, true), Field::new("name", DataType::Utf8, true)]))
}

fn decoder(config: &Config) -> Decoder {
    Decoder::new(config, &schema(), &[0, 1], 16).expect("the types can be carried")
}

/// Rows as text, such as `+I[1, a]`.
fn shown(batch: &Batch) -> Vec<String> {
    let (ids, names) = (batch.rows().column(0).as_primitive::<Int32Type>(), batch.rows().column(1).as_string::<i32>());
    let value = |row: usize| {
        let id = if ids.is_null(row) { "NULL".to_owned() } else { ids.value(row).to_string() };
        format!("{}[{id}, {}]", batch.kind(row), if names.is_null(row) { "NULL" } else { names.value(row) })
    };
    (0..batch.num_rows()).map(value).collect()
}

/// The rows of the records as text, or the error of the first record that is refused.
fn read(config: &Config, records: &[&str]) -> Result<Vec<String>, String> {
    let mut decoder = decoder(config);
    let mut rows = 0;
    for record in records {
        rows += decoder.decode(record.as_bytes()).map_err(|bad| bad.reason)?;
        assert_eq!(decoder.len(), rows);
    }
    Ok(shown(&decoder.flush().expect("a batch")))
}

fn refused(config: &Config, record: &str) -> String {
    let mut decoder = decoder(config);
    let bad = decoder.decode(record.as_bytes()).expect_err(record);
    assert_eq!(shown(&decoder.flush().expect("no rows")), Vec::<String>::new(), "nothing stays: {record}");
    bad.reason
}

#[test]
fn debezium_tells_of_inserts_snapshots_updates_and_deletes() {
    let records = [
        r#"{"before":null,"after":{"id":1,"name":"a"},"source":{"db":"inv","ts_ms":7},"op":"c","ts_ms":8}"#,
        r#"{"before":null,"after":{"id":2,"name":null,"more":[{}]},"op":"r"}"#,
        r#" { "op" : "u", "after" : {"name":"b","id":1}, "before" : {"id":1,"name":"a"} } "#,
        "",
        r#"{"before":{"id":2},"after":null,"op":"d","transaction":null}"#,
    ];
    let expected = ["+I[1, a]", "+I[2, NULL]", "-U[1, a]", "+U[1, b]", "-D[2, NULL]"];
    let config = Config::new(Dialect::Debezium);
    assert_eq!(read(&config, &records).expect("messages"), expected);
    let with_schema = Config { schema_include: true, ..config };
    let wrapped: Vec<String> = records
        .iter()
        .map(|record| match *record {
            "" => String::new(),
            record => format!(r#"{{"schema":{{"type":"struct","fields":[{{"field":"op"}}]}},"payload":{record}}}"#),
        })
        .collect();
    let wrapped: Vec<&str> = wrapped.iter().map(String::as_str).collect();
    assert_eq!(read(&with_schema, &wrapped).expect("messages"), expected);
}

#[test]
fn the_last_of_two_fields_counts_and_escapes_do_not_matter() {
    let record = r#"{"op":"d","after":{"id":9},"\u0061fter":{"id":1,"name":"\u0061"},"op":"\u0063"}"#;
    assert_eq!(read(&Config::new(Dialect::Debezium), &[record]).expect("a message"), ["+I[1, a]"]);
}

#[test]
fn what_is_no_message_is_refused_with_its_reason() {
    let config = Config::new(Dialect::Debezium);
    let full = "a PostgreSQL table needs REPLICA IDENTITY FULL";
    for (record, reason) in [
        (r#"{"after":{"id":1},"op":"u"}"#, format!("\"before\" of an update is missing: {full}")),
        (r#"{"before":null,"op":"d"}"#, format!("\"before\" of a delete is missing: {full}")),
        (r#"{"before":{"id":1},"op":"u"}"#, "\"after\" is missing".to_owned()),
        (r#"{"before":null,"after":null,"op":"c"}"#, "\"after\" is missing".to_owned()),
        (r#"{"after":{"id":1},"op":"t"}"#, "unknown \"op\" value \"t\"".to_owned()),
        (r#"{"after":{"id":1}}"#, "\"op\" is missing".to_owned()),
        (r#"{"after":{"id":1},"op":3}"#, "\"op\" must be a string".to_owned()),
        (r#"{"after":[{"id":1}],"op":"c"}"#, "expected an object".to_owned()),
        (r#"{"before":{"id":1},"after":{"id":"x"},"op":"u"}"#, "expected an INT".to_owned()),
        (r#"{"after":{"id":1},"op":"c"} x"#, "something follows the end of the value".to_owned()),
        ("null", "expected an object".to_owned()),
        ("[]", "expected an object".to_owned()),
    ] {
        assert_eq!(refused(&config, record), reason, "{record}");
    }
    let with_schema = Config { schema_include: true, ..Config::new(Dialect::Debezium) };
    assert_eq!(refused(&with_schema, r#"{"after":{"id":1},"op":"c"}"#), "\"payload\" is missing");
}

#[test]
fn ignored_errors_make_values_null_and_leave_other_messages_bad() {
    let mut config = Config::new(Dialect::Debezium);
    config.rows.ignore_parse_errors = true;
    assert_eq!(read(&config, &[r#"{"after":{"id":"x","name":"a"},"op":"c"}"#]).expect("a message"), ["+I[NULL, a]"]);
    assert_eq!(refused(&config, r#"{"after":{"id":1},"op":"t"}"#), "unknown \"op\" value \"t\"");
}

#[test]
fn a_bad_message_between_good_ones_leaves_their_rows() {
    let lines = concat!(
        r#"{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"op":"u"}"#,
        "\n",
        r#"{"before":{"id":1,"name":"a"},"after":{"id":1,"name":7x},"op":"u"}"#,
        "\n",
        r#"{"before":{"id":1,"name":"b"},"op":"d"}"#,
        "\n",
    );
    let mut decoder = decoder(&Config::new(Dialect::Debezium));
    let first = decoder.decode_lines(lines.as_bytes(), 100, true);
    assert_eq!((first.lines, first.rows, first.bad.is_some()), (2, 2, true));
    let rest = decoder.decode_lines(&lines.as_bytes()[first.consumed..], 100, true);
    assert_eq!((rest.lines, rest.rows, rest.bad), (1, 1, None));
    assert_eq!(shown(&decoder.flush().expect("a batch")), ["-U[1, a]", "+U[1, b]", "-D[1, b]"]);
    assert!(decoder.is_empty());
}

#[test]
fn an_update_is_whole_in_a_batch_that_is_full() {
    let line = "{\"before\":{\"id\":1},\"after\":{\"id\":2},\"op\":\"u\"}\n";
    let mut decoder = decoder(&Config::new(Dialect::Debezium));
    let done = decoder.decode_lines(line.repeat(3).as_bytes(), 3, true);
    assert_eq!((done.lines, done.rows), (2, 4));
}

#[test]
fn the_projection_decides_about_columns() {
    let record = br#"{"before":{"id":1,"name":"a"},"after":{"id":2,"name":"b"},"op":"u"}"#;
    let of = |projection: &[usize]| {
        let mut decoder = Decoder::new(&Config::new(Dialect::Debezium), &schema(), projection, 16).expect("a decoder");
        decoder.decode(record).expect("a message");
        decoder.flush().expect("a batch")
    };
    assert_eq!(of(&[1]).rows().column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((of(&[]).num_rows(), of(&[]).kind(0)), (2, RowKind::UpdateBefore));
}

#[test]
fn maxwell_leaves_out_of_the_old_row_what_has_not_changed() {
    let records = [
        r#"{"database":"d","table":"t","type":"insert","data":{"id":1,"name":"a"}}"#,
        r#"{"type":"update","data":{"id":1,"name":"b"},"old":{"name":"a"}}"#,
        r#"{"type":"update","data":{"id":1,"name":"c"},"old":{"name":null}}"#,
        r#"{"old":{"id":2},"type":"update","data":{"id":1,"name":"c"}}"#,
        r#"{"type":"delete","data":{"id":1,"name":"c"}}"#,
    ];
    let expected = ["+I[1, a]", "-U[1, a]", "+U[1, b]", "-U[1, NULL]", "+U[1, c]", "-U[2, c]", "+U[1, c]", "-D[1, c]"];
    let config = Config::new(Dialect::Maxwell);
    assert_eq!(read(&config, &records).expect("messages"), expected);
    let unknown = refused(&config, r#"{"type":"bootstrap-start","data":{}}"#);
    assert_eq!(unknown, "unknown \"type\" value \"bootstrap-start\"");
    assert_eq!(refused(&config, r#"{"type":"update","data":{"id":1}}"#), "\"old\" of an update is missing");
}

#[test]
fn canal_has_several_rows_in_a_message_and_can_be_filtered() {
    let records = [
        r#"{"data":[{"id":"1","name":"a"},{"id":"2","name":"b"}],"type":"INSERT","database":"shop","table":"items"}"#,
        r#"{"data":[{"id":"1","name":"c"},{"id":"2","name":"d"}],"old":[{"name":"a"},{"id":"3","name":"b"}],"type":"UPDATE","database":"shop","table":"items"}"#,
        r#"{"data":null,"type":"CREATE","database":"shop","table":"more"}"#,
        r#"{"data":[{"id":"9","name":"x"}],"type":"INSERT","database":"other","table":"items"}"#,
        r#"{"data":[{"id":"2","name":"d"}],"type":"DELETE","database":"shop","table":"items"}"#,
    ];
    let filtered = Config {
        databases: Some(Regex::new("^(?:shop)$").expect("a pattern")),
        tables: Some(Regex::new("^(?:i.*|more)$").expect("a pattern")),
        ..Config::new(Dialect::Canal)
    };
    let expected = ["+I[1, a]", "+I[2, b]", "-U[1, a]", "+U[1, c]", "-U[3, b]", "+U[2, d]", "-D[2, d]"];
    assert_eq!(read(&filtered, &records).expect("messages"), expected);
    let all = read(&Config::new(Dialect::Canal), &records).expect("messages");
    assert_eq!(all.len(), expected.len() + 1);
    assert_eq!(refused(&filtered, r#"{"data":[],"type":"INSERT"}"#), "\"database\" is missing");
    let half = r#"{"data":[{"id":1},{"id":2}],"old":[{"id":0}],"type":"UPDATE"}"#;
    assert_eq!(refused(&Config::new(Dialect::Canal), half), "\"old\" of an update is missing");
}

#[test]
fn golden_gate_is_debezium_under_other_names() {
    let records = [
        r#"{"table":"T","op_type":"I","after":{"id":1,"name":"a"}}"#,
        r#"{"op_type":"U","before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"}}"#,
        r#"{"op_type":"D","before":{"id":1,"name":"b"}}"#,
    ];
    let expected = ["+I[1, a]", "-U[1, a]", "+U[1, b]", "-D[1, b]"];
    assert_eq!(read(&Config::new(Dialect::Ogg), &records).expect("messages"), expected);
    assert_eq!(refused(&Config::new(Dialect::Ogg), r#"{"op_type":"T"}"#), "unknown \"op_type\" value \"T\"");
}

fn batch(rows: &[(RowKind, i32, Option<&str>)]) -> Batch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|(_, id, _)| *id))),
        Arc::new(StringArray::from_iter(rows.iter().map(|(_, _, name)| *name))),
    ];
    let kinds = eddyline_stream::Kinds::new(rows.iter().map(|(kind, ..)| *kind)).expect("whole pairs");
    Batch::with_kinds(RecordBatch::try_new(schema(), columns).expect("columns of the schema"), kinds)
}

#[test]
fn updates_are_written_as_deletes_and_inserts() {
    let changes = batch(&[
        (RowKind::Insert, 1, Some("a")),
        (RowKind::UpdateBefore, 1, Some("a")),
        (RowKind::UpdateAfter, 1, None),
        (RowKind::Delete, 1, None),
    ]);
    let written = |config: &Config| {
        let mut out = EncodedRecords::lines();
        Encoder::new(config, &schema()).and_then(|mut encoder| encoder.encode(&changes, &mut out)).expect("encoded");
        String::from_utf8_lossy(out.bytes()).into_owned()
    };
    let debezium = concat!(
        r#"{"before":null,"after":{"id":1,"name":"a"},"op":"c"}"#,
        "\n",
        r#"{"before":{"id":1,"name":"a"},"after":null,"op":"d"}"#,
        "\n",
        r#"{"before":null,"after":{"id":1,"name":null},"op":"c"}"#,
        "\n",
        r#"{"before":{"id":1,"name":null},"after":null,"op":"d"}"#,
        "\n",
    );
    assert_eq!(written(&Config::new(Dialect::Debezium)), debezium);
    let ogg = debezium.replace("\"op\":\"c\"", "\"op_type\":\"I\"").replace("\"op\":\"d\"", "\"op_type\":\"D\"");
    assert_eq!(written(&Config::new(Dialect::Ogg)), ogg);
    let mut short = Config::new(Dialect::Debezium);
    short.rows.nulls_left_out = true;
    let lines = written(&short);
    assert_eq!(lines.lines().nth(2), Some(r#"{"after":{"id":1},"op":"c"}"#));
    assert_eq!(lines.lines().nth(3), Some(r#"{"before":{"id":1},"op":"d"}"#));
    let lines = written(&Config::new(Dialect::Maxwell));
    assert_eq!(lines.lines().nth(1), Some(r#"{"data":{"id":1,"name":"a"},"type":"delete"}"#));
    let lines = written(&Config::new(Dialect::Canal));
    assert_eq!(lines.lines().next(), Some(r#"{"data":[{"id":1,"name":"a"}],"type":"INSERT"}"#));
}

#[test]
fn messages_with_their_schema_are_not_written() {
    let config = Config { schema_include: true, ..Config::new(Dialect::Debezium) };
    let error = Encoder::new(&config, &schema()).expect_err("for reading only").to_string();
    assert_eq!(error, "format 'debezium-json' messages cannot be written with their schema");
}

/// The number of times that a table has each row.
fn fold(batch: &Batch) -> BTreeMap<String, i32> {
    let mut table = BTreeMap::new();
    for row in shown(batch) {
        let (kind, content) = row.split_at(2);
        *table.entry(content.to_owned()).or_default() += if kind.starts_with('-') { -1 } else { 1 };
    }
    table.retain(|_, count| *count != 0);
    table
}

proptest! {
    #[test]
    fn what_is_written_and_read_again_describes_the_same_table(
        changes in prop::collection::vec((0u8..3, 0i32..4, prop::option::of("[a-z\"\\\\é]{0,5}")), 0..30),
        dialect in prop::sample::select(Dialect::ALL.to_vec()),
    ) {
        let (mut kinds, mut ids, mut names) = (KindsBuilder::default(), Vec::new(), Vec::new());
        for (kind, id, name) in changes {
            match kind {
                0 => kinds.insert(),
                1 => kinds.delete(),
                _ => {
                    kinds.update();
                    ids.push(id + 1);
                    names.push(None);
                }
            }
            ids.push(id);
            names.push(name);
        }
        let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(ids)), Arc::new(StringArray::from(names))];
        let rows = RecordBatch::try_new(schema(), columns).expect("columns of the schema");
        let written = Batch::with_kinds(rows, kinds.finish());
        let config = Config::new(dialect);
        let mut out = EncodedRecords::records();
        let mut encoder = Encoder::new(&config, &schema()).expect("an encoder");
        encoder.encode(&written, &mut out).expect("encoded");
        let mut decoder = decoder(&config);
        for record in out.iter().flatten() {
            prop_assert_eq!(decoder.decode(record), Ok(1));
        }
        let again = decoder.flush().expect("a batch");
        prop_assert_eq!(again.rows(), written.rows());
        prop_assert_eq!(fold(&again), fold(&written));
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_trace(
        soups in prop::collection::vec("[{}\\[\\]\":,a-c0-9 ]{0,40}", 0..6),
        dialect in prop::sample::select(Dialect::ALL.to_vec()),
        schema_include: bool,
    ) {
        let good = match dialect {
            Dialect::Debezium => r#"{"before":{"id":1},"after":{"id":2},"op":"u"}"#,
            Dialect::Ogg => r#"{"before":{"id":1},"after":{"id":2},"op_type":"U"}"#,
            Dialect::Maxwell => r#"{"old":{"id":1},"data":{"id":2},"type":"update"}"#,
            Dialect::Canal => r#"{"old":[{"id":1}],"data":[{"id":2}],"type":"UPDATE"}"#,
        };
        let schema_include = schema_include && dialect == Dialect::Debezium;
        let mut decoder = decoder(&Config { schema_include, ..Config::new(dialect) });
        let good = if schema_include { format!("{{\"payload\":{good}}}") } else { good.to_owned() };
        let mut rows = 0;
        for soup in soups {
            for record in [soup.clone(), good.replace("{\"id\":2}", &soup), format!("{good}{soup}")] {
                rows += decoder.decode(record.as_bytes()).unwrap_or(0);
                rows += decoder.decode(good.as_bytes()).expect("a good message");
            }
        }
        prop_assert_eq!(decoder.flush().expect("columns in step").num_rows(), rows);
    }
}

/// A column whose values have rows inside.
#[test]
fn nested_values_are_those_of_json() {
    let inner = DataType::Struct(Fields::from(vec![Field::new("x", DataType::Int32, true)]));
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("r", inner, true)]));
    let mut decoder = Decoder::new(&Config::new(Dialect::Maxwell), &schema, &[0], 16).expect("a decoder");
    decoder.decode(br#"{"type":"update","data":{"r":{"x":2}},"old":{"r":{"x":1}}}"#).expect("a message");
    let batch = decoder.flush().expect("a batch");
    let values = batch.rows().column(0).as_struct().column(0).as_primitive::<Int32Type>().values().to_vec();
    assert_eq!(values, [1, 2]);
}
