//! Groups of rows with equal keys, each with one packed row of accumulators.
//!
//! A lookup of many keys makes two passes over a block of rows, so that cache misses overlap. The first pass finds the
//! bucket of every row by its hash and starts loading the packed row of the group. The second one compares keys and
//! adds new groups. Keys are compared in the packed rows, next to the accumulators that are needed anyway.
//!
//! Groups are numbered from 0 in order of first arrival. A removed group leaves a vacant place, which the next new group
//! takes. Invariants: the packed rows have an entry for every place. The directory has one for every key, which is the
//! group that lookups find. A key can have further groups beside that one.
//!
//! At a barrier a table [hands over](crate::handover) its groups, or those that have changed.

use std::ops::Range;
use std::sync::Arc;

use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use eddyline_stream::key_hash::UnsupportedKey;

use crate::changes::Changes;
use crate::directory::{Directory, NONE};
use crate::handover::CopiedAhead;
use crate::keys::Keys;
use crate::packed_rows::{Form, INLINE_MAX, PackedRows, view_of};
use crate::prefetch::prefetch;
use crate::vacancies::Vacancies;

/// The most groups of a table that fits in the second-level cache. Each has 16 bytes of directory and a packed row.
const CACHED_GROUPS: usize = 8 * 1024;
/// The number of rows by which the loading of buckets is ahead of the lookup.
const AHEAD: usize = 12;

/// Packed rows by key.
#[derive(Clone, Debug)]
pub struct GroupTable {
    // Fixed at start.
    initial: Box<[u64]>,
    // Changing.
    directory: Directory,
    /// Shared with frozen state. The first change after a freeze copies it.
    packed: Arc<PackedRows>,
    pub(crate) vacancies: Vacancies,
    pub(crate) changes: Changes,
    /// What is copied for the next checkpoint already.
    pub(crate) ahead: Box<CopiedAhead>,
}

impl GroupTable {
    /// Makes an empty table for keys of these types. `initial` has the accumulators of a new group.
    ///
    /// # Errors
    /// When a type cannot be a key.
    pub fn new(key_types: &[DataType], initial: &[u64]) -> Result<Self, UnsupportedKey> {
        Ok(Self::of_form(Form::of(key_types)?, initial))
    }

    /// Makes an empty table whose keys are bytes in a format of the caller. They are given as [`Keys::Encoded`] and
    /// read with [`PackedRows::key_bytes`].
    pub fn of_bytes(initial: &[u64]) -> Self {
        Self::of_form(Form::Opaque, initial)
    }

    /// Makes an empty table for keys of the form that these rows have. `initial` has as many words as their accumulators.
    pub fn like(rows: &PackedRows, initial: &[u64]) -> Self {
        Self::of_rows(rows.empty_like(), initial)
    }

    fn of_form(form: Form, initial: &[u64]) -> Self {
        Self::of_rows(PackedRows::new(form, initial.len()), initial)
    }

    fn of_rows(packed: PackedRows, initial: &[u64]) -> Self {
        Self {
            initial: initial.into(),
            directory: Directory::default(),
            packed: Arc::new(packed),
            vacancies: Vacancies::default(),
            changes: Changes::default(),
            ahead: Box::default(),
        }
    }

    /// The number of groups.
    pub fn len(&self) -> usize {
        self.packed.len() - self.vacancies.len()
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of places. Groups have smaller numbers. There are more places than groups only after groups were
    /// removed.
    pub fn places(&self) -> usize {
        self.packed.len()
    }

    /// The numbers of all groups, in ascending order.
    pub fn groups(&self) -> impl Iterator<Item = u32> {
        (0..self.places() as u32).filter(|place| !self.vacancies.contains(*place))
    }

    /// Removes a group. The next new group takes its place, and counts as changed.
    ///
    /// A checkpoint gets the groups that exist, and nothing that says that this one is gone. The caller says so if it must.
    pub fn remove(&mut self, group: u32) {
        self.directory.remove(group, &self.packed.hashes);
        Arc::make_mut(&mut self.packed).forget_key(group);
        self.vacancies.push(group);
        self.changes.note(&[group]);
        if self.is_empty() {
            self.clear();
        }
    }

    /// Adds a group with the key of another one, and returns it. Lookups do not find it: the caller keeps the number.
    pub fn add_beside(&mut self, group: u32) -> u32 {
        self.directory.leave_gaps();
        let mut finder = self.finder();
        finder.packed.push_key_of(group as usize);
        let added = finder.place(finder.packed.hashes[group as usize]);
        if finder.packed.is_null(group as usize) {
            finder.packed.add_null_beside(added);
        }
        added
    }

    /// Lets lookups find `other` instead of `group`. Both have the same key.
    pub fn find_instead(&mut self, group: u32, other: u32) {
        self.directory.replace(group, other, &self.packed.hashes);
        Arc::make_mut(&mut self.packed).replace_null(group, other);
    }

    /// Removes all groups. Keeps the memory for the next ones unless most of it was unused.
    pub fn clear(&mut self) {
        self.directory.clear();
        self.vacancies.clear();
        match Arc::get_mut(&mut self.packed) {
            Some(packed) => packed.clear(),
            None => self.packed = Arc::new(self.packed.empty_like()),
        }
        self.forget_changes();
    }

    /// Removes all groups but these, which are in ascending order, and numbers them from 0. The next checkpoint gets all.
    pub fn retain(&mut self, kept: &[u32]) {
        match Arc::get_mut(&mut self.packed) {
            Some(packed) => packed.retain(kept),
            None => self.packed = Arc::new(self.packed.copy(kept)),
        }
        self.directory.refill(&self.packed.hashes);
        self.forget_changes();
    }

    /// Makes room for so many more groups.
    pub fn reserve(&mut self, groups: usize) {
        Arc::make_mut(&mut self.packed).reserve(groups);
        self.directory.reserve(groups, &self.packed.hashes);
    }

    /// Forgets what earlier checkpoints got: the next one gets all groups.
    pub fn forget_changes(&mut self) {
        self.changes.clear();
        *self.ahead = CopiedAhead::default();
    }

    /// The allocated bytes, used or not.
    pub fn bytes(&self) -> usize {
        self.directory.bytes()
            + self.packed.bytes()
            + self.vacancies.bytes()
            + self.changes.bytes()
            + self.ahead.bytes()
    }

    /// The groups, for reading.
    pub fn packed(&self) -> &PackedRows {
        &self.packed
    }

    /// The groups at this moment. This takes no time: a later change copies the rows if the returned ones still exist.
    pub fn freeze(&self) -> Arc<PackedRows> {
        Arc::clone(&self.packed)
    }

    /// All packed rows, to change accumulators of groups that the caller names in [`Self::rows_mut`] before the next
    /// barrier. The result is the same as there.
    pub fn rows_to_name(&mut self) -> (&mut [u64], usize, usize) {
        let PackedRows { words, stride, key_words, .. } = Arc::make_mut(&mut self.packed);
        (words, *stride, *key_words)
    }

    /// All packed rows, to change the accumulators of `groups` and of no others: the words, the number of words of a row,
    /// and the index of the accumulators in a row.
    pub fn rows_mut(&mut self, groups: &[u32]) -> (&mut [u64], usize, usize) {
        if self.changes.note(groups) {
            self.ahead.copy_a_block(&self.packed);
        }
        self.rows_to_name()
    }

    /// Notes that something has changed that the caller keeps beside these groups.
    pub fn note_changes(&mut self, groups: &[u32]) {
        if self.changes.note(groups) {
            self.ahead.copy_a_block(&self.packed);
        }
    }

    /// Gives these groups the accumulators of new ones.
    pub fn reset(&mut self, groups: &[u32]) {
        let initial = self.initial.clone();
        let (words, stride, first) = self.rows_mut(groups);
        for group in groups {
            let start = *group as usize * stride + first;
            words[start..start + initial.len()].copy_from_slice(&initial);
        }
    }

    /// Appends the group of each of these rows to `groups`. New keys become new groups.
    ///
    /// `keys` and `hashes` are those of the whole batch. The keys must have the form that the table's types require.
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

    /// Appends to `groups` this table's group for each of the groups `of_other` of another table with the same key
    /// types. New keys become new groups.
    pub fn adopt(&mut self, other: &PackedRows, of_other: &[u32], groups: &mut Vec<u32>) {
        let mut finder = self.finder();
        let start = groups.len();
        for (i, group) in of_other.iter().enumerate() {
            if let Some(ahead) = of_other.get(i + AHEAD) {
                finder.directory.prefetch(other.hashes[*ahead as usize]);
            }
            groups.push(finder.candidate(other.hashes[*group as usize]));
        }
        let keys = StoredKeys { of: other };
        for (group, of_other) in groups[start..].iter_mut().zip(of_other) {
            let row = *of_other as usize;
            if *group == NONE || !keys.matches(finder.packed, *group as usize, row) {
                *group = finder.find_or_insert_one(&keys, other.hashes[row], row);
            }
        }
    }

    fn finder(&mut self) -> Finder<'_> {
        let Self { initial, directory, packed, vacancies, changes, .. } = self;
        Finder { initial, directory, packed: Arc::make_mut(packed), vacancies, changes }
    }
}

/// The parts of a table during a lookup that may add groups.
struct Finder<'a> {
    initial: &'a [u64],
    directory: &'a mut Directory,
    packed: &'a mut PackedRows,
    vacancies: &'a mut Vacancies,
    changes: &'a mut Changes,
}

impl Finder<'_> {
    /// The first group that may have this hash. Starts loading its packed row.
    #[inline(always)]
    fn candidate(&self, hash: u64) -> u32 {
        let candidate = self.directory.candidate(hash);
        if candidate != NONE {
            prefetch(&self.packed.words, candidate as usize * self.packed.stride);
        }
        candidate
    }

    #[inline(always)]
    fn lookup(&mut self, keys: &impl RowKeys, hashes: &[u64], rows: Range<usize>, groups: &mut Vec<u32>) {
        let start = groups.len();
        groups.reserve(rows.len());
        if self.packed.len() <= CACHED_GROUPS {
            // A small table is in the cache, so nothing is loaded ahead.
            let directory = &*self.directory;
            groups.extend(hashes[rows.clone()].iter().map(|hash| directory.candidate(*hash)));
        } else {
            for row in rows.clone() {
                if let Some(hash) = hashes.get(row + AHEAD) {
                    self.directory.prefetch(*hash);
                }
                groups.push(self.candidate(hashes[row]));
            }
        }
        for (group, row) in groups[start..].iter_mut().zip(rows) {
            if *group == NONE || !keys.matches(self.packed, *group as usize, row) {
                *group = self.find_or_insert_one(keys, hashes[row], row);
            }
        }
    }

    #[inline(never)]
    fn find_or_insert_one(&mut self, keys: &impl RowKeys, hash: u64, row: usize) -> u32 {
        let packed = &mut *self.packed;
        let found = self.directory.find(hash, |group| keys.matches(packed, group as usize, row));
        if found != NONE {
            return found;
        }
        keys.store(packed, row);
        let group = self.place(hash);
        if keys.is_null(row) {
            self.packed.null_group = group;
        }
        self.directory.insert(group, &self.packed.hashes);
        group
    }

    /// Completes a new group, whose key is behind the packed rows, and gives it a place.
    fn place(&mut self, hash: u64) -> u32 {
        self.packed.words.extend_from_slice(self.initial);
        if let Some(place) = self.vacancies.pop() {
            self.packed.move_last(place, hash);
            self.changes.note(&[place]);
            return place;
        }
        let group = u32::try_from(self.packed.len()).ok().filter(|group| *group != NONE);
        self.packed.hashes.push(hash);
        group.expect("a table of 2^32 groups would need more than 200 GiB")
    }
}

/// The keys of rows that are looked up.
trait RowKeys {
    fn is_null(&self, row: usize) -> bool;
    /// Whether `group` has the key of `row`.
    fn matches(&self, table: &PackedRows, group: usize, row: usize) -> bool;
    /// Appends the key's words to the packed rows.
    fn store(&self, table: &mut PackedRows, row: usize);
}

struct GlobalKeys;

impl RowKeys for GlobalKeys {
    fn is_null(&self, _: usize) -> bool {
        false
    }

    #[inline(always)]
    fn matches(&self, _: &PackedRows, _: usize, _: usize) -> bool {
        true
    }

    fn store(&self, _: &mut PackedRows, _: usize) {}
}

struct FixedKeys<'a, const NULLABLE: bool> {
    images: &'a [i64],
    nulls: Option<&'a NullBuffer>,
}

impl<const NULLABLE: bool> RowKeys for FixedKeys<'_, NULLABLE> {
    #[inline(always)]
    fn is_null(&self, row: usize) -> bool {
        NULLABLE && self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    #[inline(always)]
    fn matches(&self, table: &PackedRows, group: usize, row: usize) -> bool {
        if self.is_null(row) {
            return group == table.null_group as usize;
        }
        table.words[group * table.stride] == self.images[row] as u64 && group != table.null_group as usize
    }

    fn store(&self, table: &mut PackedRows, row: usize) {
        table.words.push(if self.is_null(row) { 0 } else { self.images[row] as u64 });
    }
}

struct ByteKeys<'a, S, N> {
    bytes: &'a [u8],
    span: S,
    is_null: N,
}

impl<S: Fn(usize) -> (usize, usize), N: Fn(usize) -> bool> RowKeys for ByteKeys<'_, S, N> {
    #[inline(always)]
    fn is_null(&self, row: usize) -> bool {
        (self.is_null)(row)
    }

    #[inline(always)]
    fn matches(&self, table: &PackedRows, group: usize, row: usize) -> bool {
        let is_null_group = group == table.null_group as usize;
        if is_null_group || self.is_null(row) {
            return is_null_group && self.is_null(row);
        }
        let (start, end) = (self.span)(row);
        let length = end - start;
        let [head, tail] = table.view(group);
        let [row_head, row_tail] = view_of(self.bytes, start, length);
        if length <= INLINE_MAX {
            head == row_head && tail == row_tail
        } else {
            head == row_head && table.arena[tail as usize..tail as usize + length] == self.bytes[start..end]
        }
    }

    fn store(&self, table: &mut PackedRows, row: usize) {
        if self.is_null(row) {
            table.words.extend_from_slice(&[0, 0]);
        } else {
            let (start, end) = (self.span)(row);
            table.store_bytes(self.bytes, start, end);
        }
    }
}

/// The keys of another table's groups, as keys to look up.
struct StoredKeys<'a> {
    of: &'a PackedRows,
}

impl RowKeys for StoredKeys<'_> {
    fn is_null(&self, row: usize) -> bool {
        self.of.is_null(row)
    }

    fn matches(&self, table: &PackedRows, group: usize, row: usize) -> bool {
        let is_null_group = group == table.null_group as usize;
        if is_null_group || self.is_null(row) {
            return is_null_group && self.is_null(row);
        }
        match table.key_words {
            0 => true,
            1 => table.words[group * table.stride] == self.of.words[row * self.of.stride],
            _ => {
                let ([head, tail], [other_head, other_tail]) = (table.view(group), self.of.view(row));
                let length = head as u32 as usize;
                head == other_head
                    && if length <= INLINE_MAX {
                        tail == other_tail
                    } else {
                        table.arena[tail as usize..tail as usize + length]
                            == self.of.arena[other_tail as usize..other_tail as usize + length]
                    }
            }
        }
    }

    fn store(&self, table: &mut PackedRows, row: usize) {
        let start = row * self.of.stride;
        match table.key_words {
            0 => {}
            1 => table.words.push(self.of.words[start]),
            _ => self.of.with_key_bytes(row, |bytes| table.store_bytes(bytes, 0, bytes.len())),
        }
    }
}

#[cfg(test)]
mod tests;
