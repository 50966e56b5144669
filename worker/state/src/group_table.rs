//! Groups of rows with equal keys, each with one packed row of accumulators.
//!
//! A lookup of many keys runs in two passes over a block of rows, so that cache misses overlap: the first finds the
//! bucket of every row by its hash and starts loading the packed row of the group, the second compares keys and adds the
//! groups that are new. A packed row begins with the key: fixed-width keys and strings of up to 12 bytes are compared
//! right there, next to the accumulators that are needed anyway.
//!
//! Groups are numbered from 0 in order of first arrival. Invariants: `hashes`, the packed rows and the directory have an
//! entry for every group; a group is never removed alone, only all together.

use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use eddyline_stream::key_hash::UnsupportedKey;

use crate::directory::{Directory, NONE};
use crate::fixed;
use crate::key_encoding::KeyEncoding;
use crate::keys::Keys;
use crate::prefetch::prefetch;
use crate::strings::Strings;

/// Up to so many groups a table stays in the second-level cache: 32 bytes of directory and a packed row each.
const CACHED_GROUPS: usize = 8 * 1024;
/// How far ahead of the lookup buckets are loaded, in rows.
const AHEAD: usize = 12;

/// Bytes of a string that are kept in the packed row itself.
const INLINE_MAX: usize = 12;

/// How keys are kept in packed rows.
#[derive(Clone, Debug)]
enum Form {
    Global,
    Fixed(DataType),
    Bytes(DataType),
    Encoded(KeyEncoding),
    Opaque,
}

/// Packed rows by key.
#[derive(Debug)]
pub struct GroupTable {
    // Fixed at start.
    form: Form,
    key_words: usize,
    stride: usize,
    initial: Box<[u64]>,
    // Changing.
    directory: Directory,
    hashes: Vec<u64>,
    words: Vec<u64>,
    arena: Vec<u8>,
    null_group: u32,
}

impl GroupTable {
    /// An empty table for keys of these types. `initial` are the accumulators of a new group.
    ///
    /// # Errors
    /// When a type cannot be a key.
    pub fn new(key_types: &[DataType], initial: &[u64]) -> Result<Self, UnsupportedKey> {
        let form = match key_types {
            [] => Form::Global,
            [data_type] if fixed::width(data_type).is_some() => Form::Fixed(data_type.clone()),
            [data_type @ (DataType::Utf8 | DataType::Binary)] => Form::Bytes(data_type.clone()),
            types => Form::Encoded(KeyEncoding::new(types)?),
        };
        Ok(Self::of_form(form, initial))
    }

    /// An empty table whose keys are bytes that only the caller understands; they come as [`Keys::Encoded`] and are read
    /// with [`GroupTable::key_bytes`].
    pub fn of_bytes(initial: &[u64]) -> Self {
        Self::of_form(Form::Opaque, initial)
    }

    fn of_form(form: Form, initial: &[u64]) -> Self {
        let key_words = match form {
            Form::Global => 0,
            Form::Fixed(_) => 1,
            Form::Bytes(_) | Form::Encoded(_) | Form::Opaque => 2,
        };
        Self {
            form,
            key_words,
            stride: key_words + initial.len(),
            initial: initial.into(),
            directory: Directory::default(),
            hashes: Vec::new(),
            words: Vec::new(),
            arena: Vec::new(),
            null_group: NONE,
        }
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Removes all groups and keeps the memory for the next ones, unless most of it was not used.
    pub fn clear(&mut self) {
        let groups = self.len();
        self.directory.clear();
        clear_or_free(&mut self.hashes, groups);
        clear_or_free(&mut self.words, groups * self.stride);
        let bytes = self.arena.len();
        clear_or_free(&mut self.arena, bytes);
        self.null_group = NONE;
    }

    /// Bytes held, used or not.
    pub fn bytes(&self) -> usize {
        self.directory.bytes() + 8 * (self.hashes.capacity() + self.words.capacity()) + self.arena.capacity()
    }

    /// The key hash of each group.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// All packed rows, for updates: the words; how many make one row; where in a row the accumulators begin.
    pub fn rows_mut(&mut self) -> (&mut [u64], usize, usize) {
        (&mut self.words, self.stride, self.key_words)
    }

    /// All packed rows: the words; how many make one row; where in a row the accumulators begin.
    pub fn rows(&self) -> (&[u64], usize, usize) {
        (&self.words, self.stride, self.key_words)
    }

    /// Appends to `groups` the group of each of these rows; keys that are new become groups.
    ///
    /// `keys` and `hashes` are those of the whole batch. The keys must have the form that this table's types have.
    pub fn find_or_insert(&mut self, keys: &Keys<'_>, hashes: &[u64], rows: Range<usize>, groups: &mut Vec<u32>) {
        match keys {
            Keys::Global => self.lookup(&GlobalKeys, hashes, rows, groups),
            Keys::Fixed { images, nulls: None } => {
                self.lookup(&FixedKeys::<false> { images, nulls: None }, hashes, rows, groups);
            }
            Keys::Fixed { images, nulls } => {
                self.lookup(&FixedKeys::<true> { images, nulls: *nulls }, hashes, rows, groups)
            }
            Keys::Bytes { offsets, bytes, nulls } => {
                let span = |row: usize| (offsets[row] as usize, offsets[row + 1] as usize);
                let is_null = |row| nulls.is_some_and(|nulls| nulls.is_null(row));
                self.lookup(&ByteKeys { bytes, span, is_null }, hashes, rows, groups);
            }
            Keys::Encoded { offsets, bytes } => {
                let span = |row: usize| (offsets[row], offsets[row + 1]);
                self.lookup(&ByteKeys { bytes, span, is_null: |_| false }, hashes, rows, groups);
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
                    let known = if is_null(row) { self.null_group } else { of_entry[indices[row] as usize] };
                    let group = if known == NONE { self.find_or_insert_one(&keys, hashes[row], row) } else { known };
                    if !is_null(row) {
                        of_entry[indices[row] as usize] = group;
                    }
                    groups.push(group);
                }
            }
        }
    }

    /// Appends to `groups` this table's group for each of the groups `of_other` in another table with the same key types.
    pub fn adopt(&mut self, other: &GroupTable, of_other: &[u32], groups: &mut Vec<u32>) {
        let start = groups.len();
        for (i, group) in of_other.iter().enumerate() {
            if let Some(ahead) = of_other.get(i + AHEAD) {
                self.directory.prefetch(other.hashes[*ahead as usize]);
            }
            let candidate = self.directory.candidate(other.hashes[*group as usize]);
            if candidate != NONE {
                prefetch(&self.words, candidate as usize * self.stride);
            }
            groups.push(candidate);
        }
        let keys = StoredKeys { table: other };
        for (group, of_other) in groups[start..].iter_mut().zip(of_other) {
            let row = *of_other as usize;
            if *group == NONE || !keys.matches(self, *group as usize, row) {
                *group = self.find_or_insert_one(&keys, other.hashes[row], row);
            }
        }
    }

    /// The key columns of these groups.
    ///
    /// # Errors
    /// When the strings of the groups do not fit in one column.
    pub fn key_columns(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        let nulls = || {
            let has_null = self.null_group != NONE && groups.contains(&self.null_group);
            has_null.then(|| groups.iter().map(|group| *group != self.null_group).collect::<NullBuffer>())
        };
        match &self.form {
            Form::Global | Form::Opaque => Ok(Vec::new()),
            Form::Fixed(data_type) => {
                let images = groups.iter().map(|group| self.words[*group as usize * self.stride] as i64).collect();
                Ok(vec![fixed::column(images, nulls(), data_type)])
            }
            Form::Bytes(data_type) => {
                let mut strings = Strings::with_capacity(groups.len());
                groups.iter().for_each(|group| self.with_key_bytes(*group as usize, |bytes| strings.push(bytes)));
                Ok(vec![strings.finish(nulls(), *data_type == DataType::Utf8)?])
            }
            Form::Encoded(encoding) => {
                let mut bytes = Vec::new();
                let mut ends = vec![0];
                for group in groups {
                    self.with_key_bytes(*group as usize, |key| bytes.extend_from_slice(key));
                    ends.push(bytes.len());
                }
                encoding.decode(groups.len(), |row| &bytes[ends[row]..ends[row + 1]])
            }
        }
    }

    /// Appends the bytes of a group's key, for a table [of bytes](GroupTable::of_bytes).
    pub fn key_bytes(&self, group: u32, into: &mut Vec<u8>) {
        self.with_key_bytes(group as usize, |bytes| into.extend_from_slice(bytes));
    }

    fn with_key_bytes<R>(&self, group: usize, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        let [head, tail] = self.view(group);
        let length = head as u32 as usize;
        if length <= INLINE_MAX {
            let inline = (u128::from(head >> 32) | u128::from(tail) << 32).to_le_bytes();
            use_bytes(&inline[..length])
        } else {
            use_bytes(&self.arena[tail as usize..tail as usize + length])
        }
    }

    #[inline(always)]
    fn view(&self, group: usize) -> [u64; 2] {
        let start = group * self.stride;
        [self.words[start], self.words[start + 1]]
    }

    #[inline(always)]
    fn lookup(&mut self, keys: &impl RowKeys, hashes: &[u64], rows: Range<usize>, groups: &mut Vec<u32>) {
        let start = groups.len();
        groups.reserve(rows.len());
        if self.hashes.len() <= CACHED_GROUPS {
            // What is in the cache need not be asked for early.
            let directory = &self.directory;
            groups.extend(hashes[rows.clone()].iter().map(|hash| directory.candidate(*hash)));
        } else {
            for row in rows.clone() {
                if let Some(hash) = hashes.get(row + AHEAD) {
                    self.directory.prefetch(*hash);
                }
                let candidate = self.directory.candidate(hashes[row]);
                if candidate != NONE {
                    prefetch(&self.words, candidate as usize * self.stride);
                }
                groups.push(candidate);
            }
        }
        for (group, row) in groups[start..].iter_mut().zip(rows) {
            if *group == NONE || !keys.matches(self, *group as usize, row) {
                *group = self.find_or_insert_one(keys, hashes[row], row);
            }
        }
    }

    #[inline(never)]
    fn find_or_insert_one(&mut self, keys: &impl RowKeys, hash: u64, row: usize) -> u32 {
        let found = self.directory.find(hash, |group| keys.matches(self, group as usize, row));
        if found != NONE {
            return found;
        }
        let group = u32::try_from(self.hashes.len()).ok().filter(|group| *group != NONE);
        let group = group.expect("a table of 2^32 groups would need more than 200 GiB");
        self.hashes.push(hash);
        if keys.is_null(row) {
            self.null_group = group;
        }
        keys.store(self, row);
        self.words.extend_from_slice(&self.initial);
        self.directory.insert(group, &self.hashes);
        group
    }

    fn store_bytes(&mut self, bytes: &[u8], start: usize, end: usize) {
        let length = end - start;
        let [head, tail] = view_of(bytes, start, length);
        let tail = if length <= INLINE_MAX {
            tail
        } else {
            let at = self.arena.len() as u64;
            self.arena.extend_from_slice(&bytes[start..end]);
            at
        };
        self.words.extend_from_slice(&[head, tail]);
    }
}

fn clear_or_free<T>(items: &mut Vec<T>, used: usize) {
    if used * 8 < items.capacity() && items.capacity() > 4096 {
        *items = Vec::new();
    } else {
        items.clear();
    }
}

/// The two words that stand for a string in a packed row: length, first 4 bytes, then the next 8. For strings longer than
/// [`INLINE_MAX`] the second word is replaced by the position in the arena.
#[inline(always)]
fn view_of(bytes: &[u8], start: usize, length: usize) -> [u64; 2] {
    let kept = length.min(INLINE_MAX);
    let value = match bytes.get(start..start + 16) {
        // Reads past the end of the string and masks; much cheaper than a copy of unknown length.
        Some(chunk) => {
            let chunk = u128::from_le_bytes(chunk.try_into().expect("16 bytes"));
            chunk & ((1u128 << (8 * kept)) - 1)
        }
        None => {
            let mut chunk = [0u8; 16];
            chunk[..kept].copy_from_slice(&bytes[start..start + kept]);
            u128::from_le_bytes(chunk)
        }
    };
    [length as u64 & 0xffff_ffff | u64::from(value as u32) << 32, (value >> 32) as u64]
}

/// Keys of rows that are looked up.
trait RowKeys {
    fn is_null(&self, row: usize) -> bool;
    /// Whether the key of `group` is that of `row`.
    fn matches(&self, table: &GroupTable, group: usize, row: usize) -> bool;
    /// Appends the key's words to the packed rows.
    fn store(&self, table: &mut GroupTable, row: usize);
}

struct GlobalKeys;

impl RowKeys for GlobalKeys {
    fn is_null(&self, _: usize) -> bool {
        false
    }

    #[inline(always)]
    fn matches(&self, _: &GroupTable, _: usize, _: usize) -> bool {
        true
    }

    fn store(&self, _: &mut GroupTable, _: usize) {}
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
    fn matches(&self, table: &GroupTable, group: usize, row: usize) -> bool {
        if self.is_null(row) {
            return group == table.null_group as usize;
        }
        table.words[group * table.stride] == self.images[row] as u64 && group != table.null_group as usize
    }

    fn store(&self, table: &mut GroupTable, row: usize) {
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
    fn matches(&self, table: &GroupTable, group: usize, row: usize) -> bool {
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

    fn store(&self, table: &mut GroupTable, row: usize) {
        if self.is_null(row) {
            table.words.extend_from_slice(&[0, 0]);
        } else {
            let (start, end) = (self.span)(row);
            table.store_bytes(self.bytes, start, end);
        }
    }
}

/// The keys of another table's groups.
struct StoredKeys<'a> {
    table: &'a GroupTable,
}

impl RowKeys for StoredKeys<'_> {
    fn is_null(&self, row: usize) -> bool {
        row == self.table.null_group as usize
    }

    fn matches(&self, table: &GroupTable, group: usize, row: usize) -> bool {
        let is_null_group = group == table.null_group as usize;
        if is_null_group || self.is_null(row) {
            return is_null_group && self.is_null(row);
        }
        match table.key_words {
            0 => true,
            1 => table.words[group * table.stride] == self.table.words[row * self.table.stride],
            _ => {
                let ([head, tail], [other_head, other_tail]) = (table.view(group), self.table.view(row));
                let length = head as u32 as usize;
                head == other_head
                    && if length <= INLINE_MAX {
                        tail == other_tail
                    } else {
                        table.arena[tail as usize..tail as usize + length]
                            == self.table.arena[other_tail as usize..other_tail as usize + length]
                    }
            }
        }
    }

    fn store(&self, table: &mut GroupTable, row: usize) {
        let start = row * self.table.stride;
        match table.key_words {
            0 => {}
            1 => table.words.push(self.table.words[start]),
            _ => self.table.with_key_bytes(row, |bytes| table.store_bytes(bytes, 0, bytes.len())),
        }
    }
}

#[cfg(test)]
mod tests;
