//! Values of fixed width as `i64` images. Keys, minima, first values and distinct sets of all small types use them.
//!
//! Images keep the order of the values. Floats are ordered as by Java's `Double.compare`: `-0.0` before `0.0`, and one
//! NaN after everything.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};

/// The number of bytes of an image. `None` for types without images: strings, decimals, nested types.
pub fn width(data_type: &DataType) -> Option<usize> {
    Some(match data_type {
        DataType::Boolean | DataType::Int8 => 1,
        DataType::Int16 => 2,
        DataType::Int32 | DataType::Date32 | DataType::Time32(TimeUnit::Millisecond) => 4,
        DataType::Int64
        | DataType::Time64(TimeUnit::Microsecond)
        | DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, _)
        | DataType::Float32
        | DataType::Float64 => 8,
        _ => return None,
    })
}

/// The image of a double. Every NaN has the same one.
#[inline(always)]
pub fn image_of_f64(value: f64) -> i64 {
    let bits = if value.is_nan() { f64::NAN.to_bits() as i64 } else { value.to_bits() as i64 };
    bits ^ (((bits >> 63) as u64) >> 1) as i64
}

/// The double of an image.
#[inline(always)]
pub fn f64_of_image(image: i64) -> f64 {
    f64::from_bits((image ^ (((image >> 63) as u64) >> 1) as i64) as u64)
}

/// The images of a column. Those of NULL rows are undefined. `None` if the type has no [`width`].
pub fn images(column: &dyn Array) -> Option<Cow<'_, [i64]>> {
    Some(match column.data_type() {
        DataType::Boolean => column.as_boolean().values().iter().map(i64::from).collect::<Vec<_>>().into(),
        DataType::Int8 => widened::<Int8Type>(column),
        DataType::Int16 => widened::<Int16Type>(column),
        DataType::Int32 => widened::<Int32Type>(column),
        DataType::Date32 => widened::<Date32Type>(column),
        DataType::Time32(TimeUnit::Millisecond) => widened::<Time32MillisecondType>(column),
        DataType::Int64 => Cow::Borrowed(column.as_primitive::<Int64Type>().values()),
        DataType::Time64(TimeUnit::Microsecond) => {
            Cow::Borrowed(column.as_primitive::<Time64MicrosecondType>().values())
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Cow::Borrowed(column.as_primitive::<TimestampMillisecondType>().values())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Cow::Borrowed(column.as_primitive::<TimestampMicrosecondType>().values())
        }
        DataType::Float32 => mapped::<Float32Type>(column, |value| image_of_f64(f64::from(value))),
        DataType::Float64 => mapped::<Float64Type>(column, image_of_f64),
        _ => return None,
    })
}

/// The column that has these images.
///
/// # Panics
/// When the type has no [`width`]. Callers check that before they make images.
pub fn column(images: Vec<i64>, nulls: Option<NullBuffer>, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Boolean => Arc::new(BooleanArray::new(images.iter().map(|image| *image != 0).collect(), nulls)),
        DataType::Int8 => narrowed::<Int8Type>(images, nulls, data_type, |image| image as i8),
        DataType::Int16 => narrowed::<Int16Type>(images, nulls, data_type, |image| image as i16),
        DataType::Int32 => narrowed::<Int32Type>(images, nulls, data_type, |image| image as i32),
        DataType::Date32 => narrowed::<Date32Type>(images, nulls, data_type, |image| image as i32),
        DataType::Time32(TimeUnit::Millisecond) => {
            narrowed::<Time32MillisecondType>(images, nulls, data_type, |image| image as i32)
        }
        DataType::Float32 => narrowed::<Float32Type>(images, nulls, data_type, |image| f64_of_image(image) as f32),
        DataType::Float64 => narrowed::<Float64Type>(images, nulls, data_type, f64_of_image),
        DataType::Int64 => whole::<Int64Type>(images, nulls, data_type),
        DataType::Time64(TimeUnit::Microsecond) => whole::<Time64MicrosecondType>(images, nulls, data_type),
        DataType::Timestamp(TimeUnit::Millisecond, _) => whole::<TimestampMillisecondType>(images, nulls, data_type),
        DataType::Timestamp(TimeUnit::Microsecond, _) => whole::<TimestampMicrosecondType>(images, nulls, data_type),
        other => panic!("{other} has no fixed-width image"),
    }
}

fn widened<T: ArrowPrimitiveType>(column: &dyn Array) -> Cow<'_, [i64]>
where
    T::Native: Into<i64>,
{
    mapped::<T>(column, Into::into)
}

fn mapped<T: ArrowPrimitiveType>(column: &dyn Array, image: impl Fn(T::Native) -> i64) -> Cow<'_, [i64]> {
    column.as_primitive::<T>().values().iter().map(|value| image(*value)).collect::<Vec<_>>().into()
}

fn narrowed<T: ArrowPrimitiveType>(
    images: Vec<i64>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
    value: impl Fn(i64) -> T::Native,
) -> ArrayRef {
    let values: Vec<T::Native> = images.into_iter().map(value).collect();
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(data_type.clone()))
}

fn whole<T: ArrowPrimitiveType<Native = i64>>(
    images: Vec<i64>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(images.into(), nulls).with_data_type(data_type.clone()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int16Array};

    use super::*;

    #[test]
    fn images_of_doubles_are_in_the_order_of_java() {
        let ordered = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-300, 2.0, f64::INFINITY, f64::NAN];
        assert!(ordered.windows(2).all(|pair| image_of_f64(pair[0]) < image_of_f64(pair[1])));
        assert_eq!(image_of_f64(-f64::NAN), image_of_f64(f64::NAN));
        for value in ordered {
            assert_eq!(f64_of_image(image_of_f64(value)).to_bits(), value.to_bits());
        }
    }

    #[test]
    fn a_column_comes_back_from_its_images() {
        let doubles = Float64Array::from(vec![Some(-2.5), None, Some(7.0)]);
        let images = images(&doubles).expect("fixed width").into_owned();
        assert_eq!(column(images, doubles.nulls().cloned(), &DataType::Float64).as_ref(), &doubles as &dyn Array);
        let shorts = Int16Array::from(vec![-3, 300]);
        let images = super::images(&shorts).expect("fixed width").into_owned();
        assert_eq!(column(images, None, &DataType::Int16).as_ref(), &shorts as &dyn Array);
    }
}
