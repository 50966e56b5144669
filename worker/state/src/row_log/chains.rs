//! The rows of each key, in order.

use std::collections::VecDeque;

use super::{Moved, RowRef};

/// A row of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// What the rows of a key are in order of, such as their times.
    pub order: i64,
    /// Where the row is.
    pub at: RowRef,
}

/// The rows of one key. They are counted from its first row on; counts of removed rows do not come again.
#[derive(Clone, Debug, Default)]
struct Chain {
    links: VecDeque<Link>,
    /// The count of the first of `links`.
    first: u64,
}

/// The rows of each key, by the number of the key's group.
#[derive(Clone, Debug, Default)]
pub struct Chains {
    chains: Vec<Chain>,
}

impl Chains {
    fn chain(&mut self, group: u32) -> &mut Chain {
        let index = group as usize;
        if self.chains.len() <= index {
            self.chains.resize_with(index + 1, Chain::default);
        }
        &mut self.chains[index]
    }

    /// Adds a row behind the others of its key. Returns the count behind it.
    #[inline]
    pub fn push(&mut self, group: u32, link: Link) -> u64 {
        let chain = self.chain(group);
        debug_assert!(chain.links.back().is_none_or(|last| last.order <= link.order), "in order");
        chain.links.push_back(link);
        chain.first + chain.links.len() as u64
    }

    /// The count of the first row of a key.
    pub fn first(&self, group: u32) -> u64 {
        self.chains.get(group as usize).map_or(0, |chain| chain.first)
    }

    /// The count behind the last row of a key.
    #[inline]
    pub fn end(&self, group: u32) -> u64 {
        self.chains.get(group as usize).map_or(0, |chain| chain.first + chain.links.len() as u64)
    }

    /// A row of a key, by its count.
    #[inline]
    pub fn link(&self, group: u32, count: u64) -> Link {
        let chain = &self.chains[group as usize];
        chain.links[(count - chain.first) as usize]
    }

    /// The rows of a key, in order and backwards.
    pub fn links(&self, group: u32) -> impl DoubleEndedIterator<Item = Link> {
        self.chains.get(group as usize).into_iter().flat_map(|chain| chain.links.iter().copied())
    }

    /// Removes the first row of a key, if it is in front of this count.
    #[inline]
    pub fn pop_before(&mut self, group: u32, count: u64) -> Option<RowRef> {
        let chain = self.chains.get_mut(group as usize).filter(|chain| chain.first < count)?;
        let link = chain.links.pop_front()?;
        chain.first += 1;
        Some(link.at)
    }

    /// Forgets a key with its rows, which are returned. Its next row is the first again.
    pub fn forget(&mut self, group: u32) -> impl Iterator<Item = RowRef> {
        self.chains
            .get_mut(group as usize)
            .map(std::mem::take)
            .into_iter()
            .flat_map(|chain| chain.links)
            .map(|link| link.at)
    }

    /// Finds rows where blocks were put together.
    pub fn follow(&mut self, moved: &Moved) {
        let links = self.chains.iter_mut().flat_map(|chain| &mut chain.links);
        links.for_each(|link| link.at = moved.now(link.at));
    }

    /// Keeps these groups, in ascending order, which get the numbers from 0 on.
    pub fn renumber(&mut self, kept: &[u32]) {
        let chains =
            kept.iter().map(|group| self.chains.get_mut(*group as usize).map(std::mem::take).unwrap_or_default());
        self.chains = chains.collect();
    }

    /// The bytes of the links.
    pub fn bytes(&self) -> usize {
        self.chains.capacity() * size_of::<Chain>()
    }
}
