//! The keys of a batch, in the form in which [`GroupTable`](crate::GroupTable) compares them.

use std::borrow::Cow;

use arrow::array::{Array, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Int32Type};
use eddyline_stream::key_hash::UnsupportedKey;

use crate::fixed;
use crate::key_encoding::KeyEncoding;

/// The keys of the rows of a batch.
#[derive(Debug)]
pub enum Keys<'a> {
    /// There are no key columns, so all rows are one group.
    Global,
    /// One column of fixed width, as [images](fixed).
    Fixed {
        /// The image of each row.
        images: Cow<'a, [i64]>,
        /// Which rows are NULL.
        nulls: Option<&'a NullBuffer>,
    },
    /// One column of strings or bytes.
    Bytes {
        /// Row `i` is `bytes[offsets[i]..offsets[i + 1]]`.
        offsets: &'a [i32],
        /// All values.
        bytes: &'a [u8],
        /// Which rows are NULL.
        nulls: Option<&'a NullBuffer>,
    },
    /// One column of strings as a dictionary. Each entry is looked up once.
    Dictionary {
        /// The entry of each row.
        indices: &'a [i32],
        /// Which rows are NULL.
        nulls: Option<NullBuffer>,
        /// Entry `i` is `bytes[offsets[i]..offsets[i + 1]]`.
        offsets: &'a [i32],
        /// All entries.
        bytes: &'a [u8],
    },
    /// Several columns, or a column of any other type, encoded as bytes. They include NULLs.
    Encoded {
        /// Row `i` is `bytes[offsets[i]..offsets[i + 1]]`.
        offsets: Vec<usize>,
        /// All rows.
        bytes: Vec<u8>,
    },
}

impl Keys<'_> {
    /// The best number of rows for one lookup: loaded rows are still in the cache when their accumulators are updated.
    /// For a dictionary it is the whole batch.
    pub fn block_rows(&self) -> usize {
        if matches!(self, Keys::Dictionary { .. }) { usize::MAX } else { 1024 }
    }
}

/// Prepares the key columns of a batch.
///
/// # Errors
/// When a column's type cannot be a key.
pub fn encode_keys<'a>(columns: &[&'a dyn Array], num_rows: usize) -> Result<Keys<'a>, UnsupportedKey> {
    let [column] = columns else {
        if columns.is_empty() {
            return Ok(Keys::Global);
        }
        return encode(columns, num_rows);
    };
    let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
    Ok(match column.data_type() {
        DataType::Utf8 => {
            let strings = column.as_string::<i32>();
            Keys::Bytes { offsets: strings.value_offsets(), bytes: strings.value_data(), nulls }
        }
        DataType::Binary => {
            let strings = column.as_binary::<i32>();
            Keys::Bytes { offsets: strings.value_offsets(), bytes: strings.value_data(), nulls }
        }
        DataType::Dictionary(index, value) if **index == DataType::Int32 && **value == DataType::Utf8 => {
            let dictionary = column.as_dictionary::<Int32Type>();
            let entries = dictionary.values().as_string::<i32>();
            Keys::Dictionary {
                indices: dictionary.keys().values(),
                nulls: column.logical_nulls().filter(|nulls| nulls.null_count() > 0),
                offsets: entries.value_offsets(),
                bytes: entries.value_data(),
            }
        }
        data_type if fixed::width(data_type).is_some() => Keys::Fixed { images: key_images(*column), nulls },
        _ => encode(columns, num_rows)?,
    })
}

fn encode<'a>(columns: &[&dyn Array], num_rows: usize) -> Result<Keys<'a>, UnsupportedKey> {
    let plain: Vec<_> = columns.iter().map(|column| without_dictionary(*column)).collect::<Result<_, _>>()?;
    let columns: Vec<&dyn Array> = columns
        .iter()
        .zip(&plain)
        .map(|(column, plain)| plain.as_ref().map_or(*column, |plain| plain.as_ref()))
        .collect();
    let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    let (offsets, bytes) = KeyEncoding::new(&types)?.encode(&columns, num_rows);
    Ok(Keys::Encoded { offsets, bytes })
}

fn without_dictionary(column: &dyn Array) -> Result<Option<arrow::array::ArrayRef>, UnsupportedKey> {
    match column.data_type() {
        DataType::Dictionary(_, value) => {
            let dictionary = column.as_any_dictionary();
            let plain = arrow::compute::take(dictionary.values(), dictionary.keys(), None);
            plain.map(Some).map_err(|_| UnsupportedKey(value.as_ref().clone()))
        }
        _ => Ok(None),
    }
}

/// The images of a key column. Unlike in [`fixed::images`], `-0.0` and `0.0` are one key.
///
/// # Panics
/// When the type has no [`fixed::width`].
pub(crate) fn key_images(column: &dyn Array) -> Cow<'_, [i64]> {
    const NEGATIVE_ZERO: i64 = -1;
    let images = fixed::images(column).expect("the caller has checked that the type has images");
    match column.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let mut images = images.into_owned();
            images.iter_mut().filter(|image| **image == NEGATIVE_ZERO).for_each(|image| *image = 0);
            Cow::Owned(images)
        }
        _ => images,
    }
}
