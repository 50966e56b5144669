use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use eddyline_stream::key_hash::hash_columns;
use proptest::prelude::*;

use super::*;
use crate::{GroupTable, PackedRows, encode_keys, order};

/// A table of these keys, each with its number as accumulator.
fn table(column: &ArrayRef) -> GroupTable {
    let columns: [&dyn Array; 1] = [column.as_ref()];
    let hashes = hash_columns(&columns, column.len()).expect("keys");
    let mut table = GroupTable::new(&[column.data_type().clone()], &[0]).expect("a key type");
    let mut groups = Vec::new();
    table.find_or_insert(&encode_keys(&columns, column.len()).expect("keys"), &hashes, 0..column.len(), &mut groups);
    let (words, stride, first) = table.rows_mut(&groups);
    for group in groups {
        words[group as usize * stride + first] = u64::from(group) + 1;
    }
    table
}

fn text(column: &dyn Array, row: usize) -> Option<String> {
    column.is_valid(row).then(|| match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        _ => column.as_primitive::<Int64Type>().value(row).to_string(),
    })
}

/// Each key with its accumulator and its hash.
fn contents(rows: &PackedRows, which: impl Iterator<Item = u32>) -> BTreeMap<Option<String>, (u64, u64)> {
    let which: Vec<u32> = which.collect();
    let keys = rows.key_columns(&which).expect("keys");
    let (words, stride, first) = rows.rows();
    let content = |(row, group): (usize, &u32)| {
        let group = *group as usize;
        (text(&keys[0], row), (words[group * stride + first], rows.hashes()[group]))
    };
    which.iter().enumerate().map(content).collect()
}

fn written(directory: &SpillDirectory, table: &GroupTable, rows_max: usize) -> Run {
    let mut writer = RunWriter::new(directory, table.packed()).expect("a file");
    let beside = |groups: &[u32], into: &mut Vec<u8>| into.extend(groups.iter().map(|group| *group as u8));
    writer.append(table.packed(), &table.packed().order_by_hash(), rows_max, beside).expect("there is room");
    writer.finish().expect("there is room")
}

proptest! {
    #[test]
    fn any_range_of_hashes_is_read_as_it_was_written(
        keys in prop::collection::vec(prop::option::weighted(0.9, 0i64..200), 0..300),
        is_text in any::<bool>(),
        rows_max in 1usize..20,
        bounds in prop::collection::vec(any::<prop::sample::Index>(), 2),
    ) {
        let name = |key: i64| if key % 2 == 0 { format!("k{key}") } else { format!("a key of more than 12 bytes {key}") };
        let column: ArrayRef = match is_text {
            true => std::sync::Arc::new(StringArray::from_iter(keys.iter().map(|key| key.map(name)))),
            false => std::sync::Arc::new(Int64Array::from(keys.clone())),
        };
        let table = table(&column);
        let folder = tempfile::tempdir().expect("a folder");
        let directory = SpillDirectory::new(folder.path(), u64::MAX);
        let run = written(&directory, &table, rows_max);
        prop_assert_eq!(run.rows() as usize, table.len());
        prop_assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "files have no name");
        prop_assert_eq!(directory.bytes(), run.bytes());
        let mut hashes = table.packed().hashes().to_vec();
        hashes.extend([0, u64::MAX]);
        hashes.sort_unstable();
        let mut bounds: Vec<u64> = bounds.iter().map(|bound| *bound.get(&hashes)).collect();
        bounds.sort_unstable();
        let range = bounds[0]..bounds[1];
        let mut read = BTreeMap::new();
        let mut last = None;
        let mut block = run.block_of(range.start);
        while run.first_hash(block).is_some_and(|first| first < range.end) {
            let Block { rows, beside } = run.read(block).expect("what was written");
            prop_assert_eq!(beside.len(), rows.len());
            prop_assert!(rows.hashes().is_sorted() && last < rows.hashes().first().copied());
            last = rows.hashes().last().copied();
            let inside = (0..rows.len() as u32).filter(|row| range.contains(&rows.hashes()[*row as usize]));
            read.extend(contents(&rows, inside));
            block += 1;
        }
        let expected = (0..table.len() as u32).filter(|row| range.contains(&table.packed().hashes()[*row as usize]));
        prop_assert_eq!(read, contents(table.packed(), expected));
        drop(run);
        prop_assert_eq!(directory.bytes(), 0);
    }

    #[test]
    fn groups_are_ordered_by_hash(hashes in prop::collection::vec(prop_oneof![any::<u64>(), 0u64..9], 0..2000)) {
        let order = order::by_hash(&hashes);
        let mut expected: Vec<u32> = (0..hashes.len() as u32).collect();
        expected.sort_by_key(|group| hashes[*group as usize]);
        prop_assert_eq!(&order, &expected);
        let blocks: Vec<&[u32]> = order::blocks(&hashes, &order, 7).collect();
        prop_assert_eq!(blocks.concat(), expected);
        for pair in blocks.windows(2) {
            let (one, next) = (pair[0].last().expect("not empty"), pair[1].first().expect("not empty"));
            prop_assert!(hashes[*one as usize] < hashes[*next as usize], "rows of one hash are in one block");
        }
    }
}

fn numbers(count: i64) -> GroupTable {
    let column: ArrayRef = std::sync::Arc::new(Int64Array::from_iter_values(0..count));
    table(&column)
}

#[test]
fn damaged_and_missing_bytes_are_errors_that_name_the_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = SpillDirectory::new(folder.path(), u64::MAX);
    let run = written(&directory, &numbers(1_000), 100);
    run.file.file.write_all_at(b"?", run.bytes() - 2_000).expect("writes");
    let damaged = (0..run.blocks()).filter_map(|block| run.read(block).err()).map(|error| error.to_string());
    let damaged: Vec<String> = damaged.collect();
    assert_eq!(damaged.len(), 1);
    assert!(
        damaged[0].contains("checksum") && damaged[0].contains(&folder.path().display().to_string()),
        "{damaged:?}"
    );
    run.file.file.set_len(run.bytes() / 2).expect("is cut");
    let error = run.read(run.blocks() - 1).expect_err("the file is too short");
    assert!(matches!(error, Error::Read { .. }), "{error}");
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
}

#[test]
fn a_directory_takes_no_more_than_its_limit() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = SpillDirectory::new(folder.path(), 30_000);
    let run = written(&directory, &numbers(1_000), 100);
    let more = numbers(1_000);
    let mut writer = RunWriter::new(&directory, more.packed()).expect("a file");
    writer.append(more.packed(), &more.packed().order_by_hash(), 100, |_, _| {}).expect("is in the buffer");
    let error = writer.finish().expect_err("there is no room").to_string();
    assert!(error.contains("30000 bytes") && error.contains(&folder.path().display().to_string()), "{error}");
    assert_eq!(directory.bytes(), run.bytes(), "what was not written does not count");
    drop(run);
    written(&directory, &numbers(1_000), 100);
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("writes");
    let error =
        RunWriter::new(&SpillDirectory::new(&file, u64::MAX), numbers(1).packed()).expect_err("not a directory");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}
