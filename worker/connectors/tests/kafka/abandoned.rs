//! Checkpoints that are abandoned at any step. Every sink accepts rows and the next barrier although nobody has awaited
//! the committables of the abandoned checkpoint. These are committed with the next checkpoint.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use eddyline_connectors::sink::{Committable, SinkWriter};
use eddyline_connectors::{OpenContext, SinkConfig, TableDescriptor, open_sink};
use eddyline_stream::CheckpointId;

use crate::broker::{Broker, DEADLINE, broker, broker_alone, io};
use crate::table::{Bell, Folder, committed_values, open_sink as open_kafka_sink, open_writer, rows, table, values};

/// When the coordinator awaits the committables of an abandoned checkpoint.
#[derive(Clone, Copy, Debug)]
enum Looks {
    /// Before the next barrier: it was staged, and then the manifest could not be written.
    Before,
    /// With the next checkpoint.
    With,
    /// After two more checkpoints were abandoned.
    Late,
}

fn wait_until_ready(what: &str, writer: &mut Box<dyn SinkWriter>, bell: &Bell) {
    while !writer.is_ready().unwrap_or_else(|error| panic!("{what}: {error}")) {
        bell.wait(Instant::now() + DEADLINE);
    }
}

/// Writes three epochs, of which only the last becomes a checkpoint. Returns what is committed with it.
fn write(what: &str, writer: &mut Box<dyn SinkWriter>, bell: &Bell, looks: Looks) -> Vec<Committable> {
    let mut carried = Vec::new();
    let mut staged: Vec<Committable> = Vec::new();
    for checkpoint in 1..=3 {
        wait_until_ready(what, writer, bell);
        let first = (checkpoint - 1) * 10;
        writer.write(&rows(first..first + 10)).unwrap();
        carried.push(writer.prepare_commit(CheckpointId::new(checkpoint as u64)));
        let looked_at = match looks {
            Looks::Before => carried.len(),
            Looks::With => carried.len() - 1,
            Looks::Late => 0,
        };
        for prepared in carried.drain(..looked_at) {
            staged.extend(io().block_on(prepared).unwrap_or_else(|error| panic!("{what}: {error}")));
        }
    }
    for prepared in carried {
        staged.extend(io().block_on(prepared).unwrap_or_else(|error| panic!("{what}: {error}")));
    }
    wait_until_ready(what, writer, bell);
    staged
}

fn run(what: &str, descriptor: &TableDescriptor, staging: &Path, looks: Looks) {
    let what = format!("{what}, {looks:?}");
    let context = OpenContext {
        job: "job".to_owned(),
        history: "h".to_owned(),
        uid: format!("sink/{what}"),
        attempt: 1,
        staging: Arc::new(Folder(staging.to_owned())),
    };
    let config = SinkConfig::parse(descriptor).expect("valid options");
    let sink = open_sink(config, descriptor, &context).expect("a sink");
    let (mut writer, bell) = open_writer(sink.as_ref(), 0, 1);
    let staged = write(&what, &mut writer, &bell, looks);
    if let Some(mut committer) = sink.committer(io().handle().clone()).expect("it opens") {
        io().block_on(committer.commit(CheckpointId::new(3), &staged))
            .unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

fn of_connector(options: &[(&str, &str)]) -> TableDescriptor {
    let mut descriptor = table_without_broker();
    descriptor.options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    descriptor
}

fn table_without_broker() -> TableDescriptor {
    TableDescriptor {
        name: "t".to_owned(),
        schema: rows(0..1).rows().schema(),
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: std::collections::BTreeMap::new(),
    }
}

fn lines_of(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_file() {
            let text = std::fs::read_to_string(entry.path()).expect("a text file");
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    lines.sort();
    lines
}

fn every_sink(broker: &Broker, looks: Looks) {
    let folder = tempfile::tempdir().unwrap();
    let (files, staging) = (folder.path().join("files"), folder.path().join("staging"));
    std::fs::create_dir(&staging).unwrap();
    run("print", &of_connector(&[("connector", "print"), ("standard-error", "true")]), &staging, looks);
    run("blackhole", &of_connector(&[("connector", "blackhole")]), &staging, looks);
    let path = files.to_str().expect("a path of the test");
    let filesystem = of_connector(&[("connector", "filesystem"), ("path", path), ("format", "json")]);
    run("filesystem", &filesystem, &staging, looks);
    assert_eq!(lines_of(&files), values(0..30), "files, {looks:?}");
    for guarantee in ["at-least-once", "exactly-once"] {
        let topic = broker.topic(1);
        let descriptor = table(broker, &topic, &[("sink.delivery-guarantee", guarantee)]);
        run(guarantee, &descriptor, &staging, looks);
        assert_eq!(committed_values(broker, &topic), values(0..30), "{guarantee}, {looks:?}");
    }
}

#[test]
fn what_abandoned_checkpoints_were_given_goes_along_with_the_next_one() {
    let broker = broker();
    for looks in [Looks::Before, Looks::With, Looks::Late] {
        every_sink(&broker, looks);
    }
}

#[test]
fn rows_and_barriers_are_taken_while_acknowledgements_are_waited_for() {
    let broker = broker_alone();
    let topic = broker.topic(1);
    let folder = tempfile::tempdir().unwrap();
    let sink = open_kafka_sink(table(&broker, &topic, &[]), folder.path());
    let (mut writer, bell) = open_writer(&sink, 0, 1);
    writer.write(&rows(0..10)).unwrap();
    io().block_on(writer.prepare_commit(CheckpointId::new(1))).unwrap();
    wait_until_ready("before", &mut writer, &bell);

    broker.kill();
    let mut prepared = Vec::new();
    for checkpoint in 2..5 {
        assert!(writer.is_ready().unwrap(), "checkpoint {checkpoint}");
        let first = checkpoint as i64 * 10;
        writer.write(&rows(first - 10..first)).unwrap();
        prepared.push(writer.prepare_commit(CheckpointId::new(checkpoint)));
    }
    // The number of rows is bounded all the same. This makes the slot wait.
    let mut written = 40;
    while writer.is_ready().unwrap() {
        writer.write(&rows(written..written + 10_000)).unwrap();
        written += 10_000;
        assert!(written < 5_000_000, "rows after a barrier are accepted without a bound");
    }
    broker.restart();

    // The latest one is awaited first, so it does not depend on those before it.
    for prepared in prepared.into_iter().rev() {
        io().block_on(prepared).unwrap();
    }
    wait_until_ready("afterwards", &mut writer, &bell);
    io().block_on(writer.prepare_commit(CheckpointId::new(5))).unwrap();
    assert_eq!(committed_values(&broker, &topic), values(0..written));
}
