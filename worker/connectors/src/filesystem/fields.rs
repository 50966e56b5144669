//! The columns of a batch: from the content of a file, from the names of its folders, and from the file's metadata.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMillisecondArray, UInt32Array,
    new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use eddyline_formats::read_text;
use eddyline_stream::{Batch, sql_type};

use super::config::Config;
use super::partition;
use super::store::File;
use crate::{Error, TableDescriptor};

/// Where an output column comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// This column of the decoded batch.
    File(usize),
    /// The folder of this partition key.
    Partition(String),
    /// This metadata key.
    Metadata(String),
}

/// How output batches are assembled. One per source.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    /// The schema of the output.
    pub(super) schema: SchemaRef,
    /// Which columns of the file schema are decoded.
    pub(super) file_projection: Vec<usize>,
    origins: Vec<Origin>,
    default_partition: String,
}

impl Fields {
    /// The output columns `projection` (physical), then `metadata`.
    pub(super) fn new(config: &Config, table: &TableDescriptor, projection: &[usize], metadata: &[usize]) -> Self {
        let mut fields: Vec<Arc<Field>> = Vec::new();
        let mut origins = Vec::new();
        let mut file_projection = Vec::new();
        for index in projection {
            let field = &table.schema.fields()[*index];
            fields.push(Arc::clone(field));
            origins.push(match config.file_columns.iter().position(|column| column == index) {
                Some(place) => {
                    file_projection.push(place);
                    Origin::File(file_projection.len() - 1)
                }
                None => Origin::Partition(field.name().clone()),
            });
        }
        for column in metadata.iter().map(|index| &table.metadata[*index]) {
            fields.push(Arc::new(Field::new(&column.name, column.data_type.clone(), true)));
            origins.push(Origin::Metadata(column.key.clone()));
        }
        let schema = Arc::new(Schema::new(fields));
        Self { schema, file_projection, origins, default_partition: config.default_partition.clone() }
    }

    /// The columns of one file; `uri` is its `file.path`.
    ///
    /// # Errors
    /// A partition key is missing in the file's path, or its value does not fit.
    pub(super) fn of_file(&self, file: &File, uri: String) -> Result<FileFields, Error> {
        let folders = partition::of_path(&file.path);
        let constants = self.origins.iter().zip(self.schema.fields()).map(|(origin, field)| match origin {
            Origin::File(_) => Ok(None),
            Origin::Partition(key) => self.partition(file, &folders, key, field).map(Some),
            Origin::Metadata(key) => Ok(Some(metadata(file, &uri, key, field.data_type()))),
        });
        let constants = constants.collect::<Result<_, _>>()?;
        Ok(FileFields { fields: self.clone(), constants, repeated: None })
    }

    fn partition(
        &self,
        file: &File,
        folders: &[(String, String)],
        key: &str,
        field: &Field,
    ) -> Result<ArrayRef, Error> {
        let bad = |reason: String| Error::BadRecord { place: format!("file '{}'", file.path), reason };
        let Some((_, value)) = folders.iter().rev().find(|(folder, _)| folder == key) else {
            return Err(bad(format!("none of its folders is '{key}=…', though the table is partitioned by '{key}'")));
        };
        if *value == self.default_partition && field.is_nullable() {
            return Ok(new_null_array(field.data_type(), 1));
        }
        read_text(value, field).ok_or_else(|| {
            bad(format!("its folder '{key}={value}' does not fit column '{key}', {}", sql_type(field.data_type())))
        })
    }
}

fn metadata(file: &File, uri: &str, key: &str, data_type: &DataType) -> ArrayRef {
    match key {
        "file.path" => Arc::new(StringArray::from(vec![uri])),
        "file.name" => Arc::new(StringArray::from(vec![file.path.rsplit('/').next().unwrap_or(&file.path)])),
        "file.size" => Arc::new(Int64Array::from(vec![i64::try_from(file.size).unwrap_or(i64::MAX)])),
        "file.modification-time" => {
            Arc::new(TimestampMillisecondArray::from(vec![file.modified_ms]).with_timezone("UTC"))
        }
        // The configuration refuses other keys.
        _ => new_null_array(data_type, 1),
    }
}

/// Assembles the batches of one file.
pub(super) struct FileFields {
    fields: Fields,
    /// One value for each output column that is constant in the file.
    constants: Vec<Option<ArrayRef>>,
    /// The constants, repeated for a batch. Most batches have the same length.
    repeated: Option<(usize, Vec<Option<ArrayRef>>)>,
}

impl FileFields {
    /// The output batch of a decoded batch.
    pub(super) fn complete(&mut self, decoded: Batch) -> Result<Batch, Error> {
        let rows = decoded.num_rows();
        let broken = |error: arrow::error::ArrowError| Error::Unavailable {
            what: "cannot put the columns of a file together".to_owned(),
            source: Some(Box::new(error)),
            retryable: false,
        };
        if self.repeated.as_ref().is_none_or(|(length, _)| *length != rows) {
            let places = UInt32Array::from(vec![0; rows]);
            let repeat =
                |constant: &Option<ArrayRef>| constant.as_ref().map(|one| take(one, &places, None)).transpose();
            let repeated = self.constants.iter().map(repeat).collect::<Result<_, _>>().map_err(broken)?;
            self.repeated = Some((rows, repeated));
        }
        let constants = self.repeated.as_ref().map_or(&[][..], |(_, constants)| constants.as_slice());
        let columns = self.fields.origins.iter().zip(constants).map(|(origin, constant)| match (origin, constant) {
            (Origin::File(index), _) => Arc::clone(decoded.rows().column(*index)),
            (_, Some(constant)) => Arc::clone(constant),
            (_, None) => new_null_array(&DataType::Null, rows),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let columns = columns.collect();
        let complete = RecordBatch::try_new_with_options(Arc::clone(&self.fields.schema), columns, &options);
        Ok(decoded.with_columns(complete.map_err(broken)?))
    }
}
