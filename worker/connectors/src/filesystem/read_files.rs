//! A compact record of the files and pieces that have been read.
//!
//! Each file is one entry. It has the ranges of bytes that are read until the whole file is read, and then only the
//! size. Entries are stored in blocks. A path is stored as the difference to the previous one. A full block is encoded
//! once and written unchanged to each checkpoint. `docs/formats/sources.md` describes the format.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use eddyline_stream::SplitId;

use super::piece::{Cut, Piece};
use crate::Error;
use crate::source::{Finished, FinishedSplits, Split};

/// The version of the block format that this release writes, and the newest one that it reads.
const FORM: u8 = 1;
/// The number of files in a full block.
const BLOCK_FILES: usize = 4096;

/// The record of a file that a reader has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The whole file is read. It has this size in bytes.
    Whole(u64),
    /// Some pieces are read.
    Begun {
        /// The size of the file in bytes.
        size: u64,
        /// How it was cut. `None` if only the last piece is read.
        cut: Option<Cut>,
        /// The ranges of bytes that are read.
        read: Vec<Range<u64>>,
    },
}

/// The files that have been read.
#[derive(Debug, Default)]
pub(super) struct ReadFiles {
    /// Files that are read to their end, with their sizes.
    whole: BTreeMap<String, u64>,
    /// Files of which some pieces are read, with their sizes.
    begun: BTreeMap<String, (u64, Begun)>,
    /// Full blocks.
    full: Vec<Bytes>,
    /// The files of `whole` that are in no full block.
    recent: BTreeMap<String, u64>,
}

/// The read parts of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Begun {
    /// How it was cut, if a piece has reported it.
    cut: Option<Cut>,
    /// Starts and ends of ranges, which do not touch each other.
    ranges: BTreeMap<u64, u64>,
}

impl Begun {
    fn insert(&mut self, piece: Range<u64>) {
        let Range { mut start, mut end } = piece;
        while let Some((&from, &to)) = self.ranges.range(..=end).next_back().filter(|(_, to)| **to >= start) {
            self.ranges.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        self.ranges.insert(start, end);
    }

    fn has(&self, piece: &Range<u64>) -> bool {
        self.ranges.range(..=piece.start).next_back().is_some_and(|(_, end)| *end >= piece.end)
    }
}

impl ReadFiles {
    /// The record of a file.
    pub(super) fn of(&self, path: &str) -> Option<Reading> {
        if let Some(size) = self.whole.get(path) {
            return Some(Reading::Whole(*size));
        }
        let (size, begun) = self.begun.get(path)?;
        let read = begun.ranges.iter().map(|(start, end)| *start..*end).collect();
        Some(Reading::Begun { size: *size, cut: begun.cut, read })
    }

    /// Adds a finished piece.
    fn add(&mut self, piece: &Piece) -> Result<(), Error> {
        let (path, size) = (&piece.file.path, piece.file.size);
        if self.whole.get(path) == Some(&size) {
            return Ok(());
        }
        let (known, begun) = self.begun.entry(path.clone()).or_insert_with(|| (size, Begun::default()));
        let known = self.whole.get(path).unwrap_or(known);
        if *known != size {
            let reason = format!("another piece belongs to a file of {known} bytes; files must not change");
            return Err(Error::Restore { split: piece.id().to_string(), reason });
        }
        begun.cut = piece.cut().or(begun.cut);
        begun.insert(piece.start..piece.end);
        if begun.has(&(0..size)) {
            self.begun.remove(path);
            self.add_whole(path.clone(), size);
        }
        Ok(())
    }

    fn add_whole(&mut self, path: String, size: u64) {
        self.whole.insert(path.clone(), size);
        self.recent.insert(path, size);
        if self.recent.len() >= BLOCK_FILES {
            let files = std::mem::take(&mut self.recent);
            self.full.push(encode(files.iter().map(|(path, size)| (path.as_str(), *size, None))));
        }
    }

    fn contains(&self, id: &SplitId) -> bool {
        let Some((path, piece, size)) = Piece::place_of_id(id) else { return false };
        self.whole.get(path) == Some(&size)
            || self.begun.get(path).is_some_and(|(known, begun)| *known == size && begun.has(&piece))
    }

    fn restore(&mut self, block: &Bytes) -> Result<(), Error> {
        let broken =
            |reason: &str| Error::Restore { split: "files that have been read".to_owned(), reason: reason.to_owned() };
        let entries = decode(block).map_err(broken)?;
        if entries.len() >= BLOCK_FILES && entries.iter().all(|(.., begun)| begun.is_none()) {
            self.full.push(block.clone());
            self.whole.extend(entries.into_iter().map(|(path, size, _)| (path, size)));
            return Ok(());
        }
        for (path, size, begun) in entries {
            match begun {
                None => self.add_whole(path, size),
                Some(begun) => drop(self.begun.insert(path, (size, begun))),
            }
        }
        Ok(())
    }

    fn blocks(&self) -> Vec<Bytes> {
        let mut blocks = self.full.clone();
        if !self.recent.is_empty() || !self.begun.is_empty() {
            let whole = self.recent.iter().map(|(path, size)| (path.as_str(), *size, None));
            let begun = self.begun.iter().map(|(path, (size, begun))| (path.as_str(), *size, Some(begun)));
            blocks.push(encode(whole.chain(begun)));
        }
        blocks
    }
}

fn put_number(block: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        block.push(number as u8 | 0x80);
        number >>= 7;
    }
    block.push(number as u8);
}

fn encode<'a>(files: impl Iterator<Item = (&'a str, u64, Option<&'a Begun>)>) -> Bytes {
    let (mut block, mut before) = (vec![FORM], "");
    for (path, size, begun) in files {
        let shared = before.bytes().zip(path.bytes()).take_while(|(one, other)| one == other).count();
        put_number(&mut block, shared as u64);
        put_number(&mut block, (path.len() - shared) as u64);
        block.extend_from_slice(&path.as_bytes()[shared..]);
        put_number(&mut block, size);
        put_number(&mut block, begun.map_or(0, |begun| begun.ranges.len() as u64));
        if let Some(Begun { cut, ranges }) = begun {
            let (kind, bytes) = match cut {
                None => (0, 0),
                Some(Cut { bytes, by_halves: false }) => (1, *bytes),
                Some(Cut { bytes, by_halves: true }) => (2, *bytes),
            };
            block.push(kind);
            put_number(&mut block, bytes);
            for (start, end) in ranges {
                put_number(&mut block, *start);
                put_number(&mut block, end - start);
            }
        }
        before = path;
    }
    block.into()
}

type Entry = (String, u64, Option<Begun>);

/// Reads a block. A damaged block is refused and never misread.
fn decode(block: &[u8]) -> Result<Vec<Entry>, &'static str> {
    const CUT_OFF: &str = "a block of them is cut off";
    const BROKEN: &str = "a block of them is not as it was written";
    let (form, mut rest) = block.split_first().ok_or(CUT_OFF)?;
    if *form != FORM {
        return Err("they have the format of a later release");
    }
    let (mut entries, mut path) = (Vec::<Entry>::new(), Vec::<u8>::new());
    while !rest.is_empty() {
        let shared = take_number(&mut rest).ok_or(CUT_OFF)?;
        let length = usize::try_from(take_number(&mut rest).ok_or(CUT_OFF)?).map_err(|_| BROKEN)?;
        let shared = usize::try_from(shared).ok().filter(|shared| *shared <= path.len()).ok_or(BROKEN)?;
        path.truncate(shared);
        path.extend_from_slice(rest.split_off(..length).ok_or(CUT_OFF)?);
        let size = take_number(&mut rest).ok_or(CUT_OFF)?;
        let ranges = take_number(&mut rest).ok_or(CUT_OFF)?;
        let begun = if ranges == 0 {
            None
        } else {
            let (kind, bytes) = (*rest.split_off_first().ok_or(CUT_OFF)?, take_number(&mut rest).ok_or(CUT_OFF)?);
            let cut = match kind {
                0 => None,
                1 | 2 => Some(Cut { bytes, by_halves: kind == 2 }),
                _ => return Err(BROKEN),
            };
            let mut begun = Begun { cut, ranges: BTreeMap::new() };
            for _ in 0..ranges {
                let start = take_number(&mut rest).ok_or(CUT_OFF)?;
                let end = start.checked_add(take_number(&mut rest).ok_or(CUT_OFF)?).ok_or(BROKEN)?;
                begun.ranges.insert(start, end);
            }
            Some(begun)
        };
        entries.push((std::str::from_utf8(&path).map_err(|_| BROKEN)?.to_owned(), size, begun));
    }
    Ok(entries)
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// The files that have been read, shared by the enumerator of a source and the pool of its splits.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedReadFiles(Arc<Mutex<ReadFiles>>);

impl SharedReadFiles {
    pub(super) fn lock(&self) -> MutexGuard<'_, ReadFiles> {
        self.0.lock().expect("no holder of the files panics")
    }
}

impl Finished for SharedReadFiles {
    fn add(&mut self, split: Split) -> Result<(), Error> {
        self.lock().add(&Piece::from_split(&split)?)
    }

    fn restore(&mut self, blocks: &[Bytes]) -> Result<(), Error> {
        let mut files = self.lock();
        blocks.iter().try_for_each(|block| files.restore(block))
    }

    fn contains(&self, id: &SplitId) -> bool {
        self.lock().contains(id)
    }

    fn snapshot(&self) -> FinishedSplits {
        FinishedSplits { splits: Vec::new(), blocks: self.lock().blocks() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::filesystem::store::File;

    fn pieces(path: &str, size: u64, cut: Cut) -> Vec<Split> {
        let file = File { path: path.to_owned(), size, modified_ms: 1 };
        Piece::of_file(&file, cut).map(|piece| piece.into_split(true)).collect()
    }

    fn restored(blocks: &[Bytes]) -> SharedReadFiles {
        let mut files = SharedReadFiles::default();
        files.restore(blocks).expect("as written");
        files
    }

    proptest! {
        #[test]
        fn what_was_taken_in_is_known_in_any_order_and_after_each_restore(
            files in prop::collection::btree_map("[a-c]{1,4}(/ä?[a-b]{0,3})?", (1u64..40, 0u64..9, any::<bool>()), 1..8),
            order in prop::collection::vec(any::<prop::sample::Index>(), 1..60),
            restore_at in prop::collection::btree_set(0usize..60, 0..4),
        ) {
            let cut = |(_, bytes, by_halves): &(u64, u64, bool)| Cut { bytes: *bytes, by_halves: *by_halves };
            let all: Vec<Split> = files.iter().flat_map(|(path, how)| pieces(path, how.0, cut(how))).collect();
            let (mut read, mut known) = (SharedReadFiles::default(), BTreeSet::new());
            for (step, index) in order.iter().enumerate() {
                let split = index.get(&all);
                read.add(split.clone()).expect("a piece");
                known.insert(split.id.clone());
                if restore_at.contains(&step) {
                    read = restored(&read.snapshot().blocks);
                }
                for split in &all {
                    prop_assert_eq!(read.contains(&split.id), known.contains(&split.id), "{}", split.id);
                }
                for (path, how) in &files {
                    let of_file = pieces(path, how.0, cut(how));
                    let count = of_file.iter().filter(|split| known.contains(&split.id)).count();
                    match read.lock().of(path) {
                        None => prop_assert_eq!(count, 0),
                        Some(Reading::Whole(size)) => prop_assert_eq!((size, count), (how.0, of_file.len())),
                        Some(Reading::Begun { size, cut: found, read }) => {
                            prop_assert!(count < of_file.len() && !read.is_empty());
                            prop_assert_eq!(size, how.0);
                            match found {
                                None => prop_assert_eq!(count, 1, "only of a last piece is it not known how it was cut"),
                                Some(found) => prop_assert_eq!(found, cut(how)),
                            }
                        }
                    }
                }
            }
        }

        #[test]
        fn no_bytes_are_taken_for_files_with_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes);
            let _ = decode(&[&[FORM][..], &bytes].concat());
        }
    }

    #[test]
    fn a_file_that_was_read_costs_what_its_name_adds_however_many_pieces_it_had() {
        let mut read = SharedReadFiles::default();
        let name = |number: usize| format!("/data/events/day=2026-03-{:02}/part-{number:07}.json", number % 28 + 1);
        for number in 0..10_000 {
            for split in pieces(&name(number), 640, Cut { bytes: 10, by_halves: false }) {
                read.add(split).expect("a piece");
            }
        }
        let blocks = read.snapshot().blocks;
        let bytes: usize = blocks.iter().map(Bytes::len).sum();
        assert!(blocks.len() == 3 && bytes < 10_000 * 20, "{} blocks of {bytes} bytes", blocks.len());
        let again = restored(&blocks);
        assert_eq!(again.snapshot().blocks, blocks, "what is full stays as it is");
        assert!((0..10_000).all(|number| again.lock().of(&name(number)) == Some(Reading::Whole(640))));
    }

    #[test]
    fn a_block_is_as_it_is_described() {
        let mut read = SharedReadFiles::default();
        let halves = Cut { bytes: 300, by_halves: true };
        let mut added = pieces("/in/ab", 1, Cut::NONE);
        added.extend(pieces("/in/ac", 200, Cut::NONE));
        added.extend(pieces("/in/b", 700, halves).into_iter().skip(1));
        added.into_iter().for_each(|split| read.add(split).expect("a piece"));
        let expected =
            b"\x01\x00\x06/in/ab\x01\x00\x05\x01c\xc8\x01\x00\x04\x01b\xbc\x05\x01\x02\xac\x02\xac\x02\x90\x03";
        assert_eq!(read.snapshot().blocks, [Bytes::from_static(expected)]);
        for end in 0..expected.len() {
            let _ = decode(&expected[..end]);
        }
        assert_eq!(decode(b"\x02"), Err("they have the format of a later release"));
        assert!(decode(&expected[..expected.len() - 1]).is_err() && decode(b"\x01\x07\x00\x00\x00").is_err());
    }

    #[test]
    fn pieces_of_files_of_two_sizes_are_refused() {
        let mut read = SharedReadFiles::default();
        read.add(pieces("/in/a", 10, Cut { bytes: 5, by_halves: false }).remove(0)).expect("a piece");
        let error = read.add(pieces("/in/a", 11, Cut::NONE).remove(0)).expect_err("it has changed").to_string();
        assert!(error.contains("/in/a#0-11/11") && error.contains("of 10 bytes"), "{error}");
    }
}
