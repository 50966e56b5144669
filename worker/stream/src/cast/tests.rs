use arrow::array::{
    BinaryViewArray, DictionaryArray, DurationMillisecondArray, FixedSizeBinaryArray, Float32Array, Int8Array,
    Int16Array, Int32Array, IntervalYearMonthArray, LargeBinaryArray, LargeStringArray, StringViewArray,
    Time32SecondArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Field, Fields};
use proptest::prelude::*;

use super::*;

/// Columns of every type that has a conversion, of the same number of rows. Times are not before 1970: Arrow's kernel cuts
/// digits off towards that year.
fn columns(seeds: &[Option<(i64, f64)>]) -> Vec<ArrayRef> {
    macro_rules! whole {
        ($Array:ty, $T:ty) => {
            Arc::new(seeds.iter().map(|seed| seed.map(|(whole, _)| whole as $T)).collect::<$Array>()) as ArrayRef
        };
    }
    let texts: Vec<Option<String>> = seeds.iter().map(|seed| seed.map(|(whole, _)| format!("ä{whole}"))).collect();
    let of_texts = || texts.iter().map(Option::as_deref);
    let of_bytes = || texts.iter().map(|text| text.as_deref().map(str::as_bytes));
    let ticks = || seeds.iter().map(|seed| seed.map(|(whole, _)| whole.rem_euclid(1 << 50))).collect::<Vec<_>>();
    let decimals = |precision, scale| -> ArrayRef {
        let values: Decimal128Array =
            seeds.iter().map(|seed| seed.map(|(whole, _)| i128::from(whole % 1_000_000_000))).collect();
        Arc::new(values.with_precision_and_scale(precision, scale).expect("a precision and a scale"))
    };
    vec![
        Arc::new(seeds.iter().map(|seed| seed.map(|(whole, _)| whole % 2 == 0)).collect::<BooleanArray>()),
        whole!(Int8Array, i8),
        whole!(Int16Array, i16),
        whole!(Int32Array, i32),
        whole!(Int64Array, i64),
        whole!(UInt8Array, u8),
        whole!(UInt16Array, u16),
        whole!(UInt32Array, u32),
        Arc::new(seeds.iter().map(|seed| seed.map(|(_, float)| float as f32)).collect::<Float32Array>()),
        Arc::new(seeds.iter().map(|seed| seed.map(|(_, float)| float)).collect::<Float64Array>()),
        decimals(9, 0),
        decimals(12, 3),
        decimals(38, 9),
        whole!(arrow::array::Date32Array, i32),
        whole!(Time32SecondArray, i32),
        Arc::new(TimestampSecondArray::from(ticks()).unary_opt::<_, TimestampSecondType>(|value| Some(value >> 20))),
        Arc::new(TimestampMillisecondArray::from(ticks())),
        Arc::new(TimestampMicrosecondArray::from(ticks())),
        Arc::new(TimestampNanosecondArray::from(ticks())),
        Arc::new(DurationMillisecondArray::from(ticks())),
        Arc::new(IntervalYearMonthArray::from(
            seeds.iter().map(|seed| seed.map(|(whole, _)| whole as i32)).collect::<Vec<_>>(),
        )),
        Arc::new(of_texts().collect::<StringArray>()),
        Arc::new(of_texts().collect::<LargeStringArray>()),
        Arc::new(of_texts().collect::<StringViewArray>()),
        Arc::new(of_texts().collect::<DictionaryArray<Int32Type>>()),
        Arc::new(of_bytes().collect::<BinaryArray>()),
        Arc::new(of_bytes().collect::<LargeBinaryArray>()),
        Arc::new(of_bytes().collect::<BinaryViewArray>()),
    ]
}

/// The types of SQL.
fn targets() -> Vec<DataType> {
    use DataType::{Binary, Boolean, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, Timestamp, Utf8};
    let times = [TimeUnit::Millisecond, TimeUnit::Microsecond].map(|unit| Timestamp(unit, None));
    let decimals = [(5, 0), (12, 3), (20, 9), (38, 0), (38, 18)].map(|(precision, scale)| Decimal128(precision, scale));
    let intervals = [TimeUnit::Millisecond, TimeUnit::Microsecond].map(DataType::Duration);
    let of_numbers = [DataType::Date32, DataType::Interval(arrow::datatypes::IntervalUnit::YearMonth)];
    let plain = [Boolean, Int8, Int16, Int32, Int64, Float32, Float64, Utf8, Binary];
    plain.into_iter().chain(decimals).chain(times).chain(intervals).chain(of_numbers).collect()
}

fn seed() -> impl Strategy<Value = Option<(i64, f64)>> {
    let whole = prop_oneof![-200_i64..200, -70_000_i64..70_000, any::<i64>()];
    let float = prop_oneof![-300.0..300.0, any::<f64>(), (-300_i32..300).prop_map(|halves| f64::from(halves) / 2.0)];
    proptest::option::weighted(0.9, (whole, float))
}

proptest! {
    #[test]
    fn values_are_those_of_arrows_kernel(seeds in proptest::collection::vec(seed(), 0..20)) {
        for column in columns(&seeds) {
            for to in targets().iter().filter(|to| can_cast(column.data_type(), to)) {
                for or_null in [false, true] {
                    let expected = cast_with_options(&column, to, &CastOptions { safe: or_null, ..CastOptions::default() });
                    let found = convert(&column, to, or_null);
                    match (found, expected) {
                        (Ok(found), Ok(expected)) => {
                            prop_assert_eq!(found.to_data(), expected.to_data(), "{} to {}", column.data_type(), to);
                        }
                        (found, expected) => {
                            prop_assert_eq!(found.is_ok(), expected.is_ok(), "{} to {}: {:?}", column.data_type(), to, found);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn numbers_and_texts_have_the_conversions_that_plans_and_files_need() {
    use DataType::{Boolean, Decimal128, Float32, Float64, Int8, Int64, UInt32};
    let numbers = [Boolean, Int8, DataType::Int32, Int64, Float32, Float64];
    for (from, to) in numbers.iter().flat_map(|from| numbers.iter().map(move |to| (from, to))) {
        assert!(can_cast(from, to), "{from} to {to}");
    }
    assert!(
        can_cast(&UInt32, &Int64) && can_cast(&Int64, &DataType::Utf8) && can_cast(&Decimal128(9, 2), &DataType::Utf8)
    );
    assert!(can_cast(&DataType::Utf8View, &DataType::Utf8) && can_cast(&DataType::Null, &Decimal128(9, 2)));
    for (from, to) in
        [(DataType::Utf8, Int64), (DataType::Date32, Boolean), (Int64, DataType::Date32), (Float64, DataType::Utf8)]
    {
        assert!(!can_cast(&from, &to), "{from} to {to}");
    }
}

#[test]
fn finer_digits_of_a_time_are_cut_off_towards_the_past() {
    let column: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-1, -1_000, 1_999]));
    let cut = cast(&column, &DataType::Timestamp(TimeUnit::Millisecond, None)).expect("a conversion");
    assert_eq!(cut.as_primitive::<TimestampMillisecondType>().values(), &[-1, -1, 1]);
}

#[test]
fn nested_values_are_converted_inside() {
    let fields = |of: DataType| Fields::from(vec![Field::new("a", of, true)]);
    let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let rows: ArrayRef =
        Arc::new(StructArray::new(fields(DataType::Int32), vec![values], Some(vec![true, false].into())));
    let wide = cast(&rows, &DataType::Struct(fields(DataType::Int64))).expect("a conversion");
    assert_eq!(wide.as_struct().column(0).as_primitive::<Int64Type>().value(0), 1);
    assert!(wide.is_null(1));
    assert!(!can_cast(rows.data_type(), &DataType::Struct(fields(DataType::Binary))));
}

#[test]
fn bytes_that_are_no_text_are_named_or_null() {
    let bytes: ArrayRef =
        Arc::new(FixedSizeBinaryArray::try_from_iter([[0x61_u8], [0xff]].into_iter()).expect("bytes"));
    assert!(cast(&bytes, &DataType::Utf8).expect_err("0xff is no UTF-8").to_string().contains("no UTF-8"));
    let texts = cast_or_null(&bytes, &DataType::Utf8).expect("a conversion");
    assert_eq!(texts.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), None]);
}
