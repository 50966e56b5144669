//! Keys and accumulators of groups, one packed row each: a [`GroupTable`](crate::GroupTable) without its directory.
//!
//! A packed row begins with the key: none, an image of 8 bytes, or two words for bytes, of which up to 12 are in the row and
//! longer ones in an arena. Behind it are the accumulators, of which this crate knows only how many words they are. Rows lie in
//! chunks, each with its arena.

use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use eddyline_stream::key_hash::UnsupportedKey;

use crate::chunk::{CHUNK_GROUPS, Chunk, by_chunk, chunk_of, place_of};
use crate::directory::NONE;
use crate::fixed;
use crate::key_encoding::KeyEncoding;
use crate::prefetch::prefetch;
use crate::rows::{ChunkRows, RowsMut};
use crate::strings::Strings;

/// Bytes of a string that are kept in the packed row itself.
pub(crate) const INLINE_MAX: usize = 12;

/// How keys are kept in packed rows.
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
///
/// Frozen, they are a copy that shares its chunks with the table, or some of them: then the others are empty.
#[derive(Debug)]
pub struct PackedRows {
    // Fixed at start.
    form: Form,
    pub(crate) key_words: usize,
    pub(crate) stride: usize,
    // Changing.
    /// Those behind the last group are empty and kept for their memory.
    chunks: Vec<Chunk>,
    len: usize,
    pub(crate) null_group: u32,
}

impl PackedRows {
    /// No groups, with keys of this form and so many words of accumulators.
    pub(crate) fn new(form: Form, accumulator_words: usize) -> Self {
        let key_words = form.key_words();
        let stride = key_words + accumulator_words;
        Self { form, key_words, stride, chunks: vec![Chunk::default()], len: 0, null_group: NONE }
    }

    /// No groups, with keys and accumulators like these.
    pub(crate) fn empty_like(&self) -> Self {
        Self::new(self.form.clone(), self.stride - self.key_words)
    }

    /// How many groups there are, with those that have been removed.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many chunks the groups are in.
    pub fn chunk_count(&self) -> usize {
        self.len.div_ceil(CHUNK_GROUPS)
    }

    #[inline(always)]
    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The chunks that groups are in, at least one.
    #[inline(always)]
    pub(crate) fn used_chunks(&self) -> &[Chunk] {
        &self.chunks[..self.chunk_count().max(1)]
    }

    /// Starts loading the row of a group.
    #[inline(always)]
    pub(crate) fn prefetch(&self, group: u32) {
        prefetch(self.chunk(group).words.items(), place_of(group) * self.stride);
    }

    /// The groups of a chunk.
    pub fn groups_of_chunk(&self, chunk: usize) -> Range<u32> {
        let end = self.len.min((chunk + 1) * CHUNK_GROUPS);
        (chunk * CHUNK_GROUPS).min(end) as u32..end as u32
    }

    /// Removes all groups and keeps the memory for the next ones, unless most of it was not used.
    pub(crate) fn clear(&mut self) {
        self.chunks.truncate(self.chunk_count().max(1));
        match self.chunks.as_mut_slice() {
            [only] if self.len * self.stride * 8 < only.words.capacity() && only.words.capacity() > 4096 => {
                *only = Chunk::default();
            }
            chunks => chunks.iter_mut().for_each(Chunk::clear),
        }
        self.len = 0;
        self.null_group = NONE;
    }

    /// Bytes held, used or not.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.iter().map(Chunk::bytes).sum()
    }

    /// The rows as they are now, of the chunks that `is_wanted`; takes no time. The table copies a chunk before it changes
    /// it, while the frozen rows are held.
    pub(crate) fn freeze(&mut self, is_wanted: impl Fn(usize) -> bool) -> Self {
        let used = self.chunk_count();
        let freeze = |(number, chunk): (usize, &mut Chunk)| {
            if is_wanted(number) { chunk.freeze() } else { Chunk::default() }
        };
        let chunks = self.chunks.iter_mut().take(used).enumerate().map(freeze).collect();
        Self { form: self.form.clone(), chunks, ..*self }
    }

    /// Copies of these groups, numbered from 0.
    pub fn copy(&self, groups: &[u32]) -> Self {
        let mut copy = self.empty_like();
        let first = &mut copy.chunks[0];
        let room = groups.len().min(CHUNK_GROUPS);
        first.hashes.own().reserve_exact(room);
        first.words.own().reserve_exact(room * self.stride);
        groups.iter().for_each(|group| copy.push_copy(self, *group));
        copy
    }

    /// Adds a copy of a group of other rows that are like these.
    pub(crate) fn push_copy(&mut self, from: &Self, group: u32) {
        let key = |chunk: &mut Chunk| from.copy_key(group, chunk);
        let added = self.push(from.hash(group), key, from.accumulators(group));
        if group == from.null_group {
            self.null_group = added;
        }
    }

    /// The key hash of a group.
    pub fn hash(&self, group: u32) -> u64 {
        self.chunks[chunk_of(group)].hashes.items()[place_of(group)]
    }

    /// The groups with their key hashes, in order.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = (u32, u64)> {
        (0..).zip(self.chunks.iter().flat_map(|chunk| chunk.hashes.items()).copied())
    }

    /// The accumulators of the chunk that a group is in.
    pub fn rows_of_chunk(&self, group: u32) -> ChunkRows<'_> {
        let words = self.chunks[chunk_of(group)].words.items();
        ChunkRows::new(words, group - place_of(group) as u32, self.stride, self.key_words)
    }

    /// The accumulators of a group.
    pub fn accumulators(&self, group: u32) -> &[u64] {
        &self.row(group)[self.key_words..]
    }

    /// The accumulators of a group, to change.
    pub(crate) fn accumulators_mut(&mut self, group: u32) -> &mut [u64] {
        let start = place_of(group) * self.stride;
        &mut self.chunks[chunk_of(group)].words.own()[start + self.key_words..start + self.stride]
    }

    /// All accumulators, to change.
    pub(crate) fn rows_mut(&mut self) -> RowsMut<'_> {
        let used = self.chunk_count().max(1);
        RowsMut::new(&mut self.chunks[..used], self.stride, self.key_words)
    }

    /// The only chunk that is used, if there is no other.
    #[inline(always)]
    pub(crate) fn only_chunk(&self) -> Option<&Chunk> {
        if self.len <= CHUNK_GROUPS { self.chunks.first() } else { None }
    }

    #[inline(always)]
    pub(crate) fn chunk(&self, group: u32) -> &Chunk {
        &self.chunks[chunk_of(group)]
    }

    #[inline(always)]
    fn row(&self, group: u32) -> &[u64] {
        let start = place_of(group) * self.stride;
        &self.chunks[chunk_of(group)].words.items()[start..start + self.stride]
    }

    /// The words of a group's key in another chunk, which gets what has no room in them.
    pub(crate) fn copy_key(&self, group: u32, chunk: &mut Chunk) -> [u64; 2] {
        let [head, tail] = self.key_of_row(group);
        let is_inline = self.key_words < 2 || head as u32 as usize <= INLINE_MAX;
        [head, if is_inline { tail } else { self.with_key_bytes(group, |bytes| chunk.store_bytes(bytes)) }]
    }

    /// The words of a group's key, as far as it has two.
    pub(crate) fn key_of_row(&self, group: u32) -> [u64; 2] {
        let row = self.row(group);
        match self.key_words {
            0 => [0, 0],
            1 => [row[0], 0],
            _ => [row[0], row[1]],
        }
    }

    /// Adds a group. `key` gives the words of its key, and stores in the chunk what has no room in them.
    #[inline(always)]
    pub(crate) fn push(&mut self, hash: u64, key: impl FnOnce(&mut Chunk) -> [u64; 2], accumulators: &[u64]) -> u32 {
        let group = u32::try_from(self.len).ok().filter(|group| *group != NONE);
        let group = group.expect("a table of 2^32 groups would need more than 200 GiB");
        let key_words = self.key_words;
        let number = chunk_of(group);
        if number == self.chunks.len() {
            self.chunks.push(Chunk::with_room(self.stride));
        }
        let chunk = &mut self.chunks[number];
        let key = key(chunk);
        chunk.hashes.own().push(hash);
        let words = chunk.words.own();
        // Not as a slice: its length would have to be known for the copy to be fast.
        match key_words {
            0 => {}
            1 => words.push(key[0]),
            _ => words.extend_from_slice(&key),
        }
        words.extend_from_slice(accumulators);
        self.len += 1;
        group
    }

    /// Puts a group in the place of one that has been removed. Long bytes of its key are in the chunk of that one.
    pub(crate) fn put(&mut self, group: u32, hash: u64, key: [u64; 2], accumulators: &[u64]) {
        let (place, key_words, stride) = (place_of(group), self.key_words, self.stride);
        let chunk = self.chunk_mut(group);
        chunk.hashes.own()[place] = hash;
        let row = &mut chunk.words.own()[place * stride..(place + 1) * stride];
        row[..key_words].copy_from_slice(&key[..key_words]);
        row[key_words..].copy_from_slice(accumulators);
    }

    pub(crate) fn chunk_mut(&mut self, group: u32) -> &mut Chunk {
        &mut self.chunks[chunk_of(group)]
    }

    /// Forgets the key of a group that is removed.
    pub(crate) fn remove_key(&mut self, group: u32) {
        if group == self.null_group {
            self.null_group = NONE;
        }
        let [head, _] = self.key_of_row(group);
        let (start, key_words, stride) = (place_of(group) * self.stride, self.key_words, self.stride);
        let chunk = self.chunk_mut(group);
        chunk.words.own()[start..start + key_words].fill(0);
        let length = head as u32 as usize;
        if key_words == 2 && length > INLINE_MAX {
            chunk.release_bytes(length, stride, INLINE_MAX);
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
                let mut images = Vec::with_capacity(groups.len());
                for groups in by_chunk(groups) {
                    let words = self.chunk(groups[0]).words.items();
                    images.extend(groups.iter().map(|group| words[place_of(*group) * self.stride] as i64));
                }
                Ok(vec![fixed::column(images, nulls(), data_type)])
            }
            Form::Bytes(data_type) => {
                let mut strings = Strings::with_capacity(groups.len());
                groups.iter().for_each(|group| self.with_key_bytes(*group, |bytes| strings.push(bytes)));
                Ok(vec![strings.finish(nulls(), *data_type == DataType::Utf8)?])
            }
            Form::Encoded(encoding) => {
                let mut bytes = Vec::new();
                let mut ends = vec![0];
                for group in groups {
                    self.with_key_bytes(*group, |key| bytes.extend_from_slice(key));
                    ends.push(bytes.len());
                }
                encoding.decode(groups.len(), |row| &bytes[ends[row]..ends[row + 1]])
            }
        }
    }

    /// Appends the bytes of a group's key, for a table [of bytes](crate::GroupTable::of_bytes).
    pub fn key_bytes(&self, group: u32, into: &mut Vec<u8>) {
        self.with_key_bytes(group, |bytes| into.extend_from_slice(bytes));
    }

    /// Reads the bytes of a group's key, for a table [of bytes](crate::GroupTable::of_bytes).
    pub fn with_key_bytes<R>(&self, group: u32, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        let chunk = self.chunk(group);
        let start = place_of(group) * self.stride;
        let words = chunk.words.items();
        let (head, tail) = (words[start], words[start + 1]);
        let length = head as u32 as usize;
        if length <= INLINE_MAX {
            let inline = (u128::from(head >> 32) | u128::from(tail) << 32).to_le_bytes();
            use_bytes(&inline[..length])
        } else {
            use_bytes(&chunk.arena.items()[tail as usize..tail as usize + length])
        }
    }
}

/// The two words that stand for a string in a packed row: length, first 4 bytes, then the next 8. For strings longer than
/// [`INLINE_MAX`] the second word is replaced by the position in the arena of the chunk.
#[inline(always)]
pub(crate) fn view_of(bytes: &[u8], start: usize, length: usize) -> [u64; 2] {
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
