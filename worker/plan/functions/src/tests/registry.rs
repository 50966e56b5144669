//! The list of functions and what the planner sees of them.

use std::collections::BTreeSet;

use datafusion_common::DFSchema;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{Expr, col, lit};

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
    let (here, there) = (utc(), in_zone(Tz::Asia__Shanghai));
    assert_ne!(named("hour", &here), named("hour", &there));
    assert_eq!(named("hour", &here), named("hour", &utc()));
    assert_eq!(named("upper", &here), named("upper", &there));
}

#[test]
fn conditions_are_rewritten_so_that_only_the_taken_branch_is_computed() {
    let context = SimplifyContext::builder().with_schema(Arc::new(DFSchema::empty())).build();
    for (name, args) in [("if", vec![col("a"), lit(1), lit(2)]), ("coalesce", vec![col("a"), lit(2)])] {
        let simplified = named(name, &utc()).simplify(args, &context).expect("a rewrite");
        let datafusion_expr::simplify::ExprSimplifyResult::Simplified(Expr::Case(_)) = simplified else {
            panic!("{name} is not rewritten to CASE")
        };
        assert!(named(name, &utc()).short_circuits());
    }
}
