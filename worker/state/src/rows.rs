//! Accumulators of many groups, to read and to change.
//!
//! A loop over groups is compiled twice: for a table of one chunk, where the row of a group is a multiplication away, and for
//! larger tables, where its chunk is looked up first. Those are too large for the caches, and the look-up hides behind the memory.

use crate::chunk::{Chunk, chunk_of, place_of};

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
            chunks => {
                let chunks = chunks.iter_mut().map(|chunk| chunk.words.own().as_mut_slice()).collect();
                Self::Many(ManyChunks { chunks, stride, first })
            }
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
    chunks: Vec<&'a mut [u64]>,
    stride: usize,
    first: usize,
}

impl Accumulators for ManyChunks<'_> {
    #[inline(always)]
    fn cell<const WORDS: usize>(&mut self, group: u32, offset: usize) -> &mut [u64; WORDS] {
        let at = place_of(group) * self.stride + self.first + offset;
        self.chunks[chunk_of(group)][at..at + WORDS].as_mut_array().expect("the range has this length")
    }
}
