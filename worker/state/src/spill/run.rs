//! Rows of groups on disk, in order of their key hashes.
//!
//! A run is a list of blocks. A block has its length and its checksum (CRC-32C) in four bytes each, then how many rows it has,
//! which of them has the NULL key, the length of the arena, the rows as they are in memory, and what the operator keeps beside
//! them. All numbers are little-endian. All rows with one hash are in one block. The first hash of each block is in memory, so
//! a range of hashes is read without a search on disk.

use super::{Error, Result, SpillDirectory, SpillFile};
use crate::directory::NONE;
use crate::order::blocks;
use crate::packed_rows::{INLINE_MAX, PackedRows};
use crate::prefetch::prefetch;

/// The bytes in front of a block: length and checksum.
const FRAME_BYTES: usize = 8;
/// The bytes of a block in front of its rows: number of rows, the row with the NULL key, the length of the arena.
const HEADER_BYTES: usize = 16;
/// Blocks are gathered to writes of about this many bytes.
const WRITE_BYTES: usize = 1 << 20;
/// How far ahead of a copy rows are loaded, in rows.
const AHEAD: usize = 12;

/// Rows of groups on disk, in order of their key hashes. No key is in two rows.
#[derive(Debug)]
pub struct Run {
    pub(super) file: SpillFile,
    /// The form of the rows.
    form: PackedRows,
    blocks: Vec<Entry>,
    rows: u64,
}

/// A block in a file.
#[derive(Clone, Copy, Debug)]
struct Entry {
    first_hash: u64,
    offset: u64,
}

/// A block in memory.
#[derive(Debug)]
pub struct Block {
    /// The rows, in ascending order of their hashes.
    pub rows: PackedRows,
    /// What the operator has written beside the rows.
    pub beside: Vec<u8>,
}

impl Run {
    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The size on disk, in bytes.
    pub fn bytes(&self) -> u64 {
        self.file.bytes
    }

    /// The bytes in memory, to find blocks.
    pub fn index_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Entry>()
    }

    /// The number of blocks.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The first block that can have rows with this hash or a greater one.
    pub fn block_of(&self, hash: u64) -> usize {
        self.blocks.partition_point(|block| block.first_hash <= hash).saturating_sub(1)
    }

    /// The hash of the first row of a block; `None` behind the last block.
    pub fn first_hash(&self, block: usize) -> Option<u64> {
        self.blocks.get(block).map(|block| block.first_hash)
    }

    /// The form of the rows, as rows of no groups.
    pub fn form(&self) -> &PackedRows {
        &self.form
    }

    /// The error that a block is not what was written.
    pub fn corrupt(&self, block: usize, reason: &str) -> Error {
        let (directory, offset) = (self.file.directory.path().to_owned(), self.blocks[block].offset);
        Error::Corrupt { directory, offset, reason: reason.to_owned() }
    }

    /// Reads a block.
    ///
    /// # Errors
    /// When the disk does not return what was written.
    pub fn read(&self, block: usize) -> Result<Block> {
        let offset = self.blocks[block].offset;
        let end = self.blocks.get(block + 1).map_or(self.file.bytes, |next| next.offset);
        let mut bytes = vec![0u8; (end - offset) as usize];
        self.file.read(&mut bytes, offset)?;
        let corrupt = |reason: &str| self.corrupt(block, reason);
        let (frame, content) = bytes.split_at_checked(FRAME_BYTES).ok_or_else(|| corrupt("a block is too short"))?;
        let [length, checksum] = [u32_at(frame, 0), u32_at(frame, 4)];
        if length as usize != content.len() {
            return Err(corrupt("the length of a block differs"));
        }
        if crc32c::crc32c(content) != checksum {
            return Err(corrupt("the checksum of a block differs"));
        }
        self.decode(content).ok_or_else(|| corrupt("a block has other rows than its header says"))
    }

    fn decode(&self, content: &[u8]) -> Option<Block> {
        let (header, content) = content.split_at_checked(HEADER_BYTES)?;
        let count = u32_at(header, 0) as usize;
        let arena_bytes = usize::try_from(u64::from_le_bytes(header[8..].try_into().ok()?)).ok()?;
        let (hashes, content) = content.split_at_checked(count.checked_mul(8)?)?;
        let (words, content) = content.split_at_checked(count.checked_mul(8 * self.form.stride)?)?;
        let (arena, beside) = content.split_at_checked(arena_bytes)?;
        let mut rows = self.form.empty_like();
        rows.hashes = words_of(hashes);
        rows.words = words_of(words);
        rows.arena = arena.to_vec();
        rows.null_group = u32_at(header, 4);
        Some(Block { rows, beside: beside.to_vec() })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn words_of(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect()
}

/// Writes a run.
#[derive(Debug)]
pub struct RunWriter {
    run: Run,
    /// What is not written yet.
    buffer: Vec<u8>,
}

impl RunWriter {
    /// Begins a run of rows that have the form of these.
    ///
    /// # Errors
    /// When no file can be created.
    pub fn new(directory: &SpillDirectory, form: &PackedRows) -> Result<Self> {
        let run = Run { file: directory.create()?, form: form.empty_like(), blocks: Vec::new(), rows: 0 };
        Ok(Self { run, buffer: Vec::new() })
    }

    /// Appends these of the rows, which are in [order of their hashes](PackedRows::order_by_hash), as blocks of about `rows_max`
    /// rows. They must have greater hashes than all rows before. `beside` appends what the operator keeps beside the rows
    /// that it gets.
    ///
    /// # Errors
    /// When the disk does not take them, or has reached its limit.
    pub fn append(
        &mut self,
        rows: &PackedRows,
        order: &[u32],
        rows_max: usize,
        mut beside: impl FnMut(&[u32], &mut Vec<u8>),
    ) -> Result<()> {
        for block in blocks(&rows.hashes, order, rows_max) {
            self.append_block(rows, block, &mut beside)?;
        }
        Ok(())
    }

    fn append_block(
        &mut self,
        rows: &PackedRows,
        which: &[u32],
        beside: &mut impl FnMut(&[u32], &mut Vec<u8>),
    ) -> Result<()> {
        let start = self.buffer.len();
        let offset = self.run.file.bytes + start as u64;
        self.run.blocks.push(Entry { first_hash: rows.hashes[which[0] as usize], offset });
        self.run.rows += which.len() as u64;
        self.buffer.resize(start + FRAME_BYTES, 0);
        encode(rows, which, &mut self.buffer);
        beside(which, &mut self.buffer);
        let (frame, content) = self.buffer[start..].split_at_mut(FRAME_BYTES);
        let length = u32::try_from(content.len()).map_err(|_| Error::Corrupt {
            directory: self.run.file.directory.path().to_owned(),
            offset,
            reason: format!("{} bytes are too many for one block", content.len()),
        })?;
        frame[..4].copy_from_slice(&length.to_le_bytes());
        frame[4..].copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.run.file.append(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// The bytes appended so far.
    pub fn bytes(&self) -> u64 {
        self.run.file.bytes + self.buffer.len() as u64
    }

    /// Ends the run.
    ///
    /// # Errors
    /// When the disk does not take the last rows.
    pub fn finish(mut self) -> Result<Run> {
        self.flush()?;
        self.run.blocks.shrink_to_fit();
        Ok(self.run)
    }
}

/// Appends the header of a block and its rows.
fn encode(rows: &PackedRows, which: &[u32], into: &mut Vec<u8>) {
    let (start, stride) = (into.len(), rows.stride);
    let words_at = start + HEADER_BYTES + which.len() * 8;
    let null_row = match rows.null_group {
        NONE => None,
        null => which.iter().position(|group| *group == null),
    };
    into.extend_from_slice(&(which.len() as u32).to_le_bytes());
    into.extend_from_slice(&null_row.map_or(NONE, |row| row as u32).to_le_bytes());
    into.extend_from_slice(&0u64.to_le_bytes());
    into.resize(words_at + which.len() * stride * 8, 0);
    let (hashes, words) = into[start + HEADER_BYTES..].split_at_mut(which.len() * 8);
    for (place, group) in hashes.chunks_exact_mut(8).zip(which) {
        place.copy_from_slice(&rows.hashes[*group as usize].to_le_bytes());
    }
    for (i, place) in words.chunks_exact_mut((stride * 8).max(1)).enumerate() {
        if let Some(ahead) = which.get(i + AHEAD) {
            prefetch(&rows.words, *ahead as usize * stride);
        }
        let row = which[i] as usize * stride;
        for (place, word) in place.chunks_exact_mut(8).zip(&rows.words[row..row + stride]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }
    if rows.key_words == 2 && !rows.arena.is_empty() {
        let arena_at = into.len();
        for (i, group) in which.iter().enumerate() {
            let [head, tail] = rows.view(*group as usize);
            let length = head as u32 as usize;
            if length > INLINE_MAX {
                let tail_at = words_at + i * stride * 8 + 8;
                let at = (into.len() - arena_at) as u64;
                into[tail_at..tail_at + 8].copy_from_slice(&at.to_le_bytes());
                into.extend_from_slice(&rows.arena[tail as usize..tail as usize + length]);
            }
        }
        let arena_bytes = (into.len() - arena_at) as u64;
        into[start + 8..start + 16].copy_from_slice(&arena_bytes.to_le_bytes());
    }
}
