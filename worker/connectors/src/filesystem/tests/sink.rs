//! Tests of writing folders: when output is visible, repeated commits, leftovers, partitions, and reading what was
//! written.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use eddyline_stream::Batch;

use super::people;
use crate::TableDescriptor;
use crate::harness::Harness;

fn rows(table: &TableDescriptor, from: i64, to: i64) -> Batch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((from..to).map(|id| format!("n{}", id % 3))));
    Batch::new(RecordBatch::try_new(Arc::clone(&table.schema), vec![ids, names]).expect("two columns"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test")
}

/// All files below a folder, including hidden ones, as paths relative to it.
fn files(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, out: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { walk(&path, out) } else { out.push(path) }
        }
    }
    let mut paths = Vec::new();
    walk(folder, &mut paths);
    let mut names: Vec<_> =
        paths.iter().map(|path| text(path.strip_prefix(folder).expect("below")).to_owned()).collect();
    names.sort();
    names
}

fn visible(folder: &Path) -> Vec<String> {
    files(folder).into_iter().filter(|name| !name.split('/').any(|part| part.starts_with('.'))).collect()
}

/// The hidden files below a folder, without the note of the commit.
fn leftovers(folder: &Path) -> Vec<String> {
    let mut hidden = files(folder);
    hidden.retain(|name| name.split('/').any(|part| part.starts_with('.')) && !name.ends_with("/commit.json"));
    hidden
}

fn read_back(harness: &Harness, table: &TableDescriptor) -> Vec<i64> {
    let rows = harness.read(harness.source(table).as_ref(), 1000).expect("rows");
    let mut ids = rows.column(0).as_primitive::<Int64Type>().values().to_vec();
    ids.sort_unstable();
    ids
}

#[test]
fn rows_are_seen_after_the_commit_and_not_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    for format in ["json", "csv", "parquet"] {
        let path = folder.path().join(format);
        let table = people(text(&path), format, &[]);
        let sink = harness.sink(&table, 1);
        let mut writers = [harness.writer(sink.as_ref(), (0, 2), 1), harness.writer(sink.as_ref(), (1, 2), 1)];
        for checkpoint in 1..=2 {
            let mut parts = Vec::new();
            for (slot, writer) in writers.iter_mut().enumerate() {
                let from = checkpoint * 100 + slot as i64 * 10;
                writer.write(&rows(&table, from, from + 10)).expect("it takes rows");
                parts.extend(harness.prepare(writer.as_mut(), checkpoint as u64).expect("staged"));
            }
            assert_eq!(visible(&path).len() as i64, (checkpoint - 1) * 2);
            harness.commit(sink.as_ref(), checkpoint as u64, &parts).expect("committed");
            assert_eq!(visible(&path).len() as i64, checkpoint * 2);
        }
        assert_eq!(read_back(&harness, &table), (100..120).chain(200..220).collect::<Vec<_>>(), "{format}");
        assert_eq!(leftovers(&path), Vec::<String>::new());
        // Nothing was written in this epoch: there is nothing to commit.
        assert!(harness.prepare(writers[0].as_mut(), 3).expect("staged").is_empty());
    }
}

#[test]
fn folders_are_made_by_the_writers_that_have_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    for (name, keys) in [("plain", vec![]), ("parts", vec!["name".to_owned()])] {
        let path = folder.path().join(name).join("missing/parents/out");
        let mut table = people(text(&path), "json", &[]);
        table.partition_keys = keys;
        let sink = harness.sink(&table, 1);
        let mut writers: Vec<_> = (0..3).map(|slot| harness.writer(sink.as_ref(), (slot, 3), 1)).collect();
        // First no writer has rows, then one of three, then all.
        for (checkpoint, with_rows) in [(1, 0), (2, 1), (3, 3)] {
            let mut parts = Vec::new();
            for (slot, writer) in writers.iter_mut().enumerate() {
                if slot < with_rows {
                    let from = checkpoint * 100 + slot as i64 * 10;
                    writer.write(&rows(&table, from, from + 3)).expect("it takes rows");
                }
            }
            for writer in writers.iter_mut().rev() {
                parts.extend(harness.prepare(writer.as_mut(), checkpoint as u64).expect("staged"));
            }
            harness.commit(sink.as_ref(), checkpoint as u64, &parts).expect("committed");
            assert_eq!(path.exists(), with_rows > 0, "{name}, checkpoint {checkpoint}");
        }
        let expected: Vec<_> = [200, 300, 310, 320].into_iter().flat_map(|from| from..from + 3).collect();
        assert_eq!(read_back(&harness, &table), expected, "{name}");
    }
}

#[test]
fn a_commit_can_be_repeated_and_finished_by_another_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let table = people(text(folder.path()), "json", &[("sink.rolling-policy.file-size", "1")]);
    let sink = harness.sink(&table, 1);
    let mut writer = harness.writer(sink.as_ref(), (0, 1), 1);
    writer.write(&rows(&table, 0, 5)).expect("it takes rows");
    writer.write(&rows(&table, 5, 9)).expect("it takes rows");
    let parts = harness.prepare(writer.as_mut(), 1).expect("staged");
    assert_eq!(parts.len(), 2, "each batch fills a part");
    // The first process dies between two renames; the next one gets the same committables.
    harness.commit(sink.as_ref(), 1, &parts[..1]).expect("committed");
    let again = harness.sink(&table, 2);
    harness.abort_stale(sink.as_ref(), &[]).expect("nothing of an earlier attempt");
    for _ in 0..2 {
        harness.commit(again.as_ref(), 1, &parts).expect("committed");
    }
    assert_eq!(read_back(&harness, &table), (0..9).collect::<Vec<_>>());
    assert_eq!((visible(folder.path()).len(), leftovers(folder.path()).len()), (2, 0));
}

#[test]
fn lost_and_foreign_parts_are_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let table = people(text(folder.path()), "json", &[]);
    let sink = harness.sink(&table, 1);
    let mut writer = harness.writer(sink.as_ref(), (0, 1), 1);
    writer.write(&rows(&table, 0, 5)).expect("it takes rows");
    let parts = harness.prepare(writer.as_mut(), 1).expect("staged");
    let path = parts[0].description["final"].as_str().expect("a path").to_owned();
    let staging = parts[0].description["staging"].as_str().expect("a path").to_owned();
    let error = |expected: &str| {
        let message = harness.commit(sink.as_ref(), 1, &parts).expect_err("an error").to_string();
        assert!(message.contains(&path) && message.contains(expected), "{message}");
    };
    fs::write(&path, "x").expect("a file");
    error("there is a file of that name");
    fs::remove_file(&staging).expect("it is there");
    error("it has 1 bytes instead of");
    fs::remove_file(&path).expect("it is there");
    error("its rows are lost");
}

#[test]
fn what_dead_attempts_staged_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let table = people(text(folder.path()), "json", &[]);
    let first = harness.sink(&table, 1);
    let mut dead = harness.writer(first.as_ref(), (0, 1), 1);
    dead.write(&rows(&table, 0, 5)).expect("it takes rows");
    let committed = harness.prepare(dead.as_mut(), 1).expect("staged");
    dead.write(&rows(&table, 5, 9)).expect("it takes rows");
    harness.prepare(dead.as_mut(), 2).expect("staged");
    fs::write(folder.path().join(".part-of-another"), "x").expect("a file");
    let second = harness.sink(&table, 2);
    let mut alive = harness.writer(second.as_ref(), (0, 1), 2);
    alive.write(&rows(&table, 5, 9)).expect("it takes rows");
    let parts = harness.prepare(alive.as_mut(), 3).expect("staged");
    harness.commit(second.as_ref(), 1, &committed).expect("committed");
    harness.abort_stale(second.as_ref(), &[]).expect("removed");
    harness.commit(second.as_ref(), 3, &parts).expect("committed");
    assert_eq!(read_back(&harness, &table), (0..9).collect::<Vec<_>>());
    assert_eq!(visible(folder.path()).len(), 2, "{:?}", files(folder.path()));
    assert_eq!(leftovers(folder.path()), [".part-of-another"]);
}

#[test]
fn what_a_skipped_checkpoint_has_staged_is_kept_and_nothing_else_of_its_attempt() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let table = people(text(folder.path()), "json", &[]);
    let first = harness.sink(&table, 1);
    let mut dead = harness.writer(first.as_ref(), (0, 1), 1);
    dead.write(&rows(&table, 0, 5)).expect("it takes rows");
    let skipped = harness.prepare(dead.as_mut(), 1).expect("staged");
    let of_another_connector = crate::sink::Committable { description: serde_json::json!({ "slot": 0 }) };
    let kept: Vec<_> = skipped.iter().cloned().chain([of_another_connector]).collect();
    dead.write(&rows(&table, 5, 9)).expect("it takes rows");
    harness.prepare(dead.as_mut(), 2).expect("staged");
    for _ in 0..2 {
        harness.abort_stale(harness.sink(&table, 2).as_ref(), &kept).expect("removed");
        assert_eq!(leftovers(folder.path()).len(), 1, "{:?}", files(folder.path()));
    }
    harness.commit(harness.sink(&table, 3).as_ref(), 1, &skipped).expect("committed");
    assert_eq!(read_back(&harness, &table), (0..5).collect::<Vec<_>>());
}

#[test]
fn parts_that_a_reader_has_taken_away_do_not_stop_a_repeated_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let mut table = people(text(folder.path()), "json", &[("sink.partition-commit.policy.kind", "success-file")]);
    table.partition_keys = vec!["name".to_owned()];
    let sink = harness.sink(&table, 1);
    let mut writer = harness.writer(sink.as_ref(), (0, 1), 1);
    writer.write(&rows(&table, 0, 6)).expect("it takes rows");
    let parts = harness.prepare(writer.as_mut(), 1).expect("staged");
    harness.commit(sink.as_ref(), 1, &parts).expect("committed");
    // A reader removes one whole partition, and the part of another one.
    fs::remove_dir_all(folder.path().join("name=n0")).expect("a folder");
    fs::remove_file(parts[1].description["final"].as_str().expect("a path")).expect("a part");
    let again = harness.sink(&table, 2);
    harness.commit(again.as_ref(), 1, &parts).expect("the same commit again");
    harness.abort_stale(again.as_ref(), &[]).expect("nothing is left");
    assert_eq!(read_back(&harness, &table), [2, 5]);
    assert!(!folder.path().join("name=n0").exists(), "a folder that is gone stays so");

    // These are the same names in another history. No note shows that they were ever visible.
    let note = files(folder.path()).into_iter().find(|name| name.ends_with("commit.json")).expect("a note");
    let note = folder.path().join(note);
    let of_another = fs::read_to_string(&note).expect("text").replace("\"h\"", "\"another\"");
    fs::write(&note, of_another).expect("a file");
    let error = harness.commit(again.as_ref(), 1, &parts).expect_err("lost").to_string();
    assert!(error.contains("its rows are lost"), "{error}");
}

#[test]
fn what_was_visible_in_one_history_is_known_after_commits_in_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let table = people(text(folder.path()), "json", &[]);
    let mut first = Vec::new();
    for (attempt, history) in [(1, "a"), (2, "b"), (3, "a"), (4, "c")] {
        let sink = harness.sink_in(history, &table, attempt);
        let mut writer = harness.writer(sink.as_ref(), (0, 1), attempt);
        let from = attempt as i64 * 10;
        writer.write(&rows(&table, from, from + 5)).expect("it takes rows");
        let parts = harness.prepare(writer.as_mut(), attempt).expect("staged");
        harness.commit(sink.as_ref(), attempt, &parts).expect("committed");
        if attempt == 1 {
            fs::remove_file(parts[0].description["final"].as_str().expect("a path")).expect("a part");
            first = parts;
        }
        // A savepoint of the first history is restored again; a reader has removed what it had staged.
        harness.commit(harness.sink_in("a", &table, 5).as_ref(), 1, &first).expect("the same commit again");
        // In any other history the same files would be lost.
        let error = harness.commit(harness.sink_in("d", &table, 5).as_ref(), 1, &first).expect_err("lost").to_string();
        assert!(error.contains("its rows are lost"), "{error}");
    }
    assert_eq!(read_back(&harness, &table), (20..25).chain(30..35).chain(40..45).collect::<Vec<_>>());
}

#[test]
fn a_part_that_is_lost_before_its_commit_stops_the_job_and_nothing_is_seen_of_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let table = people(text(folder.path()), "json", &[("sink.rolling-policy.file-size", "1")]);
    let sink = harness.sink(&table, 1);
    let mut writer = harness.writer(sink.as_ref(), (0, 1), 1);
    for checkpoint in 1..=2 {
        writer.write(&rows(&table, 0, 5)).expect("it takes rows");
        writer.write(&rows(&table, 5, 9)).expect("it takes rows");
        let parts = harness.prepare(writer.as_mut(), checkpoint).expect("staged");
        if checkpoint == 1 {
            harness.commit(sink.as_ref(), checkpoint, &parts).expect("committed");
            continue;
        }
        fs::remove_file(parts[1].description["staging"].as_str().expect("a path")).expect("a part");
        for _ in 0..2 {
            let error = harness.commit(sink.as_ref(), checkpoint, &parts).expect_err("lost").to_string();
            assert!(error.contains("its rows are lost"), "{error}");
        }
        assert_eq!(visible(folder.path()).len(), 2, "what was there before");
    }
}

#[test]
fn leftovers_of_earlier_releases_are_looked_for_once_and_then_no_more_than_the_staging_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let mut table = people(text(folder.path()), "json", &[]);
    table.partition_keys = vec!["name".to_owned()];
    let first = harness.sink(&table, 1);
    let mut dead = harness.writer(first.as_ref(), (0, 1), 1);
    dead.write(&rows(&table, 0, 3)).expect("it takes rows");
    let staged = harness.prepare(dead.as_mut(), 1).expect("staged");
    let staging = staged[0].description["staging"].as_str().expect("a path").to_owned();
    let tag = staging.split(".staging-").nth(1).and_then(|rest| rest.split('/').next()).expect("a tag").to_owned();
    let old = folder.path().join("name=n0");
    fs::create_dir(&old).expect("a folder");
    fs::write(old.join(format!(".part-{tag}-a1-0-7.json")), "x").expect("a file");
    fs::write(old.join(".part-ffffffff-a1-0-7.json"), "x").expect("a file of another sink");

    let second = harness.sink(&table, 2);
    let mut committer = second.committer(harness.io()).expect("it opens").expect("there is something to commit");
    harness.block_on(committer.abort_stale(&[])).expect("removed");
    assert_eq!(leftovers(folder.path()), ["name=n0/.part-ffffffff-a1-0-7.json"]);
    let mut alive = harness.writer(second.as_ref(), (0, 1), 2);
    alive.write(&rows(&table, 0, 3)).expect("it takes rows");
    let parts = harness.prepare(alive.as_mut(), 1).expect("staged");
    harness.block_on(committer.commit(eddyline_stream::CheckpointId::new(1), &parts)).expect("committed");
    alive.write(&rows(&table, 3, 6)).expect("it takes rows");
    harness.prepare(alive.as_mut(), 2).expect("staged");

    // A listing of the whole folder would fail because of this link.
    std::os::unix::fs::symlink(folder.path(), folder.path().join("circle")).expect("a link");
    harness.abort_stale(harness.sink(&table, 3).as_ref(), &[]).expect("only the staging folder is looked at");
    fs::remove_file(folder.path().join("circle")).expect("a link");
    assert_eq!(leftovers(folder.path()), ["name=n0/.part-ffffffff-a1-0-7.json"]);
    assert_eq!(read_back(&harness, &table), [0, 1, 2]);
}

#[test]
fn what_is_unfinished_when_an_attempt_ends_is_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let table = people(text(folder.path()), "json", &[]);
    let sink = harness.sink(&table, 1);
    let mut writer = harness.writer(sink.as_ref(), (0, 1), 1);
    // More than a block, so that a file is made.
    writer.write(&rows(&table, 0, 100_000)).expect("it takes rows");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while leftovers(folder.path()).is_empty() {
        assert!(std::time::Instant::now() < deadline, "no file is made");
        harness.wait();
    }
    drop(writer);
    while !leftovers(folder.path()).is_empty() {
        assert!(std::time::Instant::now() < deadline, "{:?}", leftovers(folder.path()));
        std::thread::yield_now();
    }
}

#[test]
fn a_job_that_starts_anew_does_not_touch_what_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let table = people(text(folder.path()), "csv", &[]);
    for run in 0..2 {
        let sink = harness.sink(&table, 1);
        let mut writer = harness.writer(sink.as_ref(), (0, 1), 1);
        writer.write(&rows(&table, run * 5, run * 5 + 5)).expect("it takes rows");
        let parts = harness.prepare(writer.as_mut(), 1).expect("staged");
        harness.commit(sink.as_ref(), 1, &parts).expect("committed");
    }
    assert_eq!(read_back(&harness, &table), (0..10).collect::<Vec<_>>());
}

#[test]
fn partitions_are_folders_with_escaped_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let options = [
        ("sink.partition-commit.policy.kind", "success-file"),
        ("partition.default-name", "none"),
        ("sink.partition-commit.success-file.name", "_DONE"),
    ];
    let mut table = people(text(folder.path()), "json", &options);
    table.partition_keys = vec!["name".to_owned()];
    let sink = harness.sink(&table, 1);
    let mut writer = harness.writer(sink.as_ref(), (0, 1), 1);
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5));
    let names: ArrayRef =
        Arc::new(StringArray::from(vec![Some("23:59"), None, Some("23:59"), Some(""), Some("a b/c")]));
    let batch = RecordBatch::try_new(Arc::clone(&table.schema), vec![ids, names]).expect("two columns");
    writer.write(&Batch::new(batch)).expect("it takes rows");
    let parts = harness.prepare(writer.as_mut(), 1).expect("staged");
    harness.commit(sink.as_ref(), 1, &parts).expect("committed");
    let folders: Vec<_> =
        visible(folder.path()).iter().map(|file| file.split('/').next().expect("a folder").to_owned()).collect();
    assert_eq!(folders, ["name=23%3A59", "name=23%3A59", "name=a b%2Fc", "name=a b%2Fc", "name=none", "name=none"]);
    assert!(folder.path().join("name=none/_DONE").exists());
    let back = harness.read(harness.source(&table).as_ref(), 100).expect("rows");
    let mut pairs: Vec<_> = back
        .column(0)
        .as_primitive::<Int64Type>()
        .values()
        .iter()
        .copied()
        .zip(back.column(1).as_string::<i32>().iter().map(|name| name.map(str::to_owned)))
        .collect();
    pairs.sort();
    let expected = [(0, Some("23:59")), (1, None), (2, Some("23:59")), (3, None), (4, Some("a b/c"))];
    assert_eq!(pairs, expected.map(|(id, name)| (id, name.map(str::to_owned))));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocked = folder.path().join("blocked");
    fs::write(&blocked, "a file, not a folder").expect("a file");
    let harness = Harness::new();
    let table = people(text(&blocked), "json", &[]);
    let sink = harness.sink(&table, 1);
    let mut writer = harness.writer(sink.as_ref(), (0, 1), 1);
    writer.write(&rows(&table, 0, 5)).expect("it is taken");
    let error = harness.prepare(writer.as_mut(), 1).expect_err("nothing is staged");
    let error = eddyline_api::message::chain_of(&error);
    assert!(error.contains(&format!("cannot create file '{}", text(&blocked))), "{error}");
}
