//! Writes a run file as a stream of parts.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use prost::Message;

use super::{BLOCK_BYTES, FooterProto, FooterTableProto, LZ4, MAGIC, PLAIN, RunIdentity, RunKind, VERSION};
use crate::block;
use crate::schema;

/// What a finished run file is known by.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    /// Bytes of the whole file.
    pub bytes: u64,
    /// The checksum of its footer, which holds the checksums of all blocks: names the content.
    pub footer_crc: u32,
    /// What has not been given to `emit` yet: the end of the file, or all of it.
    pub rest: Vec<u8>,
}

/// Takes blocks in order and gives out full parts.
pub(crate) struct RunWriter<E> {
    footer: FooterProto,
    buffer: Vec<u8>,
    emitted: u64,
    scratch: Vec<u8>,
    emit: E,
    part_bytes: usize,
}

impl<E: FnMut(Vec<u8>) -> Result<(), String>> RunWriter<E> {
    /// A new run file. Whenever `part_bytes` have come together they go to `emit`.
    pub(crate) fn new(identity: &RunIdentity, part_bytes: usize, emit: E) -> Self {
        let footer = FooterProto {
            min_reader_version: VERSION,
            job: identity.job.clone(),
            attempt: identity.attempt.number(),
            worker: identity.worker.clone(),
            checkpoint: identity.checkpoint.number(),
            max_parallelism: u32::from(identity.max_parallelism.get()),
            key_hash_version: identity.key_hash_version,
            ..FooterProto::default()
        };
        Self { footer, buffer: MAGIC.to_vec(), emitted: 0, scratch: Vec::new(), emit, part_bytes }
    }

    /// Begins a table; the blocks that follow belong to it.
    pub(crate) fn begin_table(&mut self, operator: &str, table: &str, schema: &SchemaRef) -> Result<(), String> {
        self.footer.tables.push(FooterTableProto {
            operator: operator.to_owned(),
            table: table.to_owned(),
            schema: Some(schema::encode(schema)?),
            kind: RunKind::Base.number(),
        });
        Ok(())
    }

    /// Adds rows of the current table, cut into blocks. Calls must come in order of key group and bucket.
    pub(crate) fn add(
        &mut self,
        key_group: u16,
        bucket: i64,
        key_hashes: &[u64],
        rows: &RecordBatch,
    ) -> Result<(), String> {
        self.scratch.clear();
        let mut raw = std::mem::take(&mut self.scratch);
        block::encode(key_hashes, rows, &mut raw)?;
        let count = rows.num_rows();
        if raw.len() > BLOCK_BYTES && count > 1 {
            // Aim a little below the limit, as rows differ in size; what is still too large is cut again.
            let share = raw.len().div_ceil(BLOCK_BYTES * 7 / 8).clamp(2, count);
            self.scratch = raw;
            let step = count.div_ceil(share);
            for start in (0..count).step_by(step) {
                let length = step.min(count - start);
                self.add(key_group, bucket, &key_hashes[start..start + length], &rows.slice(start, length))?;
            }
            return Ok(());
        }
        let compressed = lz4_flex::block::compress(&raw);
        let (stored, compression) = if compressed.len() < raw.len() { (&compressed, LZ4) } else { (&raw, PLAIN) };
        let size = |bytes: usize| u32::try_from(bytes).map_err(|_| "a row is larger than 4 GiB".to_owned());
        let footer = &mut self.footer;
        footer.block_table.push(u32::try_from(footer.tables.len() - 1).map_err(|_| "too many tables".to_owned())?);
        footer.block_key_group.push(u32::from(key_group));
        footer.block_bucket.push(bucket);
        footer.block_stored_bytes.push(size(stored.len())?);
        footer.block_raw_bytes.push(size(raw.len())?);
        footer.block_rows.push(size(count)?);
        footer.block_crc32c.push(crc32c::crc32c(stored));
        footer.block_compression.push(compression);
        self.buffer.extend_from_slice(stored);
        self.scratch = raw;
        while self.buffer.len() >= self.part_bytes {
            let rest = self.buffer.split_off(self.part_bytes);
            let part = std::mem::replace(&mut self.buffer, rest);
            self.emitted += part.len() as u64;
            (self.emit)(part)?;
        }
        Ok(())
    }

    /// Ends the file.
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
