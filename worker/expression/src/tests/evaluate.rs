use super::*;

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);

#[test]
fn the_right_side_of_and_sees_only_rows_that_the_left_side_leaves() {
    let (function, call) = probe();
    let small = compare(Comparison::Lt, column("a"), lit(13));
    let both = Expr::and(small, compare(Comparison::Gt, call, lit(1))).expect("conditions");
    assert_eq!(truths(&both), [NO, YES, None, NO]);
    assert_eq!(function.seen(), [1, 2]);
}

#[test]
fn the_right_side_of_or_sees_only_rows_that_the_left_side_leaves() {
    let (function, call) = probe();
    let large = compare(Comparison::GtEq, column("a"), lit(2));
    let either = Expr::or(large, compare(Comparison::Eq, call, lit(1))).expect("conditions");
    assert_eq!(truths(&either), [YES, YES, None, YES]);
    assert_eq!(function.seen(), [1]);
}

#[test]
fn a_side_that_decides_alone_spares_the_other() {
    let (function, call) = probe();
    let fails = compare(Comparison::Eq, call, lit(1));
    assert_eq!(truths(&Expr::and(lit(false), fails.clone()).expect("conditions")), [NO; 4]);
    assert_eq!(truths(&Expr::or(lit(true), fails).expect("conditions")), [YES; 4]);
    assert!(function.seen().is_empty());
}

#[test]
fn a_branch_of_case_sees_only_the_rows_that_take_it() {
    let (function, call) = probe();
    let large = compare(Comparison::Gt, column("a"), lit(2));
    let case = Expr::case(None, vec![(large, lit(0))], Some(call.clone())).expect("a case");
    assert_eq!(numbers(&case), [Some(1), Some(2), None, Some(0)]);
    assert_eq!(function.seen(), [1, 2]);

    // Its condition too.
    let known = compare(Comparison::Eq, column("a"), lit(13));
    let second = compare(Comparison::Eq, call, lit(2));
    let case = Expr::case(None, vec![(known, lit(1)), (second, lit(2))], None).expect("a case");
    assert_eq!(numbers(&case), [None, Some(2), None, Some(1)]);
    assert_eq!(function.seen(), [1, 2]);
}

#[test]
fn a_value_of_case_is_computed_for_rows_that_come_to_it() {
    let (function, call) = probe();
    let case = Expr::case(Some(column("a")), vec![(lit(13), lit(0)), (call, lit(7))], Some(lit(9))).expect("a case");
    assert_eq!(numbers(&case), [Some(7), Some(7), Some(9), Some(0)]);
    assert_eq!(function.seen(), [1, 2]);
}

#[test]
fn case_gives_results_of_all_kinds() {
    let one = || compare(Comparison::Eq, column("a"), lit(1));
    let two = || compare(Comparison::Eq, column("a"), lit(2));
    let case = |first: Expr, second: Expr, third: Expr| {
        Expr::case(None, vec![(one(), first), (two(), second)], Some(third)).expect("a case")
    };
    let double = calculate(Arithmetic::Multiply, column("a"), lit(2));
    assert_eq!(numbers(&case(column("a"), double, lit(5))), [Some(1), Some(4), Some(5), Some(5)]);
    let (not, truth) = (Expr::not(column("b")).expect("a condition"), lit(Scalar::Boolean(None)));
    assert_eq!(truths(&case(column("b"), not, truth)), [YES, YES, None, None]);
}

#[test]
fn doubles_are_compared_by_ieee_754() {
    let zero = || lit(0.0);
    let of = |operator| truths(&compare(operator, column("x"), zero()));
    assert_eq!(of(Comparison::Eq), [YES, YES, NO, None]);
    assert_eq!(of(Comparison::NotEq), [NO, NO, YES, None]);
    assert_eq!(of(Comparison::GtEq), [YES, YES, NO, None]);
    assert_eq!(of(Comparison::Lt), [NO, NO, NO, None]);
    assert_eq!(of(Comparison::Distinct), [NO, NO, YES, YES]);
    assert_eq!(truths(&compare(Comparison::NotDistinct, column("x"), column("x"))), [YES, YES, NO, YES]);
    assert_eq!(truths(&compare(Comparison::Eq, column("x"), lit(Scalar::Float64(None)))), [None; 4]);
}

#[test]
fn whole_numbers_wrap_and_only_zero_cannot_divide() {
    let of = |operator, left: i32, right: i32| {
        calculate(operator, lit(left), lit(right)).constant().map(|value| value.as_integer())
    };
    assert_eq!(of(Arithmetic::Plus, i32::MAX, 1), Some(Some(i64::from(i32::MIN))));
    assert_eq!(of(Arithmetic::Divide, i32::MIN, -1), Some(Some(i64::from(i32::MIN))));
    assert_eq!(of(Arithmetic::Modulo, i32::MIN, -1), Some(Some(0)));
    assert_eq!(of(Arithmetic::Divide, 1, 0), None, "it is to fail when it runs");
    let divided = calculate(Arithmetic::Divide, column("a"), lit(0)).evaluate(&rows()).expect_err("no value");
    assert_eq!(divided.to_string(), "Divide by zero error");
    let negated = Expr::negate(lit(i32::MIN)).expect("a number").constant();
    assert_eq!(negated, Some(Scalar::Int32(Some(i32::MIN))));
}

#[test]
fn there_is_one_nan() {
    let quotient = calculate(Arithmetic::Divide, lit(0.0), lit(0.0)).constant();
    assert_eq!(quotient, Some(Scalar::Float64(Some(f64::NAN))));
}

#[test]
fn a_long_list_is_looked_up_as_a_short_one_is_compared() {
    let of = |list: Vec<Expr>, negated| truths(&Expr::one_of(column("a"), list, negated).expect("numbers"));
    let few = || vec![lit(1), lit(13)];
    let many = || (0..20).map(|number| lit(number * 13 + i32::from(number == 0))).collect::<Vec<_>>();
    for list in [few(), many()] {
        assert_eq!(of(list.clone(), false), [YES, NO, None, YES]);
        assert_eq!(of(list, true), [NO, YES, None, NO]);
    }
    let with_null = |mut list: Vec<Expr>| {
        list.push(lit(Scalar::Int32(None)));
        list
    };
    for list in [with_null(few()), with_null(many())] {
        assert_eq!(of(list.clone(), false), [YES, None, None, YES]);
        assert_eq!(of(list, true), [NO, None, None, NO]);
    }
    let texts = (0..20).map(|number| lit(format!("{number}"))).chain([lit("b%")]).collect();
    assert_eq!(truths(&Expr::one_of(column("s"), texts, false).expect("texts")), [NO, YES, None, NO]);
    let columns = vec![column("a"), lit(5)];
    assert_eq!(truths(&Expr::one_of(column("a"), columns, false).expect("numbers")), [YES, YES, None, YES]);
}

#[test]
fn patterns_match_whole_texts() {
    let like = |pattern: &str, negated| truths(&Expr::like(column("s"), lit(pattern), negated).expect("texts"));
    assert_eq!(like("_", false), [YES, NO, None, NO]);
    assert_eq!(like("%\\%", false), [NO, YES, None, NO]);
    assert_eq!(like("%", true), [NO, NO, None, NO]);
    let similar = Expr::similar(column("s"), "[ab]%".to_owned(), "^(?s:[ab].*)$", false).expect("a pattern");
    assert_eq!(truths(&similar), [YES, YES, None, NO]);
    assert!(matches!(Expr::similar(column("s"), "[".to_owned(), "[", false), Err(Error::Plan(_))));
}

#[test]
fn a_field_of_no_row_is_null() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let field = Arc::new(Field::new("n", DataType::Int64, true));
    let nulls = Some(NullBuffer::from(vec![true, false]));
    let row: ArrayRef = Arc::new(StructArray::new(vec![Arc::clone(&field)].into(), vec![numbers], nulls));
    let of = Expr::column(0, &Field::new("r", row.data_type().clone(), true));
    let value = Expr::field(of.clone(), "n").expect("a field").evaluate(Rows { columns: &[row], len: 2 });
    let value = value.expect("a value").into_array(2).expect("an array");
    assert_eq!(value.null_count(), 1);
    assert!(value.is_null(1));
    assert!(matches!(Expr::field(of, "m"), Err(Error::Plan(_))));
}

#[test]
fn constants_are_not_spread() {
    let sum = calculate(Arithmetic::Plus, lit(1), lit(2)).evaluate(&rows()).expect("a value");
    assert!(matches!(&sum, Value::Constant(array) if array.len() == 1));
    let is_null = Expr::is_null(lit(1)).evaluate(&rows()).expect("a value");
    assert!(is_null.is_constant());
}

#[test]
fn a_selection_hides_the_other_rows() {
    let (function, call) = probe();
    let condition = compare(Comparison::Eq, call, lit(2));
    let selection = BooleanArray::from(vec![Some(true), Some(true), Some(false), None]);
    let value = condition.evaluate_where(&rows(), &selection).expect("a value for each selected row");
    assert_eq!(value.array().as_boolean().iter().collect::<Vec<_>>(), [NO, YES, None, None]);
    assert_eq!(function.seen(), [1, 2]);
}
