//! Builds columns of strings from bytes.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::error::ArrowError;

/// Builds a string or binary column from bytes.
#[derive(Debug, Default)]
pub struct Strings {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Strings {
    /// Makes an empty column with room for `rows` short values.
    pub fn with_capacity(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self { offsets, bytes: Vec::with_capacity(rows * 8) }
    }

    /// Appends a value. Append an empty one for NULL.
    #[inline]
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        // After an overflow the offset is smaller than the one before it, which `finish` refuses.
        self.offsets.push(self.bytes.len() as i32);
    }

    /// Returns the column: `Utf8` or `Binary`.
    ///
    /// # Errors
    /// When the values do not fit in 2 GiB, or are text and not UTF-8.
    pub fn finish(self, nulls: Option<NullBuffer>, is_text: bool) -> Result<ArrayRef, ArrowError> {
        if i32::try_from(self.bytes.len()).is_err() {
            return Err(ArrowError::OffsetOverflowError(self.bytes.len()));
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let bytes = Buffer::from_vec(self.bytes);
        Ok(if is_text {
            Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
        } else {
            Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
        })
    }
}
