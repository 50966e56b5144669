//! Reads run files: the footer first, then blocks by coalesced ranges.
//!
//! Where a run file has a copy on a local disk, each read is tried there first. A copy whose content differs from what the
//! manifest and the footer say is not read again.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use eddyline_stream::{CheckpointId, KeyGroup, MaxParallelism};
use futures::{StreamExt, TryStreamExt};

use super::{BlockEntry, Footer, LZ4, MAGIC, TRAILER};
use crate::block;
use crate::error::{Error, Result};
use crate::handle::Reads;
use crate::local_copy::{Copy, LocalCopies};
use crate::manifest::FileProto;
use crate::storage::{self, Storage};

/// The size of the first read, in bytes, from the end of a file. It reads smaller files completely.
const FIRST_READ_BYTES: u64 = 256 << 10;
/// The most bytes between two blocks that are read with one request.
const GAP_BYTES: u64 = 128 << 10;
/// The most bytes that one request reads, unless a single block is larger.
const REQUEST_BYTES: u64 = 8 << 20;
/// The number of requests of one read that are in flight or wait for a permit.
const REQUESTS: usize = 16;

/// An open run file.
#[derive(Debug)]
pub(crate) struct RunFile {
    object: String,
    footer: Arc<Footer>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Whole(Bytes),
    Object { stored: Stored, copy: Option<Arc<Copy>> },
}

/// A run file in storage.
#[derive(Debug)]
struct Stored {
    storage: Storage,
    name: String,
    /// Which refers to it.
    checkpoint: CheckpointId,
}

/// The rows of a block.
pub(crate) struct BlockRows {
    pub entry: BlockEntry,
    pub key_hashes: Vec<u64>,
    pub rows: RecordBatch,
}

impl RunFile {
    /// Opens a run file that is completely in memory.
    pub(crate) fn from_bytes(object: &str, bytes: Bytes) -> Result<Self> {
        let (start, footer, _) = locate_footer(object, &bytes, bytes.len() as u64)?;
        let Some(start) = start else {
            return Err(Error::corrupt(object, "trailer", "the footer is larger than the file"));
        };
        check_magic(object, &bytes)?;
        let footer = Arc::new(Footer::decode(object, footer, start)?);
        Ok(Self { object: object.to_owned(), footer, source: Source::Whole(bytes) })
    }

    /// Opens a run file that a manifest lists, or its local copy. The manifest has its size and its footer checksum.
    pub(crate) async fn open(
        storage: &Storage,
        copies: Option<&LocalCopies>,
        listed: &FileProto,
        checkpoint: CheckpointId,
        reads: &Reads,
    ) -> Result<Self> {
        let stored = Stored { storage: storage.clone(), name: listed.name.clone(), checkpoint };
        if let Some(copies) = copies
            && let Some((copy, footer, bytes)) = open_copy(copies, listed).await?
        {
            reads.add(true, bytes);
            let object = stored.object();
            return Ok(Self { object, footer, source: Source::Object { stored, copy: Some(Arc::new(copy)) } });
        }
        let object = stored.object();
        let (bytes, footer_crc) = (listed.bytes, listed.footer_crc32c);
        if bytes <= FIRST_READ_BYTES {
            let content = stored.read(0..bytes).await?;
            reads.add(false, bytes);
            let file = Self::from_bytes(&object, content.clone())?;
            check_footer_crc(&object, &content, footer_crc)?;
            return Ok(file);
        }
        let mut tail = stored.read(bytes - FIRST_READ_BYTES..bytes).await?;
        if let (None, _, footer_bytes) = locate_footer(&object, &tail, bytes)? {
            let start = bytes - TRAILER as u64 - footer_bytes;
            tail = stored.read(start..bytes).await?;
        }
        reads.add(false, tail.len() as u64);
        let footer = Arc::new(footer_of(&object, &tail, bytes, footer_crc)?);
        Ok(Self { object, footer, source: Source::Object { stored, copy: None } })
    }

    pub(crate) fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Refuses a file whose max parallelism or key hash differs from that of its manifest.
    pub(crate) fn check_keys(&self, max_parallelism: MaxParallelism, key_hash_version: u32) -> Result<()> {
        let identity = &self.footer.identity;
        if identity.max_parallelism != max_parallelism || identity.key_hash_version != key_hash_version {
            let reason = format!(
                "it has max parallelism {} and key hash {}, its manifest {max_parallelism} and {key_hash_version}",
                identity.max_parallelism, identity.key_hash_version
            );
            return Err(Error::corrupt(&self.object, "footer", reason));
        }
        Ok(())
    }

    /// Reads blocks that are given in the order of the index, and the small gaps between them. Each request holds a
    /// permit of `reads` from its start until its blocks are decoded. This bounds the memory of blocks that are read
    /// and not decoded.
    pub(crate) async fn read_blocks(&self, entries: Vec<BlockEntry>, reads: &Reads) -> Result<Vec<BlockRows>> {
        let requests = coalesce(&entries);
        let requests = requests.into_iter().map(|(range, members)| async move {
            let _turn = reads.turns.acquire().await.expect("nobody closes it");
            self.request(range, members, reads).await
        });
        // Collected, because the compiler cannot infer a lifetime for closures that are held over an await.
        let requests: Vec<_> = requests.collect();
        let decoded: Vec<Vec<BlockRows>> = futures::stream::iter(requests).buffered(REQUESTS).try_collect().await?;
        Ok(decoded.into_iter().flatten().collect())
    }

    /// Reads and decodes the blocks in a range.
    async fn request(&self, range: Range<u64>, members: Vec<BlockEntry>, reads: &Reads) -> Result<Vec<BlockRows>> {
        let decoder = Decoder { object: self.object.clone(), footer: Arc::clone(&self.footer), verify: true };
        let (stored, copy) = match &self.source {
            Source::Whole(bytes) => {
                let bytes = bytes.clone();
                return tokio::task::spawn_blocking(move || decoder.decode_all(&bytes, 0, &members)).await?;
            }
            Source::Object { stored, copy } => (stored, copy),
        };
        // The range that holds the first block also reads the magic before it.
        let start = if range.start == MAGIC.len() as u64 { 0 } else { range.start };
        let (range, bytes) = (start..range.end, range.end - start);
        if let Some(copy) = copy.as_ref().filter(|copy| copy.is_whole()) {
            let (copy, range) = (Arc::clone(copy), range.clone());
            let (decoder, members) = (Decoder { object: copy.object(), ..decoder.clone() }, members.clone());
            let decoded = tokio::task::spawn_blocking(move || decoder.decode_copy(&copy, range, &members)).await?;
            if let Some(decoded) = decoded {
                reads.add(true, bytes);
                return Ok(decoded);
            }
        }
        let content = stored.read(range).await?;
        reads.add(false, bytes);
        tokio::task::spawn_blocking(move || decoder.decode_range(&content, start, &members)).await?
    }

    /// Reads all blocks of a file in memory, on this thread.
    pub(crate) fn decode_whole(&self, verify: bool) -> Result<Vec<BlockRows>> {
        let Source::Whole(bytes) = &self.source else { return Ok(Vec::new()) };
        let decoder = Decoder { object: self.object.clone(), footer: Arc::clone(&self.footer), verify };
        decoder.decode_all(bytes, 0, &self.footer.blocks)
    }
}

#[derive(Clone)]
struct Decoder {
    object: String,
    footer: Arc<Footer>,
    verify: bool,
}

impl Decoder {
    /// Reads and decodes blocks of a copy; `None` if it is damaged.
    fn decode_copy(&self, copy: &Copy, range: Range<u64>, entries: &[BlockEntry]) -> Option<Vec<BlockRows>> {
        let start = range.start;
        let decoded = match copy.read(range) {
            Ok(content) => self.decode_range(&content, start, entries).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        decoded.map_err(|reason| copy.found_damaged(&reason)).ok()
    }

    /// Decodes blocks from a part of a file that has been read from byte `start`.
    fn decode_range(&self, content: &Bytes, start: u64, entries: &[BlockEntry]) -> Result<Vec<BlockRows>> {
        if start == 0 {
            check_magic(&self.object, content)?;
        }
        self.decode_all(content, start, entries)
    }

    /// Decodes blocks from a part of the file that begins at byte `start`.
    fn decode_all(&self, content: &Bytes, start: u64, entries: &[BlockEntry]) -> Result<Vec<BlockRows>> {
        let mut unpacked = Vec::new();
        let decode = |entry: &BlockEntry| {
            let from = usize::try_from(entry.offset - start).expect("within bytes at hand");
            let stored = &content[from..from + entry.stored_bytes as usize];
            self.decode(*entry, stored, &mut unpacked).map_err(|reason| self.corrupt(entry, reason))
        };
        entries.iter().map(decode).collect()
    }

    /// Decodes a block. `unpacked` is memory for it that is used again for the next.
    fn decode(
        &self,
        entry: BlockEntry,
        stored: &[u8],
        unpacked: &mut Vec<u8>,
    ) -> std::result::Result<BlockRows, String> {
        if self.verify && crc32c::crc32c(stored) != entry.crc {
            return Err("its checksum does not match".to_owned());
        }
        let raw = if entry.compression == LZ4 {
            unpacked.resize(entry.raw_bytes as usize, 0);
            let bytes = lz4_flex::block::decompress_into(stored, unpacked).map_err(|error| error.to_string())?;
            if bytes != unpacked.len() {
                return Err(format!("it unpacks to {bytes} bytes, not {}", unpacked.len()));
            }
            unpacked.as_slice()
        } else {
            stored
        };
        let table = &self.footer.tables[entry.table as usize];
        let (key_hashes, rows) = block::decode(raw, &table.schema, entry.rows)?;
        let max_parallelism = self.footer.identity.max_parallelism;
        let group = KeyGroup::new(entry.key_group);
        if key_hashes.iter().any(|hash| KeyGroup::of(*hash, max_parallelism) != group) {
            return Err("it has keys of another key group".to_owned());
        }
        Ok(BlockRows { entry, key_hashes, rows })
    }

    fn corrupt(&self, entry: &BlockEntry, reason: String) -> Error {
        let table = &self.footer.tables[entry.table as usize];
        let part = format!(
            "block at byte {} ({}, table {}, key group {}, bucket {})",
            entry.offset, table.operator, table.table, entry.key_group, entry.bucket
        );
        Error::corrupt(&self.object, part, reason)
    }
}

/// Coalesces neighbouring blocks into requests.
fn coalesce(entries: &[BlockEntry]) -> Vec<(Range<u64>, Vec<BlockEntry>)> {
    let mut requests: Vec<(Range<u64>, Vec<BlockEntry>)> = Vec::new();
    for entry in entries {
        let range = entry.range();
        match requests.last_mut() {
            Some((request, members))
                if range.start >= request.end
                    && range.start - request.end <= GAP_BYTES
                    && range.end - request.start <= REQUEST_BYTES =>
            {
                request.end = range.end;
                members.push(*entry);
            }
            _ => requests.push((range, vec![*entry])),
        }
    }
    requests
}

/// Opens the copy of a run file and reads its footer; `None` if there is no copy, or a damaged one. Says how many bytes were
/// read.
async fn open_copy(copies: &LocalCopies, listed: &FileProto) -> Result<Option<(Copy, Arc<Footer>, u64)>> {
    let (copies, listed) = (copies.clone(), listed.clone());
    let open = move || {
        let copy = copies.find(&listed)?;
        match footer_of_copy(&copy, listed.bytes, listed.footer_crc32c) {
            Ok((footer, bytes)) => Some((copy, Arc::new(footer), bytes)),
            Err(reason) => {
                copy.found_damaged(&reason);
                None
            }
        }
    };
    Ok(tokio::task::spawn_blocking(open).await?)
}

fn footer_of_copy(copy: &Copy, bytes: u64, footer_crc: u32) -> std::result::Result<(Footer, u64), String> {
    let object = copy.object();
    let read = |start: u64| copy.read(start..bytes).map_err(|error| error.to_string());
    let mut tail = read(bytes.saturating_sub(FIRST_READ_BYTES))?;
    if let (None, _, footer_bytes) = locate_footer(&object, &tail, bytes).map_err(|error| error.to_string())? {
        tail = read(bytes - TRAILER as u64 - footer_bytes)?;
    }
    let footer = footer_of(&object, &tail, bytes, footer_crc).map_err(|error| error.to_string())?;
    Ok((footer, tail.len() as u64))
}

/// The footer at the end of a file of `bytes`, whose checksum is known.
fn footer_of(object: &str, tail: &[u8], bytes: u64, footer_crc: u32) -> Result<Footer> {
    check_footer_crc(object, tail, footer_crc)?;
    let (Some(start), footer, _) = locate_footer(object, tail, bytes)? else {
        return Err(Error::corrupt(object, "trailer", "it changed between two reads"));
    };
    Footer::decode(object, footer, start)
}

impl Stored {
    fn object(&self) -> String {
        self.storage.name_of(&self.name)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        match self.storage.get_range(&self.name, range).await {
            Ok(Some(content)) => Ok(content),
            Ok(None) => Err(Error::MissingRunFile { object: self.object(), checkpoint: self.checkpoint }),
            Err(storage::Error::TooShort { object, end }) => {
                Err(Error::corrupt(object, "end", format!("it ends before byte {end}, which its manifest says it has")))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn check_magic(object: &str, bytes: &[u8]) -> Result<()> {
    if bytes.starts_with(MAGIC) {
        Ok(())
    } else {
        Err(Error::corrupt(object, "start", "it does not begin as a run file"))
    }
}

fn check_footer_crc(object: &str, tail: &[u8], expected: u32) -> Result<()> {
    let at = tail.len() - TRAILER + 4;
    if tail[at..at + 4] == expected.to_le_bytes() {
        Ok(())
    } else {
        Err(Error::corrupt(object, "footer", "it is not the file that the manifest was written for"))
    }
}

/// Finds the footer at the end of `tail`, the last bytes of a file of `file_bytes`. Returns the offset where the footer
/// starts in the file, its bytes, and its length. The offset is `None` if `tail` does not have the whole footer.
fn locate_footer<'a>(object: &str, tail: &'a [u8], file_bytes: u64) -> Result<(Option<u64>, &'a [u8], u64)> {
    let corrupt = |reason: &str| Error::corrupt(object, "trailer", reason);
    if file_bytes < (MAGIC.len() + TRAILER) as u64 || tail.len() < TRAILER {
        return Err(corrupt("the file is shorter than its frame"));
    }
    let (before, trailer) = tail.split_at(tail.len() - TRAILER);
    if &trailer[8..] != MAGIC {
        return Err(corrupt("it does not end as a run file"));
    }
    let length = u64::from(u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]));
    let crc = u32::from_le_bytes([trailer[4], trailer[5], trailer[6], trailer[7]]);
    if length > file_bytes - (MAGIC.len() + TRAILER) as u64 {
        return Err(corrupt("the footer is larger than the file"));
    }
    if length > before.len() as u64 {
        return Ok((None, &[], length));
    }
    let footer = &before[before.len() - usize::try_from(length).expect("no longer than the tail")..];
    if crc32c::crc32c(footer) != crc {
        return Err(Error::corrupt(object, "footer", "its checksum does not match"));
    }
    Ok((Some(file_bytes - TRAILER as u64 - length), footer, length))
}

/// Writes the right footer checksum into the bytes of a run file, if they are long enough to have one.
pub(crate) fn seal_footer(bytes: &mut [u8]) {
    let Some(at) = bytes.len().checked_sub(TRAILER) else { return };
    let length = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let Some(start) = usize::try_from(length).ok().and_then(|length| at.checked_sub(length)) else { return };
    let crc = crc32c::crc32c(&bytes[start..at]);
    bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_blocks_are_read_together() {
        let entry = |offset, stored_bytes| BlockEntry {
            table: 0,
            key_group: 0,
            bucket: 0,
            offset,
            stored_bytes,
            raw_bytes: stored_bytes,
            rows: 1,
            crc: 0,
            compression: 0,
        };
        let far = 1000 + GAP_BYTES + 1;
        let entries = [entry(8, 92), entry(100, 100), entry(300, 700), entry(far, 10)];
        let ranges: Vec<_> = coalesce(&entries).into_iter().map(|(range, members)| (range, members.len())).collect();
        assert_eq!(ranges, [(8..1000, 3), (far..far + 10, 1)]);
    }
}
