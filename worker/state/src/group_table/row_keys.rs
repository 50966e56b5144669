//! Keys of rows, compared with those of groups and stored as such.

use arrow::buffer::NullBuffer;

use crate::chunk::{Chunk, chunk_of, place_of};
use crate::packed_rows::{INLINE_MAX, PackedRows, view_of};
use crate::prefetch::prefetch;
use crate::rows::ChunkTable;

/// Packed rows, to compare keys with.
pub(super) trait Stored {
    /// The first words of the row of a group; the form of the keys has so many.
    fn key<const WORDS: usize>(&self, group: u32) -> &[u64; WORDS];
    /// The long keys in the chunk of a group.
    fn arena(&self, group: u32) -> &[u8];
    fn null_group(&self) -> u32;
}

/// A table of one chunk.
pub(super) struct OnlyChunk<'a> {
    words: &'a [u64],
    chunk: &'a Chunk,
    stride: usize,
    null_group: u32,
}

impl<'a> OnlyChunk<'a> {
    /// `None` if there are several.
    #[inline(always)]
    pub(super) fn of(packed: &'a PackedRows) -> Option<Self> {
        let chunk = packed.only_chunk()?;
        Some(Self { words: chunk.words.items(), chunk, stride: packed.stride, null_group: packed.null_group })
    }

    /// Starts loading the row of a group.
    #[inline(always)]
    pub(super) fn prefetch(&self, group: u32) {
        prefetch(self.words, group as usize * self.stride);
    }
}

impl Stored for OnlyChunk<'_> {
    #[inline(always)]
    fn key<const WORDS: usize>(&self, group: u32) -> &[u64; WORDS] {
        let at = group as usize * self.stride;
        self.words[at..at + WORDS].as_array().expect("the range has this length")
    }

    fn arena(&self, _: u32) -> &[u8] {
        self.chunk.arena.items()
    }

    #[inline(always)]
    fn null_group(&self) -> u32 {
        self.null_group
    }
}

/// A table of several chunks.
pub(super) struct ManyChunks<'a> {
    rows: ChunkTable<'a>,
    packed: &'a PackedRows,
}

impl<'a> ManyChunks<'a> {
    pub(super) fn of(packed: &'a PackedRows) -> Self {
        Self { rows: ChunkTable::to_read(packed.used_chunks(), packed.stride), packed }
    }

    /// Starts loading the row of a group.
    #[inline(always)]
    pub(super) fn prefetch(&self, group: u32) {
        prefetch(self.rows.read::<1>(group, 0), 0);
    }
}

impl Stored for ManyChunks<'_> {
    #[inline(always)]
    fn key<const WORDS: usize>(&self, group: u32) -> &[u64; WORDS] {
        self.rows.read(group, 0)
    }

    fn arena(&self, group: u32) -> &[u8] {
        self.packed.arena(group)
    }

    #[inline(always)]
    fn null_group(&self) -> u32 {
        self.packed.null_group
    }
}

impl Stored for PackedRows {
    #[inline(always)]
    fn key<const WORDS: usize>(&self, group: u32) -> &[u64; WORDS] {
        let at = place_of(group) * self.stride;
        self.chunks()[chunk_of(group)].words.items()[at..at + WORDS].as_array().expect("the range has this length")
    }

    fn arena(&self, group: u32) -> &[u8] {
        self.chunk(group).arena.items()
    }

    #[inline(always)]
    fn null_group(&self) -> u32 {
        self.null_group
    }
}

/// Keys of rows that are looked up.
pub(super) trait RowKeys {
    fn is_null(&self, row: usize) -> bool;
    /// Whether the key of `group` is that of `row`.
    fn matches(&self, table: &impl Stored, group: u32, row: usize) -> bool;
    /// The words of the key in a packed row, as many as its form has. Bytes that have no room there go into the chunk.
    fn store(&self, chunk: &mut Chunk, row: usize) -> [u64; 2];
}

pub(super) struct GlobalKeys;

impl RowKeys for GlobalKeys {
    fn is_null(&self, _: usize) -> bool {
        false
    }

    #[inline(always)]
    fn matches(&self, _: &impl Stored, _: u32, _: usize) -> bool {
        true
    }

    fn store(&self, _: &mut Chunk, _: usize) -> [u64; 2] {
        [0, 0]
    }
}

pub(super) struct FixedKeys<'a, const NULLABLE: bool> {
    pub(super) images: &'a [i64],
    pub(super) nulls: Option<&'a NullBuffer>,
}

impl<const NULLABLE: bool> RowKeys for FixedKeys<'_, NULLABLE> {
    #[inline(always)]
    fn is_null(&self, row: usize) -> bool {
        NULLABLE && self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    #[inline(always)]
    fn matches(&self, table: &impl Stored, group: u32, row: usize) -> bool {
        if self.is_null(row) {
            return group == table.null_group();
        }
        table.key::<1>(group)[0] == self.images[row] as u64 && group != table.null_group()
    }

    fn store(&self, _: &mut Chunk, row: usize) -> [u64; 2] {
        [if self.is_null(row) { 0 } else { self.images[row] as u64 }, 0]
    }
}

pub(super) struct ByteKeys<'a, S, N> {
    pub(super) bytes: &'a [u8],
    pub(super) span: S,
    pub(super) is_null: N,
}

impl<S: Fn(usize) -> (usize, usize), N: Fn(usize) -> bool> RowKeys for ByteKeys<'_, S, N> {
    #[inline(always)]
    fn is_null(&self, row: usize) -> bool {
        (self.is_null)(row)
    }

    #[inline(always)]
    fn matches(&self, table: &impl Stored, group: u32, row: usize) -> bool {
        let is_null_group = group == table.null_group();
        if is_null_group || self.is_null(row) {
            return is_null_group && self.is_null(row);
        }
        let (start, end) = (self.span)(row);
        let length = end - start;
        let [head, tail] = *table.key(group);
        let [row_head, row_tail] = view_of(self.bytes, start, length);
        if length <= INLINE_MAX {
            head == row_head && tail == row_tail
        } else {
            head == row_head && table.arena(group)[tail as usize..tail as usize + length] == self.bytes[start..end]
        }
    }

    fn store(&self, chunk: &mut Chunk, row: usize) -> [u64; 2] {
        if self.is_null(row) {
            return [0, 0];
        }
        let (start, end) = (self.span)(row);
        let [head, tail] = view_of(self.bytes, start, end - start);
        let is_inline = end - start <= INLINE_MAX;
        [head, if is_inline { tail } else { chunk.store_bytes(&self.bytes[start..end]) }]
    }
}

/// The keys of another table's groups; a row is the number of one.
pub(super) struct StoredKeys<'a> {
    pub(super) of: &'a PackedRows,
}

impl RowKeys for StoredKeys<'_> {
    fn is_null(&self, row: usize) -> bool {
        row == self.of.null_group as usize
    }

    fn matches(&self, table: &impl Stored, group: u32, row: usize) -> bool {
        let is_null_group = group == table.null_group();
        if is_null_group || self.is_null(row) {
            return is_null_group && self.is_null(row);
        }
        match self.of.key_words {
            0 => true,
            1 => table.key::<1>(group) == self.of.key::<1>(row as u32),
            _ => {
                let ([head, tail], [other_head, other_tail]) = (*table.key(group), *self.of.key(row as u32));
                let length = head as u32 as usize;
                head == other_head
                    && if length <= INLINE_MAX {
                        tail == other_tail
                    } else {
                        table.arena(group)[tail as usize..tail as usize + length]
                            == self.of.arena(row as u32)[other_tail as usize..other_tail as usize + length]
                    }
            }
        }
    }

    fn store(&self, chunk: &mut Chunk, row: usize) -> [u64; 2] {
        self.of.copy_key(row as u32, chunk)
    }
}
