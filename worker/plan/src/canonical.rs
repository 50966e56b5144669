//! Expressions in a canonical spelling: what they compute, over columns of sources, and never under which names.
//!
//! The spelling is kept in checkpoints, so it is our own and not DataFusion's: a new release must spell what it spelled
//! before, or state would seem to belong to another computation. It is for comparing and for reading, not for parsing.

use datafusion_common::ScalarValue;
use datafusion_expr::Operator;
use datafusion_physical_expr::ScalarFunctionExpr;
use datafusion_physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NegativeExpr,
    NotExpr, TryCastExpr,
};
use eddyline_functions::detail_of;
use eddyline_state::meaning::short_digest;
use eddyline_stream::sql_type;

use crate::calc::as_literal;
use crate::relation::Expression;

/// The longest spelling. Queries upon queries can square their expressions; what is longer is cut and ends in a digest.
const CHARACTERS_MAX: usize = 400;

/// What an expression computes. `columns` spell the columns that it is over.
pub(crate) fn spell(expression: &Expression, columns: &[String]) -> String {
    let of = |expression: &Expression| spell(expression, columns);
    let list = |expressions: &[Expression]| expressions.iter().map(of).collect::<Vec<_>>().join(", ");
    let text = if let Some(column) = expression.downcast_ref::<Column>() {
        return columns.get(column.index()).cloned().unwrap_or_else(|| format!("#{}", column.index()));
    } else if let Some(literal) = expression.downcast_ref::<Literal>() {
        spell_value(literal.value())
    } else if let Some(binary) = expression.downcast_ref::<BinaryExpr>() {
        format!("({} {} {})", of(binary.left()), binary.op(), of(binary.right()))
    } else if let Some(call) = expression.downcast_ref::<ScalarFunctionExpr>() {
        let (name, detail) = (call.fun().name(), detail_of(call.fun()));
        match call.args() {
            // An operator that is computed by a function of ours, for Java's arithmetic.
            [one] if is_symbol(name) => format!("({name} {})", of(one)),
            [left, right] if is_symbol(name) => format!("({} {name} {})", of(left), of(right)),
            args if detail.is_empty() => format!("{name}({})", list(args)),
            args => format!("{name}({} {detail})", list(args)),
        }
    } else if let Some(cast) = expression.downcast_ref::<CastExpr>() {
        format!("CAST({} AS {})", of(cast.expr()), sql_type(cast.cast_type()))
    } else if let Some(cast) = expression.downcast_ref::<TryCastExpr>() {
        format!("TRY_CAST({} AS {})", of(cast.expr()), sql_type(cast.cast_type()))
    } else if let Some(case) = expression.downcast_ref::<CaseExpr>() {
        let mut text = "CASE".to_owned();
        text.extend(case.expr().map(|value| format!(" {}", of(value))));
        text.extend(case.when_then_expr().iter().map(|(when, then)| format!(" WHEN {} THEN {}", of(when), of(then))));
        text.extend(case.else_expr().map(|value| format!(" ELSE {}", of(value))));
        text + " END"
    } else if let Some(one_of) = expression.downcast_ref::<InListExpr>() {
        let not = if one_of.negated() { "NOT " } else { "" };
        format!("({} {not}IN ({}))", of(one_of.expr()), list(one_of.list()))
    } else if let Some(like) = expression.downcast_ref::<LikeExpr>() {
        let not = if like.negated() { "NOT " } else { "" };
        let like_or_ilike = if like.case_insensitive() { "ILIKE" } else { "LIKE" };
        format!("({} {not}{like_or_ilike} {})", of(like.expr()), of(like.pattern()))
    } else if let Some(is_null) = expression.downcast_ref::<IsNullExpr>() {
        format!("({} IS NULL)", of(is_null.arg()))
    } else if let Some(is_not_null) = expression.downcast_ref::<IsNotNullExpr>() {
        format!("({} IS NOT NULL)", of(is_not_null.arg()))
    } else if let Some(not) = expression.downcast_ref::<NotExpr>() {
        format!("(NOT {})", of(not.arg()))
    } else if let Some(negative) = expression.downcast_ref::<NegativeExpr>() {
        format!("(- {})", of(negative.arg()))
    } else {
        // Its own text has what it is besides its parts; names of columns in it can make it differ without need, which
        // refuses state and never mistakes it.
        let parts: Vec<String> = expression.children().into_iter().map(of).collect();
        format!("{expression} of ({})", parts.join(", "))
    };
    short(text)
}

/// The conditions that must all hold for a filter to hold.
pub(crate) fn conditions(filter: &Expression, columns: &[String], into: &mut Vec<String>) {
    match filter.downcast_ref::<BinaryExpr>() {
        Some(both) if *both.op() == Operator::And => {
            conditions(both.left(), columns, into);
            conditions(both.right(), columns, into);
        }
        _ => match guarded(filter) {
            Some((first, second)) => {
                conditions(first, columns, into);
                conditions(second, columns, into);
            }
            None => into.push(spell(filter, columns)),
        },
    }
}

/// The two conditions of `CASE WHEN first THEN second ELSE FALSE END`, which is how the planner keeps the second from rows
/// that it could fail on.
fn guarded(filter: &Expression) -> Option<(&Expression, &Expression)> {
    let case = filter.downcast_ref::<CaseExpr>().filter(|case| case.expr().is_none())?;
    let is_false = case.else_expr().and_then(as_literal) == Some(&ScalarValue::Boolean(Some(false)));
    match case.when_then_expr() {
        [(first, second)] if is_false => Some((first, second)),
        _ => None,
    }
}

/// A text of bounded length that stands for this one.
pub(crate) fn short(text: String) -> String {
    if text.chars().count() <= CHARACTERS_MAX {
        return text;
    }
    let beginning: String = text.chars().take(CHARACTERS_MAX / 2).collect();
    format!("{beginning}… #{}", short_digest(&text))
}

fn is_symbol(name: &str) -> bool {
    !name.contains(|character: char| character.is_alphanumeric())
}

fn spell_value(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Utf8(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        ScalarValue::Boolean(Some(value)) => value.to_string().to_uppercase(),
        ScalarValue::Int32(Some(number)) => number.to_string(),
        other if other.is_null() => format!("CAST(NULL AS {})", sql_type(&other.data_type())),
        other => format!("CAST('{other}' AS {})", sql_type(&other.data_type())),
    }
}
