//! Laws that hold for any input.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn a_substring_is_a_part_of_its_string(text in "\\PC{0,12}", start in -20_i64..20, length in 0_i64..20) {
        let part = call(&named("substring", &utc()), args![text.as_str(), start, length]).expect("a substring").text;
        prop_assert!(text.contains(&part));
        prop_assert!(part.chars().count() <= usize::try_from(length).expect("not negative"));
    }

    #[test]
    fn a_double_reads_back_as_it_was_printed(value in any::<f64>()) {
        let mut text = String::new();
        crate::cast::text::push_double(value, &mut text);
        let read = crate::cast::number::parse_double(&text).expect("a number");
        prop_assert!(read == value || (read.is_nan() && value.is_nan()), "{} {}", value, text);
    }

    #[test]
    fn a_printed_timestamp_reads_back(ms in 0_i64..253_402_300_799_999) {
        let mut text = String::new();
        crate::cast::text::push_timestamp(ms * 1_000, 3, &mut text);
        prop_assert_eq!(crate::time::parse::timestamp(&text), Some(ms * 1_000));
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "\\PC{0,24}", other in "\\PC{0,24}") {
        for name in ["regexp_extract", "to_timestamp", "unix_timestamp", "parse_url", "json_value", "to_date", "str_to_map"] {
            let _ = call(&named(name, &utc()), args![text.as_str(), other.as_str()]);
        }
        for to in [DataType::Int32, DataType::Decimal128(38, 10), DataType::Date32, crate::moments::timestamp_type()] {
            let udf = crate::flink_cast(&DataType::Utf8, &to, true, &utc()).expect("a cast");
            prop_assert!(call(&udf, args![text.as_str()]).is_ok());
        }
    }
}
