//! Key groups: the unit in which keyed state is partitioned, snapshotted and moved.

use std::fmt;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

/// The number of a job's key groups: a power of two up to 32 768, fixed once the job has state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct MaxParallelism(NonZeroU16);

/// An invalid number of key groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("max parallelism {0} is not a power of two between 1 and 32768")]
pub struct InvalidMaxParallelism(u32);

impl MaxParallelism {
    /// The default of a job.
    pub const DEFAULT: MaxParallelism = MaxParallelism(NonZeroU16::new(256).expect("256 is not 0"));

    /// The number of key groups.
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// All key groups, in order.
    pub fn key_groups(self) -> impl Iterator<Item = KeyGroup> {
        (0..self.get()).map(KeyGroup)
    }
}

impl TryFrom<u32> for MaxParallelism {
    type Error = InvalidMaxParallelism;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        u16::try_from(number)
            .ok()
            .filter(|number| number.is_power_of_two())
            .and_then(NonZeroU16::new)
            .map(Self)
            .ok_or(InvalidMaxParallelism(number))
    }
}

impl From<MaxParallelism> for u32 {
    fn from(max_parallelism: MaxParallelism) -> u32 {
        u32::from(max_parallelism.get())
    }
}

impl fmt::Display for MaxParallelism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The unit in which keyed state is partitioned, snapshotted and moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyGroup(u16);

impl KeyGroup {
    /// The key group of a key: the top bits of its [hash](crate::key_hash). Hash tables use the low bits. This mapping
    /// is part of the savepoint format: never change it.
    #[inline]
    pub const fn of(key_hash: u64, max_parallelism: MaxParallelism) -> Self {
        let bits = max_parallelism.get().trailing_zeros();
        // With one key group there are no bits to take, and a shift by 64 overflows.
        if bits == 0 { Self(0) } else { Self((key_hash >> (64 - bits)) as u16) }
    }

    /// Key group number `index`.
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// The number as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for KeyGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A set of key groups of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyGroupSet {
    max_parallelism: MaxParallelism,
    words: Vec<u64>,
}

impl KeyGroupSet {
    /// The empty set.
    pub fn empty(max_parallelism: MaxParallelism) -> Self {
        let words = vec![0; usize::from(max_parallelism.get()).div_ceil(64)];
        Self { max_parallelism, words }
    }

    /// Every key group of the job.
    pub fn all(max_parallelism: MaxParallelism) -> Self {
        let mut set = Self::empty(max_parallelism);
        max_parallelism.key_groups().for_each(|group| set.insert(group));
        set
    }

    /// The job's number of key groups.
    pub fn max_parallelism(&self) -> MaxParallelism {
        self.max_parallelism
    }

    /// Adds a key group.
    pub fn insert(&mut self, group: KeyGroup) {
        self.words[group.index() / 64] |= 1 << (group.index() % 64);
    }

    /// Whether a key group is in the set.
    pub fn contains(&self, group: KeyGroup) -> bool {
        self.words.get(group.index() / 64).is_some_and(|word| word >> (group.index() % 64) & 1 == 1)
    }

    /// Whether a key with this hash belongs to the set.
    pub fn contains_hash(&self, key_hash: u64) -> bool {
        self.contains(KeyGroup::of(key_hash, self.max_parallelism))
    }

    /// The number of key groups in the set.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set has no key groups.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key groups in order.
    pub fn iter(&self) -> impl Iterator<Item = KeyGroup> + '_ {
        self.max_parallelism.key_groups().filter(|group| self.contains(*group))
    }
}
