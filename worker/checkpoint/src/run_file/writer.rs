//! Writes a run file as a stream of parts.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use prost::Message;

use super::{
    BLOCK_BYTES, FooterProto, FooterTableProto, LZ4, MAGIC, PLAIN, RunIdentity, RunKind, VERSION, VERSION_OF_BASES,
};
use crate::block;
use crate::schema;

/// The number of rows that are encoded first to learn their size.
const SAMPLE_ROWS: usize = 1024;

/// The description of a finished run file.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    /// The size of the whole file, in bytes.
    pub bytes: u64,
    /// The checksum of its footer. The footer has the checksums of all blocks, so this identifies the content.
    pub footer_crc: u32,
    /// The bytes that have not been passed to `emit`: the end of the file, or the whole file if it is small.
    pub rest: Vec<u8>,
}

/// The key group and the bucket of a block's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub key_group: u16,
    pub bucket: i64,
}

/// A block as it is stored.
pub(crate) struct Block {
    pub stored: Vec<u8>,
    pub form: BlockForm,
}

/// What the index says of the bytes of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockForm {
    pub crc: u32,
    compression: u32,
    raw_bytes: u32,
    rows: u32,
}

/// Encodes rows as blocks. Equal rows give equal blocks.
#[derive(Default)]
pub(crate) struct BlockEncoder {
    raw: Vec<u8>,
}

impl BlockEncoder {
    /// Splits rows into blocks. `seen` gets the bytes of each block before compression, and `next` gets the block.
    ///
    /// # Errors
    /// The reason why the rows cannot be encoded, or the error of `next`.
    pub(crate) fn encode(
        &mut self,
        key_hashes: &[u64],
        rows: &RecordBatch,
        seen: &mut dyn FnMut(&[u8]),
        next: &mut dyn FnMut(Block) -> Result<(), String>,
    ) -> Result<(), String> {
        let count = rows.num_rows();
        let mut step = count;
        if count > SAMPLE_ROWS {
            self.fill(key_hashes, rows, 0, SAMPLE_ROWS)?;
            // The aim is a little below the limit, because rows differ in size. A block that is still too large is
            // split again.
            let fitting = (BLOCK_BYTES * 7 / 8).saturating_mul(SAMPLE_ROWS) / self.raw.len();
            step = count.div_ceil(count.div_ceil(fitting.clamp(1, count)));
        }
        let mut start = 0;
        while start < count {
            let length = step.min(count - start);
            self.fill(key_hashes, rows, start, length)?;
            if self.raw.len() > BLOCK_BYTES && length > 1 {
                let share = self.raw.len().div_ceil(BLOCK_BYTES * 7 / 8).clamp(2, length);
                step = length.div_ceil(share);
                continue;
            }
            seen(&self.raw);
            next(Block::new(&self.raw, length)?)?;
            start += length;
        }
        Ok(())
    }

    fn fill(&mut self, key_hashes: &[u64], rows: &RecordBatch, start: usize, length: usize) -> Result<(), String> {
        self.raw.clear();
        block::encode(&key_hashes[start..start + length], &rows.slice(start, length), &mut self.raw)
    }
}

impl Block {
    fn new(raw: &[u8], rows: usize) -> Result<Self, String> {
        let size = |bytes: usize| u32::try_from(bytes).map_err(|_| "a row is larger than 4 GiB".to_owned());
        let (raw_bytes, rows) = (size(raw.len())?, size(rows)?);
        let compressed = lz4_flex::block::compress(raw);
        let (stored, compression) =
            if compressed.len() < raw.len() { (compressed, LZ4) } else { (raw.to_vec(), PLAIN) };
        let crc = crc32c::crc32c(&stored);
        Ok(Self { stored, form: BlockForm { crc, compression, raw_bytes, rows } })
    }
}

/// Takes blocks in order and emits parts of the file as they fill up.
pub(crate) struct RunWriter<E> {
    footer: FooterProto,
    buffer: Vec<u8>,
    emitted: u64,
    emit: E,
    part_bytes: usize,
}

impl<E: FnMut(Vec<u8>) -> Result<(), String>> RunWriter<E> {
    /// Begins a run file. Every `part_bytes` bytes are passed to `emit`.
    pub(crate) fn new(identity: &RunIdentity, part_bytes: usize, emit: E) -> Self {
        let footer = FooterProto {
            min_reader_version: VERSION_OF_BASES,
            job: identity.job.clone(),
            attempt: identity.attempt.number(),
            worker: identity.worker.clone(),
            checkpoint: identity.checkpoint.number(),
            max_parallelism: u32::from(identity.max_parallelism.get()),
            key_hash_version: identity.key_hash_version,
            ..FooterProto::default()
        };
        Self { footer, buffer: MAGIC.to_vec(), emitted: 0, emit, part_bytes }
    }

    /// Begins a table. The blocks that follow belong to it.
    pub(crate) fn begin_table(
        &mut self,
        operator: &str,
        table: &str,
        schema: &SchemaRef,
        kind: RunKind,
    ) -> Result<(), String> {
        if kind == RunKind::Delta {
            self.footer.min_reader_version = VERSION;
        }
        self.footer.tables.push(FooterTableProto {
            operator: operator.to_owned(),
            table: table.to_owned(),
            schema: Some(schema::encode(schema)?),
            kind: kind.number(),
        });
        Ok(())
    }

    /// Whether no table has begun.
    pub(crate) fn is_empty(&self) -> bool {
        self.footer.tables.is_empty()
    }

    /// Adds a block of the current table. Calls must come in order of key group and bucket.
    pub(crate) fn add(&mut self, place: Place, form: BlockForm, stored: &[u8]) -> Result<(), String> {
        let size = |bytes: usize| u32::try_from(bytes).map_err(|_| "a block is larger than 4 GiB".to_owned());
        let footer = &mut self.footer;
        footer.block_table.push(u32::try_from(footer.tables.len() - 1).map_err(|_| "too many tables".to_owned())?);
        footer.block_key_group.push(u32::from(place.key_group));
        footer.block_bucket.push(place.bucket);
        footer.block_stored_bytes.push(size(stored.len())?);
        footer.block_raw_bytes.push(form.raw_bytes);
        footer.block_rows.push(form.rows);
        footer.block_crc32c.push(form.crc);
        footer.block_compression.push(form.compression);
        self.buffer.extend_from_slice(stored);
        while self.buffer.len() >= self.part_bytes {
            let rest = self.buffer.split_off(self.part_bytes);
            let part = std::mem::replace(&mut self.buffer, rest);
            self.emitted += part.len() as u64;
            (self.emit)(part)?;
        }
        Ok(())
    }

    /// Writes the footer and ends the file.
    pub(crate) fn finish(mut self) -> Result<Finished, String> {
        let footer = self.footer.encode_to_vec();
        let footer_crc = crc32c::crc32c(&footer);
        let length = u32::try_from(footer.len()).map_err(|_| "the footer is larger than 4 GiB".to_owned())?;
        self.buffer.extend_from_slice(&footer);
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(&footer_crc.to_le_bytes());
        self.buffer.extend_from_slice(MAGIC);
        Ok(Finished { bytes: self.emitted + self.buffer.len() as u64, footer_crc, rest: self.buffer })
    }
}
