//! Dates and times.

use super::*;

#[test]
fn parts_of_a_time_are_extracted() {
    let moment = || timestamp("1994-09-27 13:14:15.678");
    expect(vec![
        ("year", args![date("1994-09-27")], "1994"),
        ("quarter", args![date("1994-09-27")], "3"),
        ("month", args![moment()], "9"),
        ("week", args![moment()], "39"),
        ("dayofyear", args![moment()], "270"),
        ("dayofmonth", args![moment()], "27"),
        ("dayofweek", args![moment()], "3"),
        ("dayofweek", args![date("2026-03-01")], "1"),
        ("hour", args![moment()], "13"),
        ("minute", args![moment()], "14"),
        ("second", args![moment()], "15"),
        ("hour", args![time("09:30:00")], "9"),
        ("extract", args!["millisecond", moment()], "678"),
        ("extract", args!["EPOCH", timestamp("1970-01-01 00:00:44")], "44"),
        ("extract", args!["CENTURY", moment()], "20"),
        ("date_part", args!["ISODOW", date("2026-03-01")], "7"),
        ("extract", args!["HOUR", timestamp("1969-12-31 23:00:00")], "23"),
        ("year", args![NULL], "NULL"),
    ]);
    expect_types(vec![
        ("year", args![moment()], DataType::Int64),
        ("extract", args!["DAY", moment()], DataType::Int64),
    ]);
    expect_refusal(vec![("extract", args!["FORTNIGHT", moment()], "'FORTNIGHT' is not a unit of time")]);
}

#[test]
fn times_with_a_local_zone_are_read_in_the_session_zone() {
    let shanghai = in_zone("Asia/Shanghai");
    expect_in(
        &shanghai,
        vec![
            ("hour", args![instant("2026-03-01 20:00:00")], "4"),
            ("dayofmonth", args![instant("2026-03-01 20:00:00")], "2"),
            ("floor_to", args!["DAY", instant("2026-03-01 20:00:00")], "2026-03-01 16:00:00.000"),
            ("ceil_to", args!["DAY", instant("2026-03-01 16:00:00")], "2026-03-01 16:00:00.000"),
            ("date_format", args![instant("2026-03-01 20:00:00"), "yyyy-MM-dd HH:mm"], "2026-03-02 04:00"),
            ("from_unixtime", args![44], "1970-01-01 08:00:44"),
            ("unix_timestamp", args!["1970-01-01 08:00:01"], "1"),
            ("localtimestamp", args![], "2026-03-01 20:34:56.789"),
            ("current_timestamp", args![], "2026-03-01 12:34:56.789"),
            ("current_date", args![], "2026-03-01"),
            ("localtime", args![], "20:34:56"),
        ],
    );
    // This day has 23 hours.
    expect_in(
        &in_zone("Europe/Berlin"),
        vec![
            ("floor_to", args!["DAY", instant("2026-03-29 12:00:00")], "2026-03-28 23:00:00.000"),
            ("ceil_to", args!["DAY", instant("2026-03-29 12:00:00")], "2026-03-29 22:00:00.000"),
        ],
    );
}

#[test]
fn times_are_rounded_to_units() {
    let moment = || timestamp("2026-03-04 12:44:31.500");
    expect(vec![
        ("floor_to", args!["MINUTE", moment()], "2026-03-04 12:44:00.000"),
        ("ceil_to", args!["MINUTE", moment()], "2026-03-04 12:45:00.000"),
        ("floor_to", args!["MONTH", moment()], "2026-03-01 00:00:00.000"),
        ("ceil_to", args!["QUARTER", moment()], "2026-04-01 00:00:00.000"),
        ("floor_to", args!["YEAR", date("2026-03-04")], "2026-01-01"),
        ("ceil_to", args!["YEAR", date("2026-01-01")], "2026-01-01"),
        ("floor_to", args!["WEEK", date("2026-03-04")], "2026-03-01"),
        ("floor_to", args!["HOUR", time("12:44:31")], "12:00:00"),
        ("floor_to", args!["DAY", timestamp("1969-12-31 23:00:00")], "1969-12-31 00:00:00.000"),
    ]);
}

#[test]
fn units_are_added_and_counted() {
    expect(vec![
        ("timestampadd", args!["MONTH", 1, timestamp("2026-01-31 10:00:00")], "2026-02-28 10:00:00.000"),
        ("timestampadd", args!["week", -1, date("2026-03-01")], "2026-02-22"),
        ("timestampadd", args!["HOUR", 3, date("2026-03-01")], "2026-03-01 03:00:00.000000"),
        ("timestampadd", args!["SQL_TSI_SECOND", 90, timestamp("2026-03-01 00:00:00")], "2026-03-01 00:01:30.000"),
        ("timestampadd", args!["DAY", None::<i32>, date("2026-03-01")], "NULL"),
        ("timestampadd", args!["HOUR", 2, time("23:00:00")], "01:00:00"),
        ("timestampdiff", args!["DAY", timestamp("2026-03-01 10:00:00"), timestamp("2026-03-03 09:59:59")], "1"),
        ("timestampdiff", args!["HOUR", timestamp("2026-03-01 10:00:00"), timestamp("2026-03-01 08:30:00")], "-1"),
        ("timestampdiff", args!["MONTH", date("2026-01-31"), date("2026-02-28")], "1"),
        ("timestampdiff", args!["YEAR", date("2024-02-29"), date("2026-02-28")], "2"),
        ("timestampdiff", args!["SECOND", date("2026-03-01"), timestamp("2026-03-01 00:01:00")], "60"),
    ]);
    expect_types(vec![("timestampdiff", args!["DAY", date("2026-01-01"), date("2026-01-01")], DataType::Int32)]);
    expect_refusal(vec![("timestampadd", args!["YEAR", i64::MAX, date("2026-03-01")], "exceed the range")]);
}

#[test]
fn the_fraction_of_a_second_is_cut_to_the_digits_of_a_precision() {
    expect(vec![]);
}

#[test]
fn patterns_print_as_java_prints() {
    let moment = || timestamp("2026-03-01 09:05:06.078");
    expect(vec![
        ("date_format", args![moment(), "yyyy-MM-dd HH:mm:ss.SSS"], "2026-03-01 09:05:06.078"),
        ("date_format", args![moment(), "yyyyMMdd"], "20260301"),
        ("date_format", args![moment(), "yy/M/d h:m a"], "26/3/1 9:5 AM"),
        ("date_format", args![moment(), "EEE, dd MMM yyyy"], "Sun, 01 Mar 2026"),
        ("date_format", args![moment(), "EEEE MMMM"], "Sunday March"),
        ("date_format", args![moment(), "HH 'o''clock'"], "09 o'clock"),
        ("date_format", args![moment(), "DDD SS"], "060 07"),
        ("date_format", args!["2026-03-01 09:05:06", "HH:mm"], "09:05"),
        ("date_format", args!["nonsense", "HH:mm"], "NULL"),
        ("date_format", args![date("2026-03-01"), "dd.MM.yyyy"], "01.03.2026"),
        ("date_format", args![moment(), None::<&str>], "NULL"),
        ("from_unixtime", args![0, "yyyy"], "1970"),
        ("from_unixtime", args![-1], "1969-12-31 23:59:59"),
        ("convert_tz", args!["1970-01-01 00:00:00", "UTC", "America/Los_Angeles"], "1969-12-31 16:00:00"),
        ("convert_tz", args!["1970-01-01 00:00:00", "UTC", "GMT+08:00"], "1970-01-01 08:00:00"),
        ("convert_tz", args!["x", "UTC", "PST"], "NULL"),
    ]);
    expect_refusal(vec![("date_format", args![moment(), "yyyy b"], "has the letter 'b', which is not supported")]);
}

#[test]
fn texts_are_read_by_java_patterns() {
    expect(vec![
        ("to_timestamp", args!["2026-03-01 09:05:06.0789"], "2026-03-01 09:05:06.078"),
        ("to_timestamp", args!["2026-3-1 9:5:6"], "2026-03-01 09:05:06.000"),
        ("to_timestamp", args!["2026-03-01"], "2026-03-01 00:00:00.000"),
        ("to_timestamp", args!["2026-02-30 00:00:00"], "2026-02-28 00:00:00.000"),
        ("to_timestamp", args!["2026-13-01 00:00:00"], "NULL"),
        ("to_timestamp", args!["x"], "NULL"),
        ("to_timestamp", args!["2026-02-30 00:00:00", "yyyyMMdd"], "2026-03-02 00:00:00.000"),
        ("to_timestamp_ltz", args!["2026-3-1 9:5:6", "yyyyMMdd", "Asia/Shanghai"], "2026-03-01 01:05:06.000"),
        ("to_timestamp", args!["20260301 090506", "yyyyMMdd HHmmss"], "2026-03-01 09:05:06.000"),
        ("to_timestamp", args!["01/Mar/2026:09:05", "dd/MMM/yyyy:HH:mm"], "2026-03-01 09:05:00.000"),
        ("to_timestamp", args!["2026-03-01T09:05:06.123Z", "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"], "2026-03-01 09:05:06.123"),
        ("to_timestamp", args!["2026-03-01T09:05", "yyyy-MM-dd'T'HH:mm[:ss]"], "2026-03-01 09:05:00.000"),
        ("to_timestamp", args!["9:05 PM", "h:mm a"], "1970-01-01 21:05:00.000"),
        ("to_timestamp", args!["2026-3-1", "yyyy-MM-dd"], "2026-03-01 00:00:00.000"),
        ("to_timestamp", args!["2026", "yyyy-MM-dd"], "NULL"),
        ("to_date", args!["2026-03-01"], "2026-03-01"),
        ("to_date", args!["2026-03-01 10:00:00"], "2026-03-01"),
        ("to_date", args!["2026-02-29"], "NULL"),
        ("to_date", args!["01.03.2026", "dd.MM.yyyy"], "2026-03-01"),
        ("to_date", args!["x", "dd.MM.yyyy"], "NULL"),
        ("unix_timestamp", args!["1970-01-01 00:01:00"], "60"),
        ("unix_timestamp", args!["1970-01-01 08:00:01.001 +0800", "yyyy-MM-dd HH:mm:ss.SSS X"], "1"),
        ("unix_timestamp", args!["1970-01-01 08:00:01.001 +0800", "yyyy-MM-dd HH:mm:ss.SSS"], "28801"),
        ("unix_timestamp", args!["1970-01-01 08:00:01.001", "yyyy-MM-dd HH:mm:ss.SSS X"], "-9223372036854775808"),
        ("unix_timestamp", args![], "1772368496"),
        ("to_timestamp_ltz", args![100, 0], "1970-01-01 00:01:40.000"),
        ("to_timestamp_ltz", args![100_i64, 3], "1970-01-01 00:00:00.100"),
        ("to_timestamp_ltz", args![1.5, 0], "1970-01-01 00:00:01.500"),
        ("to_timestamp_ltz", args![-1.5, 3], "1969-12-31 23:59:59.998"),
        ("to_timestamp_ltz", args![15, 1], "1970-01-01 00:00:01.500"),
        ("to_timestamp_ltz", args![1_700_000_000_123_456_i64, 6], "2023-11-14 22:13:20.123456"),
        ("to_timestamp_ltz", args![1_700_000_000_123_456_789_i64, 9], "2023-11-14 22:13:20.123456"),
        ("to_timestamp_ltz", args![1_700_000_000_123_456_789_i64, 6], "NULL"),
        ("to_timestamp_ltz", args![decimal("1.5", 3, 1), 3], "1970-01-01 00:00:00.001"),
        ("to_timestamp_ltz", args![i64::MAX, 0], "NULL"),
        (
            "to_timestamp_ltz",
            args!["2026-03-01 00:00:00", "yyyy-MM-dd HH:mm:ss", "Asia/Shanghai"],
            "2026-02-28 16:00:00.000",
        ),
    ]);
    expect_refusal(vec![("to_timestamp_ltz", args![1, 10], "the precision is from 0 (seconds) to 9")]);
    expect_types(vec![
        ("to_timestamp", args!["x"], crate::moments::timestamp_type()),
        ("to_timestamp_ltz", args![1, 3], crate::moments::instant_type()),
        ("to_date", args!["x"], DataType::Date32),
    ]);
}
