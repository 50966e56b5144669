//! Reads Parquet files.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::{Buf, Bytes};
use eddyline_stream::sql_type;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, RowGroups, RowSelection, RowSelector,
};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::Type as PhysicalType;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};

use crate::Error;
use crate::parquet::columns::{convert, fits, read_as};
use crate::parquet::config::Config;
use crate::parquet::pages::{RowGroupPages, SharedPages};

/// The size of the first read from the end of a file, in bytes. It usually contains all metadata.
pub const FOOTER_GUESS_BYTES: u64 = 64 << 10;

/// Byte ranges with at most this many bytes between them are fetched as one.
const RANGE_GAP_BYTES: u64 = 256 << 10;

/// The result of reading the end of a file.
#[derive(Clone, Debug)]
pub enum Footer {
    /// The metadata.
    Complete(Arc<ParquetMetaData>),
    /// The metadata is longer: read this many bytes from the end of the file.
    NeedsLast(u64),
}

/// Reads the metadata of a file of `file_bytes` bytes from its last bytes, `tail`.
///
/// # Errors
/// The file is not a Parquet file. `name` is for messages.
pub fn footer(name: &str, tail: &Bytes, file_bytes: u64) -> Result<Footer, Error> {
    let mut reader = ParquetMetaDataReader::new();
    match reader.try_parse_sized(tail, file_bytes) {
        Ok(()) => {
            let metadata = reader.finish().map_err(|source| Error::ReadFile { file: name.to_owned(), source })?;
            Ok(Footer::Complete(Arc::new(metadata)))
        }
        Err(ParquetError::NeedMoreData(bytes)) => Ok(Footer::NeedsLast(bytes as u64)),
        Err(source) => Err(Error::ReadFile { file: name.to_owned(), source }),
    }
}

/// How a file is read: its metadata, and the columns of the file for the columns of the table.
#[derive(Clone, Debug)]
pub struct FileReader {
    name: String,
    metadata: ArrowReaderMetadata,
    /// The columns of the file that are read, in the file's order.
    mask: ProjectionMask,
    /// The same columns, with the types in which they are read.
    levels: Arc<FieldLevels>,
    /// The index of each output column among the columns that are read.
    places: Vec<usize>,
    schema: SchemaRef,
}

impl FileReader {
    /// Prepares to read a file. `name` is for messages; `schema` has all physical columns of the table, `projection`
    /// the indices of those wanted, in the order of the output.
    ///
    /// # Errors
    /// A column is missing in the file, or its type does not fit.
    pub fn new(
        name: &str,
        metadata: Arc<ParquetMetaData>,
        _config: &Config,
        schema: &SchemaRef,
        projection: &[usize],
    ) -> Result<Self, Error> {
        let columns = schema.fields().len();
        if let Some(index) = projection.iter().copied().find(|index| *index >= columns) {
            return Err(Error::NoSuchColumn { index, columns });
        }
        let schema: SchemaRef = Arc::new(schema.project(projection).map_err(Error::Build)?);
        let failed = |source| Error::ReadFile { file: name.to_owned(), source };
        // Some writers also store Arrow's types in a file, such as dictionaries. They are ignored.
        let options = || ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let natural = ArrowReaderMetadata::try_new(Arc::clone(&metadata), options()).map_err(failed)?;
        let (roots, asked) = match_columns(name, &natural, &schema)?;
        let metadata =
            ArrowReaderMetadata::try_new(metadata, options().with_schema(Arc::clone(&asked))).map_err(failed)?;
        let mut order: Vec<usize> = roots.clone();
        order.sort_unstable();
        order.dedup();
        let places = roots.iter().map(|root| order.partition_point(|other| other < root)).collect();
        let mask = ProjectionMask::roots(metadata.parquet_schema(), order);
        let levels = parquet_to_arrow_field_levels(metadata.parquet_schema(), mask.clone(), Some(asked.fields()));
        let levels = Arc::new(levels.map_err(failed)?);
        Ok(Self { name: name.to_owned(), metadata, mask, levels, places, schema })
    }

    /// Prepares to read a local file. Reads its metadata first.
    ///
    /// # Errors
    /// As [`FileReader::new`], or the file cannot be read.
    pub fn open<R: ChunkReader>(
        name: &str,
        input: &R,
        config: &Config,
        schema: &SchemaRef,
        projection: &[usize],
    ) -> Result<Self, Error> {
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(input)
            .map_err(|source| Error::ReadFile { file: name.to_owned(), source })?;
        Self::new(name, Arc::new(metadata), config, schema, projection)
    }

    /// The schema of the batches: the projected columns, in exactly the table's types.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The number of row groups of the file.
    pub fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The number of rows of a row group.
    ///
    /// # Panics
    /// There is no such row group.
    pub fn row_group_rows(&self, row_group: usize) -> u64 {
        u64::try_from(self.metadata.metadata().row_group(row_group).num_rows()).unwrap_or(0)
    }

    /// The bytes of the file from the start of a row group to the start of the next one, or to the end of the columns
    /// of the last one. They decide to which part of a cut file the rows belong.
    ///
    /// # Panics
    /// There is no such row group.
    pub fn row_group_bytes(&self, row_group: usize) -> Range<u64> {
        let groups = self.metadata.metadata().row_groups();
        let start_of = |group: &RowGroupMetaData| group.columns().iter().map(|column| column.byte_range().0).min();
        let start = start_of(&groups[row_group]).unwrap_or(0);
        let end = groups.get(row_group + 1).and_then(start_of).unwrap_or_else(|| {
            let end_of = |column: &ColumnChunkMetaData| {
                let (start, length) = column.byte_range();
                start.saturating_add(length)
            };
            groups[row_group].columns().iter().map(end_of).max().unwrap_or(start)
        });
        start..end.max(start)
    }

    /// The byte ranges that a row group needs, in order. Ranges that are close to each other are joined.
    ///
    /// # Panics
    /// There is no such row group.
    pub fn byte_ranges(&self, row_group: usize) -> Vec<Range<u64>> {
        let columns = self.metadata.metadata().row_group(row_group).columns();
        let mut ranges: Vec<Range<u64>> = columns
            .iter()
            .enumerate()
            .filter(|(leaf, _)| self.mask.leaf_included(*leaf))
            .map(|(_, column)| {
                let (start, len) = column.byte_range();
                start..start.saturating_add(len)
            })
            .collect();
        ranges.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(last) if range.start <= last.end.saturating_add(RANGE_GAP_BYTES) => {
                    last.end = last.end.max(range.end);
                }
                _ => joined.push(range),
            }
        }
        joined
    }

    /// Starts to read a row group without the first `skip_rows` rows, in batches of `batch_rows`. Pages with only
    /// skipped rows are not decompressed. `pages` has the pages that another reader of the row group may need too.
    ///
    /// # Errors
    /// The file cannot be read.
    ///
    /// # Panics
    /// There is no such row group.
    pub fn read<R: ChunkReader + 'static>(
        &self,
        input: R,
        row_group: usize,
        skip_rows: u64,
        batch_rows: usize,
        pages: Arc<SharedPages>,
    ) -> Result<FileRows, Error> {
        let skip = usize::try_from(skip_rows).unwrap_or(usize::MAX);
        let row_group = RowGroupPages {
            input: Arc::new(input),
            metadata: Arc::clone(self.metadata.metadata()),
            row_group,
            shared: pages,
        };
        let rows = row_group.num_rows();
        let selection = (skip > 0).then(|| {
            RowSelection::from(vec![RowSelector::skip(skip.min(rows)), RowSelector::select(rows.saturating_sub(skip))])
        });
        let rows = ParquetRecordBatchReader::try_new_with_row_groups(
            &self.levels,
            &row_group,
            batch_rows.min(rows.max(1)),
            selection,
        )
        .map_err(|source| Error::ReadFile { file: self.name.clone(), source })?;
        Ok(FileRows { rows, name: self.name.clone(), places: self.places.clone(), schema: Arc::clone(&self.schema) })
    }
}

/// Finds the table's columns in a file: their indices there, and the schema in which to read the file.
fn match_columns(name: &str, file: &ArrowReaderMetadata, table: &SchemaRef) -> Result<(Vec<usize>, SchemaRef), Error> {
    let mut asked: Vec<Arc<Field>> = file.schema().fields().iter().cloned().collect();
    let mut roots = Vec::with_capacity(table.fields().len());
    for field in table.fields() {
        let wrong = |reason: String| Error::FileColumn { file: name.to_owned(), column: field.name().clone(), reason };
        let Some((root, found)) = file.schema().fields().find(field.name()) else {
            let names: Vec<_> = file.schema().fields().iter().map(|field| field.name().as_str()).collect();
            let wanted = sql_type(field.data_type());
            return Err(wrong(format!("missing, the table has it as {wanted}; the file has {}", names.join(", "))));
        };
        let descriptor = &file.parquet_schema().root_schema().get_fields()[root];
        let is_int96 = descriptor.is_primitive() && descriptor.get_physical_type() == PhysicalType::INT96;
        let read = read_as(found.data_type(), is_int96, field.data_type());
        if !fits(&read, field.data_type()) {
            let (found, wanted) = (sql_type(found.data_type()), sql_type(field.data_type()));
            return Err(wrong(format!("{found} in the file does not fit {wanted} in the table")));
        }
        if read != *found.data_type() {
            asked[root] = Arc::new(found.as_ref().clone().with_data_type(read));
        }
        roots.push(root);
    }
    Ok((roots, Arc::new(Schema::new(asked))))
}

/// Rows of a file, batch by batch.
pub struct FileRows {
    rows: ParquetRecordBatchReader,
    name: String,
    places: Vec<usize>,
    schema: SchemaRef,
}

impl FileRows {
    fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch, Error> {
        let mut columns = Vec::with_capacity(self.places.len());
        for (place, field) in self.places.iter().zip(self.schema.fields()) {
            let wrong = |reason| Error::FileColumn { file: self.name.clone(), column: field.name().clone(), reason };
            let column = convert(batch.column(*place), field).map_err(|error| wrong(error.to_string()))?;
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(wrong("has NULLs in the file and is NOT NULL in the table".to_owned()));
            }
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(Error::Build)
    }
}

impl Iterator for FileRows {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.rows.next()?;
        let failed =
            |error: arrow::error::ArrowError| Error::ReadFile { file: self.name.clone(), source: error.into() };
        Some(batch.map_err(failed).and_then(|batch| self.convert(&batch)))
    }
}

/// The fetched parts of a file, read as if they were the file.
#[derive(Clone, Debug)]
pub struct FetchedRanges {
    file_bytes: u64,
    /// By offset.
    parts: Arc<Vec<(u64, Bytes)>>,
}

impl FetchedRanges {
    /// Of a file of `file_bytes` bytes, the parts that start at these offsets.
    pub fn new(file_bytes: u64, mut parts: Vec<(u64, Bytes)>) -> Self {
        parts.sort_by_key(|(offset, _)| *offset);
        Self { file_bytes, parts: Arc::new(parts) }
    }

    /// The bytes from `start` to the end of the part that has them.
    fn part_from(&self, start: u64) -> parquet::errors::Result<Bytes> {
        let index = self.parts.partition_point(|(offset, _)| *offset <= start);
        let found = index.checked_sub(1).and_then(|index| {
            let (offset, bytes) = &self.parts[index];
            let skip = usize::try_from(start - offset).ok()?;
            (skip < bytes.len()).then(|| bytes.slice(skip..))
        });
        found.ok_or_else(|| ParquetError::General(format!("byte {start} of the file was not fetched")))
    }
}

impl Length for FetchedRanges {
    fn len(&self) -> u64 {
        self.file_bytes
    }
}

impl ChunkReader for FetchedRanges {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(self.part_from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let part = self.part_from(start)?;
        if part.len() < length {
            let (got, end) = (part.len(), start.saturating_add(length as u64));
            return Err(ParquetError::General(format!(
                "of bytes {start} to {end} of the file only {got} were fetched"
            )));
        }
        Ok(part.slice(..length))
    }
}
