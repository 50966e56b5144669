//! Accumulators of many groups, to read and to change.
//!
//! A loop over groups is compiled twice: for a table of one chunk, where the row of a group is a multiplication away, and for
//! larger tables, where the beginning of its chunk is looked up first.

use std::marker::PhantomData;

use crate::chunk::{CHUNK_GROUPS, Chunk, chunk_of};

/// Accumulators of one chunk, to read.
#[derive(Clone, Copy, Debug)]
pub struct ChunkRows<'a> {
    words: &'a [u64],
    base: u32,
    stride: usize,
    first: usize,
}

impl<'a> ChunkRows<'a> {
    /// Rows of `stride` words that belong to the groups from `base` on; accumulators begin at word `first`.
    pub fn new(words: &'a [u64], base: u32, stride: usize, first: usize) -> Self {
        Self { words, base, stride, first }
    }

    /// So many words of a group, from word `offset` of its accumulators on.
    #[inline(always)]
    pub fn cell<const WORDS: usize>(&self, group: u32, offset: usize) -> &'a [u64; WORDS] {
        let at = (group - self.base) as usize * self.stride + self.first + offset;
        self.words[at..at + WORDS].as_array().expect("the range has this length")
    }
}

/// Accumulators of all groups of a table, to change.
pub trait Accumulators {
    /// So many words of a group, from word `offset` of its accumulators on.
    fn cell<const WORDS: usize>(&mut self, group: u32, offset: usize) -> &mut [u64; WORDS];
}

/// Accumulators to change: match on it outside of a loop over groups.
#[derive(Debug)]
pub enum RowsMut<'a> {
    /// Those of a table with one chunk.
    One(OneChunk<'a>),
    /// Those of a larger table.
    Many(ManyChunks<'a>),
}

impl<'a> RowsMut<'a> {
    /// Rows of `stride` words that are accumulators and nothing else.
    pub fn of_words(words: &'a mut [u64], stride: usize) -> Self {
        Self::One(OneChunk { words, stride, first: 0 })
    }

    pub(crate) fn new(chunks: &'a mut [Chunk], stride: usize, first: usize) -> Self {
        match chunks {
            [one] => Self::One(OneChunk { words: one.words.own(), stride, first }),
            chunks => Self::Many(ManyChunks { rows: ChunkTable::to_change(chunks, stride), first }),
        }
    }
}

/// Accumulators of a table with one chunk.
#[derive(Debug)]
pub struct OneChunk<'a> {
    words: &'a mut [u64],
    stride: usize,
    first: usize,
}

impl Accumulators for OneChunk<'_> {
    #[inline(always)]
    fn cell<const WORDS: usize>(&mut self, group: u32, offset: usize) -> &mut [u64; WORDS] {
        let at = group as usize * self.stride + self.first + offset;
        self.words[at..at + WORDS].as_mut_array().expect("the range has this length")
    }
}

/// Accumulators of a table with several chunks.
#[derive(Debug)]
pub struct ManyChunks<'a> {
    rows: ChunkTable<'a>,
    first: usize,
}

impl Accumulators for ManyChunks<'_> {
    #[inline(always)]
    fn cell<const WORDS: usize>(&mut self, group: u32, offset: usize) -> &mut [u64; WORDS] {
        let cell = self.rows.words::<WORDS>(group, self.first + offset).cast_mut();
        // SAFETY: the words are within a row that is there and that only this table can be used for, because it was made of
        // chunks that are borrowed to be changed. The result borrows this table.
        unsafe { &mut *cell }
    }
}

/// Where the rows of groups are in several chunks.
///
/// The look-up is one addition and one load more than in one chunk: for each chunk it has the place where row 0 would be if all rows
/// lay behind each other as in this chunk.
#[derive(Debug)]
pub(crate) struct ChunkTable<'a> {
    /// Only to be used for groups of the chunk; mostly outside of any memory.
    zeroth: Vec<*const u64>,
    stride: usize,
    groups: usize,
    chunks: PhantomData<&'a [u64]>,
}

impl<'a> ChunkTable<'a> {
    /// Rows to read.
    pub(crate) fn to_read(chunks: &'a [Chunk], stride: usize) -> Self {
        Self::new(chunks.iter().map(|chunk| (chunk.words.items().as_ptr(), chunk.words.items().len())), stride)
    }

    fn to_change(chunks: &'a mut [Chunk], stride: usize) -> Self {
        let words = chunks.iter_mut().map(|chunk| chunk.words.own());
        Self::new(words.map(|words| (words.as_mut_ptr().cast_const(), words.len())), stride)
    }

    /// Chunks by where their words begin and how many they are. All but the last are full.
    fn new(chunks: impl Iterator<Item = (*const u64, usize)>, stride: usize) -> Self {
        let (mut zeroth, mut groups) = (Vec::new(), 0);
        for (begin, words) in chunks {
            assert_eq!(groups, zeroth.len() * CHUNK_GROUPS, "only the last chunk has room");
            zeroth.push(begin.wrapping_sub(groups * stride));
            groups += words / stride.max(1);
        }
        Self { zeroth, stride, groups, chunks: PhantomData }
    }

    /// So many words of the row of a group, from word `offset` on.
    ///
    /// # Panics
    /// When there is no such group, or the words are not within a row.
    #[inline(always)]
    pub(crate) fn words<const WORDS: usize>(&self, group: u32, offset: usize) -> *const [u64; WORDS] {
        assert!((group as usize) < self.groups && offset + WORDS <= self.stride, "no such row");
        // SAFETY: all chunks in front of the last are full, so that a group below `groups` has its chunk in the list.
        let zeroth = unsafe { *self.zeroth.get_unchecked(chunk_of(group)) };
        zeroth.wrapping_add(group as usize * self.stride + offset).cast()
    }

    /// The words as a reference.
    #[inline(always)]
    pub(crate) fn read<const WORDS: usize>(&self, group: u32, offset: usize) -> &'a [u64; WORDS] {
        // SAFETY: the words are within a row that is there, and its chunk is borrowed as long as the result is.
        unsafe { &*self.words(group, offset) }
    }
}
