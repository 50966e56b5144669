//! The piece in which packed rows are allocated, frozen and copied.
//!
//! A table of any size grows by whole chunks, so that nothing large is ever moved to make room: only the first chunk begins
//! small.

use crate::shared_vec::SharedVec;

/// Groups of a chunk, as a power of two. Most tables have one, in which the row of a group is found without a look-up. Builds for
/// tests have small ones, so that small tables have several.
const CHUNK_BITS: u32 = if cfg!(test) {
    4
} else if cfg!(debug_assertions) {
    13
} else {
    20
};
/// How many groups a chunk holds.
pub(crate) const CHUNK_GROUPS: usize = 1 << CHUNK_BITS;

/// Bytes of long keys that nothing refers to are removed when they are most of a chunk's and more than this.
const UNUSED_ARENA_MIN: usize = if cfg!(test) { 64 } else { 64 * 1024 };

/// The chunk of a group.
#[inline(always)]
pub(crate) fn chunk_of(group: u32) -> usize {
    (group >> CHUNK_BITS) as usize
}

/// The place of a group within its chunk.
#[inline(always)]
pub(crate) fn place_of(group: u32) -> usize {
    group as usize & (CHUNK_GROUPS - 1)
}

/// Splits groups where the next one is in another chunk. In ascending order, each chunk comes once.
pub fn by_chunk(groups: &[u32]) -> impl Iterator<Item = &[u32]> {
    groups.chunk_by(|one, next| chunk_of(*one) == chunk_of(*next))
}

/// Packed rows of [`CHUNK_GROUPS`] groups.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) hashes: SharedVec<u64>,
    pub(crate) words: SharedVec<u64>,
    /// Long keys, one behind the other.
    pub(crate) arena: SharedVec<u8>,
    /// Bytes of the arena that belong to groups which have been removed.
    unused: usize,
}

impl Chunk {
    /// A chunk with room for all its groups. Memory that is not written yet costs nothing.
    pub(crate) fn with_room(stride: usize) -> Self {
        let (hashes, words) = (Vec::with_capacity(CHUNK_GROUPS), Vec::with_capacity(CHUNK_GROUPS * stride));
        Self { hashes: SharedVec::Own(hashes), words: SharedVec::Own(words), ..Self::default() }
    }

    pub(crate) fn freeze(&mut self) -> Self {
        let (hashes, words, arena) = (self.hashes.freeze(), self.words.freeze(), self.arena.freeze());
        Self { hashes, words, arena, unused: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.hashes.clear();
        self.words.clear();
        self.arena.clear();
        self.unused = 0;
    }

    pub(crate) fn bytes(&self) -> usize {
        8 * (self.hashes.capacity() + self.words.capacity()) + self.arena.capacity()
    }

    /// Appends the bytes of a long key; gives their position.
    pub(crate) fn store_bytes(&mut self, bytes: &[u8]) -> u64 {
        let arena = self.arena.own();
        let at = arena.len() as u64;
        arena.extend_from_slice(bytes);
        at
    }

    /// Counts so many bytes of the arena as unused. Rows of `stride` words begin with the length of their key,
    /// and with its place in the arena if it is longer than `inline_max`.
    pub(crate) fn release_bytes(&mut self, length: usize, stride: usize, inline_max: usize) {
        self.unused += length;
        let arena = self.arena.items();
        if self.unused * 2 <= arena.len() || self.unused < UNUSED_ARENA_MIN {
            return;
        }
        let mut compacted = Vec::with_capacity(arena.len() - self.unused);
        for row in self.words.own().chunks_exact_mut(stride) {
            let length = row[0] as u32 as usize;
            if length > inline_max {
                let at = row[1] as usize;
                row[1] = compacted.len() as u64;
                compacted.extend_from_slice(&arena[at..at + length]);
            }
        }
        self.arena = SharedVec::Own(compacted);
        self.unused = 0;
    }
}
