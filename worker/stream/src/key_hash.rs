//! The key hash, version 1. It determines the key group, the slot and the hash-table bucket of every row.
//!
//! **Frozen.** The key group of a key is part of every savepoint, so the hash must be the same on every machine, in
//! every build and in every release. It is plain integer code: no CPU-dependent paths, no seeds from the environment.
//! Golden values in the tests ensure this.
//!
//! Each column is hashed by value. Then the hashes of the columns are combined in order:
//!
//! - Whole numbers, dates, times and booleans: the value as `i64`, mixed. Timestamps count microseconds, so the
//!   precision of a column does not matter.
//! - Floats: as `f64` bits, with `-0.0` as `0.0` and one NaN.
//! - Decimals: the unscaled value without trailing zeros, then the remaining scale. `1.5` and `1.50` are one key.
//! - Strings and bytes: XXH3-64 with seed 0 over the raw bytes.
//! - NULL: a constant.
//!
//! The mix is the 128-bit multiply-and-fold of wyhash.

use arrow::array::{Array, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType,
};
use xxhash_rust::xxh3::xxh3_64;

/// The version of this hash, recorded in every manifest.
pub const VERSION: u32 = 1;

const MIX_A: u64 = 0xa076_1d64_78bd_642f;
const MIX_B: u64 = 0xe703_7ed1_a0b4_28db;
const NULL: u64 = 0x8ebc_6af0_9c88_c6e3;

/// A column whose type cannot be a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a column of type {0} cannot be a key")]
pub struct UnsupportedKey(pub DataType);

#[inline(always)]
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The hash of a fixed-width value.
#[inline(always)]
pub const fn hash_i64(value: i64) -> u64 {
    fold((value as u64) ^ MIX_A, MIX_B)
}

/// The hash of a string or of bytes.
#[inline(always)]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// The hash of a decimal: equal for equal values of any scale.
fn hash_decimal(mut unscaled: i128, mut scale: i8) -> u64 {
    while unscaled != 0 && unscaled % 10 == 0 {
        unscaled /= 10;
        scale -= 1;
    }
    if unscaled == 0 {
        scale = 0;
    }
    let low = hash_i64(unscaled as i64);
    fold(low ^ hash_i64((unscaled >> 64) as i64).rotate_left(32), hash_i64(i64::from(scale)) | 1)
}

fn hash_f64(value: f64) -> u64 {
    let bits = if value.is_nan() {
        f64::NAN.to_bits()
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    };
    hash_i64(bits as i64)
}

/// Folds the hash of another key column into the hash of the columns before it.
#[inline(always)]
pub const fn combine(before: u64, column: u64) -> u64 {
    fold(before ^ MIX_B, column ^ MIX_A)
}

/// The key hash of every row. Without columns there is one global key.
///
/// # Errors
/// When a column's type cannot be a key (nested types, intervals).
pub fn hash_columns(columns: &[&dyn Array], num_rows: usize) -> Result<Vec<u64>, UnsupportedKey> {
    let mut hashes = Vec::with_capacity(num_rows);
    let Some((first, rest)) = columns.split_first() else {
        hashes.resize(num_rows, NULL);
        return Ok(hashes);
    };
    hash_column(*first, |_, hash| hashes.push(hash))?;
    for column in rest {
        hash_column(*column, |row, hash| hashes[row] = combine(hashes[row], hash))?;
    }
    Ok(hashes)
}

/// Whether columns of this type can be keys.
pub fn is_supported(data_type: &DataType) -> bool {
    hash_column(&arrow::array::new_empty_array(data_type), |_, _| {}).is_ok()
}

/// Calls `each(row, hash)` for every row of a column, in order.
fn hash_column(column: &dyn Array, each: impl FnMut(usize, u64)) -> Result<(), UnsupportedKey> {
    match column.data_type() {
        DataType::Boolean => {
            let values = column.as_boolean();
            rows(column, |row| hash_i64(i64::from(values.value(row))), each);
        }
        DataType::Int8 => primitive::<Int8Type>(column, |value| hash_i64(i64::from(value)), each),
        DataType::Int16 => primitive::<Int16Type>(column, |value| hash_i64(i64::from(value)), each),
        DataType::Int32 => primitive::<Int32Type>(column, |value| hash_i64(i64::from(value)), each),
        DataType::Int64 => primitive::<Int64Type>(column, hash_i64, each),
        DataType::Date32 => primitive::<Date32Type>(column, |value| hash_i64(i64::from(value)), each),
        DataType::Time32(TimeUnit::Millisecond) => {
            primitive::<Time32MillisecondType>(column, |value| hash_i64(i64::from(value) * 1000), each);
        }
        DataType::Time64(TimeUnit::Microsecond) => primitive::<Time64MicrosecondType>(column, hash_i64, each),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            primitive::<TimestampMillisecondType>(column, |value| hash_i64(value.wrapping_mul(1000)), each);
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => primitive::<TimestampMicrosecondType>(column, hash_i64, each),
        DataType::Float32 => primitive::<Float32Type>(column, |value| hash_f64(f64::from(value)), each),
        DataType::Float64 => primitive::<Float64Type>(column, hash_f64, each),
        DataType::Decimal128(_, scale) => {
            primitive::<Decimal128Type>(column, |value| hash_decimal(value, *scale), each);
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            rows(column, |row| hash_bytes(values.value(row).as_bytes()), each);
        }
        DataType::Utf8View => {
            let values = column.as_string_view();
            rows(column, |row| hash_bytes(values.value(row).as_bytes()), each);
        }
        DataType::Binary => {
            let values = column.as_binary::<i32>();
            rows(column, |row| hash_bytes(values.value(row)), each);
        }
        DataType::Dictionary(key, _) if **key == DataType::Int32 => {
            let dictionary = column.as_dictionary::<Int32Type>();
            let mut of_value = Vec::with_capacity(dictionary.values().len());
            // A trait object, because the generic recursion would have no end.
            let mut push = |_: usize, hash: u64| of_value.push(hash);
            hash_column(dictionary.values().as_ref(), &mut push as &mut dyn FnMut(usize, u64))?;
            let keys = dictionary.keys();
            rows(
                column,
                |row| of_value[usize::try_from(keys.value(row)).expect("a dictionary key is not negative")],
                each,
            );
        }
        other => return Err(UnsupportedKey(other.clone())),
    }
    Ok(())
}

fn primitive<T: ArrowPrimitiveType>(column: &dyn Array, hash: impl Fn(T::Native) -> u64, each: impl FnMut(usize, u64)) {
    let values: &PrimitiveArray<T> = column.as_primitive();
    let values = values.values();
    rows(column, |row| hash(values[row]), each);
}

#[inline(always)]
fn rows(column: &dyn Array, hash: impl Fn(usize) -> u64, mut each: impl FnMut(usize, u64)) {
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => (0..column.len()).for_each(|row| each(row, hash(row))),
        Some(nulls) => {
            (0..column.len()).for_each(|row| each(row, if nulls.is_valid(row) { hash(row) } else { NULL }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
        TimestampMicrosecondArray, TimestampMillisecondArray,
    };

    use super::*;

    fn one(column: impl Array + 'static) -> Vec<u64> {
        let column: ArrayRef = Arc::new(column);
        hash_columns(&[column.as_ref()], column.len()).expect("a supported type")
    }

    #[test]
    fn golden_values_never_change() {
        assert_eq!(hash_i64(0), 0x1ff5c2923a788d2c);
        assert_eq!(hash_i64(1), 0x38f94c439ac36242);
        assert_eq!(hash_i64(-1), 0xdff5c05abb606d30);
        assert_eq!(hash_bytes(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(hash_bytes(b"k17"), 0xe84b900ba7159c11);
        assert_eq!(
            one(Decimal128Array::from(vec![150]).with_precision_and_scale(10, 2).expect("fits")),
            [0xcd23254a6ee9d062]
        );
        assert_eq!(one(Float64Array::from(vec![1.5])), [0x73a6dcd287ed1e1]);
        let (a, b) = (StringArray::from(vec!["k17"]), Int64Array::from(vec![Some(42)]));
        assert_eq!(hash_columns(&[&a, &b], 1), Ok(vec![0xee281c258c310d76]));
        assert_eq!(one(Int64Array::from(vec![None])), [NULL]);
        assert_eq!(hash_columns(&[], 1), Ok(vec![NULL]));
    }

    #[test]
    fn equal_values_hash_alike_whatever_their_type() {
        assert_eq!(one(Int32Array::from(vec![-7])), one(Int64Array::from(vec![-7])));
        assert_eq!(one(Float32Array::from(vec![-0.0])), one(Float64Array::from(vec![0.0])));
        assert_eq!(one(Float64Array::from(vec![f64::NAN])), one(Float64Array::from(vec![-f64::NAN])));
        assert_eq!(one(TimestampMillisecondArray::from(vec![5])), one(TimestampMicrosecondArray::from(vec![5_000])));
        let decimal =
            |value, scale| one(Decimal128Array::from(vec![value]).with_precision_and_scale(20, scale).expect("fits"));
        assert_eq!(decimal(150, 2), decimal(15, 1));
        assert_eq!(decimal(-2000, 3), decimal(-2, 0));
        assert_eq!(decimal(0, 3), decimal(0, 0));
    }

    #[test]
    fn a_dictionary_hashes_like_its_values() {
        let values = vec![Some("a"), None, Some("b"), Some("a")];
        let dictionary: DictionaryArray<Int32Type> = values.clone().into_iter().collect();
        assert_eq!(one(dictionary), one(StringArray::from(values)));
    }

    #[test]
    fn nested_types_are_refused_by_name() {
        let list = DataType::List(Arc::new(arrow::datatypes::Field::new("item", DataType::Int32, true)));
        assert!(!is_supported(&list));
        assert!(is_supported(&DataType::Utf8));
    }
}
