//! The list of functions and what the planner sees of them.

use std::collections::BTreeSet;

use eddyline_expression::Comparison;

use super::*;
use crate::scalar_functions;

fn names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for function in scalar_functions(&utc()) {
        for name in std::iter::once(function.name().to_owned()).chain(function.aliases().iter().cloned()) {
            assert_eq!(name, name.to_lowercase(), "names are lower case");
            assert!(names.insert(name.clone()), "{name} is registered twice");
        }
    }
    names
}

#[test]
fn the_document_lists_exactly_the_functions_there_are() {
    let document = include_str!("../../../../../docs/functions.md");
    let listed: BTreeSet<String> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .flat_map(|line| {
            line.split('|').next().unwrap_or("").split(',').map(|name| name.replace('`', "").trim().to_owned())
        })
        .collect();
    assert_eq!(listed, names());
}

#[test]
fn a_function_is_found_by_any_case_and_alias() {
    for name in ["SUBSTR", "Character_Length", "now", "CURRENT_TIME", "ceiling"] {
        assert!(scalar_function(name, &utc()).is_some(), "{name}");
    }
    assert!(scalar_function("no_such_function", &utc()).is_none());
}

#[test]
fn functions_of_two_sessions_differ_only_where_the_zone_counts() {
    let (here, there) = (utc(), in_zone("Asia/Shanghai"));
    assert_ne!(*named("hour", &here), *named("hour", &there));
    assert_eq!(*named("hour", &here), *named("hour", &utc()));
    assert_eq!(*named("upper", &here), *named("upper", &there));
}

#[test]
fn of_conditions_only_what_is_needed_is_computed() {
    let call = |name: &str, args: Vec<Expr>| Expr::call(named(name, &utc()), args).expect("a call");
    let column = || Expr::column(0, &Field::new("a", DataType::Int32, true));
    let fails = || call("mod", vec![Expr::literal(1), column()]);
    let is_zero = Expr::compare(Comparison::Eq, column(), Expr::literal(0)).expect("numbers");
    for expr in [
        call("if", vec![is_zero, Expr::literal(7), fails()]),
        call("coalesce", vec![column(), fails()]),
        call("ifnull", vec![column(), fails()]),
    ] {
        let zero = Scalar::from(0).to_array();
        assert!(expr.evaluate(Rows { columns: &[zero], len: 1 }).is_ok(), "{expr}");
    }
}
