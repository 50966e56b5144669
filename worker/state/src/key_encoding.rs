//! Encodes several key columns as bytes. Equal keys have equal bytes, and the columns can be decoded.
//!
//! A key is a bitmap of NULLs, and then the values that are not NULL in the order of the columns. Fixed-width values
//! are images in their width, decimals have 16 bytes, and strings follow their length in four bytes. All are
//! little-endian.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Decimal128Type};
use arrow::error::ArrowError;
use eddyline_stream::key_hash::UnsupportedKey;

use crate::strings::Strings;
use crate::{fixed, keys};

/// The encoding of one column.
#[derive(Clone, Debug)]
enum Form {
    Fixed(usize),
    Decimal(u8, i8),
    Text,
    Bytes,
}

/// The encoding of rows with these columns.
#[derive(Clone, Debug)]
pub(crate) struct KeyEncoding {
    columns: Vec<(Form, DataType)>,
    bitmap_bytes: usize,
}

impl KeyEncoding {
    pub(crate) fn new(types: &[DataType]) -> Result<Self, UnsupportedKey> {
        let columns = types
            .iter()
            .map(|data_type| {
                let form = match data_type {
                    DataType::Decimal128(precision, scale) => Form::Decimal(*precision, *scale),
                    DataType::Utf8 => Form::Text,
                    DataType::Binary => Form::Bytes,
                    other => Form::Fixed(fixed::width(other).ok_or_else(|| UnsupportedKey(other.clone()))?),
                };
                Ok((form, data_type.clone()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { bitmap_bytes: columns.len().div_ceil(8), columns })
    }

    /// Encodes rows one after the other. Row `i` is `bytes[offsets[i]..offsets[i + 1]]`.
    pub(crate) fn encode(&self, columns: &[&dyn Array], num_rows: usize) -> (Vec<usize>, Vec<u8>) {
        let mut lengths = vec![self.bitmap_bytes; num_rows];
        for ((form, _), column) in self.columns.iter().zip(columns) {
            add_lengths(form, *column, &mut lengths);
        }
        let mut offsets = Vec::with_capacity(num_rows + 1);
        let mut end = 0;
        offsets.push(0);
        offsets.extend(lengths.iter().map(|length| {
            end += length;
            end
        }));
        let mut bytes = vec![0u8; end];
        let mut cursors: Vec<usize> = offsets[..num_rows].iter().map(|offset| offset + self.bitmap_bytes).collect();
        for (index, ((form, _), column)) in self.columns.iter().zip(columns).enumerate() {
            if let Some(nulls) = column.nulls() {
                for (row, offset) in offsets[..num_rows].iter().enumerate() {
                    bytes[offset + index / 8] |= u8::from(nulls.is_null(row)) << (index % 8);
                }
            }
            write_column(form, *column, &mut cursors, &mut bytes);
        }
        (offsets, bytes)
    }

    /// Decodes columns. `row(i)` gives the bytes of the i-th of `num_rows` rows.
    pub(crate) fn decode<'a>(
        &self,
        num_rows: usize,
        row: impl Fn(usize) -> &'a [u8],
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut cursors = vec![self.bitmap_bytes; num_rows];
        let read = |(index, (form, data_type)): (usize, &(Form, DataType))| {
            let valid: Vec<bool> = (0..num_rows).map(|i| row(i)[index / 8] >> (index % 8) & 1 == 0).collect();
            let mut next = |i: usize, bytes: usize| {
                let start = cursors[i];
                cursors[i] += bytes;
                &row(i)[start..start + bytes]
            };
            let nulls = valid.contains(&false).then(|| NullBuffer::from(valid.clone()));
            Ok(match form {
                Form::Fixed(width) => {
                    let image = |i| if valid[i] { read_image(next(i, *width)) } else { 0 };
                    fixed::column((0..num_rows).map(image).collect(), nulls, data_type)
                }
                Form::Decimal(precision, scale) => {
                    let value = |i| if valid[i] { read_i128(next(i, 16)) } else { 0 };
                    let values: Vec<i128> = (0..num_rows).map(value).collect();
                    Arc::new(Decimal128Array::new(values.into(), nulls).with_precision_and_scale(*precision, *scale)?)
                }
                Form::Text | Form::Bytes => {
                    let mut strings = Strings::with_capacity(num_rows);
                    for (i, valid) in valid.iter().enumerate() {
                        if *valid {
                            let length = read_image(next(i, 4)) as u32 as usize;
                            strings.push(next(i, length));
                        } else {
                            strings.push(&[]);
                        }
                    }
                    strings.finish(nulls, matches!(form, Form::Text))?
                }
            })
        };
        self.columns.iter().enumerate().map(read).collect()
    }
}

fn read_image(bytes: &[u8]) -> i64 {
    let mut word = [0u8; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    // The image is sign-extended, because images narrower than a word are signed.
    let unused = 64 - 8 * bytes.len() as u32;
    (i64::from_le_bytes(word) << unused) >> unused
}

fn read_i128(bytes: &[u8]) -> i128 {
    i128::from_le_bytes(bytes.try_into().expect("a decimal takes 16 bytes"))
}

fn each_valid(column: &dyn Array, mut each: impl FnMut(usize)) {
    match column.nulls() {
        None => (0..column.len()).for_each(each),
        Some(nulls) => (0..column.len()).filter(|row| nulls.is_valid(*row)).for_each(&mut each),
    }
}

fn add_lengths(form: &Form, column: &dyn Array, lengths: &mut [usize]) {
    match form {
        Form::Fixed(width) => each_valid(column, |row| lengths[row] += width),
        Form::Decimal(..) => each_valid(column, |row| lengths[row] += 16),
        Form::Text => {
            let offsets = column.as_string::<i32>().value_offsets();
            each_valid(column, |row| lengths[row] += 4 + (offsets[row + 1] - offsets[row]) as usize);
        }
        Form::Bytes => {
            let offsets = column.as_binary::<i32>().value_offsets();
            each_valid(column, |row| lengths[row] += 4 + (offsets[row + 1] - offsets[row]) as usize);
        }
    }
}

fn write_column(form: &Form, column: &dyn Array, cursors: &mut [usize], bytes: &mut [u8]) {
    let mut write = |row: usize, value: &[u8]| {
        let start = cursors[row];
        cursors[row] = start + value.len();
        bytes[start..start + value.len()].copy_from_slice(value);
    };
    match form {
        Form::Fixed(width) => {
            let images = keys::key_images(column);
            each_valid(column, |row| write(row, &images[row].to_le_bytes()[..*width]));
        }
        Form::Decimal(..) => {
            let values = column.as_primitive::<Decimal128Type>().values();
            each_valid(column, |row| write(row, &values[row].to_le_bytes()));
        }
        Form::Text => {
            let values = column.as_string::<i32>();
            each_valid(column, |row| {
                let value = values.value(row).as_bytes();
                write(row, &(value.len() as u32).to_le_bytes());
                write(row, value);
            });
        }
        Form::Bytes => {
            let values = column.as_binary::<i32>();
            each_valid(column, |row| {
                let value = values.value(row);
                write(row, &(value.len() as u32).to_le_bytes());
                write(row, value);
            });
        }
    }
}
