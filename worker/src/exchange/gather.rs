//! Copies selected rows of a batch. An exchange does this for every row, so it is faster than arrow's kernel for short
//! strings.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericByteArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{BinaryType, ByteArrayType, DataType, Utf8Type};
use arrow::error::ArrowError;

/// The number of bytes that are copied at once. Most keys are shorter, and copying too many bytes costs less than a
/// call.
const CHUNK: usize = 16;

/// Copies these rows of a batch, in this order.
///
/// # Errors
/// When the strings of a result column have more than 2 GiB.
pub fn gather(batch: &RecordBatch, rows: &UInt32Array) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8 if column.null_count() == 0 => gather_bytes(column.as_bytes::<Utf8Type>(), rows.values()),
        DataType::Binary if column.null_count() == 0 => gather_bytes(column.as_bytes::<BinaryType>(), rows.values()),
        _ => take(column, rows, None),
    });
    let columns = columns.collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

/// Like arrow's `take`, for short values without NULLs: copies a chunk for each value, without a call.
fn gather_bytes<T: ByteArrayType<Offset = i32>>(
    column: &GenericByteArray<T>,
    rows: &[u32],
) -> Result<ArrayRef, ArrowError> {
    let (from_offsets, from) = (column.value_offsets(), column.value_data());
    let span = |row: u32| (from_offsets[row as usize] as usize, from_offsets[row as usize + 1] as usize);
    let mut offsets = Vec::with_capacity(rows.len() + 1);
    let mut length = 0usize;
    offsets.push(0);
    for row in rows {
        let (start, end) = span(*row);
        length += end - start;
        // An overflow is detected below.
        offsets.push(length as i32);
    }
    if i32::try_from(length).is_err() {
        return Err(ArrowError::OffsetOverflowError(length));
    }
    let mut bytes = vec![0; length + CHUNK];
    for (row, at) in rows.iter().zip(&offsets) {
        let (start, end) = span(*row);
        let into = &mut bytes[*at as usize..];
        match from[start..].first_chunk::<CHUNK>() {
            // The bytes after the value are overwritten by the next value, or truncated at the end.
            Some(chunk) if end - start <= CHUNK => {
                *into.first_chunk_mut().expect("there is room for a chunk after the last value") = *chunk;
            }
            _ => copy_long(&from[start..end], into),
        }
    }
    bytes.truncate(length);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    // SAFETY: the offsets never decrease, and the last one is the length. Each value comes from a valid column, so text
    // is UTF-8.
    Ok(Arc::new(unsafe { GenericByteArray::<T>::new_unchecked(offsets, Buffer::from_vec(bytes), None) }))
}

#[cold]
#[inline(never)]
fn copy_long(value: &[u8], into: &mut [u8]) {
    into[..value.len()].copy_from_slice(value);
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryArray, Int64Array, StringArray};
    use arrow::compute::take_record_batch;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_rows_are_those_that_arrow_takes(
            strings in prop::collection::vec(prop::option::weighted(0.9, "[a-zä]{0,24}"), 1..50),
            nullable: bool,
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
            skip in 0usize..3,
        ) {
            let values = |text: &Option<String>| if nullable { text.clone() } else { Some(text.clone().unwrap_or_default()) };
            let strings: Vec<Option<String>> = strings.iter().map(values).collect();
            let bytes: BinaryArray = strings.iter().map(|text| text.as_ref().map(String::as_bytes)).collect();
            let columns: [(&str, ArrayRef); 3] = [
                ("s", Arc::new(StringArray::from(strings.clone()))),
                ("b", Arc::new(bytes)),
                ("i", Arc::new((0..strings.len() as i64).map(Some).collect::<Int64Array>())),
            ];
            let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
            let skip = skip.min(strings.len() - 1);
            let batch = batch.slice(skip, strings.len() - skip);
            let rows: UInt32Array = picks.iter().map(|pick| pick.index(batch.num_rows()) as u32).collect::<Vec<_>>().into();
            prop_assert_eq!(gather(&batch, &rows).expect("gathered"), take_record_batch(&batch, &rows).expect("taken"));
        }
    }
}
