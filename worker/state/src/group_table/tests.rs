use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Decimal128Array, DictionaryArray, Float64Array, Int32Array, Int64Array, StringArray,
};
use arrow::datatypes::Int32Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use eddyline_stream::key_hash::hash_columns;
use proptest::prelude::*;

use super::*;
use crate::encode_keys;

mod model;

fn groups_of(table: &mut GroupTable, columns: &[ArrayRef]) -> Vec<u32> {
    let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let rows = columns.first().map_or(0, |column| column.len());
    let keys = encode_keys(&columns, rows).expect("key types");
    let hashes = hash_columns(&columns, rows).expect("key types");
    let mut groups = Vec::new();
    table.find_or_insert(&keys, &hashes, 0..rows, &mut groups);
    groups
}

fn texts(columns: &[ArrayRef]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let formatters: Vec<_> =
        columns.iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("printable")).collect();
    (0..columns[0].len())
        .map(|row| formatters.iter().map(|column| format!("{}|", column.value(row))).collect())
        .collect()
}

/// Looks rows up in two halves and checks groups, order and keys against a map of their text.
fn check(columns: Vec<ArrayRef>) {
    let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    let mut table = GroupTable::new(&types, &[7]).expect("key types");
    let rows = columns[0].len();
    let part = |from: usize, to: usize| columns.iter().map(|column| column.slice(from, to - from)).collect::<Vec<_>>();
    let mut groups = groups_of(&mut table, &part(0, rows / 2));
    groups.extend(groups_of(&mut table, &part(rows / 2, rows)));
    let mut expected = BTreeMap::new();
    for (text, group) in texts(&columns).into_iter().zip(&groups) {
        let next = expected.len() as u32;
        assert_eq!(expected.entry(text.clone()).or_insert(next), group, "{text}");
    }
    assert_eq!(table.len(), expected.len());
    let all: Vec<u32> = (0..table.len() as u32).collect();
    let keys = texts(&table.packed().key_columns(&all).expect("keys"));
    assert!(keys.iter().zip(&all).all(|(key, group)| expected[key] == *group));

    let mut other = GroupTable::new(&types, &[]).expect("key types");
    let (mut adopted, mut again) = (Vec::new(), Vec::new());
    let reversed: Vec<u32> = all.iter().rev().copied().collect();
    other.adopt(table.packed(), &reversed, &mut adopted);
    other.adopt(table.packed(), &reversed, &mut again);
    assert_eq!(adopted, all);
    assert_eq!(again, all);
    assert_eq!(texts(&other.packed().key_columns(&reversed).expect("keys")), keys);
    assert!(all.iter().all(|group| table.packed().accumulators(*group) == [7]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn equal_keys_share_a_group_in_order_of_arrival(
        rows in prop::collection::vec((prop::option::of(-3i64..40), prop::option::of("[ab]{0,2}|[xy]{12,14}")), 1..600)
    ) {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0)));
        let small: ArrayRef = Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.0.map(|value| value as i32))));
        let strings: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1.clone())));
        let decimals: ArrayRef = Arc::new(
            Decimal128Array::from_iter(rows.iter().map(|row| row.0.map(i128::from)))
                .with_precision_and_scale(20, 2)
                .expect("fits"),
        );
        check(vec![numbers.clone()]);
        check(vec![strings.clone()]);
        check(vec![decimals.clone()]);
        check(vec![numbers, strings, small, decimals]);
    }
}

#[test]
fn a_dictionary_finds_the_groups_of_its_strings() {
    let mut table = GroupTable::new(&[DataType::Utf8], &[]).expect("key types");
    let plain: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None, Some("c")]));
    assert_eq!(groups_of(&mut table, &[plain]), [0, 1, 2]);
    let dictionary: DictionaryArray<Int32Type> =
        [Some("c"), Some("a"), None, Some("b"), Some("a")].into_iter().collect();
    assert_eq!(groups_of(&mut table, &[Arc::new(dictionary)]), [2, 3, 1, 0, 3]);
}

#[test]
fn both_zeros_and_all_nans_are_one_key_each() {
    let mut table = GroupTable::new(&[DataType::Float64], &[]).expect("key types");
    let keys: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN, 1.0]));
    assert_eq!(groups_of(&mut table, &[keys]), [0, 0, 1, 1, 2]);
}

#[test]
fn a_cleared_table_is_empty_and_keeps_its_memory() {
    let mut table = GroupTable::new(&[DataType::Int64], &[0, 0]).expect("key types");
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
    groups_of(&mut table, std::slice::from_ref(&keys));
    let bytes = table.bytes();
    for _ in 0..10 {
        table.clear();
        assert!(table.is_empty());
        assert_eq!(groups_of(&mut table, std::slice::from_ref(&keys)).len(), 10_000);
        assert_eq!(table.bytes(), bytes);
    }
    table.clear();
    groups_of(&mut table, &[keys.slice(0, 10)]);
    table.clear();
    assert!(table.bytes() < bytes / 100, "a table that was hardly used gives its memory back");
}
