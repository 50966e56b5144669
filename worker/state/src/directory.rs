//! From key hash to group: open addressing over 8-byte buckets, eight to a cache line.
//!
//! The bucket is chosen by the low bits of the hash; the top bits choose the key group, so all keys of one slot share
//! them. A bucket has a tag of 32 bits from the middle of the hash: two keys of one tag in one bucket are so rare that
//! comparing their packed rows in vain costs less than the memory of whole hashes.

use crate::prefetch::prefetch;

/// No group: an empty bucket, or a key that is not in the table.
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

/// The buckets. Their number is a power of two, and at least three eighths of them are empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    buckets: Vec<Bucket>,
    used: usize,
}

impl Directory {
    /// The first group that may have this hash, or [`NONE`]. The caller compares the keys.
    #[inline(always)]
    pub(crate) fn candidate(&self, hash: u64) -> u32 {
        self.find(hash, |_| true)
    }

    /// The group with the tag of this hash for which `is_key` holds, or [`NONE`].
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

    /// Adds a group that is not in the directory yet. `all` gives all groups with their hashes, the new one too.
    #[inline(always)]
    pub(crate) fn insert<I: Iterator<Item = (u32, u64)>>(&mut self, group: u32, hash: u64, all: impl FnOnce() -> I) {
        if (self.used + 1) * 8 > self.buckets.len() * 5 {
            self.rebuild(all(), (self.buckets.len() * 2).max(BUCKETS_MIN));
        } else {
            self.place(hash, group);
        }
    }

    /// Takes a group out that is in the directory. The groups behind it move up, as if it had never been there.
    pub(crate) fn remove(&mut self, group: u32, hash: u64, hash_of: impl Fn(u32) -> u64) {
        let mask = self.buckets.len() - 1;
        let mut hole = hash as usize & mask;
        while self.buckets[hole].group != group {
            hole = (hole + 1) & mask;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let bucket = self.buckets[at];
            if bucket.group == NONE {
                break;
            }
            // It can move up if that is not in front of where its search begins.
            let home = hash_of(bucket.group) as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.buckets[hole] = bucket;
                hole = at;
            }
        }
        self.buckets[hole] = EMPTY;
        self.used -= 1;
    }

    /// Removes all groups. A directory that was mostly empty gives its memory back, so that one large window does not
    /// make all small ones after it slow.
    pub(crate) fn clear(&mut self) {
        if self.used * 8 < self.buckets.len() && self.buckets.len() > 1024 {
            self.buckets = Vec::new();
        } else {
            self.buckets.fill(EMPTY);
        }
        self.used = 0;
    }

    /// How many groups there are.
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    #[cold]
    #[inline(never)]
    fn rebuild(&mut self, all: impl Iterator<Item = (u32, u64)>, buckets: usize) {
        self.buckets.clear();
        self.buckets.resize(buckets, EMPTY);
        self.used = 0;
        all.for_each(|(group, hash)| self.place(hash, group));
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
