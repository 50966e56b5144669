//! Writes Parquet files.

use arrow::datatypes::SchemaRef;
use eddyline_stream::Batch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::Error;
use crate::encode::inserts;
use crate::parquet::config::{Compression, Config};

/// Writes a file into memory. The connector takes the finished bytes and stores them.
pub struct FileWriter {
    pub(super) writer: ArrowWriter<Vec<u8>>,
    schema: SchemaRef,
    /// The number of bytes taken so far.
    taken: u64,
}

impl FileWriter {
    /// Starts a file with these columns.
    ///
    /// # Errors
    /// The format does not support the type of a column.
    pub fn new(config: &Config, schema: &SchemaRef) -> Result<Self, Error> {
        let codec = match config.compression {
            Compression::Uncompressed => Codec::UNCOMPRESSED,
            Compression::Snappy => Codec::SNAPPY,
            Compression::Gzip => Codec::GZIP(GzipLevel::default()),
            Compression::Lz4 => Codec::LZ4_RAW,
            Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
        };
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_max_row_group_bytes(Some(config.row_group_bytes_max))
            .set_data_page_size_limit(config.page_bytes_max)
            .set_dictionary_enabled(config.dictionary)
            .set_dictionary_page_size_limit(config.dictionary_bytes_max)
            .set_created_by(concat!("eddyline ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        // Arrow's schema is not stored. The Parquet types of the file are sufficient for SQL's types.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), SchemaRef::clone(schema), options)
            .map_err(Error::WriteFile)?;
        Ok(Self { writer, schema: SchemaRef::clone(schema), taken: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// The batch has other columns, or rows that are not inserts.
    pub fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let rows = inserts("parquet", batch, &self.schema)?;
        self.writer.write(rows).map_err(Error::WriteFile)
    }

    /// The finished bytes of the file that are not yet taken. Often there are none.
    pub fn take(&mut self) -> Vec<u8> {
        // Offsets in the file are counted by the writer itself, not by the length of this buffer.
        let bytes = std::mem::take(self.writer.inner_mut());
        self.taken += bytes.len() as u64;
        bytes
    }

    /// The number of finished bytes of the file, taken or not.
    pub fn bytes_written(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// The approximate size of the rows of the current row group, in bytes.
    pub fn buffered_bytes(&self) -> usize {
        self.writer.in_progress_size()
    }

    /// Ends the file, and returns the rest of its bytes.
    ///
    /// # Errors
    /// The last row group or the metadata cannot be written.
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        self.writer.into_inner().map_err(Error::WriteFile)
    }
}
