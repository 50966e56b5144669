//! Groups that are written to a local disk: how much memory they take, what checkpoints get of them, and what happens when the
//! disk fails.

use std::fs::{self, OpenOptions};
use std::sync::Arc;

use arrow::array::{RecordBatch, TimestampMillisecondArray};
use eddyline_job_graph::WindowAssigner;
use eddyline_operators::{Collector, InputIndex, Operator, Progress};
use eddyline_state::{PARTS, SnapshotRequest, SpillDirectory};
use eddyline_stream::{Batch, CheckpointId, Watermark};

use super::aggregates::{distinct_values, invertible, mergeable};
use super::harness::{Job, Pieces, config};
use super::rows::{END, KEY, Row, START, batch, schema};
use crate::WindowAggregateOperator;

const TUMBLE: WindowAssigner = WindowAssigner::Tumble { size_ms: 1_000, offset_ms: 0 };
const HOP: WindowAssigner = WindowAssigner::Hop { size_ms: 4_000, slide_ms: 1_000, offset_ms: 0 };
const CUMULATE: WindowAssigner = WindowAssigner::Cumulate { size_ms: 4_000, step_ms: 1_000, offset_ms: 0 };

fn row(key: i64, time: i64) -> Row {
    Row { key: Some(key), time, value: Some(key % 7), text: Some(format!("{key:03}")), flag: Some(true) }
}

fn rows(keys: std::ops::Range<i64>, time: i64) -> RecordBatch {
    batch(&keys.map(|key| row(key, time)).collect::<Vec<_>>())
}

#[test]
fn a_window_on_disk_is_emitted_in_little_memory() {
    for assigner in [TUMBLE, HOP, CUMULATE] {
        let calls = [&invertible()[..2], &mergeable()[3..4], &distinct_values()[..1]].concat();
        let pieces = Pieces { rows: 100, cut: None };
        let job = || Job::new(config(assigner.clone(), &[KEY], &calls), 1, false).in_pieces(pieces);
        let (mut in_memory, mut job) = (job(), job());
        for part in 0..10 {
            in_memory.add(rows(part * 1_000..(part + 2) * 1_000, 1));
            job.add(rows(part * 1_000..(part + 2) * 1_000, 1));
            let before = job.state_bytes();
            let freed = job.evict(usize::MAX);
            assert!(freed > 0 && job.state_bytes() + freed / 2 < before, "{before} bytes, {freed} freed");
        }
        let whole = in_memory.state_bytes();
        let mut out = Collector::with_room(100);
        let operator = job.subtask_mut();
        let mut progress = operator.on_watermark(Watermark::new(999), &mut out).expect("fires");
        let (mut emitted, mut most) = (0, 0);
        while progress == Progress::More {
            emitted += out.drain().map(|batch| batch.num_rows()).sum::<usize>();
            most = operator.counters().state_bytes.max(most);
            progress = operator.resume(&mut out).expect("fires");
        }
        emitted += out.drain().map(|batch| batch.num_rows()).sum::<usize>();
        assert_eq!(emitted, 11_000);
        // Blocks have a few rows in builds for tests, so the places of blocks take some of it.
        assert!(most < whole / 4, "{assigner:?}: {most} of {whole} bytes");
    }
}

#[test]
fn a_run_is_handed_over_when_it_is_new_and_then_once_in_eight_checkpoints() {
    let calls = distinct_values();
    let mut job = Job::new(config(TUMBLE, &[KEY], &calls), 1, false);
    job.add(rows(0..500, 1));
    job.evict(usize::MAX);
    let mut handed_over = Vec::new();
    job.checkpoint(false);
    for _ in 0..=2 * usize::from(PARTS) {
        job.checked_checkpoint();
        handed_over.push((job.last_rows("spilled"), job.last_rows("spilled_distinct_0")));
    }
    let again: Vec<usize> = (0..handed_over.len()).filter(|round| handed_over[*round].0 > 0).collect();
    assert_eq!(again, [0, 8, 16], "{handed_over:?}");
    assert_eq!(handed_over[0], (500, 500));
    job.rescale(3, 100);
    job.rescale(2, 100);
    job.watermark(i64::MAX);
    assert_eq!(job.output.iter().map(RecordBatch::num_rows).sum::<usize>(), 500);
}

#[test]
fn a_table_that_a_checkpoint_would_share_goes_to_disk_while_memory_is_short() {
    let mut job = Job::new(config(TUMBLE, &[KEY], &invertible()), 1, false);
    job.add(rows(0..500, 1));
    job.checkpoint(true);
    assert_eq!((job.last_rows("groups"), job.last_rows("spilled")), (500, 0));
    job.evict(usize::MAX);
    job.add(rows(400..900, 1));
    let before = job.state_bytes();
    job.checkpoint(true);
    assert_eq!((job.last_rows("groups"), job.last_rows("spilled")), (0, 1_000));
    assert!(job.state_bytes() < before / 2, "{} of {before} bytes", job.state_bytes());
    assert_eq!(job.disk.bytes(), job.spilled_bytes());
}

#[test]
fn nothing_is_left_on_disk_behind_the_last_window() {
    for assigner in [TUMBLE, HOP, CUMULATE] {
        let mut job = Job::new(config(assigner, &[KEY], &mergeable()), 2, false);
        for round in 0..20 {
            job.add(rows(0..100, round * 300));
            job.evict(usize::MAX);
            job.watermark(round * 300);
        }
        assert!(job.disk.bytes() > 0);
        job.watermark(i64::MAX);
        assert_eq!((job.disk.bytes(), job.spilled_bytes()), (0, 0));
    }
}

/// The rows with another start of their window.
fn starting(rows: &RecordBatch, start: i64) -> RecordBatch {
    let mut columns = rows.columns().to_vec();
    columns[START] = Arc::new(TimestampMillisecondArray::from_value(start, rows.num_rows()));
    RecordBatch::try_new(rows.schema(), columns).expect("columns fit the schema")
}

#[test]
fn of_windows_with_one_end_some_can_be_on_disk() {
    let attached = WindowAssigner::Attached { start: START, end: END };
    let mut job = Job::new(config(attached, &[KEY], &invertible()), 1, false);
    for start in [0, -12] {
        job.add(starting(&rows(0..50, 1), start));
    }
    job.checked_checkpoint();
    job.evict(1);
    job.checkpoint(true);
    // They share a bucket, so all of it is handed over. What would be shared goes to disk.
    assert_eq!((job.last_rows("groups"), job.last_rows("spilled")), (0, 100));
    job.checked_checkpoint();
    job.rescale(2, 10);
    job.watermark(i64::MAX);
    assert_eq!(job.output.iter().map(RecordBatch::num_rows).sum::<usize>(), 100);
}

fn operator() -> WindowAggregateOperator {
    WindowAggregateOperator::new(config(TUMBLE, &[KEY], &invertible()), schema()).expect("a valid configuration")
}

#[test]
fn a_full_disk_is_an_error_that_names_the_directory_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = SpillDirectory::new(folder.path(), 1_000);
    let (mut operator, mut out) = (operator(), Collector::default());
    operator.process(InputIndex::FIRST, Batch::new(rows(0..500, 1)), &mut out).expect("rows");
    let error = operator.evict(1, &disk).expect_err("there is no room").to_string();
    assert!(error.contains("1000 bytes") && error.contains(&folder.path().display().to_string()), "{error}");
    operator.on_watermark(Watermark::MAX, &mut out).expect("fires");
    assert_eq!(out.drain().map(|batch| batch.num_rows()).sum::<usize>(), 500);
}

#[test]
fn a_run_that_is_cut_ends_the_attempt_and_names_the_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = SpillDirectory::new(folder.path(), u64::MAX);
    let (mut operator, mut out) = (operator(), Collector::default());
    operator.process(InputIndex::FIRST, Batch::new(rows(0..500, 1)), &mut out).expect("rows");
    operator.evict(1, &disk).expect("there is room");
    // The file has no name, but this process has it open.
    let files = fs::read_dir("/proc/self/fd").expect("the files of this process").flatten().map(|entry| entry.path());
    let is_ours = |path: &std::path::PathBuf| fs::read_link(path).is_ok_and(|file| file.starts_with(folder.path()));
    let file = files.into_iter().find(is_ours).expect("a run is a file in the directory");
    OpenOptions::new().write(true).open(file).expect("opens").set_len(disk.bytes() / 2).expect("is cut");
    let name = folder.path().display().to_string();
    let request = SnapshotRequest::all(CheckpointId::NONE);
    let frozen = operator.snapshot(request).expect("state").expect("it has some");
    let error = frozen.gather().expect_err("rows are missing").to_string();
    assert!(error.contains(&name), "{error}");
    let error = operator.on_watermark(Watermark::MAX, &mut out).expect_err("rows are missing").to_string();
    assert!(error.contains(&name), "{error}");
}
