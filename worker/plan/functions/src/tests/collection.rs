//! Arrays, maps and rows.

use arrow::datatypes::Int32Type;

use super::*;

fn list(values: &[Option<i32>]) -> Scalar {
    let field = Arc::new(Field::new("element", DataType::Int32, true));
    let values = Arc::new(arrow::array::PrimitiveArray::<Int32Type>::from(values.to_vec()));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([values.len()]);
    Scalar::Nested(Arc::new(arrow::array::ListArray::new(field, offsets, values, None)))
}

fn map() -> Scalar {
    let entries = args!["a", 1, "b", None::<i32>].into_iter().map(Expr::literal).collect();
    Expr::call(named("map", &utc()), entries).expect("a call").constant().expect("a map")
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
        ("element", args![list(&[Some(7)])], "7"),
        ("element", args![list(&[])], "NULL"),
        ("array_contains", args![list(&[Some(7), None]), 7], "TRUE"),
        ("array_contains", args![list(&[Some(7)]), 8], "FALSE"),
        ("array_contains", args![list(&[Some(7), None]), None::<i32>], "TRUE"),
        ("map_keys", args![map()], "[a, b]"),
        ("map_values", args![map()], "[1, NULL]"),
    ]);
    for (of, at, expected) in [
        (list(&[Some(7), Some(8)]), Scalar::from(2), "8"),
        (list(&[Some(7), Some(8)]), Scalar::from(3), "NULL"),
        (list(&[Some(7), Some(8)]), Scalar::from(0), "NULL"),
        (map(), Scalar::from("a"), "1"),
        (map(), Scalar::from("x"), "NULL"),
    ] {
        let element = Expr::element(Expr::literal(of), Expr::literal(at)).expect("an element");
        assert_eq!(element.constant().expect("a value").to_string(), expected, "{element}");
    }
    expect_refusal(vec![
        ("element", args![list(&[Some(7), Some(8)])], "has 2 elements, not one"),
        ("map", args!["a", 1, "b", "x"], "MAP mixes INT and STRING"),
    ]);
}
