//! Pieces of files, and how a file is cut into them. A split of this connector is a piece.

use std::ops::Range;

use eddyline_stream::SplitId;
use serde::{Deserialize, Serialize};

use super::store::File;
use crate::Error;
use crate::source::Split;

/// A piece of a file, and the position in it. This is part of checkpoints: extend it, never change a meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// The file, as it was when it was first listed.
    pub(super) file: File,
    /// The first byte. The piece has the lines, row groups or [halves](Self::by_halves) of them that start in
    /// `start..end`.
    pub(super) start: u64,
    /// The end, after the last byte.
    pub(super) end: u64,
    /// Lines: where the next one starts, in bytes of the decompressed file. `None` before anything was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) offset: Option<u64>,
    /// Lines: the number of lines of the piece that have been read.
    #[serde(default)]
    pub(super) lines: u64,
    /// Row groups: the next one, counted from the start of the file. `None` before anything was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) row_group: Option<usize>,
    /// Row groups: the number of rows of the next one that have been read.
    #[serde(default)]
    pub(super) row: u64,
    /// Row groups: whether they are also cut into halves. The second half starts in the middle of the bytes of the row
    /// group. Pieces of older checkpoints have whole row groups.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) by_halves: bool,
}

/// How a file is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The size of a piece in bytes. 0: the file is not cut.
    pub(super) bytes: u64,
    /// Whether row groups are also cut.
    pub(super) by_halves: bool,
}

impl Cut {
    /// The whole file is one piece.
    pub(super) const NONE: Self = Self { bytes: 0, by_halves: false };
}

/// The prefix of the byte range in the id of a piece that has halves of row groups.
const BY_HALVES: &str = "halves:";

impl Piece {
    /// The pieces of a file, in order. An empty file has none.
    #[cfg(test)]
    pub(super) fn of_file(file: &File, cut: Cut) -> impl Iterator<Item = Self> + '_ {
        Self::of_bytes(file, 0..file.size, cut)
    }

    /// The pieces of a range of bytes of a file, in order. They are cut where the pieces of the whole file are.
    pub(super) fn of_bytes(file: &File, bytes: Range<u64>, cut: Cut) -> impl Iterator<Item = Self> + '_ {
        let size = if cut.bytes == 0 { file.size.max(1) } else { cut.bytes };
        let pieces = if bytes.is_empty() { 0..0 } else { bytes.start / size..bytes.end.div_ceil(size) };
        pieces.map(move |index| {
            let start = index * size;
            Self {
                file: file.clone(),
                start: start.max(bytes.start),
                end: bytes.end.min(start.saturating_add(size)),
                offset: None,
                lines: 0,
                row_group: None,
                row: 0,
                by_halves: cut.by_halves,
            }
        })
    }

    pub(super) fn id(&self) -> SplitId {
        let by_halves = if self.by_halves { BY_HALVES } else { "" };
        SplitId::new(format!("{}#{by_halves}{}-{}/{}", self.file.path, self.start, self.end, self.file.size))
    }

    /// How the file of a split id was cut, and whether row groups were cut. `None` if it is not an id of this
    /// connector. A file's last piece does not show the size of the others, so the cut is known only if it is the only
    /// piece.
    pub(super) fn cut_of_id(id: &SplitId) -> Option<(Option<Cut>, bool)> {
        let (path, piece, size) = Self::place_of_id(id)?;
        let by_halves = id.as_str()[path.len()..].starts_with(&format!("#{BY_HALVES}"));
        Some((cut_of(piece, size, by_halves), by_halves))
    }

    /// Parses a split id: the path of the file, the bytes of the piece, and the size of the file.
    pub(super) fn place_of_id(id: &SplitId) -> Option<(&str, Range<u64>, u64)> {
        let (path, place) = id.as_str().rsplit_once('#')?;
        let (range, size) = place.strip_prefix(BY_HALVES).unwrap_or(place).split_once('/')?;
        let (start, end) = range.split_once('-')?;
        Some((path, start.parse().ok()?..end.parse().ok()?, size.parse().ok()?))
    }

    /// How the file was cut. Unknown for the last piece, unless it is the only one.
    pub(super) fn cut(&self) -> Option<Cut> {
        cut_of(self.start..self.end, self.file.size, self.by_halves)
    }

    /// The first row of the second half of a row group with this number of rows.
    pub(super) fn middle_of(rows: u64) -> u64 {
        rows.div_ceil(2)
    }

    /// The rows of this piece in a row group with this number of rows and these bytes of the file.
    pub(super) fn rows_of_group(&self, bytes: Range<u64>, rows: u64) -> Range<u64> {
        let first_from = |offset: u64| {
            let into = offset.saturating_sub(bytes.start);
            if into == 0 {
                0
            } else if self.by_halves && into <= (bytes.end - bytes.start) / 2 {
                Self::middle_of(rows)
            } else {
                rows
            }
        };
        first_from(self.start)..if self.end >= self.file.size { rows } else { first_from(self.end) }
    }

    pub(super) fn into_split(self, finished: bool) -> Split {
        Split { id: self.id(), position: serde_json::json!(self), finished }
    }

    pub(super) fn from_split(split: &Split) -> Result<Self, Error> {
        serde_json::from_value(split.position.clone()).map_err(|error| Error::Restore {
            split: split.id.to_string(),
            reason: format!("its position is not one of a file: {error}"),
        })
    }

    /// Finds the lines of this piece in blocks that begin at [`Lines::from`].
    pub(super) fn lines(&self) -> Lines {
        match self.offset {
            Some(offset) => Lines { from: offset, at_line: true, end: self.end, file_end: self.file.size },
            None => Lines {
                // The byte before shows whether a line starts at `start`.
                from: self.start.saturating_sub(1),
                at_line: self.start == 0,
                end: self.end,
                file_end: self.file.size,
            },
        }
    }

    /// Fails if the size of the file has changed since it was cut.
    pub(super) fn check_size(&self, size: u64) -> Result<(), Error> {
        if size == self.file.size {
            return Ok(());
        }
        Err(Error::Restore {
            split: self.id().to_string(),
            reason: format!(
                "the file had {} bytes when it was found and has {size} now; files must not change",
                self.file.size
            ),
        })
    }
}

fn cut_of(piece: Range<u64>, size: u64, by_halves: bool) -> Option<Cut> {
    if piece.end < size {
        piece.end.checked_sub(piece.start).map(|bytes| Cut { bytes, by_halves })
    } else {
        (piece.start == 0).then_some(Cut::NONE)
    }
}

/// The bytes of a file that are the lines of a piece.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    /// Where to start reading.
    pub(super) from: u64,
    at_line: bool,
    /// Lines that start here or later are not part of the piece.
    end: u64,
    file_end: u64,
}

impl Lines {
    /// The smallest and the largest possible end of the lines of the piece.
    pub(super) fn reach(&self) -> Range<u64> {
        self.end..self.file_end
    }

    /// The part of the block at `offset` that belongs to this piece, and whether the piece ends with it. Blocks come in
    /// order and without gaps.
    pub(super) fn select(&mut self, offset: u64, block: &[u8]) -> (Range<usize>, bool) {
        let block_end = offset + block.len() as u64;
        let mut begin = 0;
        let is_first = offset == self.from && self.at_line;
        let mut first_line = is_first.then_some(offset);
        if !self.at_line {
            match memchr::memchr(b'\n', block) {
                Some(newline) => {
                    begin = newline + 1;
                    self.at_line = true;
                    first_line = Some(offset + begin as u64);
                }
                // No line starts before the end if no line ends before the byte that precedes it.
                None => return (0..0, block_end >= self.end.saturating_sub(1).max(1) || block_end >= self.file_end),
            }
        }
        if first_line.is_some_and(|line| line >= self.end) {
            return (begin..begin, true);
        }
        // The last line of the piece is the one with the last byte before the end, or it ends there.
        let last_byte = self.end - 1;
        if block_end > last_byte && self.end < self.file_end {
            let search = usize::try_from(last_byte.saturating_sub(offset)).unwrap_or(0).max(begin);
            if let Some(newline) = memchr::memchr(b'\n', &block[search..]) {
                return (begin..search + newline + 1, true);
            }
        }
        (begin..block.len(), block_end >= self.file_end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(size: u64) -> File {
        File { path: "/in/a.json".to_owned(), size, modified_ms: 0 }
    }

    fn by_lines(bytes: u64) -> Cut {
        Cut { bytes, by_halves: false }
    }

    fn read(piece: &Piece, bytes: &[u8], block: usize) -> Vec<u8> {
        let mut lines = piece.lines();
        let mut out = Vec::new();
        let mut offset = lines.from as usize;
        loop {
            let end = bytes.len().min(offset + block);
            let (range, done) = lines.select(offset as u64, &bytes[offset..end]);
            out.extend_from_slice(&bytes[offset..end][range]);
            offset = end;
            if done {
                return out;
            }
            assert!(offset < bytes.len(), "the end of the file ends the piece");
        }
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_have_every_line_once(
            lines in prop::collection::vec("[a-z]{0,6}", 1..20),
            ends_with_newline: bool,
            cut in 1u64..30,
            block in 1usize..30,
        ) {
            let mut text = lines.join("\n");
            if ends_with_newline {
                text.push('\n');
            }
            let file = file(text.len() as u64);
            let mut joined = Vec::new();
            for piece in Piece::of_file(&file, by_lines(cut)) {
                let bytes = read(&piece, text.as_bytes(), block);
                let begin = joined.len();
                // Every line of a piece starts inside it.
                if !bytes.is_empty() {
                    prop_assert!((piece.start..piece.end).contains(&(begin as u64)));
                }
                joined.extend_from_slice(&bytes);
            }
            prop_assert_eq!(String::from_utf8_lossy(&joined), text);
        }

        #[test]
        fn a_piece_continues_at_any_line(lines in prop::collection::vec("[a-z]{0,6}", 1..20), cut in 1u64..30) {
            let text = lines.join("\n");
            let file = file(text.len() as u64);
            for piece in Piece::of_file(&file, by_lines(cut)) {
                let whole = read(&piece, text.as_bytes(), 7);
                let begin = find(&text, &piece);
                for (end, _) in whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                    let offset = begin + end + 1;
                    let rest = Piece { offset: Some(offset as u64), ..piece.clone() };
                    if offset < text.len() {
                        prop_assert_eq!(&read(&rest, text.as_bytes(), 7), &whole[end + 1..]);
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_have_every_row_of_every_row_group_once_and_in_order(
            groups in prop::collection::vec((0u64..50, 0u64..40), 1..5),
            before in 0u64..9,
            behind in 0u64..9,
            bytes in 1u64..60,
            by_halves: bool,
        ) {
            let size = (before + groups.iter().map(|(bytes, _)| bytes).sum::<u64>() + behind).max(1);
            let mut seen = vec![0; groups.len()];
            let mut last = 0;
            for piece in Piece::of_file(&file(size), Cut { bytes, by_halves }) {
                let mut offset = before;
                for (index, (group_bytes, rows)) in groups.iter().enumerate() {
                    let range = piece.rows_of_group(offset..offset + group_bytes, *rows);
                    offset += group_bytes;
                    if range.is_empty() {
                        continue;
                    }
                    prop_assert!(index >= last && range.start == seen[index] && range.end <= *rows);
                    prop_assert!(by_halves || range == (0..*rows));
                    (last, seen[index]) = (index, range.end);
                }
            }
            prop_assert_eq!(seen, groups.iter().map(|(_, rows)| *rows).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_half_of_a_row_group_is_in_the_piece_where_it_starts() {
        let of = |bytes, start, end| {
            let file = file(1000);
            let pieces = Piece::of_file(&file, Cut { bytes, by_halves: true });
            pieces.map(|piece| piece.rows_of_group(start..end, 51)).collect::<Vec<_>>()
        };
        assert_eq!(of(100, 100, 300)[..4], [0..0, 0..26, 26..51, 51..51]);
        assert_eq!(of(100, 110, 300)[..4], [0..0, 0..26, 26..51, 51..51]);
        assert_eq!(of(100, 50, 140)[..3], [0..51, 51..51, 51..51]);
        assert_eq!(of(500, 400, 700), [0..26, 26..51]);
    }

    #[test]
    fn an_id_tells_how_its_file_was_cut() {
        for cut in [Cut { bytes: 4, by_halves: false }, Cut { bytes: 4, by_halves: true }] {
            let ids: Vec<_> = Piece::of_file(&file(10), cut).map(|piece| piece.id()).collect();
            assert_eq!(Piece::cut_of_id(&ids[1]), Some((Some(cut), cut.by_halves)));
            assert_eq!(Piece::cut_of_id(&ids[2]), Some((None, cut.by_halves)));
        }
        let whole = Piece::of_file(&file(10), Cut::NONE).next().expect("one piece").id();
        assert_eq!(Piece::cut_of_id(&whole), Some((Some(Cut::NONE), false)));
        assert_eq!(Piece::place_of_id(&whole), Some(("/in/a.json", 0..10, 10)));
        assert_eq!(Piece::cut_of_id(&SplitId::new("topic-3".to_owned())), None);
    }

    /// Where the first line of a piece starts.
    fn find(text: &str, piece: &Piece) -> usize {
        let start = piece.start as usize;
        if start == 0 { 0 } else { text[start - 1..].find('\n').map_or(text.len(), |newline| start + newline) }
    }

    #[test]
    fn a_file_is_cut_by_size_and_an_empty_one_has_no_pieces() {
        let ranges = |size, cut| {
            Piece::of_file(&file(size), by_lines(cut)).map(|piece| (piece.start, piece.end)).collect::<Vec<_>>()
        };
        assert_eq!(ranges(10, 4), [(0, 4), (4, 8), (8, 10)]);
        assert_eq!(ranges(10, 0), [(0, 10)]);
        assert_eq!(ranges(0, 4), []);
        let file = file(10);
        let part = Piece::of_bytes(&file, 3..9, by_lines(4)).map(|piece| (piece.start, piece.end));
        assert_eq!(part.collect::<Vec<_>>(), [(3, 4), (4, 8), (8, 9)], "where the pieces of the whole file are cut");
    }

    #[test]
    fn a_changed_file_is_refused() {
        let file = file(10);
        let piece = Piece::of_file(&file, Cut::NONE).next().expect("one piece");
        assert!(piece.check_size(10).is_ok());
        let error = piece.check_size(11).expect_err("another size").to_string();
        assert!(error.contains("/in/a.json#0-10/10") && error.contains("11 now"), "{error}");
    }
}
