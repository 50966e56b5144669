//! Finds the group of a key hash, by open addressing over buckets of 8 bytes. A cache line has eight of them.
//!
//! The low bits of the hash select the bucket. The top bits select the key group, so all keys of a slot share them. A
//! bucket has a tag of 32 bits from the middle of the hash. Two keys with the same tag in the same bucket are so rare
//! that an unnecessary comparison of their packed rows costs less than the memory of whole hashes.

use crate::prefetch::prefetch;

/// No group: the bucket is empty, or the key is not in the table.
pub(crate) const NONE: u32 = u32::MAX;

const BUCKETS_MIN: usize = 16;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Bucket {
    tag: u32,
    group: u32,
}

const EMPTY: Bucket = Bucket { tag: 0, group: NONE };

#[inline(always)]
fn tag_of(hash: u64) -> u32 {
    (hash >> 24) as u32
}

/// A hash table of groups. The number of buckets is a power of two, and at least three eighths of them are empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    buckets: Vec<Bucket>,
    used: usize,
    /// Whether some numbers up to the highest one are of no group in the directory.
    has_gaps: bool,
}

impl Directory {
    /// The first group that may have this hash, or [`NONE`]. The caller must compare the keys.
    #[inline(always)]
    pub(crate) fn candidate(&self, hash: u64) -> u32 {
        self.find(hash, |_| true)
    }

    /// The group with the tag of this hash that `is_key` accepts, or [`NONE`].
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, mut is_key: impl FnMut(u32) -> bool) -> u32 {
        if self.buckets.is_empty() {
            return NONE;
        }
        let mask = self.buckets.len() - 1;
        let tag = tag_of(hash);
        let mut at = hash as usize & mask;
        loop {
            let bucket = &self.buckets[at];
            if bucket.group == NONE || (bucket.tag == tag && is_key(bucket.group)) {
                return bucket.group;
            }
            at = (at + 1) & mask;
        }
    }

    /// Starts loading the bucket of a hash.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch(&self.buckets, hash as usize & self.buckets.len().wrapping_sub(1));
    }

    /// Adds a group that is not in the directory. `hashes` has the hashes of all groups in order. Unless there are gaps,
    /// the new one is last.
    pub(crate) fn insert(&mut self, group: u32, hashes: &[u64]) {
        if (self.used + 1) * 8 > self.buckets.len() * 5 {
            if !self.has_gaps {
                return self.rebuild(hashes, (self.buckets.len() * 2).max(BUCKETS_MIN));
            }
            self.grow_with_gaps(hashes);
        }
        self.place(hashes[group as usize], group);
    }

    /// Removes a group, if it is in the directory. `hashes` has the hashes of all groups.
    pub(crate) fn remove(&mut self, group: u32, hashes: &[u64]) {
        self.has_gaps = true;
        let Some(mut hole) = self.bucket_of(group, hashes) else { return };
        let mask = self.buckets.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let bucket = self.buckets[at];
            if bucket.group == NONE {
                break;
            }
            // A bucket moves to the hole unless a lookup of it begins behind the hole.
            let first = hashes[bucket.group as usize] as usize & mask;
            if at.wrapping_sub(first) & mask >= at.wrapping_sub(hole) & mask {
                self.buckets[hole] = bucket;
                hole = at;
            }
        }
        self.buckets[hole] = EMPTY;
        self.used -= 1;
    }

    /// Lets lookups find another group with the same hash instead of `group`.
    pub(crate) fn replace(&mut self, group: u32, other: u32, hashes: &[u64]) {
        if let Some(at) = self.bucket_of(group, hashes) {
            self.buckets[at].group = other;
        }
    }

    /// Some groups with numbers up to the highest one are not in the directory.
    pub(crate) fn leave_gaps(&mut self) {
        self.has_gaps = true;
    }

    fn bucket_of(&self, group: u32, hashes: &[u64]) -> Option<usize> {
        let mask = self.buckets.len().checked_sub(1)?;
        let mut at = hashes[group as usize] as usize & mask;
        while self.buckets[at].group != group {
            if self.buckets[at].group == NONE {
                return None;
            }
            at = (at + 1) & mask;
        }
        Some(at)
    }

    /// Removes all groups. A directory that is mostly empty releases its memory, so that one large window does not slow
    /// down all small windows after it.
    pub(crate) fn clear(&mut self) {
        if self.used * 8 < self.buckets.len() && self.buckets.len() > 1024 {
            self.buckets = Vec::new();
        } else {
            self.buckets.fill(EMPTY);
        }
        self.used = 0;
        self.has_gaps = false;
    }

    /// The size in memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Makes room. Numbers without a bucket stay without one.
    fn grow_with_gaps(&mut self, hashes: &[u64]) {
        let buckets = (self.buckets.len() * 2).max(BUCKETS_MIN);
        let old = std::mem::replace(&mut self.buckets, vec![EMPTY; buckets]);
        self.used = 0;
        for bucket in old.into_iter().filter(|bucket| bucket.group != NONE) {
            self.place(hashes[bucket.group as usize], bucket.group);
        }
    }

    /// Makes room for so many more groups than these, which are all that it has.
    pub(crate) fn reserve(&mut self, groups: usize, hashes: &[u64]) {
        let buckets = ((self.used + groups) * 8 / 5 + 1).next_power_of_two();
        if buckets > self.buckets.len() {
            self.rebuild(hashes, buckets);
        }
    }

    /// Replaces all groups.
    pub(crate) fn refill(&mut self, hashes: &[u64]) {
        self.rebuild(hashes, self.buckets.len());
    }

    fn rebuild(&mut self, hashes: &[u64], buckets: usize) {
        self.buckets.clear();
        self.buckets.resize(buckets, EMPTY);
        self.used = 0;
        for (group, &hash) in hashes.iter().enumerate() {
            self.place(hash, group as u32);
        }
    }

    fn place(&mut self, hash: u64, group: u32) {
        let mask = self.buckets.len() - 1;
        let mut at = hash as usize & mask;
        while self.buckets[at].group != NONE {
            at = (at + 1) & mask;
        }
        self.buckets[at] = Bucket { tag: tag_of(hash), group };
        self.used += 1;
    }
}
