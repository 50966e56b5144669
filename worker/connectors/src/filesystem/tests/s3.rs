//! Filesystem tables over a real S3 server. `EDDYLINE_TEST_S3` names its endpoint: `eval "$(e2e/services/s3/server.sh
//! env)"`. Without the variable the tests are skipped, and they say so.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use eddyline_stream::Batch;
use object_store::multipart::MultipartStore;

use super::people;
use crate::filesystem::names::Names;
use crate::filesystem::store::Store;
use crate::harness::Harness;
use crate::{SinkConfig, TableDescriptor};

/// A folder of its own in the test bucket, and the options that lead there.
struct Bucket {
    folder: String,
    options: Vec<(String, String)>,
}

impl Bucket {
    fn of_test(name: &str) -> Option<Self> {
        let Ok(endpoint) = std::env::var("EDDYLINE_TEST_S3") else {
            eprintln!("not run: EDDYLINE_TEST_S3 is not set");
            return None;
        };
        let variable = |key: &str, default: &str| std::env::var(key).unwrap_or_else(|_| default.to_owned());
        let bucket = variable("EDDYLINE_TEST_S3_BUCKET", "eddyline");
        let unique = format!("{}-{:?}", std::process::id(), std::time::SystemTime::now());
        let unique = format!("{:016x}", crate::generated::random::of_name(&unique));
        let options = [
            ("s3.endpoint", endpoint.as_str()),
            ("s3.region", "us-east-1"),
            ("s3.access-key", &variable("AWS_ACCESS_KEY_ID", "eddyline")),
            ("s3.secret-key", &variable("AWS_SECRET_ACCESS_KEY", "eddyline")),
        ];
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        Some(Self { folder: format!("s3://{bucket}/connectors/{name}-{unique}"), options })
    }

    fn table(&self, format: &str, options: &[(&str, &str)]) -> TableDescriptor {
        let mut all: Vec<_> = self.options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        all.extend_from_slice(options);
        people(&self.folder, format, &all)
    }
}

fn rows(table: &TableDescriptor, from: i64, to: i64) -> Batch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((from..to).map(|id| format!("n:{}", id % 3))));
    Batch::new(RecordBatch::try_new(Arc::clone(&table.schema), vec![ids, names]).expect("two columns"))
}

#[test]
fn parts_in_a_bucket_are_seen_once_after_the_commit_and_read_back_in_pieces() {
    let harness = Harness::new();
    for format in ["json", "csv", "parquet"] {
        let Some(bucket) = Bucket::of_test(format) else { return };
        let mut table = bucket.table(format, &[("source.split.size", "1000")]);
        table.partition_keys = vec!["name".to_owned()];
        let sink = harness.sink(&table, 1);
        let mut writer = harness.writer(sink.as_ref(), (0, 1), 1);
        writer.write(&rows(&table, 0, 1000)).expect("it takes rows");
        let parts = harness.prepare(writer.as_mut(), 1).expect("staged");
        assert_eq!(parts.len(), 3);
        let error = harness.discover(harness.source(&table).as_ref()).expect_err("hidden").to_string();
        assert!(error.starts_with("no files at 's3://"), "{error}");
        // The epoch never completes, and the first attempt dies between two parts.
        writer.write(&rows(&table, 5000, 5010)).expect("it takes rows");
        harness.prepare(writer.as_mut(), 2).expect("staged");
        harness.commit(sink.as_ref(), 1, &parts[..1]).expect("committed");
        let again = harness.sink(&table, 2);
        for _ in 0..2 {
            harness.commit(again.as_ref(), 1, &parts).expect("committed");
        }
        harness.abort_stale(again.as_ref(), &[]).expect("removed");
        let source = harness.source(&table);
        let read = harness.read(source.as_ref(), 77).expect("rows");
        let mut ids = read.column(0).as_primitive::<Int64Type>().values().to_vec();
        assert!(ids.chunk_by(|one, other| one < other).count() == 3, "in order in each part");
        ids.sort_unstable();
        assert_eq!(ids, (0..1000).collect::<Vec<_>>(), "{format}");
        assert_eq!(read.column(1).as_string::<i32>().value(0), "n:0");
    }
}

#[test]
fn a_piece_in_a_bucket_continues_behind_the_last_row() {
    let harness = Harness::new();
    let Some(bucket) = Bucket::of_test("restore") else { return };
    for (format, cut) in [("json", "3000"), ("parquet", "64 mb")] {
        let folder = Bucket { folder: format!("{}/{format}", bucket.folder), options: bucket.options.clone() };
        let table = folder.table(format, &[("source.split.size", cut)]);
        let sink = harness.sink(&table, 1);
        let mut writer = harness.writer(sink.as_ref(), (0, 1), 1);
        writer.write(&rows(&table, 0, 500)).expect("it takes rows");
        let parts = harness.prepare(writer.as_mut(), 1).expect("staged");
        harness.commit(sink.as_ref(), 1, &parts).expect("committed");
        let source = harness.source(&table);
        let mut reader = harness.reader(source.as_ref());
        for split in harness.discover(source.as_ref()).expect("splits") {
            reader.add_split(split).expect("a split");
        }
        let mut seen = Vec::new();
        while let Some(rows) = harness.next(reader.as_mut(), 123).expect("rows") {
            seen.extend_from_slice(rows.column(0).as_primitive::<Int64Type>().values());
            let snapshot = reader.snapshot().expect("a snapshot");
            reader = harness.reader(source.as_ref());
            for split in snapshot {
                reader.add_split(split).expect("a split");
            }
        }
        assert_eq!(seen, (0..500).collect::<Vec<_>>(), "{format}");
    }
}

#[test]
fn a_writer_without_rows_stages_nothing_in_a_bucket() {
    let harness = Harness::new();
    let Some(bucket) = Bucket::of_test("rowless") else { return };
    let table = bucket.table("json", &[]);
    let sink = harness.sink(&table, 1);
    let mut writers = [harness.writer(sink.as_ref(), (0, 2), 1), harness.writer(sink.as_ref(), (1, 2), 1)];
    writers[0].write(&rows(&table, 0, 5)).expect("it takes rows");
    assert!(harness.prepare(writers[1].as_mut(), 1).expect("staged").is_empty());
    let parts = harness.prepare(writers[0].as_mut(), 1).expect("staged");
    harness.commit(sink.as_ref(), 1, &parts).expect("committed");
    assert_eq!(harness.read(harness.source(&table).as_ref(), 100).expect("rows").num_rows(), 5);
}

/// Enough rows for several parts of an upload.
fn many_rows(table: &TableDescriptor) -> Batch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..30_000));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..30_000).map(|_| "x".repeat(1_000))));
    Batch::new(RecordBatch::try_new(Arc::clone(&table.schema), vec![ids, names]).expect("two columns"))
}

/// The place of a table and the bucket.
fn opened(table: &TableDescriptor) -> (String, Store) {
    let Ok(SinkConfig::Filesystem(config)) = SinkConfig::parse(table) else { panic!("valid options") };
    (config.location.path().to_owned(), Store::open(&config.location, &config.s3).expect("a bucket"))
}

/// The notes of uploads in a table's staging folder.
fn notes(harness: &Harness, table: &TableDescriptor) -> Vec<(String, Vec<u8>)> {
    let (folder, store) = opened(table);
    harness.block_on(async {
        let mut notes = Vec::new();
        for file in store.list(&folder, |_| true).await.expect("a listing").unwrap_or_default() {
            // The note may be removed meanwhile.
            if Names::is_upload_note(&file.path)
                && let Ok(bytes) = store.read(&file.path, 0..file.size).await
            {
                notes.push((file.path, bytes.to_vec()));
            }
        }
        notes
    })
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

/// Whether the bucket still knows an upload: it accepts a part of it.
fn is_known(harness: &Harness, table: &TableDescriptor, note: &[u8]) -> bool {
    let (_, Store::S3(store)) = opened(table) else { panic!("a bucket") };
    let note: serde_json::Value = serde_json::from_slice(note).expect("a note");
    let (path, upload) = (note["path"].as_str().expect("a key"), note["upload"].as_str().expect("an id"));
    let path = object_store::path::Path::parse(path).expect("a key");
    harness.block_on(store.put_part(&path, &upload.to_owned(), 7, vec![0; 10].into())).is_ok()
}

#[test]
fn unfinished_uploads_are_aborted_by_their_attempt_or_by_the_next_one() {
    let harness = Harness::new();
    for killed in [false, true] {
        let Some(bucket) = Bucket::of_test("uploads") else { return };
        let table = bucket.table("json", &[]);
        let sink = harness.sink(&table, 1);
        let mut writer = harness.writer(sink.as_ref(), (0, 1), 1);
        writer.write(&many_rows(&table)).expect("it takes rows");
        wait_until("an upload has begun", || !notes(&harness, &table).is_empty());
        let (_, note) = notes(&harness, &table).remove(0);
        assert!(is_known(&harness, &table, &note));
        if killed {
            // The process of the writer is dead and removes nothing.
            std::mem::forget(writer);
            let next = harness.sink(&table, 2);
            harness.abort_stale(next.as_ref(), &[]).expect("removed");
            assert!(notes(&harness, &table).is_empty());
        } else {
            drop(writer);
            wait_until("the note is removed", || notes(&harness, &table).is_empty());
        }
        assert!(!is_known(&harness, &table, &note), "killed: {killed}");
    }
}

#[test]
fn a_large_part_is_uploaded_in_pieces_and_leaves_no_note() {
    let harness = Harness::new();
    let Some(bucket) = Bucket::of_test("large") else { return };
    let table = bucket.table("json", &[]);
    let sink = harness.sink(&table, 1);
    let mut writer = harness.writer(sink.as_ref(), (0, 1), 1);
    writer.write(&many_rows(&table)).expect("it takes rows");
    let parts = harness.prepare(writer.as_mut(), 1).expect("staged");
    assert!(notes(&harness, &table).is_empty());
    harness.commit(sink.as_ref(), 1, &parts).expect("committed");
    let read = harness.read(harness.source(&table).as_ref(), 8192).expect("rows");
    let mut ids = read.column(0).as_primitive::<Int64Type>().values().to_vec();
    ids.sort_unstable();
    assert_eq!(ids, (0..30_000).collect::<Vec<_>>());
}
