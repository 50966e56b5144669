//! Run files: immutable objects with keyed state, laid out so that any set of key groups can be read by byte ranges.
//!
//! ```text
//! "KGRUN001" | block* | footer | footer length u32 | footer crc32c u32 | "KGRUN001"
//! ```
//! A block has rows of exactly one (operator, table, key group, bucket). The footer lists all blocks in order of
//! (table, key group, bucket). Blocks are stored in that order without gaps, so every byte is covered by a checksum.

pub(crate) mod reader;
pub(crate) mod writer;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use eddyline_stream::{Attempt, CheckpointId, MaxParallelism};
use prost::Message;

use crate::error::{Error, Result};
use crate::schema::{self, SchemaProto};

/// The first and the last bytes of a run file.
pub(crate) const MAGIC: &[u8; 8] = b"KGRUN001";
/// The size of the trailer: footer length, footer checksum, magic.
pub(crate) const TRAILER: usize = 4 + 4 + 8;
/// The most bytes of a block before compression, unless a single row is larger.
pub(crate) const BLOCK_BYTES: usize = 1 << 20;
/// The newest version of footers and blocks that this release knows.
pub(crate) const VERSION: u32 = 2;
/// The version of files without deltas. Every release can read it.
const VERSION_OF_BASES: u32 = 1;

/// The compression of a block, as it is stored: none or lz4.
const PLAIN: u32 = 0;
const LZ4: u32 = 1;

/// Which rows of its buckets and key groups a run holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RunKind {
    /// All rows.
    Base,
    /// New and changed rows. A row replaces the row of an earlier run that has the same identity.
    Delta,
}

impl RunKind {
    /// The number of the kind in stored files.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Base => 1,
            Self::Delta => 2,
        }
    }

    pub(crate) fn from_number(number: u32) -> std::result::Result<Self, String> {
        match number {
            1 => Ok(Self::Base),
            2 => Ok(Self::Delta),
            other => Err(format!("run kind {other} is not known")),
        }
    }
}

/// The footer as it is stored. The index is stored by columns: each repeated field has one value for each block.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FooterProto {
    #[prost(uint32, tag = "1")]
    pub min_reader_version: u32,
    #[prost(string, tag = "2")]
    pub job: String,
    #[prost(uint64, tag = "3")]
    pub attempt: u64,
    #[prost(string, tag = "4")]
    pub worker: String,
    #[prost(uint64, tag = "5")]
    pub checkpoint: u64,
    #[prost(uint32, tag = "6")]
    pub max_parallelism: u32,
    #[prost(uint32, tag = "7")]
    pub key_hash_version: u32,
    #[prost(message, repeated, tag = "8")]
    pub tables: Vec<FooterTableProto>,
    /// Index into `tables`.
    #[prost(uint32, repeated, tag = "16")]
    pub block_table: Vec<u32>,
    #[prost(uint32, repeated, tag = "17")]
    pub block_key_group: Vec<u32>,
    #[prost(sint64, repeated, tag = "18")]
    pub block_bucket: Vec<i64>,
    /// The size in the file, in bytes.
    #[prost(uint32, repeated, tag = "19")]
    pub block_stored_bytes: Vec<u32>,
    /// The size before compression, in bytes.
    #[prost(uint32, repeated, tag = "20")]
    pub block_raw_bytes: Vec<u32>,
    #[prost(uint32, repeated, tag = "21")]
    pub block_rows: Vec<u32>,
    /// The checksum of the bytes in the file.
    #[prost(fixed32, repeated, tag = "22")]
    pub block_crc32c: Vec<u32>,
    /// 0 plain, 1 lz4.
    #[prost(uint32, repeated, tag = "23")]
    pub block_compression: Vec<u32>,
}

/// A table in a footer.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FooterTableProto {
    #[prost(string, tag = "1")]
    pub operator: String,
    #[prost(string, tag = "2")]
    pub table: String,
    #[prost(message, optional, tag = "3")]
    pub schema: Option<SchemaProto>,
    #[prost(uint32, tag = "4")]
    pub kind: u32,
}

/// The writer of a run file, and the distribution of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunIdentity {
    pub job: String,
    pub attempt: Attempt,
    pub worker: String,
    pub checkpoint: CheckpointId,
    pub max_parallelism: MaxParallelism,
    pub key_hash_version: u32,
}

/// A table of a run file. A file can have a table twice: as the base of some buckets and as the delta of others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunTable {
    pub operator: String,
    pub table: String,
    pub schema: SchemaRef,
    pub kind: RunKind,
}

/// The place of a block and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    pub table: u32,
    pub key_group: u16,
    pub bucket: i64,
    pub offset: u64,
    pub stored_bytes: u32,
    pub raw_bytes: u32,
    pub rows: u32,
    pub crc: u32,
    pub compression: u32,
}

/// A decoded footer that has been validated.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Footer {
    pub identity: RunIdentity,
    pub tables: Vec<RunTable>,
    pub blocks: Vec<BlockEntry>,
}

impl Footer {
    /// Decodes a footer that begins at byte `start` of its file, and validates it.
    fn decode(object: &str, bytes: &[u8], start: u64) -> Result<Self> {
        let corrupt = |reason: String| Error::corrupt(object, "footer", reason);
        let proto = FooterProto::decode(bytes).map_err(|error| corrupt(error.to_string()))?;
        if proto.min_reader_version > VERSION {
            return Err(Error::TooNew { object: object.to_owned(), needed: proto.min_reader_version, known: VERSION });
        }
        let max_parallelism =
            MaxParallelism::try_from(proto.max_parallelism).map_err(|error| corrupt(error.to_string()))?;
        let tables = proto.tables.iter().map(RunTable::from_proto).collect::<std::result::Result<Vec<_>, _>>();
        let tables = tables.map_err(&corrupt)?;
        let blocks = decode_index(&proto, start, tables.len(), max_parallelism).map_err(&corrupt)?;
        let identity = RunIdentity {
            job: proto.job,
            attempt: Attempt::new(proto.attempt),
            worker: proto.worker,
            checkpoint: CheckpointId::new(proto.checkpoint),
            max_parallelism,
            key_hash_version: proto.key_hash_version,
        };
        Ok(Self { identity, tables, blocks })
    }
}

impl RunTable {
    fn from_proto(proto: &FooterTableProto) -> std::result::Result<Self, String> {
        let schema = proto.schema.as_ref().ok_or_else(|| format!("table {} has no columns", proto.table))?;
        Ok(Self {
            operator: proto.operator.clone(),
            table: proto.table.clone(),
            schema: Arc::new(schema::decode(schema)?),
            kind: RunKind::from_number(proto.kind)?,
        })
    }
}

/// Converts the columns of the index to entries. `start` is the byte where the last block ends and the footer begins.
fn decode_index(
    proto: &FooterProto,
    start: u64,
    tables: usize,
    max_parallelism: MaxParallelism,
) -> std::result::Result<Vec<BlockEntry>, String> {
    let count = proto.block_table.len();
    let lengths = [
        proto.block_key_group.len(),
        proto.block_bucket.len(),
        proto.block_stored_bytes.len(),
        proto.block_raw_bytes.len(),
        proto.block_rows.len(),
        proto.block_crc32c.len(),
        proto.block_compression.len(),
    ];
    if lengths.iter().any(|length| *length != count) {
        return Err("the columns of the index have different lengths".to_owned());
    }
    let mut offset = MAGIC.len() as u64;
    let mut blocks: Vec<BlockEntry> = Vec::with_capacity(count);
    for at in 0..count {
        let key_group = u16::try_from(proto.block_key_group[at])
            .ok()
            .filter(|group| *group < max_parallelism.get())
            .ok_or_else(|| format!("block {at} has key group {}", proto.block_key_group[at]))?;
        let block = BlockEntry {
            table: proto.block_table[at],
            key_group,
            bucket: proto.block_bucket[at],
            offset,
            stored_bytes: proto.block_stored_bytes[at],
            raw_bytes: proto.block_raw_bytes[at],
            rows: proto.block_rows[at],
            crc: proto.block_crc32c[at],
            compression: proto.block_compression[at],
        };
        if block.table as usize >= tables {
            return Err(format!("block {at} has table {}", block.table));
        }
        if blocks.last().is_some_and(|last| last.order() > block.order()) {
            return Err(format!("block {at} is out of order"));
        }
        let plausible = match block.compression {
            PLAIN => block.raw_bytes == block.stored_bytes,
            // A byte of lz4 encodes at most 255 bytes. This bounds the memory that a decoder allocates.
            LZ4 => u64::from(block.raw_bytes) <= u64::from(block.stored_bytes) * 255 + 16,
            other => return Err(format!("block {at} has compression {other}")),
        };
        if !plausible {
            return Err(format!("block {at} has {} bytes in {}", block.raw_bytes, block.stored_bytes));
        }
        offset += u64::from(block.stored_bytes);
        blocks.push(block);
    }
    if offset != start {
        return Err(format!("blocks end at byte {offset}, the footer begins at byte {start}"));
    }
    Ok(blocks)
}

impl BlockEntry {
    fn order(&self) -> (u32, u16, i64) {
        (self.table, self.key_group, self.bucket)
    }

    /// The byte range of the block in its file.
    pub(crate) fn range(&self) -> std::ops::Range<u64> {
        self.offset..self.offset + u64::from(self.stored_bytes)
    }
}
