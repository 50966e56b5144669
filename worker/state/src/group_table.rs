//! Groups of rows with equal keys, each with one packed row of accumulators.
//!
//! A lookup of many keys runs in two passes over a block of rows, so that cache misses overlap: the first finds the
//! bucket of every row by its hash and starts loading the packed row of the group, the second compares keys and adds the
//! groups that are new. Keys are compared in the packed rows, next to the accumulators that are needed anyway.
//!
//! Groups are numbered from 0 in order of first arrival; a new group takes the number of one that has been removed, if there
//! is one. Invariants: every group has a packed row and an entry in the directory; a number that is free has none there.
//!
//! At a barrier a table [hands over](Handover) its groups, or those that have changed.

mod handover;
mod row_keys;

use std::ops::Range;

use arrow::datatypes::DataType;
use eddyline_stream::key_hash::UnsupportedKey;

pub use self::handover::{Handover, Part, Place};
use self::row_keys::{ByteKeys, FixedKeys, GlobalKeys, ManyChunks, OnlyChunk, RowKeys, StoredKeys};
use crate::changes::Changes;
use crate::directory::{Directory, NONE};
use crate::free_groups::FreeGroups;
use crate::keys::Keys;
use crate::packed_rows::{Form, PackedRows};
use crate::rows::RowsMut;

/// Up to so many groups a table stays in the second-level cache: 16 bytes of directory and a packed row each.
const CACHED_GROUPS: usize = 8 * 1024;
/// How far ahead of the lookup buckets are loaded, in rows.
const AHEAD: usize = 12;

/// Packed rows by key.
#[derive(Debug)]
pub struct GroupTable {
    // Fixed at start.
    initial: Box<[u64]>,
    // Changing.
    directory: Directory,
    packed: PackedRows,
    free: FreeGroups,
    changes: Changes,
    /// Only for reuse.
    others: Vec<usize>,
}

impl GroupTable {
    /// An empty table for keys of these types. `initial` are the accumulators of a new group.
    ///
    /// # Errors
    /// When a type cannot be a key.
    pub fn new(key_types: &[DataType], initial: &[u64]) -> Result<Self, UnsupportedKey> {
        Ok(Self::of_form(Form::of(key_types)?, initial))
    }

    /// An empty table whose keys are bytes that only the caller understands; they come as [`Keys::Encoded`] and are read
    /// with [`PackedRows::key_bytes`].
    pub fn of_bytes(initial: &[u64]) -> Self {
        Self::of_form(Form::Opaque, initial)
    }

    fn of_form(form: Form, initial: &[u64]) -> Self {
        Self::of_packed(PackedRows::new(form, initial.len()), initial)
    }

    fn of_packed(packed: PackedRows, initial: &[u64]) -> Self {
        let (directory, free, changes) = (Directory::default(), FreeGroups::default(), Changes::default());
        Self { initial: initial.into(), directory, packed, free, changes, others: Vec::new() }
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.packed.len() - self.free.len()
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All groups, in ascending order.
    pub fn groups(&self) -> Vec<u32> {
        self.free.others(0..self.packed.len() as u32)
    }

    /// Removes all groups and keeps the memory for the next ones, unless most of it was not used.
    pub fn clear(&mut self) {
        self.directory.clear();
        self.packed.clear();
        self.free = FreeGroups::default();
        self.changes.clear();
    }

    /// Removes a group. Its number is given to a group that comes later.
    ///
    /// # Panics
    /// When there is no such group.
    pub fn remove(&mut self, group: u32) {
        assert!(
            (group as usize) < self.packed.len() && !self.free.contains(group),
            "group {group} is not in the table"
        );
        self.changes.note_removal(group, &self.packed);
        self.directory.remove(group, self.packed.hash(group), |other| self.packed.hash(other));
        self.packed.remove_key(group);
        self.free.insert(group);
    }

    /// Forgets what earlier checkpoints got: the next one gets all groups.
    pub fn forget_changes(&mut self) {
        self.changes.clear();
    }

    /// Bytes held, used or not.
    pub fn bytes(&self) -> usize {
        self.directory.bytes() + self.packed.bytes() + self.free.bytes() + self.changes.bytes()
    }

    /// All groups as they are now, shared until the table changes them.
    pub fn freeze(&mut self) -> PackedRows {
        self.packed.freeze(|_| true)
    }

    /// The groups, to read.
    pub fn packed(&self) -> &PackedRows {
        &self.packed
    }

    /// The accumulators, to change those of `groups` and of no others.
    pub fn rows_mut(&mut self, groups: &[u32]) -> RowsMut<'_> {
        self.changes.note(groups);
        self.packed.rows_mut()
    }

    /// The accumulators of a group, to change.
    pub fn accumulators_mut(&mut self, group: u32) -> &mut [u64] {
        self.changes.note_one(group);
        self.packed.accumulators_mut(group)
    }

    /// Gives these groups the accumulators of new ones.
    pub fn reset(&mut self, groups: &[u32]) {
        self.changes.note(groups);
        for group in groups {
            self.packed.accumulators_mut(*group).copy_from_slice(&self.initial);
        }
    }

    /// Appends to `groups` the group of each of these rows; keys that are new become groups.
    ///
    /// `keys` and `hashes` are those of the whole batch. The keys must have the form that this table's types have.
    pub fn find_or_insert(&mut self, keys: &Keys<'_>, hashes: &[u64], rows: Range<usize>, groups: &mut Vec<u32>) {
        let mut finder = self.finder();
        match keys {
            Keys::Global => finder.lookup(&GlobalKeys, hashes, rows, groups),
            Keys::Fixed { images, nulls: None } => {
                finder.lookup(&FixedKeys::<false> { images, nulls: None }, hashes, rows, groups);
            }
            Keys::Fixed { images, nulls } => {
                finder.lookup(&FixedKeys::<true> { images, nulls: *nulls }, hashes, rows, groups)
            }
            Keys::Bytes { offsets, bytes, nulls } => {
                let span = |row: usize| (offsets[row] as usize, offsets[row + 1] as usize);
                let is_null = |row| nulls.is_some_and(|nulls| nulls.is_null(row));
                finder.lookup(&ByteKeys { bytes, span, is_null }, hashes, rows, groups);
            }
            Keys::Encoded { offsets, bytes } => {
                let span = |row: usize| (offsets[row], offsets[row + 1]);
                finder.lookup(&ByteKeys { bytes, span, is_null: |_| false }, hashes, rows, groups);
            }
            Keys::Dictionary { indices, nulls, offsets, bytes } => {
                let span = |row: usize| {
                    let entry = indices[row] as usize;
                    (offsets[entry] as usize, offsets[entry + 1] as usize)
                };
                let is_null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
                let keys = ByteKeys { bytes, span, is_null };
                let mut of_entry = vec![NONE; offsets.len().saturating_sub(1)];
                for row in rows {
                    let known = if is_null(row) { finder.packed.null_group } else { of_entry[indices[row] as usize] };
                    let group = if known == NONE { finder.find_or_insert_one(&keys, hashes[row], row) } else { known };
                    if !is_null(row) {
                        of_entry[indices[row] as usize] = group;
                    }
                    groups.push(group);
                }
            }
        }
    }

    /// This table's group with the key of a group in another table with the same key types.
    pub fn find(&self, of_other: &PackedRows, group: u32) -> Option<u32> {
        let keys = StoredKeys { of: of_other };
        let is_key = |found| keys.matches(&self.packed, found, group as usize);
        Some(self.directory.find(of_other.hash(group), is_key)).filter(|found| *found != NONE)
    }

    /// Appends to `groups` this table's group for each of the groups `of_other` in another table with the same key types.
    pub fn adopt(&mut self, other: &PackedRows, of_other: &[u32], groups: &mut Vec<u32>) {
        let mut finder = self.finder();
        let start = groups.len();
        for (i, group) in of_other.iter().enumerate() {
            if let Some(ahead) = of_other.get(i + AHEAD) {
                finder.directory.prefetch(other.hash(*ahead));
            }
            groups.push(finder.candidate(other.hash(*group)));
        }
        let keys = StoredKeys { of: other };
        for (group, of_other) in groups[start..].iter_mut().zip(of_other) {
            let row = *of_other as usize;
            if *group == NONE || !keys.matches(finder.packed, *group, row) {
                *group = finder.find_or_insert_one(&keys, other.hash(*of_other), row);
            }
        }
    }

    fn finder(&mut self) -> Finder<'_> {
        let Self { initial, directory, packed, free, changes, others } = self;
        Finder { initial, directory, packed, free, changes, others }
    }
}

/// A table whose groups are looked up and added.
struct Finder<'a> {
    initial: &'a [u64],
    directory: &'a mut Directory,
    packed: &'a mut PackedRows,
    free: &'a mut FreeGroups,
    changes: &'a mut Changes,
    others: &'a mut Vec<usize>,
}

impl Finder<'_> {
    /// The first group with this hash, whose packed row begins to be loaded.
    #[inline(always)]
    fn candidate(&self, hash: u64) -> u32 {
        let candidate = self.directory.candidate(hash);
        if candidate != NONE {
            self.packed.prefetch(candidate);
        }
        candidate
    }

    #[inline(always)]
    fn lookup(&mut self, keys: &impl RowKeys, hashes: &[u64], rows: Range<usize>, groups: &mut Vec<u32>) {
        let start = groups.len();
        groups.reserve(rows.len());
        self.candidates(hashes, rows.clone(), groups);
        let row_of = |at: usize| rows.start + at - start;
        let mut next = start;
        while let Some(stored) = OnlyChunk::of(self.packed) {
            let is_other = |at: &usize| groups[*at] == NONE || !keys.matches(&stored, groups[*at], row_of(*at));
            let Some(other) = (next..groups.len()).find(is_other) else { return };
            groups[other] = self.find_or_insert_one(keys, hashes[row_of(other)], row_of(other));
            next = other + 1;
        }
        let stored = ManyChunks::of(self.packed);
        let is_other = |at: &usize| groups[*at] == NONE || !keys.matches(&stored, groups[*at], row_of(*at));
        let mut others = std::mem::take(self.others);
        others.extend((next..groups.len()).filter(is_other));
        for other in others.drain(..) {
            groups[other] = self.find_or_insert_one(keys, hashes[row_of(other)], row_of(other));
        }
        *self.others = others;
    }

    /// Appends the first group with the hash of each row, and starts loading their packed rows.
    #[inline(always)]
    fn candidates(&self, hashes: &[u64], rows: Range<usize>, groups: &mut Vec<u32>) {
        let directory = &*self.directory;
        if directory.len() <= CACHED_GROUPS {
            // What is in the cache need not be asked for early.
            groups.extend(hashes[rows].iter().map(|hash| directory.candidate(*hash)));
        } else if let Some(stored) = OnlyChunk::of(self.packed) {
            candidates(directory, |group| stored.prefetch(group), (hashes, rows), groups);
        } else {
            let stored = ManyChunks::of(self.packed);
            candidates(directory, |group| stored.prefetch(group), (hashes, rows), groups);
        }
    }

    #[inline(never)]
    fn find_or_insert_one(&mut self, keys: &impl RowKeys, hash: u64, row: usize) -> u32 {
        let packed = &mut *self.packed;
        let found = self.directory.find(hash, |group| keys.matches(packed, group, row));
        if found != NONE {
            return found;
        }
        let group = match self.free.take() {
            Some(group) => {
                let key = keys.store(packed.chunk_mut(group), row);
                packed.put(group, hash, key, self.initial);
                self.changes.note_one(group);
                group
            }
            None => packed.push(hash, |chunk| keys.store(chunk, row), self.initial),
        };
        if keys.is_null(row) {
            packed.null_group = group;
        }
        let (packed, free) = (&*packed, &*self.free);
        self.directory.insert(group, hash, || packed.hashes().filter(|(group, _)| !free.contains(*group)));
        group
    }
}

/// Appends the first group with the hash of each row.
#[inline(always)]
fn candidates(
    directory: &Directory,
    prefetch: impl Fn(u32),
    (hashes, rows): (&[u64], Range<usize>),
    groups: &mut Vec<u32>,
) {
    for row in rows {
        if let Some(hash) = hashes.get(row + AHEAD) {
            directory.prefetch(*hash);
        }
        let candidate = directory.candidate(hashes[row]);
        if candidate != NONE {
            prefetch(candidate);
        }
        groups.push(candidate);
    }
}

#[cfg(test)]
mod tests;
