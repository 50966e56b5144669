//! The keys and accumulators of groups in one packed row each. This is a [`GroupTable`](crate::GroupTable) without its
//! directory.
//!
//! A packed row begins with the key: no word, an image of 8 bytes, or two words for bytes. Up to 12 bytes are in the
//! row, and longer ones in an arena. The accumulators follow. This crate knows only their number of words.

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use eddyline_stream::key_hash::UnsupportedKey;

use crate::directory::NONE;
use crate::fixed;
use crate::key_encoding::KeyEncoding;
use crate::order;
use crate::prefetch::prefetch;
use crate::spare;
use crate::strings::Strings;

/// The most bytes of a string that is stored in the packed row.
pub(crate) const INLINE_MAX: usize = 12;

/// The arena is rebuilt when most of it, and more than this number of bytes, belongs to removed groups.
const DEAD_BYTES_MIN: usize = 4096;

/// How far ahead of a copy rows are loaded, in rows.
const COPIED_AHEAD: usize = 12;

/// The form of keys in packed rows.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    Global,
    Fixed(DataType),
    Bytes(DataType),
    Encoded(KeyEncoding),
    Opaque,
}

impl Form {
    /// The form of keys of these types.
    pub(crate) fn of(key_types: &[DataType]) -> Result<Self, UnsupportedKey> {
        Ok(match key_types {
            [] => Form::Global,
            [data_type] if fixed::width(data_type).is_some() => Form::Fixed(data_type.clone()),
            [data_type @ (DataType::Utf8 | DataType::Binary)] => Form::Bytes(data_type.clone()),
            types => Form::Encoded(KeyEncoding::new(types)?),
        })
    }

    fn key_words(&self) -> usize {
        match self {
            Form::Global => 0,
            Form::Fixed(_) => 1,
            Form::Bytes(_) | Form::Encoded(_) | Form::Opaque => 2,
        }
    }
}

/// Packed rows by the number of their group.
#[derive(Debug)]
pub struct PackedRows {
    // Fixed at start.
    form: Form,
    pub(crate) key_words: usize,
    pub(crate) stride: usize,
    // Changing.
    pub(crate) hashes: Vec<u64>,
    pub(crate) words: Vec<u64>,
    pub(crate) arena: Vec<u8>,
    /// The group of the NULL key that lookups find.
    pub(crate) null_group: u32,
    /// The most groups and bytes of the arena that the memory has had. What is behind them is not resident.
    touched: (usize, usize),
    /// Further groups of the NULL key.
    null_beside: Vec<u32>,
    /// The bytes in the arena that belong to removed groups.
    dead_bytes: usize,
}

impl Clone for PackedRows {
    /// Keeps the capacity of the original, because shared rows are copied in order to change them.
    fn clone(&self) -> Self {
        Self {
            form: self.form.clone(),
            hashes: clone_with_room(&self.hashes),
            words: clone_with_room(&self.words),
            arena: clone_with_room(&self.arena),
            touched: (0, 0),
            null_beside: self.null_beside.clone(),
            ..*self
        }
    }
}

fn clone_with_room<T: Copy>(items: &Vec<T>) -> Vec<T> {
    let mut copy = Vec::with_capacity(items.capacity());
    copy.extend_from_slice(items);
    copy
}

impl PackedRows {
    /// Makes an empty table with keys of this form and this number of words of accumulators.
    pub(crate) fn new(form: Form, accumulator_words: usize) -> Self {
        let key_words = form.key_words();
        Self {
            form,
            key_words,
            stride: key_words + accumulator_words,
            hashes: Vec::new(),
            words: Vec::new(),
            arena: Vec::new(),
            null_group: NONE,
            touched: (0, 0),
            null_beside: Vec::new(),
            dead_bytes: 0,
        }
    }

    /// Makes an empty table with the same form of keys and accumulators.
    pub(crate) fn empty_like(&self) -> Self {
        Self::new(self.form.clone(), self.stride - self.key_words)
    }

    /// Copies of these groups, each once and in ascending order; numbered from 0.
    pub fn copy(&self, groups: &[u32]) -> Self {
        let mut copy = self.empty_like();
        copy.reserve(groups.len());
        copy.append(self, groups);
        copy
    }

    /// Makes room for so many more groups.
    pub(crate) fn reserve(&mut self, groups: usize) {
        self.hashes.reserve_exact(groups);
        self.words.reserve_exact(groups * self.stride);
    }

    /// Appends copies of groups of another table of this form, which are in ascending order and not in this one.
    pub(crate) fn append(&mut self, source: &Self, groups: &[u32]) {
        let stride = self.stride;
        let before = self.len();
        let mut next = 0;
        for run in groups.chunk_by(|one, next| one + 1 == *next) {
            next += run.len();
            if let Some(ahead) = groups.get(next + COPIED_AHEAD) {
                prefetch(&source.hashes, *ahead as usize);
                prefetch(&source.words, *ahead as usize * stride);
            }
            let (start, end) = (run[0] as usize, run[0] as usize + run.len());
            self.hashes.extend_from_slice(&source.hashes[start..end]);
            self.words.extend_from_slice(&source.words[start * stride..end * stride]);
        }
        if self.key_words == 2 && !source.arena.is_empty() {
            for row in self.words[before * stride..].chunks_exact_mut(stride) {
                let length = row[0] as u32 as usize;
                if length > INLINE_MAX {
                    let bytes = row[1] as usize..row[1] as usize + length;
                    row[1] = self.arena.len() as u64;
                    self.arena.extend_from_slice(&source.arena[bytes]);
                }
            }
        }
        if let Ok(place) = groups.binary_search(&source.null_group) {
            self.null_group = (before + place) as u32;
        }
        let beside = source.null_beside.iter().filter_map(|group| groups.binary_search(group).ok());
        self.null_beside.extend(beside.map(|place| (before + place) as u32));
    }

    /// Copies the accumulators of a group of another table of this form into those of `into`, which has the same key.
    pub(crate) fn copy_accumulators(&mut self, into: usize, source: &Self, group: usize) {
        let (stride, first) = (self.stride, self.key_words);
        let accumulators = &source.words[group * stride + first..(group + 1) * stride];
        self.words[into * stride + first..(into + 1) * stride].copy_from_slice(accumulators);
    }

    /// The numbers of all groups, in ascending order of their key hashes. Groups with one hash keep their order.
    pub fn order_by_hash(&self) -> Vec<u32> {
        order::by_hash(&self.hashes)
    }

    /// These groups, in ascending order of their key hashes.
    pub fn ordered_by_hash(&self, groups: &[u32]) -> Vec<u32> {
        let hashes: Vec<u64> = groups.iter().map(|group| self.hashes[*group as usize]).collect();
        order::by_hash(&hashes).into_iter().map(|place| groups[place as usize]).collect()
    }

    /// The number of groups.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Removes all groups. Keeps the memory for the next ones unless most of it was unused.
    pub(crate) fn clear(&mut self) {
        let groups = self.len();
        self.touched = (self.touched.0.max(groups), self.touched.1.max(self.arena.len()));
        clear_or_free(&mut self.hashes, groups);
        clear_or_free(&mut self.words, groups * self.stride);
        let bytes = self.arena.len();
        clear_or_free(&mut self.arena, bytes);
        self.touched = (self.touched.0.min(self.hashes.capacity()), self.touched.1.min(self.arena.capacity()));
        self.null_group = NONE;
        self.null_beside.clear();
        self.dead_bytes = 0;
    }

    /// Whether a group has the NULL key.
    pub(crate) fn is_null(&self, group: usize) -> bool {
        group == self.null_group as usize || self.null_beside.iter().any(|other| *other as usize == group)
    }

    /// Appends the words of the key of a group.
    pub(crate) fn push_key_of(&mut self, group: usize) {
        let start = group * self.stride;
        let [head, tail] = if self.key_words == 2 { self.view(group) } else { [0, 0] };
        self.words.extend_from_within(start..start + self.key_words);
        let length = head as u32 as usize;
        if length > INLINE_MAX {
            let at = self.arena.len() as u64;
            self.arena.extend_from_within(tail as usize..tail as usize + length);
            *self.words.last_mut().expect("a key of two words") = at;
        }
    }

    /// A group has the NULL key, and lookups do not find it.
    pub(crate) fn add_null_beside(&mut self, group: u32) {
        self.null_beside.push(group);
    }

    /// Lookups of the NULL key find `other` instead of `group`.
    pub(crate) fn replace_null(&mut self, group: u32, other: u32) {
        if self.null_group == group {
            self.null_group = other;
            self.null_beside.retain(|beside| *beside != other);
            self.null_beside.push(group);
        }
    }

    /// Moves the last row, whose group has this hash, to a vacant place.
    pub(crate) fn move_last(&mut self, place: u32, hash: u64) {
        let last = self.words.len() - self.stride;
        self.words.copy_within(last.., place as usize * self.stride);
        self.words.truncate(last);
        self.hashes[place as usize] = hash;
    }

    /// Removes the key of a group whose place becomes vacant.
    pub(crate) fn forget_key(&mut self, group: u32) {
        if self.null_group == group {
            self.null_group = NONE;
        }
        self.null_beside.retain(|beside| *beside != group);
        if self.key_words == 2 {
            let length = self.view(group as usize)[0] as u32 as usize;
            if length > INLINE_MAX {
                self.dead_bytes += length;
            }
            let start = group as usize * self.stride;
            self.words[start..start + 2].fill(0);
            if self.dead_bytes > DEAD_BYTES_MIN && self.dead_bytes * 2 > self.arena.len() {
                self.compact_arena();
            }
        }
    }

    /// Rebuilds the arena without what belongs to no group.
    fn compact_arena(&mut self) {
        let old = std::mem::take(&mut self.arena);
        self.arena.reserve(old.len() - self.dead_bytes);
        self.dead_bytes = 0;
        for row in self.words.chunks_exact_mut(self.stride) {
            let length = row[0] as u32 as usize;
            if length > INLINE_MAX {
                let at = row[1] as usize;
                row[1] = self.arena.len() as u64;
                self.arena.extend_from_slice(&old[at..at + length]);
            }
        }
    }

    /// Copies the row of a group of another table of this form to a place that may have another key.
    pub(crate) fn copy_row(&mut self, into: usize, source: &Self, group: usize) {
        let stride = self.stride;
        self.hashes[into] = source.hashes[group];
        self.words[into * stride..(into + 1) * stride]
            .copy_from_slice(&source.words[group * stride..(group + 1) * stride]);
        if self.key_words == 2 {
            let [head, tail] = source.view(group);
            let length = head as u32 as usize;
            if length > INLINE_MAX {
                self.words[into * stride + 1] = self.arena.len() as u64;
                self.arena.extend_from_slice(&source.arena[tail as usize..tail as usize + length]);
            }
        }
    }

    /// Says which rows have the NULL key, after rows were copied from `groups` of another table.
    pub(crate) fn copy_nulls(&mut self, source: &Self, groups: &[u32]) {
        let place = |group: &u32| groups.iter().position(|copied| copied == group).map(|place| place as u32);
        self.null_group = NONE;
        self.null_beside = std::iter::once(&source.null_group).chain(&source.null_beside).filter_map(place).collect();
    }

    /// Removes all groups but these, which are in ascending order, and numbers them from 0. The capacity is kept, and its
    /// memory is released.
    pub(crate) fn retain(&mut self, kept: &[u32]) {
        let stride = self.stride;
        let mut next = 0;
        for run in kept.chunk_by(|one, next| one + 1 == *next) {
            let (start, end) = (run[0] as usize, run[0] as usize + run.len());
            self.hashes.copy_within(start..end, next);
            self.words.copy_within(start * stride..end * stride, next * stride);
            next += run.len();
        }
        self.hashes.truncate(next);
        self.words.truncate(next * stride);
        self.null_group = kept.binary_search(&self.null_group).map_or(NONE, |place| place as u32);
        if self.key_words == 2 && !self.arena.is_empty() {
            let old = std::mem::take(&mut self.arena);
            for row in self.words.chunks_exact_mut(stride) {
                let length = row[0] as u32 as usize;
                if length > INLINE_MAX {
                    let bytes = row[1] as usize..row[1] as usize + length;
                    row[1] = self.arena.len() as u64;
                    self.arena.extend_from_slice(&old[bytes]);
                }
            }
        }
        spare::release(&mut self.hashes);
        spare::release(&mut self.words);
        self.touched = (0, 0);
    }

    /// The bytes in memory: of all groups, and of those that were there before in the same memory. Memory that is allocated and was
    /// never used takes none.
    pub(crate) fn bytes(&self) -> usize {
        let groups = self.touched.0.max(self.len());
        8 * groups * (1 + self.stride) + self.touched.1.max(self.arena.len())
    }

    /// The bytes of all groups, without room for more.
    pub fn content_bytes(&self) -> usize {
        8 * (self.hashes.len() + self.words.len()) + self.arena.len()
    }

    /// The key hash of each group.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// All packed rows: the words, the number of words of a row, and the index of the accumulators in a row.
    pub fn rows(&self) -> (&[u64], usize, usize) {
        (&self.words, self.stride, self.key_words)
    }

    /// The key columns of these groups.
    ///
    /// # Errors
    /// When the strings of the groups do not fit in one column.
    pub fn key_columns(&self, groups: &[u32]) -> Result<Vec<ArrayRef>, ArrowError> {
        let nulls = || {
            if !self.null_beside.is_empty() {
                return Some(groups.iter().map(|group| !self.is_null(*group as usize)).collect::<NullBuffer>());
            }
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

    /// Appends the bytes of a group's key, for a table [of bytes](crate::GroupTable::of_bytes).
    pub fn key_bytes(&self, group: u32, into: &mut Vec<u8>) {
        self.with_key_bytes(group as usize, |bytes| into.extend_from_slice(bytes));
    }

    /// Reads the bytes of a group's key, for a table [of bytes](crate::GroupTable::of_bytes).
    pub fn with_key_bytes<R>(&self, group: usize, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
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
    pub(crate) fn view(&self, group: usize) -> [u64; 2] {
        let start = group * self.stride;
        [self.words[start], self.words[start + 1]]
    }

    pub(crate) fn store_bytes(&mut self, bytes: &[u8], start: usize, end: usize) {
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

/// The two words of a string in a packed row: the length, the first 4 bytes, and the next 8 bytes. For strings longer
/// than [`INLINE_MAX`] the caller replaces the second word by the position in the arena.
#[inline(always)]
pub(crate) fn view_of(bytes: &[u8], start: usize, length: usize) -> [u64; 2] {
    let kept = length.min(INLINE_MAX);
    let value = match bytes.get(start..start + 16) {
        // This reads past the end of the string and masks the rest, which is much cheaper than a copy of unknown
        // length.
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
