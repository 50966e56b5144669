//! Reads the lines of a piece. An I/O task sends blocks, and rows are decoded here.

use std::sync::Arc;

use eddyline_formats::{FormatConfig, OnBadRecord, RecordDecoder};
use tokio::runtime::Handle;

use super::fetch::{Block, Blocks, Fetched};
use super::patience::PatientStore;
use super::piece::Piece;
use super::source::Progress;
use crate::Error;

/// The longest line in bytes. A longer one is an error, because a line must fit into memory.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Reads the lines of one piece.
pub(super) struct LineReader {
    // Fixed at start.
    path: String,
    starts_file: bool,
    format: &'static str,
    policy: OnBadRecord,
    // Changing.
    blocks: Blocks,
    block: Option<Block>,
    decoder: Box<dyn RecordDecoder>,
    /// The offset after the last returned row, where the piece continues.
    offset: Option<u64>,
    lines: u64,
    /// Totals since the reader was created.
    pub(super) bytes: u64,
    pub(super) bad_records: u64,
}

impl LineReader {
    pub(super) fn start(
        store: &PatientStore,
        piece: &Piece,
        format: &FormatConfig,
        decoder: Box<dyn RecordDecoder>,
        io: &Handle,
        waker: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, Error> {
        Ok(Self {
            path: piece.file.path.clone(),
            starts_file: piece.start == 0,
            format: format.name(),
            policy: format.on_bad_record(),
            blocks: Blocks::start(store, piece, io, waker)?,
            block: None,
            decoder,
            offset: piece.offset,
            lines: piece.lines,
            bytes: 0,
            bad_records: 0,
        })
    }

    /// Records where the piece continues.
    pub(super) fn update(&self, piece: &mut Piece) {
        piece.offset = self.offset;
        piece.lines = self.lines;
    }

    /// Returns the decoder, for the next piece.
    pub(super) fn into_decoder(self) -> Box<dyn RecordDecoder> {
        self.decoder
    }

    /// Decodes up to `rows_max` rows.
    pub(super) fn poll(&mut self, rows_max: usize) -> Result<Progress, Error> {
        loop {
            let Some(block) = &mut self.block else {
                if !self.next_block()? {
                    return self.rows_or(Progress::Pending);
                }
                continue;
            };
            let done = self.decoder.decode_lines(block.bytes(), rows_max, block.is_last);
            let started_at = block.offset;
            block.consume(done.consumed);
            self.bytes += done.consumed as u64;
            self.lines += done.lines;
            if done.consumed > 0 {
                self.offset = Some(block.offset);
            }
            if let Some(bad) = done.bad {
                if self.policy == OnBadRecord::Fail {
                    return Err(self.bad_record(&bad, started_at));
                }
                self.bad_records += 1;
            } else if self.decoder.len() >= rows_max || self.decoder.is_full() {
                return self.rows_or(Progress::Pending);
            } else if block.is_last {
                // Everything is decoded. The block stays, so that the next call ends here again.
                return self.rows_or(Progress::End);
            } else if !self.next_block()? {
                return self.rows_or(Progress::Pending);
            }
        }
    }

    /// The rows decoded so far. `otherwise` if there are none.
    fn rows_or(&mut self, otherwise: Progress) -> Result<Progress, Error> {
        if self.decoder.is_empty() {
            return Ok(otherwise);
        }
        self.decoder.flush().map(Progress::Rows).map_err(|error| super::source::format_failed(&self.path, error))
    }

    /// Takes the next block, with the rest of the present one prepended. `false` if there is no block yet.
    fn next_block(&mut self) -> Result<bool, Error> {
        let Fetched::Block(mut next) = self.blocks.next()? else { return Ok(false) };
        if let Some(rest) = self.block.take().filter(|rest| rest.len() > 0) {
            if rest.len() > LINE_BYTES_MAX {
                return Err(Error::BadRecord {
                    place: self.place(rest.offset),
                    reason: format!("the line is longer than {LINE_BYTES_MAX} bytes"),
                });
            }
            next.prepend(rest.bytes());
        }
        self.block = Some(next);
        Ok(true)
    }

    fn place(&self, offset: u64) -> String {
        // Lines are counted from the start of the piece. Only in the first piece that is the number in the file.
        if self.starts_file {
            format!("file '{}', line {}", self.path, self.lines.max(1))
        } else {
            format!("file '{}', after byte {offset}", self.path)
        }
    }

    fn bad_record(&self, bad: &eddyline_formats::BadRecord, started_at: u64) -> Error {
        let place = self.place(started_at);
        Error::BadRecord {
            place: format!("{place}, column {}", bad.column + 1),
            reason: format!("{bad}; '{}.ignore-parse-errors' = 'true' skips such lines", self.format),
        }
    }
}
