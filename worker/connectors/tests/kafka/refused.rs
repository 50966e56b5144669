//! Records that a broker refuses: the epoch that they belong to fails, whichever of its records they are.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use eddyline_connectors::TableDescriptor;
use eddyline_connectors::sink::{Sink, SinkCommitter};
use eddyline_stream::{Batch, CheckpointId};

use crate::broker::{Broker, broker, io};
use crate::table::{committed_values, open_sink, open_writer, rows, table, values};

/// The topic takes records of this size, and so does the client.
const BYTES_MAX: usize = 10_000;

/// A table over a topic that refuses large records. Each request has one record, so that only a large one is refused.
fn strict_table(broker: &Broker, guarantee: &str) -> (String, TableDescriptor) {
    let topic = broker.topic_with(1, &[("max.message.bytes", &BYTES_MAX.to_string())]);
    let options = [("sink.delivery-guarantee", guarantee), ("properties.batch.num.messages", "1")];
    let descriptor = table(broker, &topic, &options);
    (topic, descriptor)
}

/// A row of the table that becomes a record which is too large.
fn large_row(id: i64) -> Batch {
    let schema = rows(0..0).rows().schema();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![id])), Arc::new(StringArray::from(vec!["x".repeat(2 * BYTES_MAX)]))];
    Batch::new(RecordBatch::try_new(schema, columns).expect("columns of the schema"))
}

#[test]
fn an_epoch_at_least_once_fails_with_its_last_record() {
    let broker = broker();
    for large_at in [0, 100] {
        let (topic, descriptor) = strict_table(&broker, "at-least-once");
        let folder = tempfile::tempdir().unwrap();
        let sink = open_sink(descriptor, folder.path());
        let (mut writer, _bell) = open_writer(&sink, 0, 1);
        writer.write(&rows(0..large_at)).unwrap();
        writer.write(&large_row(large_at)).unwrap();
        writer.write(&rows(large_at..100)).unwrap();
        let error = io().block_on(writer.prepare_commit(CheckpointId::new(1))).unwrap_err().to_string();
        assert!(error.contains(&topic) && error.contains("was not written"), "{error}");
        // A record that is lost stays lost: no later epoch is complete either.
        let error = io().block_on(writer.prepare_commit(CheckpointId::new(2))).unwrap_err().to_string();
        assert!(error.contains(&topic), "{error}");
    }
}

#[test]
fn a_transaction_with_a_record_that_is_refused_is_not_committed() {
    let broker = broker();
    for large_at in [0, 100] {
        let (topic, descriptor) = strict_table(&broker, "exactly-once");
        let folder = tempfile::tempdir().unwrap();
        let sink = open_sink(descriptor, folder.path());
        let (mut writer, _bell) = open_writer(&sink, 0, 1);
        writer.write(&rows(0..5)).unwrap();
        let first = io().block_on(writer.prepare_commit(CheckpointId::new(1))).unwrap();
        writer.write(&rows(5..5 + large_at)).unwrap();
        writer.write(&large_row(1000)).unwrap();
        writer.write(&rows(5 + large_at..105)).unwrap();
        let second = io().block_on(writer.prepare_commit(CheckpointId::new(2))).unwrap();
        let mut committer: Box<dyn SinkCommitter> = sink.committer(io().handle().clone()).unwrap().unwrap();
        io().block_on(committer.commit(CheckpointId::new(1), &first)).unwrap();
        for _ in 0..2 {
            let error = io().block_on(committer.commit(CheckpointId::new(2), &second)).unwrap_err().to_string();
            assert!(error.contains(&topic) && error.contains("write a record"), "{error}");
            assert_eq!(committed_values(&broker, &topic), values(0..5), "nothing of the epoch is visible");
        }
    }
}
