use std::collections::BTreeMap;

use super::*;

#[test]
fn equal_expressions_compute_the_same() {
    let sum = |right: i32| calculate(Arithmetic::Plus, column("a"), lit(right));
    assert_eq!(sum(1), sum(1));
    assert_ne!(sum(1), sum(2));
    assert_eq!(probe().1, probe().1);
    let to = |data_type| Expr::cast(column("a"), &data_type, false).expect("a cast");
    assert_ne!(to(DataType::Int64), to(DataType::Int16));
}

#[test]
fn columns_are_replaced_and_moved() {
    let sum = calculate(Arithmetic::Plus, column("a"), lit(1));
    assert_eq!(sum.columns().into_iter().collect::<Vec<_>>(), [0]);
    let inner = calculate(Arithmetic::Multiply, column("a"), lit(2));
    assert_eq!(sum.substitute(&|_| Some(inner.clone())).to_string(), "a * 2 + 1");
    let moved = sum.remap(&BTreeMap::from([(0, 3)]));
    assert_eq!(moved.columns().into_iter().collect::<Vec<_>>(), [3]);
    assert!(sum.substitute(&|_| None).is(&sum), "what does not change is shared");
    assert_eq!(sum.depth(), 2);
}

#[test]
fn what_follows_from_parts_is_known() {
    let (_, call) = probe();
    assert!(call.can_fail() && compare(Comparison::Eq, call, lit(1)).can_fail());
    assert!(!compare(Comparison::Eq, column("a"), lit(1)).can_fail());
    assert!(calculate(Arithmetic::Divide, column("a"), lit(1)).can_fail());
    assert!(!calculate(Arithmetic::Divide, column("x"), lit(1.0)).can_fail());
    assert!(compare(Comparison::Eq, column("a"), lit(1)).nullable());
    assert!(!Expr::is_null(column("a")).nullable());
    let otherwise = Expr::case(None, vec![(Expr::is_not_null(column("a")), column("a"))], Some(lit(0)));
    assert!(!otherwise.expect("a case").nullable());
}

#[test]
fn only_what_always_has_one_value_is_folded() {
    let sum = calculate(Arithmetic::Plus, lit(1), lit(2));
    assert_eq!(sum.folded().as_literal(), Some(&Scalar::Int32(Some(3))));
    let function: Arc<dyn ScalarFunction> = Arc::new(Probe { is_volatile: true, ..Probe::default() });
    let volatile = Expr::call(function, vec![lit(1)]).expect("a call");
    assert!(volatile.is_volatile());
    assert_eq!(volatile.folded().as_literal(), None);
    assert_eq!(column("a").folded().as_literal(), None);
}

#[test]
fn the_parts_of_and_come_from_left_to_right() {
    let part = |number: i32| compare(Comparison::Eq, column("a"), lit(number));
    let and = |left, right| Expr::and(left, right).expect("conditions");
    let all = and(and(part(1), part(2)), and(part(3), part(4)));
    assert_eq!(all.conjuncts(), [&part(1), &part(2), &part(3), &part(4)]);
}

#[test]
fn types_that_do_not_fit_are_refused() {
    assert!(Expr::compare(Comparison::Eq, column("a"), lit("a")).is_err());
    assert!(matches!(Expr::calculate(Arithmetic::Plus, column("s"), lit("a")), Err(Error::Plan(_))));
    assert!(Expr::and(column("a"), column("b")).is_err());
    assert!(Expr::case(None, vec![(column("b"), lit(1))], Some(lit("a"))).is_err());
    assert!(Expr::call(probe().0, vec![column("a")]).is_ok_and(|call| call.data_type() == &DataType::Int32));
}
