//! Writing: when output becomes visible, and that it becomes visible once.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use eddyline_connectors::kafka::{KafkaSink, SinkConfig};
use eddyline_connectors::sink::{Committable, Sink, SinkCommitter, SinkWriter, Staging};
use eddyline_connectors::{Error, TableDescriptor};
use eddyline_stream::{Batch, CheckpointId, KindsBuilder};
use futures::future::BoxFuture;
use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::broker::{BOOTSTRAP_VARIABLE, Broker, DEADLINE, broker, io};
use crate::table::{
    Folder, Reading, committed, committed_values, open_sink, open_writer, rows, table, values, with_metadata,
};

const EXACTLY_ONCE: (&str, &str) = ("sink.delivery-guarantee", "exactly-once");

/// The variable that names the topic to the process that crashes.
const CRASH_TOPIC_VARIABLE: &str = "EDDYLINE_TEST_CRASH_TOPIC";
const CRASH_FOLDER_VARIABLE: &str = "EDDYLINE_TEST_CRASH_FOLDER";

fn prepare(writer: &mut Box<dyn SinkWriter>, checkpoint: u64) -> Vec<Committable> {
    io().block_on(writer.prepare_commit(CheckpointId::new(checkpoint))).expect("a prepared epoch")
}

/// Commits with a committer of its own, as another attempt does.
fn commit(descriptor: &TableDescriptor, folder: &Path, checkpoint: u64, staged: &[Committable]) {
    let sink = open_sink(descriptor.clone(), folder);
    let mut committer = sink.committer(io().handle().clone()).unwrap().expect("a committer");
    io().block_on(committer.commit(CheckpointId::new(checkpoint), staged)).expect("a commit");
}

#[test]
fn at_least_once_output_is_there_when_the_epoch_is_prepared() {
    let broker = broker();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    let sink = open_sink(table(&broker, &topic, &[]), folder.path());
    assert!(sink.committer(io().handle().clone()).unwrap().is_none());
    let (mut writer, bell) = open_writer(&sink, 0, 1);
    assert!(writer.is_ready().unwrap());
    writer.write(&rows(0..500)).unwrap();
    assert!(prepare(&mut writer, 1).is_empty());
    assert_eq!(committed_values(&broker, &topic), values(0..500));
    assert_eq!(writer.bytes(), values(0..500).iter().map(|value| value.len() as u64).sum::<u64>());
    bell.wait(Instant::now() + DEADLINE);
    assert!(writer.is_ready().unwrap());
}

#[test]
fn rows_written_during_a_flush_keep_their_order() {
    let broker = broker();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    let sink = open_sink(table(&broker, &topic, &[]), folder.path());
    let (mut writer, _bell) = open_writer(&sink, 0, 1);
    writer.write(&rows(0..100)).unwrap();
    let preparing = writer.prepare_commit(CheckpointId::new(1));
    assert!(writer.is_ready().unwrap());
    writer.write(&rows(100..200)).unwrap();
    io().block_on(preparing).unwrap();
    writer.write(&rows(200..300)).unwrap();
    prepare(&mut writer, 2);
    let found: Vec<String> = committed(&broker, &topic).into_iter().map(|(_, _, value)| value).collect();
    let expected: Vec<String> = (0..300).map(|id| format!("{{\"id\":{id},\"name\":\"n{id}\"}}")).collect();
    assert_eq!(found, expected);
}

#[test]
fn partitioners_choose_by_key_by_writer_or_in_turns() {
    let broker = broker();
    let folder = tempfile::tempdir().unwrap();
    let write = |options: &[(&str, &str)], writer: usize| {
        let topic = broker.topic(3);
        let sink = open_sink(table(&broker, &topic, options), folder.path());
        let (mut writer, _bell) = open_writer(&sink, writer, 5);
        writer.write(&rows(0..6)).unwrap();
        prepare(&mut writer, 1);
        committed(&broker, &topic)
    };
    let fixed = write(&[("sink.partitioner", "fixed")], 4);
    assert_eq!((fixed.len(), fixed.iter().all(|(partition, ..)| *partition == 1)), (6, true));
    let turns = write(&[("sink.partitioner", "round-robin")], 0);
    assert_eq!(turns.iter().map(|(partition, ..)| *partition).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2]);
    let keyed = [("key.format", "json"), ("key.fields", "id"), ("value.fields-include", "EXCEPT_KEY")];
    let by_key = write(&keyed, 0);
    let again = write(&keyed, 3);
    assert_eq!(by_key, again);
    assert!(by_key.contains(&(1, r#"{"id":0}"#.to_owned(), r#"{"name":"n0"}"#.to_owned())), "{by_key:?}");
}

#[test]
fn a_written_timestamp_becomes_the_record_timestamp() {
    let broker = broker();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    let instant = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let descriptor = with_metadata(table(&broker, &topic, &[]), "timestamp", instant.clone(), false);
    let sink = open_sink(descriptor.clone(), folder.path());
    let (mut writer, _bell) = open_writer(&sink, 0, 1);
    let physical = rows(1..2).rows().clone();
    let mut fields: Vec<Field> = physical.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new("timestamp", instant, true));
    let mut columns = physical.columns().to_vec();
    let stamps: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1_700_000_000_000]).with_timezone("UTC"));
    columns.push(stamps);
    writer.write(&Batch::new(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap())).unwrap();
    prepare(&mut writer, 1);
    assert_eq!(Reading::start(descriptor).rows(1), ["1,n1,1700000000000"]);
}

#[test]
fn a_record_that_is_not_acknowledged_in_time_fails_the_epoch_and_is_named() {
    let broker = broker();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    let nobody_there = [("properties.message.timeout.ms", "2000"), ("properties.bootstrap.servers", "127.0.0.1:1")];
    let sink = open_sink(table(&broker, &topic, &nobody_there), folder.path());
    let (mut writer, _bell) = open_writer(&sink, 0, 1);
    writer.write(&rows(0..1)).unwrap();
    let error = io().block_on(writer.prepare_commit(CheckpointId::new(1))).unwrap_err().to_string();
    assert!(error.contains(&topic) && error.contains("not written"), "{error}");
}

#[test]
fn exactly_once_output_is_visible_after_the_commit_and_once() {
    let broker = broker();
    let topic = broker.topic(2);
    let folder = tempfile::tempdir().unwrap();
    let descriptor = table(&broker, &topic, &[EXACTLY_ONCE]);
    let sink = open_sink(descriptor.clone(), folder.path());
    let mut committer = sink.committer(io().handle().clone()).unwrap().expect("a committer");
    let (mut first, _) = open_writer(&sink, 0, 2);
    let (mut second, _) = open_writer(&sink, 1, 2);
    first.write(&rows(0..10)).unwrap();
    second.write(&rows(10..20)).unwrap();
    let mut staged = prepare(&mut first, 1);
    staged.extend(prepare(&mut second, 1));
    assert_eq!(staged.len(), 2);
    assert!(committed_values(&broker, &topic).is_empty());
    io().block_on(committer.commit(CheckpointId::new(1), &staged)).unwrap();
    assert_eq!(committed_values(&broker, &topic), values(0..20));

    // An epoch without rows stages nothing, one with rows follows.
    assert!(prepare(&mut first, 2).is_empty());
    second.write(&rows(20..25)).unwrap();
    let later = prepare(&mut second, 3);
    io().block_on(committer.commit(CheckpointId::new(3), &later)).unwrap();
    io().block_on(committer.commit(CheckpointId::new(3), &later)).unwrap();
    drop(committer);
    // A restart with one writer fewer repeats the last commit, by a new committer.
    commit(&descriptor, folder.path(), 3, &later);
    assert_eq!(committed_values(&broker, &topic), values(0..25));
}

#[test]
fn a_failed_checkpoints_output_is_published_with_the_next_one_and_first() {
    let broker = broker();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    let descriptor = table(&broker, &topic, &[EXACTLY_ONCE]);
    let sink = open_sink(descriptor.clone(), folder.path());
    let (mut writer, _) = open_writer(&sink, 0, 1);
    writer.write(&rows(0..2)).unwrap();
    let failed = prepare(&mut writer, 1);
    writer.write(&rows(2..4)).unwrap();
    let mut staged = prepare(&mut writer, 2);
    staged.extend(failed);
    commit(&descriptor, folder.path(), 2, &staged);
    let found: Vec<String> = committed(&broker, &topic).into_iter().map(|(_, _, value)| value).collect();
    assert_eq!(found, values(0..4));
}

#[test]
fn a_publication_is_found_again_after_the_group_was_forgotten() {
    let broker = broker();
    let topic = broker.topic(3);
    let folder = tempfile::tempdir().unwrap();
    let descriptor = table(&broker, &topic, &[EXACTLY_ONCE]);
    let sink = open_sink(descriptor.clone(), folder.path());
    let (mut writer, _) = open_writer(&sink, 0, 1);
    writer.write(&rows(0..5)).unwrap();
    let mut staged = prepare(&mut writer, 7);
    staged_long_ago(&mut staged);
    commit(&descriptor, folder.path(), 7, &staged);
    forget_group(&broker, &topic);
    commit(&descriptor, folder.path(), 7, &staged);
    assert_eq!(committed_values(&broker, &topic), values(0..5));
    writer.write(&rows(5..6)).unwrap();
    let staged = prepare(&mut writer, 8);
    commit(&descriptor, folder.path(), 8, &staged);
    assert_eq!(committed_values(&broker, &topic), values(0..6));
}

/// Changes committables as if they were staged so long ago that Kafka may have deleted the committed offset.
fn staged_long_ago(staged: &mut [Committable]) {
    for committable in staged {
        let at = committable.description["staged_at_ms"].as_i64().expect("a time");
        committable.description["staged_at_ms"] = (at - 2 * 60 * 60 * 1000).into();
    }
}

/// Deletes the consumer group whose offset is a slot's progress in publishing.
fn forget_group(broker: &Broker, topic: &str) {
    let group = format!("job-sink/{topic}-0");
    let gone = io().block_on(broker.admin().delete_groups(&[&group], &AdminOptions::new())).unwrap();
    gone[0].as_ref().expect("the group was there");
}

/// Stages objects of five rows each, as abandoned checkpoints do. All of them belong to checkpoint `last`.
fn several_objects(descriptor: &TableDescriptor, folder: &Path, last: u64) -> Vec<Committable> {
    let sink = open_sink(descriptor.clone(), folder);
    let (mut writer, _) = open_writer(&sink, 0, 1);
    let mut staged = Vec::new();
    for (epoch, checkpoint) in (last - 2..=last).enumerate() {
        let first = epoch as i64 * 5;
        writer.write(&rows(first..first + 5)).unwrap();
        staged.extend(prepare(&mut writer, checkpoint));
    }
    staged
}

/// Makes a commit fail after some objects are published, by removing the next object.
fn commit_in_part(committer: &mut dyn SinkCommitter, folder: &Path, staged: &[Committable]) {
    let third = staged[2].description["objects"][0]["name"].as_str().expect("a name").replace('/', "+");
    let (there, away) = (folder.join(&third), folder.join("away"));
    std::fs::rename(&there, &away).unwrap();
    let error = io().block_on(committer.commit(CheckpointId::new(9), staged)).unwrap_err().to_string();
    assert!(error.contains("slot-0-2"), "{error}");
    std::fs::rename(&away, &there).unwrap();
}

#[test]
fn a_commit_continues_after_the_objects_that_are_published_already() {
    let broker = broker();
    for forgotten in [false, true] {
        let topic = broker.topic(1);
        let folder = tempfile::tempdir().unwrap();
        let descriptor = table(&broker, &topic, &[EXACTLY_ONCE]);
        let mut staged = several_objects(&descriptor, folder.path(), 9);
        staged_long_ago(&mut staged);
        let mut committer = open_sink(descriptor.clone(), folder.path()).committer(io().handle().clone()).unwrap();
        commit_in_part(committer.as_deref_mut().expect("a committer"), folder.path(), &staged);
        drop(committer);
        assert_eq!(committed_values(&broker, &topic), values(0..10));
        if forgotten {
            forget_group(&broker, &topic);
        }
        for _ in 0..2 {
            commit(&descriptor, folder.path(), 9, &staged);
            assert_eq!(committed_values(&broker, &topic), values(0..15), "forgotten: {forgotten}");
        }
    }
}

#[test]
fn a_commit_that_its_own_attempt_repeats_finds_what_is_published_after_the_group_was_forgotten() {
    let broker = broker();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    let descriptor = table(&broker, &topic, &[EXACTLY_ONCE]);
    let mut staged = several_objects(&descriptor, folder.path(), 9);
    staged_long_ago(&mut staged);
    let sink = open_sink(descriptor, folder.path());
    let mut committer = sink.committer(io().handle().clone()).unwrap().expect("a committer");
    io().block_on(committer.abort_stale(&[])).unwrap();
    commit_in_part(committer.as_mut(), folder.path(), &staged);
    // This is what a long outage of the broker looks like, after which the same attempt tries again.
    forget_group(&broker, &topic);
    io().block_on(committer.commit(CheckpointId::new(9), &staged)).unwrap();
    assert_eq!(committed_values(&broker, &topic), values(0..15));
}

#[test]
fn an_offset_of_an_earlier_release_says_what_is_published() {
    let broker = broker();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    let descriptor = table(&broker, &topic, &[EXACTLY_ONCE]);
    let staged = several_objects(&descriptor, folder.path(), 9);
    // An offset without metadata stands for the whole checkpoint, whatever it has staged.
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&topic, 0, Offset::Offset(9)).unwrap();
    let mut config = broker.client();
    let group: BaseConsumer = config.set("group.id", format!("job-sink/{topic}-0")).create().unwrap();
    group.commit(&offsets, CommitMode::Sync).unwrap();
    commit(&descriptor, folder.path(), 9, &staged);
    assert!(committed_values(&broker, &topic).is_empty());
    commit(&descriptor, folder.path(), 10, &staged);
    assert_eq!(committed_values(&broker, &topic), values(0..15));
}

/// Counts the objects that are in memory at the same time.
struct Counted {
    folder: Folder,
    loaded: Arc<(AtomicUsize, AtomicUsize)>,
}

struct Tracked(Bytes, Arc<(AtomicUsize, AtomicUsize)>);

impl AsRef<[u8]> for Tracked {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.1.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Staging for Counted {
    fn put(&self, name: String, data: Bytes) -> BoxFuture<'_, Result<(), Error>> {
        self.folder.put(name, data)
    }

    fn get(&self, name: String) -> BoxFuture<'_, Result<Bytes, Error>> {
        Box::pin(async move {
            let bytes = self.folder.get(name).await?;
            let now = self.loaded.0.fetch_add(1, Ordering::SeqCst) + 1;
            self.loaded.1.fetch_max(now, Ordering::SeqCst);
            Ok(Bytes::from_owner(Tracked(bytes, Arc::clone(&self.loaded))))
        })
    }
}

#[test]
fn a_publication_has_one_object_of_a_slot_in_memory_at_a_time() {
    let broker = broker();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    let descriptor = table(&broker, &topic, &[EXACTLY_ONCE]);
    let staged = several_objects(&descriptor, folder.path(), 3);
    let loaded = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counted = Counted { folder: Folder(folder.path().to_owned()), loaded: Arc::clone(&loaded) };
    let config = SinkConfig::parse(&descriptor).unwrap();
    let sink = KafkaSink::open(config, descriptor, &format!("sink/{topic}"), "job", Arc::new(counted)).unwrap();
    let mut committer = sink.committer(io().handle().clone()).unwrap().expect("a committer");
    io().block_on(committer.commit(CheckpointId::new(3), &staged)).unwrap();
    assert_eq!(committed_values(&broker, &topic), values(0..15));
    assert_eq!((loaded.0.load(Ordering::SeqCst), loaded.1.load(Ordering::SeqCst)), (0, 1));
}

#[test]
fn a_transaction_has_a_bound_whatever_the_size_of_a_batch() {
    const ROWS: i64 = 96;
    let broker = broker();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    let sink = open_sink(table(&broker, &topic, &[EXACTLY_ONCE]), folder.path());
    let (mut writer, _bell) = open_writer(&sink, 0, 1);
    let text = "x".repeat(500_000);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..ROWS)),
        Arc::new(StringArray::from_iter_values((0..ROWS).map(|_| &text))),
    ];
    writer.write(&Batch::new(RecordBatch::try_new(rows(0..0).rows().schema(), columns).unwrap())).unwrap();
    let staged = prepare(&mut writer, 1);
    let objects = staged[0].description["objects"].as_array().expect("objects");
    let bytes: Vec<u64> = objects.iter().map(|object| object["bytes"].as_u64().expect("a size")).collect();
    assert!(bytes.len() == 3 && bytes.iter().all(|bytes| *bytes < 17 << 20), "{bytes:?}");
    let mut committer = sink.committer(io().handle().clone()).unwrap().expect("a committer");
    io().block_on(committer.commit(CheckpointId::new(1), &staged)).unwrap();
    assert_eq!(committed_values(&broker, &topic).len(), 96);
}

#[test]
fn a_lost_staged_object_is_named() {
    let broker = broker();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    let descriptor = table(&broker, &topic, &[EXACTLY_ONCE]);
    let sink = open_sink(descriptor, folder.path());
    let (mut writer, _) = open_writer(&sink, 3, 4);
    writer.write(&rows(0..5)).unwrap();
    let staged = prepare(&mut writer, 1);
    let file = std::fs::read_dir(folder.path()).unwrap().next().expect("one object").unwrap().path();
    for part in ["attempt-1", "checkpoint-1", "slot-3", "sink=2f"] {
        assert!(file.to_string_lossy().contains(part), "{file:?}");
    }
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let mut committer = sink.committer(io().handle().clone()).unwrap().expect("a committer");
    let error = io().block_on(committer.commit(CheckpointId::new(1), &staged)).unwrap_err().to_string();
    assert!(error.contains("slot-3-0") && error.contains("checksum"), "{error}");
    assert!(committed_values(&broker, &topic).is_empty());
}

#[test]
fn a_commit_that_crashed_at_any_step_is_repeated_without_loss_or_duplicate() {
    if let Ok(topic) = std::env::var(CRASH_TOPIC_VARIABLE) {
        let folder = std::env::var(CRASH_FOLDER_VARIABLE).expect("set together");
        stage_and_commit(&broker(), &topic, Path::new(&folder));
        return;
    }
    let broker = broker();
    let steps = [
        "kafka-sink.before-commit",
        "kafka-sink.before-init",
        "kafka-sink.after-init",
        "kafka-sink.before-begin",
        "kafka-sink.after-begin",
        "kafka-sink.after-produce",
        "kafka-sink.after-flush-of-transaction",
        "kafka-sink.after-offsets",
        "kafka-sink.after-transaction",
        "kafka-sink.after-all-slots",
    ];
    // Each of three objects has a transaction of its own.
    let of_transactions = ["begin", "produce", "flush-of-transaction", "offsets", "after-transaction"];
    for step in steps {
        let passes = if of_transactions.iter().any(|part| step.ends_with(part)) { 1..=3 } else { 1..=1 };
        for pass in passes {
            crash_and_repeat(&broker, step, pass);
        }
    }
}

fn crash_and_repeat(broker: &Broker, step: &str, pass: u32) {
    let topic = broker.topic(2);
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture"]);
    command.arg("sink::a_commit_that_crashed_at_any_step_is_repeated_without_loss_or_duplicate");
    command.env("EDDYLINE_CRASH_AT", format!("{step}:{pass}")).env(BOOTSTRAP_VARIABLE, broker.address());
    command.env(CRASH_TOPIC_VARIABLE, &topic).env(CRASH_FOLDER_VARIABLE, folder.path());
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains(&format!("crash point {step} reached")), "{step}, pass {pass}: {errors}");
    let text = std::fs::read_to_string(folder.path().join("committables")).unwrap();
    let staged: Vec<Committable> = serde_json::from_str(&text).unwrap();
    commit(&table(broker, &topic, &[EXACTLY_ONCE]), folder.path(), 3, &staged);
    assert_eq!(committed_values(broker, &topic), values(0..15), "after a crash at {step}, pass {pass}");
}

/// Stages three objects, writes what a checkpoint would hold to a file, and commits.
fn stage_and_commit(broker: &Broker, topic: &str, folder: &Path) {
    let descriptor = table(broker, topic, &[EXACTLY_ONCE]);
    let staged = several_objects(&descriptor, folder, 3);
    std::fs::write(folder.join("committables"), serde_json::to_string(&staged).unwrap()).unwrap();
    commit(&descriptor, folder, 3, &staged);
}

#[test]
fn a_changelog_is_written_under_its_keys_and_read_again() {
    let broker = broker();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    let options = [
        ("format", "debezium-json"),
        ("key.format", "json"),
        ("key.fields", "id"),
        ("scan.bounded.mode", "latest-offset"),
    ];
    let descriptor = table(&broker, &topic, &options);
    let sink = open_sink(descriptor.clone(), folder.path());
    let (mut writer, _bell) = open_writer(&sink, 0, 1);
    let mut kinds = KindsBuilder::default();
    kinds.insert();
    kinds.update();
    kinds.delete();
    writer.write(&Batch::with_kinds(rows(1..5).rows().clone(), kinds.finish())).unwrap();
    prepare(&mut writer, 1);
    let written = committed(&broker, &topic);
    assert_eq!(
        written[1],
        (0, r#"{"id":2}"#.to_owned(), r#"{"before":{"id":2,"name":"n2"},"after":null,"op":"d"}"#.to_owned())
    );
    assert_eq!(Reading::start(descriptor).all_rows(), ["1,n1", "-D 2,n2", "3,n3", "-D 4,n4"]);
}

#[test]
fn a_table_of_inserts_refuses_other_rows() {
    let broker = broker();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    let sink = open_sink(table(&broker, &topic, &[]), folder.path());
    let (mut writer, _bell) = open_writer(&sink, 0, 1);
    let mut kinds = KindsBuilder::default();
    kinds.delete();
    let error = writer.write(&Batch::with_kinds(rows(1..2).rows().clone(), kinds.finish())).unwrap_err();
    let text = format!("{error}: {}", std::error::Error::source(&error).and_then(|e| e.source()).unwrap());
    assert!(text.contains("cannot encode rows") && text.contains("only inserts (+I) are accepted"), "{text}");
}
