//! A part while it is written: encodes rows into bytes, on the slot thread.

use arrow::datatypes::SchemaRef;
use eddyline_formats::parquet::FileWriter;
use eddyline_formats::{EncodedRecords, FormatConfig, RecordEncoder};
use eddyline_stream::Batch;

use crate::Error;

/// Encodes rows into the bytes of one file.
pub(super) struct PartEncoder {
    kind: Kind,
    /// The number of bytes that [`PartEncoder::take`] has returned.
    taken: u64,
    /// The number of rows in the part.
    pub(super) rows: u64,
}

enum Kind {
    Lines { encoder: Box<dyn RecordEncoder>, records: EncodedRecords },
    Parquet(Box<FileWriter>),
}

fn failed(error: eddyline_formats::Error) -> Error {
    Error::Unavailable {
        what: "cannot encode rows for a file".to_owned(),
        source: Some(Box::new(error)),
        retryable: false,
    }
}

impl PartEncoder {
    pub(super) fn new(format: &FormatConfig, schema: &SchemaRef) -> Result<Self, Error> {
        let kind = match format.parquet() {
            Some(config) => Kind::Parquet(Box::new(FileWriter::new(config, schema).map_err(failed)?)),
            None => {
                let encoder = format.encoder(schema).map_err(failed)?;
                Kind::Lines { encoder, records: EncodedRecords::lines() }
            }
        };
        Ok(Self { kind, taken: 0, rows: 0 })
    }

    pub(super) fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        self.rows += batch.num_rows() as u64;
        match &mut self.kind {
            Kind::Lines { encoder, records } => encoder.encode(batch, records).map_err(failed),
            Kind::Parquet(writer) => writer.write(batch).map_err(failed),
        }
    }

    /// The number of bytes of the file so far, including those that wait for the end of a row group.
    pub(super) fn bytes(&self) -> u64 {
        match &self.kind {
            Kind::Lines { records, .. } => self.taken + records.bytes().len() as u64,
            Kind::Parquet(writer) => writer.bytes_written() + writer.buffered_bytes() as u64,
        }
    }

    /// The number of bytes in memory here.
    pub(super) fn held(&self) -> usize {
        match &self.kind {
            Kind::Lines { records, .. } => records.bytes().len(),
            Kind::Parquet(writer) => writer.buffered_bytes(),
        }
    }

    /// Takes out complete bytes, if there are enough of them.
    pub(super) fn take(&mut self, bytes_min: usize) -> Vec<u8> {
        match &mut self.kind {
            Kind::Lines { records, .. } if records.bytes().len() >= bytes_min.max(1) => {
                let bytes = std::mem::replace(records, EncodedRecords::lines()).into_bytes();
                self.taken += bytes.len() as u64;
                bytes
            }
            Kind::Lines { .. } => Vec::new(),
            Kind::Parquet(writer) => writer.take(),
        }
    }

    /// Ends the file, and returns the rest of its bytes.
    pub(super) fn finish(self) -> Result<Vec<u8>, Error> {
        match self.kind {
            Kind::Lines { records, .. } => Ok(records.into_bytes()),
            Kind::Parquet(writer) => writer.finish().map_err(failed),
        }
    }
}
