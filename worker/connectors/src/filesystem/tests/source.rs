//! Tests of reading folders: order, pieces, restore, compressed and partitioned files, errors.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use eddyline_stream::SplitId;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use super::{lines, people};
use crate::TableDescriptor;
use crate::harness::{Harness, metadata, table};
use crate::source::{Poll, SourceReader, Split};

/// The values of the first column. A source without any rows left gives no batch, and so no columns.
fn ids(rows: &RecordBatch) -> Vec<i64> {
    if rows.num_columns() == 0 {
        return Vec::new();
    }
    rows.column(0).as_primitive::<Int64Type>().values().to_vec()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test")
}

#[test]
fn a_folder_is_read_in_the_order_of_paths_without_hidden_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("b/_temporary")).expect("folders");
    fs::write(at("b/2.json"), lines(20, 30)).expect("a file");
    fs::write(at("a.json"), lines(0, 10)).expect("a file");
    fs::write(at("b/1.json"), lines(10, 20)).expect("a file");
    fs::write(at("empty.json"), "").expect("a file");
    for hidden in ["_SUCCESS", ".a.json", "b/_temporary/3.json"] {
        fs::write(at(hidden), "not JSON").expect("a file");
    }
    let harness = Harness::new();
    let read = |path: &str, options: &[(&str, &str)]| {
        ids(&harness.read(harness.source(&people(path, "json", options)).as_ref(), 4).expect("rows"))
    };
    let root = text(folder.path());
    assert_eq!(read(root, &[]), (0..30).collect::<Vec<_>>());
    assert_eq!(read(&format!("file://{root}/b"), &[]), (10..30).collect::<Vec<_>>());
    assert_eq!(read(&format!("{root}/*/2.json"), &[]), (20..30).collect::<Vec<_>>());
    assert_eq!(read(&format!("{root}/a.json"), &[]), (0..10).collect::<Vec<_>>());
    assert_eq!(read(root, &[("source.path.regex-pattern", ".*/1\\.json")]), (10..20).collect::<Vec<_>>());
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let error = |path: &str| {
        let source = harness.source(&people(path, "json", &[]));
        harness.discover(source.as_ref()).expect_err("nothing there").to_string()
    };
    let root = text(folder.path());
    assert_eq!(error(root), format!("no files at '{root}'"));
    assert_eq!(
        error(&format!("{root}/x")),
        format!("there is no file or folder at '{root}/x': create it, or correct 'path'")
    );
    assert_eq!(error(&format!("{root}/*.json")), format!("no files at '{root}/*.json'"));
    let file = folder.path().join("a.json");
    fs::write(&file, lines(0, 1)).expect("a file");
    let source = harness.source(&people(root, "json", &[]));
    let splits = harness.discover(source.as_ref()).expect("splits");
    fs::remove_file(&file).expect("it was there");
    let mut reader = harness.reader(source.as_ref());
    reader.add_split(splits[0].clone()).expect("a split");
    let error = harness.drain(reader.as_mut(), 10).expect_err("it is gone").to_string();
    assert_eq!(error, format!("file '{root}/a.json' is gone: it was listed when the source looked for files"));
    fs::write(folder.path().join("b.json.bz2"), "x").expect("a file");
    let error = harness.discover(source.as_ref()).expect_err("not supported").to_string();
    assert!(error.contains("'.bz2' files are not supported"), "{error}");
}

#[test]
fn a_bad_line_is_named_or_skipped() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.json");
    fs::write(&path, format!("{}{{\"id\": oops}}\n{}", lines(0, 2), lines(2, 4))).expect("a file");
    let harness = Harness::new();
    let failing = harness.source(&people(text(&path), "json", &[]));
    let error = harness.read(failing.as_ref(), 100).expect_err("line 3").to_string();
    assert!(error.starts_with(&format!("file '{}', line 3, column ", text(&path))), "{error}");
    assert!(error.contains("'json.ignore-parse-errors' = 'true' skips"), "{error}");
    let skipping = harness.source(&people(text(&path), "json", &[("json.ignore-parse-errors", "true")]));
    let mut reader = harness.reader(skipping.as_ref());
    for split in harness.discover(skipping.as_ref()).expect("splits") {
        reader.add_split(split).expect("a split");
    }
    assert_eq!(ids(&harness.drain(reader.as_mut(), 100).expect("rows")), [0, 1, 2, 3]);
    assert_eq!(reader.counters().bad_records, 1);
    assert_eq!(reader.counters().bytes, fs::metadata(&path).expect("it is there").len());
}

#[test]
fn packed_files_are_read_whole_and_continue_in_the_middle() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines(0, 500).as_bytes()).expect("memory");
    fs::write(folder.path().join("a.json.gz"), gzip.finish().expect("memory")).expect("a file");
    let zstd = zstd::encode_all(lines(500, 900).as_bytes(), 1).expect("memory");
    fs::write(folder.path().join("b.json.zst"), zstd).expect("a file");
    let harness = Harness::new();
    let source = harness.source(&people(text(folder.path()), "json", &[("source.split.size", "100")]));
    assert_eq!(harness.discover(source.as_ref()).expect("splits").len(), 2);
    let mut reader = harness.reader(source.as_ref());
    for split in harness.discover(source.as_ref()).expect("splits") {
        reader.add_split(split).expect("a split");
    }
    let mut seen = ids(&harness.next(reader.as_mut(), 123).expect("rows").expect("rows"));
    let mut restored = harness.reader(source.as_ref());
    for split in reader.snapshot().expect("a snapshot") {
        restored.add_split(split).expect("a split");
    }
    seen.extend(ids(&harness.drain(restored.as_mut(), 50).expect("rows")));
    assert_eq!(seen, (0..900).collect::<Vec<_>>());
}

#[test]
fn folders_and_files_fill_columns() {
    let folder = tempfile::tempdir().expect("a folder");
    let deep = folder.path().join("day=2026-03-01/hm=23%3A59");
    fs::create_dir_all(&deep).expect("folders");
    fs::write(deep.join("a.json"), lines(7, 9)).expect("a file");
    let none = folder.path().join("day=__DEFAULT_PARTITION__/hm=x");
    fs::create_dir_all(&none).expect("folders");
    fs::write(none.join("b.json"), lines(9, 10)).expect("a file");
    let columns =
        [("day", DataType::Date32), ("id", DataType::Int64), ("name", DataType::Utf8), ("hm", DataType::Utf8)];
    let mut table = table(&columns, &[("connector", "filesystem"), ("path", text(folder.path())), ("format", "json")]);
    table.partition_keys = vec!["day".to_owned(), "hm".to_owned()];
    table.metadata = vec![
        metadata("file.path", DataType::Utf8),
        metadata("file.name", DataType::Utf8),
        metadata("file.size", DataType::Int64),
        metadata("file.modification-time", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
    ];
    let harness = Harness::new();
    let source = harness.try_source(&table, &[3, 1, 0], &[1, 2, 0, 3]).expect("it opens");
    let rows = harness.read(source.as_ref(), 10).expect("rows");
    assert_eq!(rows.num_rows(), 3);
    assert_eq!(rows.column(0).as_string::<i32>().value(0), "23:59");
    assert_eq!(rows.column(1).as_primitive::<Int64Type>().values(), &[7, 8, 9]);
    assert!(rows.column(2).is_valid(0) && rows.column(2).is_null(2));
    assert_eq!(rows.column(3).as_string::<i32>().value(2), "b.json");
    assert_eq!(rows.column(4).as_primitive::<Int64Type>().value(0), lines(7, 9).len() as i64);
    assert_eq!(rows.column(5).as_string::<i32>().value(0), format!("file:{}", text(&deep.join("a.json"))));
    assert!(rows.column(6).is_valid(0));
    fs::write(folder.path().join("c.json"), lines(0, 1)).expect("a file");
    let error = harness.read(source.as_ref(), 10).expect_err("no partition").to_string();
    assert!(error.contains("c.json': none of its folders is 'hm=…'"), "{error}");
}

#[test]
fn a_watched_folder_gives_new_files_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let source = harness.source(&people(
        text(folder.path()),
        "json",
        &[("source.monitor-interval", "1 s"), ("source.split.size", "64")],
    ));
    assert_eq!(source.discovery_interval(), Some(std::time::Duration::from_secs(1)));
    let mut enumerator = source.enumerator(harness.io()).expect("an enumerator");
    let first = harness.block_on(enumerator.discover()).expect("an empty folder is fine");
    assert!(first.splits.is_empty() && !first.complete);
    fs::write(folder.path().join("a.json"), lines(0, 10)).expect("a file");
    let second = harness.block_on(enumerator.discover()).expect("splits").splits;
    assert!(second.len() > 1);
    // Files are immutable. One that changes is not read again, neither here nor after a restore.
    fs::write(folder.path().join("a.json"), lines(0, 20)).expect("a file");
    assert_eq!(ids_of(&harness.block_on(enumerator.discover()).expect("splits").splits), ids_of(&[]));
    let mut restored = source.enumerator(harness.io()).expect("an enumerator");
    restored.restored(&second.iter().map(|split| split.id.clone()).collect::<Vec<_>>());
    assert_eq!(ids_of(&harness.block_on(restored.discover()).expect("splits").splits), ids_of(&second));
    fs::write(folder.path().join("b.json"), lines(20, 21)).expect("a file");
    assert_eq!(harness.block_on(restored.discover()).expect("splits").splits.len(), 1);
    let mut reader = harness.reader(source.as_ref());
    reader.add_split(second[0].clone()).expect("a split");
    let error = harness.drain(reader.as_mut(), 10).expect_err("another size").to_string();
    assert!(error.contains("files must not change"), "{error}");
}

fn ids_of(splits: &[Split]) -> Vec<String> {
    splits.iter().map(|split| split.id.to_string()).collect()
}

#[test]
fn a_paused_piece_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.json"), lines(0, 10)).expect("a file");
    let harness = Harness::new();
    let source = harness.source(&people(text(folder.path()), "json", &[]));
    let mut reader = harness.reader(source.as_ref());
    let split = harness.discover(source.as_ref()).expect("splits").remove(0);
    reader.add_split(split.clone()).expect("a split");
    reader.pause(&split.id, true);
    assert!(matches!(reader.poll(10).expect("it is held"), crate::source::Poll::Pending));
    reader.pause(&split.id, false);
    assert_eq!(ids(&harness.drain(reader.as_mut(), 10).expect("rows")).len(), 10);
}

/// Reads all splits. After each of `steps` rows a new reader continues from the snapshot.
fn read_with_restores(harness: &Harness, source: &dyn crate::source::Source, steps: &[usize]) -> Vec<i64> {
    let mut reader: Box<dyn SourceReader> = harness.reader(source);
    for split in harness.discover(source).expect("splits") {
        reader.add_split(split).expect("a split");
    }
    let mut seen = Vec::new();
    for rows_max in steps {
        match harness.next(reader.as_mut(), *rows_max).expect("rows") {
            Some(rows) => seen.extend(ids(&rows)),
            None => return seen,
        }
        let snapshot = reader.snapshot().expect("a snapshot");
        reader = harness.reader(source);
        for split in snapshot {
            reader.add_split(split).expect("a split");
        }
    }
    seen.extend(ids(&harness.drain(reader.as_mut(), 1000).expect("rows")));
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_cut_any_batch_and_any_restore_give_every_row_once_and_in_order(
        rows in prop::collection::vec(1usize..60, 1..3),
        cut in 1u64..400,
        steps in prop::collection::vec(1usize..40, 0..6),
        ends_with_newline: bool,
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut from = 0;
        for (index, count) in rows.iter().enumerate() {
            let mut text = lines(from, from + *count as i64);
            from += *count as i64;
            if !ends_with_newline {
                text.pop();
            }
            fs::write(folder.path().join(format!("{index}.json")), text).expect("a file");
        }
        let harness = Harness::new();
        let cut = cut.to_string();
        let source = harness.source(&people(text(folder.path()), "json", &[("source.split.size", &cut)]));
        prop_assert_eq!(read_with_restores(&harness, source.as_ref(), &steps), (0..from).collect::<Vec<_>>());
    }
}

/// A file of three row groups, with the ids from 0 to 2999.
fn three_row_groups(folder: &Path) -> TableDescriptor {
    let table = people(text(folder), "parquet", &[("source.split.size", "500")]);
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&table.schema), None).expect("a writer");
    for from in [0, 1000, 2000] {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 1000));
        let names = arrow::array::new_null_array(&DataType::Utf8, 1000);
        let rows = RecordBatch::try_new(Arc::clone(&table.schema), vec![ids, names]).expect("two columns");
        writer.write(&rows).expect("it takes rows");
        writer.flush().expect("a row group");
    }
    fs::write(folder.join("a.parquet"), writer.into_inner().expect("a file")).expect("a file");
    table
}

#[test]
fn row_groups_continue_at_any_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let source = harness.source(&three_row_groups(folder.path()));
    assert!(harness.discover(source.as_ref()).expect("splits").len() > 6, "more pieces than halves of row groups");
    for steps in [&[][..], &[1, 999, 1, 1], &[500, 499, 2, 700, 3]] {
        assert_eq!(read_with_restores(&harness, source.as_ref(), steps), (0..3000).collect::<Vec<_>>());
    }
}

#[test]
fn two_readers_read_one_row_group_side_by_side() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let source = harness.source(&three_row_groups(folder.path()));
    let mut readers = [harness.reader(source.as_ref()), harness.reader(source.as_ref())];
    let mut halves = Vec::new();
    let mut turn = 0;
    for split in harness.discover(source.as_ref()).expect("splits") {
        readers[turn].add_split(split).expect("a split");
        let rows = ids(&harness.drain(readers[turn].as_mut(), 300).expect("rows"));
        if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
            halves.push((*first, *last));
            assert!(rows.iter().copied().eq(*first..=*last));
            turn = 1 - turn;
        }
    }
    let starts = [0, 500, 1000, 1500, 2000, 2500];
    assert_eq!(halves, starts.map(|start| (start, start + 499)));
}

#[test]
fn a_file_that_an_older_checkpoint_cut_between_row_groups_stays_cut_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    let source = harness.source(&three_row_groups(folder.path()));
    let new: Vec<Split> = harness.discover(source.as_ref()).expect("splits");
    let old_id = |split: &Split| split.id.to_string().replace("#halves:", "#");
    let mut enumerator = source.enumerator(harness.io()).expect("an enumerator");
    enumerator.restored(&[SplitId::new(old_id(&new[0]))]);
    let old = harness.block_on(enumerator.discover()).expect("splits").splits;
    assert_eq!(ids_of(&old), new.iter().map(old_id).collect::<Vec<_>>());
    let mut reader = harness.reader(source.as_ref());
    let mut sizes = Vec::new();
    for split in old {
        assert!(
            !split.position.to_string().contains("halves"),
            "positions are those of that version: {}",
            split.position
        );
        reader.add_split(split).expect("a split");
        sizes.push(ids(&harness.drain(reader.as_mut(), 5000).expect("rows")).len());
    }
    sizes.retain(|rows| *rows > 0);
    assert_eq!(sizes, [1000; 3]);
}

/// Every piece of a file, as a checkpoint of an earlier release held it when it was read.
fn read_pieces(splits: &[Split]) -> Vec<Split> {
    splits.iter().map(|split| Split { finished: true, ..split.clone() }).collect()
}

#[test]
fn what_an_older_checkpoint_had_read_piece_by_piece_is_not_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    for (name, from) in [("a.json", 0), ("b.json", 10), ("c.json", 20)] {
        fs::write(folder.path().join(name), lines(from, from + 10)).expect("a file");
    }
    let table = |cut: &str| people(text(folder.path()), "json", &[("source.split.size", cut)]);
    let splits = harness.discover(harness.source(&table("64")).as_ref()).expect("splits");
    let of = |name: &str| -> Vec<Split> {
        splits.iter().filter(|split| split.id.as_str().contains(name)).cloned().collect()
    };
    let (whole, begun) = (of("a.json"), of("b.json"));
    let known: Vec<Split> = read_pieces(&whole).into_iter().chain(read_pieces(&begun[..2])).collect();
    // The table now cuts files in another way. A file that is begun keeps its cut.
    let source = harness.source(&table("100"));
    let mut blocks = Vec::new();
    for restore in ["as pieces", "as blocks"] {
        let source = if restore == "as pieces" { &source } else { &harness.source(&table("100")) };
        let mut finished = source.finished();
        let mut enumerator = source.enumerator(harness.io()).expect("an enumerator");
        if restore == "as pieces" {
            known.iter().for_each(|split| finished.add(split.clone()).expect("a piece"));
            enumerator.restored(&known.iter().map(|split| split.id.clone()).collect::<Vec<_>>());
            blocks = finished.snapshot().blocks;
        } else {
            finished.restore(&blocks).expect("as written");
            enumerator.restored(&[]);
        }
        assert_eq!((finished.snapshot().splits, &finished.snapshot().blocks), (Vec::new(), &blocks));
        let found = harness.block_on(enumerator.discover()).expect("splits").splits;
        let unread: Vec<Split> = found.into_iter().filter(|split| !finished.contains(&split.id)).collect();
        let (of_b, of_c): (Vec<_>, Vec<_>) = unread.into_iter().partition(|split| split.id.as_str().contains("b.json"));
        assert_eq!(ids_of(&of_b), ids_of(&begun[2..]), "{restore}");
        let mut reader = harness.reader(source.as_ref());
        for split in of_c {
            reader.add_split(split).expect("a split");
        }
        assert_eq!(ids(&harness.drain(reader.as_mut(), 7).expect("rows")), (20..30).collect::<Vec<_>>());
        assert_eq!(ids_of(&harness.block_on(enumerator.discover()).expect("nothing new").splits), ids_of(&[]));
    }
}

#[test]
fn a_file_of_which_the_last_piece_is_read_is_not_cut_across_it_when_the_table_cuts_in_another_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    fs::write(folder.path().join("a.json"), lines(0, 30)).expect("a file");
    let table = |cut: &str| people(text(folder.path()), "json", &[("source.split.size", cut)]);
    let splits = harness.discover(harness.source(&table("64")).as_ref()).expect("splits");
    let last = splits[splits.len() - 1].clone();
    let ids_in = |splits: Vec<Split>| {
        let source = harness.source(&table("64"));
        let mut reader = harness.reader(source.as_ref());
        splits.into_iter().for_each(|split| reader.add_split(split).expect("a split"));
        ids(&harness.drain(reader.as_mut(), 7).expect("rows"))
    };
    let of_last = ids_in(vec![last.clone()]);
    for cut in ["100", "1000000", "7"] {
        for is_open in [false, true] {
            let source = harness.source(&table(cut));
            let mut finished = source.finished();
            let mut enumerator = source.enumerator(harness.io()).expect("an enumerator");
            if !is_open {
                finished.add(Split { finished: true, ..last.clone() }).expect("a piece");
            }
            enumerator.restored(std::slice::from_ref(&last.id));
            let found = harness.block_on(enumerator.discover()).expect("splits").splits;
            let unread: Vec<Split> = found.into_iter().filter(|split| !finished.contains(&split.id)).collect();
            let mut all = ids_in(unread);
            all.extend(if is_open { &[] } else { &of_last[..] });
            assert_eq!(all, (0..30).collect::<Vec<_>>(), "cut {cut}, open: {is_open}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Each run reads some pieces to their end, stops with others open, and has its own size of pieces.
    #[test]
    fn every_byte_of_a_file_is_in_one_piece_however_the_table_cuts_it_from_run_to_run(
        runs in prop::collection::vec((1u64..300, prop::collection::vec(0u8..3, 30)), 1..5),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let harness = Harness::new();
        fs::write(folder.path().join("a.json"), lines(0, 20)).expect("a file");
        let size = fs::metadata(folder.path().join("a.json")).expect("a file").len();
        let (mut blocks, mut open, mut read) = (Vec::new(), Vec::<Split>::new(), Vec::<(u64, u64)>::new());
        let place = |split: &Split| {
            let at = |key: &str| split.position[key].as_u64().expect("a number");
            (at("start"), at("end"))
        };
        for (cut, fates) in &runs {
            let cut = cut.to_string();
            let source = harness.source(&people(text(folder.path()), "json", &[("source.split.size", &cut)]));
            let mut finished = source.finished();
            finished.restore(&blocks).expect("as written");
            let mut enumerator = source.enumerator(harness.io()).expect("an enumerator");
            enumerator.restored(&open.iter().map(|split| split.id.clone()).collect::<Vec<_>>());
            let found = harness.block_on(enumerator.discover()).expect("splits").splits;
            let unread: Vec<Split> = found.into_iter().filter(|split| !finished.contains(&split.id)).collect();
            for known in &open {
                prop_assert!(unread.iter().any(|split| split.id == known.id), "{} is found again", known.id);
            }
            let mut all: Vec<(u64, u64)> = unread.iter().map(place).chain(read.clone()).collect();
            all.sort_unstable();
            let ends: Vec<u64> = all.iter().map(|(_, end)| *end).collect();
            prop_assert!(all.iter().map(|(start, _)| start).eq([0].iter().chain(&ends[..ends.len() - 1])));
            prop_assert_eq!(ends.last(), Some(&size));
            open.clear();
            for (split, fate) in unread.into_iter().zip(fates.iter().cycle()) {
                match fate {
                    0 => {
                        read.push(place(&split));
                        finished.add(Split { finished: true, ..split }).expect("a piece");
                    }
                    1 => open.push(split),
                    _ => {}
                }
            }
            blocks = finished.snapshot().blocks;
        }
    }
}

#[test]
fn a_reader_reports_a_piece_as_finished_once_and_the_one_it_reads_each_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::new();
    fs::write(folder.path().join("a.json"), lines(0, 200)).expect("a file");
    let source = harness.source(&people(text(folder.path()), "json", &[("source.split.size", "128")]));
    let splits = harness.discover(source.as_ref()).expect("splits");
    let mut reader = harness.reader(source.as_ref());
    splits.iter().for_each(|split| reader.add_split(split.clone()).expect("a split"));
    let (mut seen, mut finished, mut open) = (Vec::new(), Vec::new(), splits.len());
    while open > 0 {
        match reader.poll(1).expect("rows") {
            Poll::Rows { rows, .. } => seen.extend(ids(rows.rows())),
            Poll::Finished(_) => {}
            Poll::Pending => harness.wait(),
        }
        let reported = reader.snapshot().expect("a snapshot");
        assert_eq!(reported.len(), open, "what was finished before is left out");
        open = reported.iter().filter(|split| !split.finished).count();
        finished.extend(reported.into_iter().filter(|split| split.finished));
    }
    assert_eq!(seen, (0..200).collect::<Vec<_>>());
    assert_eq!(ids_of(&finished), ids_of(&splits));
    assert!(reader.snapshot().expect("a snapshot").is_empty());
}
