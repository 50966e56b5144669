//! What is kept beside the packed rows of groups, in the same chunks.

use crate::chunk::{CHUNK_GROUPS, chunk_of, place_of};
use crate::group_table::Handover;
use crate::shared_vec::SharedVec;

/// An item for each group of a table, by its number.
#[derive(Debug)]
pub struct Chunked<T> {
    chunks: Vec<SharedVec<T>>,
    len: usize,
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Clone> Chunked<T> {
    /// Makes room for so many groups; those that are new get `item`.
    pub fn grow(&mut self, groups: usize, item: &T) {
        while self.len < groups {
            let chunk = self.len / CHUNK_GROUPS;
            if chunk == self.chunks.len() {
                self.chunks.push(SharedVec::default());
            }
            let end = groups.min((chunk + 1) * CHUNK_GROUPS);
            self.chunks[chunk].own().resize(end - chunk * CHUNK_GROUPS, item.clone());
            self.len = end;
        }
    }

    /// The item of a group, `None` if there is no room for it yet.
    #[inline(always)]
    pub fn get(&self, group: u32) -> Option<&T> {
        self.chunks.get(chunk_of(group))?.items().get(place_of(group))
    }

    /// The item of a group, to change.
    ///
    /// # Panics
    /// When there is no room for the group.
    #[inline(always)]
    pub fn get_mut(&mut self, group: u32) -> &mut T {
        &mut self.chunks[chunk_of(group)].own()[place_of(group)]
    }

    /// Removes all items and keeps the memory that was used.
    pub fn clear(&mut self) {
        self.chunks.truncate(self.len.div_ceil(CHUNK_GROUPS));
        self.chunks.iter_mut().for_each(SharedVec::clear);
        self.len = 0;
    }

    /// The items that go with a handover: those of the chunks that it shares, and those of copies.
    pub fn hand_over(&mut self, handover: &Handover) -> (Self, Self) {
        let freeze = |(number, chunk): (usize, &mut SharedVec<T>)| {
            if handover.is_shared(number) { chunk.freeze() } else { SharedVec::default() }
        };
        let chunks = self.chunks.iter_mut().enumerate().map(freeze).collect();
        let mut copies = Self::default();
        for (number, group) in handover.copied.iter().enumerate() {
            if let Some(item) = self.get(*group) {
                copies.grow(number + 1, item);
            }
        }
        (Self { chunks, len: self.len }, copies)
    }

    /// Bytes held, used or not, without what items refer to.
    pub fn bytes(&self) -> usize {
        self.chunks.iter().map(SharedVec::capacity).sum::<usize>() * size_of::<T>()
    }
}
