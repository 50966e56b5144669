//! Numbers of groups that have been removed and are free to be given out again.

use std::ops::Range;

/// Free numbers, to take one and to ask about one.
#[derive(Debug, Default)]
pub(crate) struct FreeGroups {
    list: Vec<u32>,
    /// A bit for each number, as far as one was ever free.
    bits: Vec<u64>,
}

impl FreeGroups {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn contains(&self, group: u32) -> bool {
        self.bits.get((group >> 6) as usize).is_some_and(|bits| bits >> (group & 63) & 1 == 1)
    }

    pub(crate) fn insert(&mut self, group: u32) {
        let word = (group >> 6) as usize;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= 1 << (group & 63);
        self.list.push(group);
    }

    /// The number that became free last.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<u32> {
        let group = self.list.pop()?;
        self.bits[(group >> 6) as usize] &= !(1 << (group & 63));
        Some(group)
    }

    /// The numbers of a range that are not free.
    pub(crate) fn others(&self, range: Range<u32>) -> Vec<u32> {
        if self.list.is_empty() { range.collect() } else { range.filter(|group| !self.contains(*group)).collect() }
    }

    /// Whether numbers of a range are free.
    pub(crate) fn any_in(&self, range: Range<u32>) -> bool {
        !self.list.is_empty() && range.into_iter().any(|group| self.contains(group))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.list.capacity() * 4 + self.bits.capacity() * 8
    }
}
