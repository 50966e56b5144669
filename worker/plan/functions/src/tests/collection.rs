//! Arrays, maps and rows.

use arrow::datatypes::Int32Type;

use super::*;

fn list(values: &[Option<i32>]) -> ScalarValue {
    let field = Arc::new(Field::new("element", DataType::Int32, true));
    let values = Arc::new(arrow::array::PrimitiveArray::<Int32Type>::from(values.to_vec()));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([values.len()]);
    ScalarValue::List(Arc::new(arrow::array::ListArray::new(field, offsets, values, None)))
}

fn map() -> ScalarValue {
    let udf = named("map", &utc());
    let arg_fields: Vec<FieldRef> =
        [("k", DataType::Utf8), ("v", DataType::Int32), ("k", DataType::Utf8), ("v", DataType::Int32)]
            .map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)))
            .to_vec();
    let scalar_arguments = [None; 4];
    let return_field = udf
        .return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &scalar_arguments })
        .expect("a map type");
    let args = args!["a", 1, "b", None::<i32>].into_iter().map(ColumnarValue::Scalar).collect();
    let config_options = Arc::new(ConfigOptions::default());
    let result =
        udf.invoke_with_args(ScalarFunctionArgs { args, arg_fields, number_rows: 1, return_field, config_options });
    match result.expect("a map") {
        ColumnarValue::Scalar(map) => map,
        ColumnarValue::Array(_) => panic!("constants give a constant"),
    }
}

#[test]
fn elements_are_taken_and_counted() {
    expect(vec![
        ("array", args![1, None::<i32>, 3], "[1, NULL, 3]"),
        ("map", args!["a", 1, "b", None::<i32>], "{a=1, b=NULL}"),
        ("row", args![1, "a"], "(1, a)"),
        ("row", args![None::<i32>], "(NULL)"),
        ("cardinality", args![list(&[Some(1), None])], "2"),
        ("cardinality", args![map()], "2"),
        ("item_at", args![list(&[Some(7), Some(8)]), 2], "8"),
        ("item_at", args![list(&[Some(7), Some(8)]), 3], "NULL"),
        ("item_at", args![list(&[Some(7), Some(8)]), 0], "NULL"),
        ("item_at", args![map(), "a"], "1"),
        ("item_at", args![map(), "x"], "NULL"),
        ("element", args![list(&[Some(7)])], "7"),
        ("element", args![list(&[])], "NULL"),
        ("array_contains", args![list(&[Some(7), None]), 7], "TRUE"),
        ("array_contains", args![list(&[Some(7)]), 8], "FALSE"),
        ("array_contains", args![list(&[Some(7), None]), None::<i32>], "TRUE"),
        ("map_keys", args![map()], "[a, b]"),
        ("map_values", args![map()], "[1, NULL]"),
    ]);
    expect_refusal(vec![
        ("element", args![list(&[Some(7), Some(8)])], "has 2 elements, not one"),
        ("item_at", args![5, 1], "not of INT"),
        ("map", args!["a", 1, "b", "x"], "MAP mixes INT and STRING"),
    ]);
}
