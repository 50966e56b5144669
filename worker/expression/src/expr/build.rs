//! Builds expressions: checks types, and derives the properties of a node from its parts.

use std::sync::Arc;

use arrow::array::new_empty_array;
use arrow::datatypes::{DataType, Field};
use eddyline_stream::cast::can_cast;
use eddyline_stream::sql_type;
use regex::Regex;

use super::{Call, Case, Expr, In, Kind, Literal, Node, Similar};
use crate::evaluate::equality::has_floats;
use crate::evaluate::membership::Set;
use crate::evaluate::{arithmetic, nested};
use crate::{Arithmetic, Comparison, Result, Scalar, ScalarFunction, Value, internal_err, plan_err};

impl Expr {
    /// The column at a position.
    pub fn column(index: usize, field: &Field) -> Self {
        let kind = Kind::Column { index, name: field.name().clone() };
        let (data_type, nullable) = (field.data_type().clone(), field.is_nullable());
        Self(Arc::new(Node { kind, data_type, nullable, can_fail: false, is_volatile: false }))
    }

    /// A constant.
    pub fn literal(value: impl Into<Scalar>) -> Self {
        let value = value.into();
        let data_type = value.data_type();
        Self::of(Kind::Literal(Literal::new(value)), data_type)
    }

    /// A comparison of two values of one type.
    ///
    /// # Errors
    /// When the types differ, or do not support this comparison.
    pub fn compare(operator: Comparison, left: Self, right: Self) -> Result<Self> {
        let (of_left, of_right) = (left.data_type(), right.data_type());
        if of_left != of_right {
            return internal_err!("{} {operator} {}", sql_type(of_left), sql_type(of_right));
        }
        let is_equality =
            matches!(operator, Comparison::Eq | Comparison::NotEq | Comparison::Distinct | Comparison::NotDistinct);
        if of_left.is_nested() && has_floats(of_left) && !is_equality {
            return plan_err!("operator {operator} is not supported for {}", sql_type(of_left));
        }
        Ok(Self::of(Kind::Compare { operator, left, right }, DataType::Boolean))
    }

    /// A calculation.
    ///
    /// # Errors
    /// When it is not defined for these types.
    pub fn calculate(operator: Arithmetic, left: Self, right: Self) -> Result<Self> {
        let empty = |side: &Self| Value::Array(new_empty_array(side.data_type()));
        match arithmetic::calculate(operator, &empty(&left), &empty(&right)) {
            Ok(result) => {
                let data_type = result.array().data_type().clone();
                Ok(Self::of(Kind::Calculate { operator, left, right }, data_type))
            }
            Err(_) => plan_err!(
                "operator {operator} is not supported for {} and {}",
                sql_type(left.data_type()),
                sql_type(right.data_type())
            ),
        }
    }

    /// The negative of a number or interval.
    ///
    /// # Errors
    /// When the value is neither.
    pub fn negate(value: Self) -> Result<Self> {
        let data_type = value.data_type().clone();
        match arithmetic::negate(&new_empty_array(&data_type)) {
            Ok(_) => Ok(Self::of(Kind::Negate(value), data_type)),
            Err(_) => plan_err!("'-' takes a number, not {}", sql_type(&data_type)),
        }
    }

    /// `left AND right`.
    ///
    /// # Errors
    /// When one of them is not a condition.
    pub fn and(left: Self, right: Self) -> Result<Self> {
        condition("AND", &left)?;
        condition("AND", &right)?;
        Ok(Self::of(Kind::And(left, right), DataType::Boolean))
    }

    /// `left OR right`.
    ///
    /// # Errors
    /// When one of them is not a condition.
    pub fn or(left: Self, right: Self) -> Result<Self> {
        condition("OR", &left)?;
        condition("OR", &right)?;
        Ok(Self::of(Kind::Or(left, right), DataType::Boolean))
    }

    /// `NOT value`.
    ///
    /// # Errors
    /// When the value is not a condition.
    #[expect(clippy::should_implement_trait, reason = "it can be refused")]
    pub fn not(value: Self) -> Result<Self> {
        condition("NOT", &value)?;
        Ok(Self::of(Kind::Not(value), DataType::Boolean))
    }

    /// `CASE operand WHEN value THEN result … ELSE otherwise END`.
    ///
    /// # Errors
    /// When the values, or the results, are not of one type.
    pub fn case(operand: Option<Self>, branches: Vec<(Self, Self)>, otherwise: Option<Self>) -> Result<Self> {
        let Some((_, first)) = branches.first() else { return internal_err!("CASE without a branch") };
        let data_type = first.data_type().clone();
        let of_when = operand.as_ref().map_or(&DataType::Boolean, |operand| operand.data_type());
        if branches.iter().any(|(when, _)| when.data_type() != of_when) {
            return internal_err!("WHEN of CASE takes {}", sql_type(of_when));
        }
        if branches.iter().map(|(_, then)| then).chain(&otherwise).any(|then| *then.data_type() != data_type) {
            return internal_err!("the results of CASE are not all {}", sql_type(&data_type));
        }
        // Without ELSE the result is NULL.
        let otherwise = otherwise.filter(|otherwise| !otherwise.as_literal().is_some_and(Scalar::is_null));
        Ok(Self::of(Kind::Case(Case { operand, branches, otherwise }), data_type))
    }

    /// `value IN (list)`.
    ///
    /// # Errors
    /// When the values are not of one type.
    pub fn one_of(value: Self, list: Vec<Self>, negated: bool) -> Result<Self> {
        if list.is_empty() || list.iter().any(|item| item.data_type() != value.data_type()) {
            return internal_err!("IN takes values of type {}", sql_type(value.data_type()));
        }
        Ok(Self::of(Kind::In(In { value, list, negated, set: None }), DataType::Boolean))
    }

    /// `value LIKE pattern`. A backslash in the pattern escapes.
    ///
    /// # Errors
    /// When one of them is not a string.
    pub fn like(value: Self, pattern: Self, negated: bool) -> Result<Self> {
        text("LIKE", &value)?;
        text("LIKE", &pattern)?;
        Ok(Self::of(Kind::Like { value, pattern, negated }, DataType::Boolean))
    }

    /// `value SIMILAR TO pattern`. `regex` is the pattern as a regular expression.
    ///
    /// # Errors
    /// When the value is not a string, or the pattern is not valid.
    pub fn similar(value: Self, pattern: String, regex: &str, negated: bool) -> Result<Self> {
        text("SIMILAR TO", &value)?;
        match Regex::new(regex) {
            Ok(regex) => Ok(Self::of(Kind::Similar(Similar { value, pattern, regex, negated }), DataType::Boolean)),
            Err(_) => plan_err!("'{pattern}' is not a SIMILAR TO pattern"),
        }
    }

    /// Whether the value is NULL.
    pub fn is_null(value: Self) -> Self {
        Self::of(Kind::IsNull(value), DataType::Boolean)
    }

    /// Whether the value is not NULL.
    pub fn is_not_null(value: Self) -> Self {
        Self::of(Kind::IsNotNull(value), DataType::Boolean)
    }

    /// A cast as [`eddyline_stream::cast`] converts values. With `or_null` a value that does not fit becomes NULL.
    ///
    /// # Errors
    /// When there is no such conversion.
    pub fn cast(value: Self, to: &DataType, or_null: bool) -> Result<Self> {
        if value.data_type() == to {
            return Ok(value);
        }
        if !can_cast(value.data_type(), to) {
            return plan_err!("{} cannot be converted to {}", sql_type(value.data_type()), sql_type(to));
        }
        Ok(Self::of(Kind::Cast { value, or_null }, to.clone()))
    }

    /// The field of a row.
    ///
    /// # Errors
    /// When it has no such field.
    pub fn field(row: Self, name: &str) -> Result<Self> {
        let found = match row.data_type() {
            DataType::Struct(fields) => fields.find(name).map(|(index, field)| (index, field.data_type().clone())),
            _ => None,
        };
        match found {
            Some((index, data_type)) => Ok(Self::of(Kind::Field { row, index, name: name.to_owned() }, data_type)),
            None => plan_err!("{} has no field '{name}'", sql_type(row.data_type())),
        }
    }

    /// The element of an array at a position, counted from 1, or of a map with a key.
    ///
    /// # Errors
    /// When the value is neither an array nor a map, or the position or key has the wrong type.
    pub fn element(of: Self, at: Self) -> Result<Self> {
        let data_type = nested::element_type(of.data_type(), at.data_type())?;
        Ok(Self::of(Kind::Element { of, at }, data_type))
    }

    /// A call of a function with arguments of the types it takes.
    ///
    /// # Errors
    /// When a literal among them can never work.
    pub fn call(function: Arc<dyn ScalarFunction>, arguments: Vec<Self>) -> Result<Self> {
        let data_type = function.return_type(&arguments)?;
        Ok(Self::of(Kind::Call(Call { function, arguments, instead: None }), data_type))
    }

    /// A node of a type. What follows from the nodes below it is found out here.
    pub(crate) fn of(mut kind: Kind, data_type: DataType) -> Self {
        match &mut kind {
            Kind::In(one_of) => one_of.set = Set::of(&one_of.list),
            Kind::Call(call) => call.instead = call.function.instead(&call.arguments),
            _ => {}
        }
        let below = kind.children();
        let can_fail = fails(&kind, &data_type) || below.iter().any(|child| child.can_fail());
        let is_volatile = matches!(&kind, Kind::Call(call) if call.function.is_volatile())
            || below.iter().any(|child| child.is_volatile());
        let nullable = nullable(&kind);
        Self(Arc::new(Node { kind, data_type, nullable, can_fail, is_volatile }))
    }
}

/// Whether a node itself can have no value for a row.
fn fails(kind: &Kind, data_type: &DataType) -> bool {
    match kind {
        Kind::Calculate { operator, .. } => match data_type {
            DataType::Float32 | DataType::Float64 => false,
            whole if whole.is_integer() => matches!(operator, Arithmetic::Divide | Arithmetic::Modulo),
            _ => true,
        },
        Kind::Negate(_) => !data_type.is_integer() && !data_type.is_floating(),
        Kind::Cast { or_null, .. } => !or_null,
        Kind::Call(call) => call.function.can_fail(),
        _ => false,
    }
}

/// Whether a value can be NULL. State is kept in columns that are declared so, therefore this must stay what it is,
/// also where it says yes without need.
fn nullable(kind: &Kind) -> bool {
    match kind {
        // Says so itself.
        Kind::Column { .. } => true,
        Kind::Literal(literal) => literal.value.is_null(),
        Kind::Compare { left, right, .. } => has_floats(left.data_type()) || left.nullable() || right.nullable(),
        Kind::Calculate { operator, left, right } => {
            let data_type = left.data_type();
            let divides = *operator == Arithmetic::Divide && data_type.is_integer();
            divides || data_type.is_floating() || left.nullable() || right.nullable()
        }
        Kind::Negate(value) => value.nullable() || value.data_type().is_integer() || value.data_type().is_floating(),
        Kind::And(left, right) | Kind::Or(left, right) => left.nullable() || right.nullable(),
        Kind::Not(value) => value.nullable(),
        Kind::Case(case) => {
            let of_branch = |(when, then): &(Expr, Expr)| {
                then.nullable() && (case.operand.is_some() || !holds_only_for_values(when, then))
            };
            case.branches.iter().any(of_branch) || case.otherwise.as_ref().is_none_or(Expr::nullable)
        }
        Kind::In(one_of) => one_of.value.nullable() || one_of.list.iter().any(Expr::nullable),
        Kind::Like { value, pattern, .. } => value.nullable() || pattern.nullable(),
        Kind::Similar(similar) => similar.value.nullable(),
        Kind::IsNull(_) | Kind::IsNotNull(_) => false,
        Kind::Cast { value, or_null } => *or_null || value.nullable(),
        Kind::Field { row, index, .. } => {
            let of_field = match row.data_type() {
                DataType::Struct(fields) => fields.get(*index).is_none_or(|field| field.is_nullable()),
                _ => true,
            };
            row.nullable() || of_field
        }
        Kind::Element { .. } | Kind::Call(_) => true,
    }
}

/// Whether a condition can be true only where a value is not NULL.
fn holds_only_for_values(condition: &Expr, value: &Expr) -> bool {
    let value = match value.kind() {
        Kind::Cast { value, or_null: false } => value,
        _ => value,
    };
    match condition.kind() {
        Kind::IsNotNull(tested) => tested == value,
        Kind::Compare { operator, left, right } => {
            !matches!(operator, Comparison::Distinct | Comparison::NotDistinct) && (left == value || right == value)
        }
        Kind::And(left, right) => holds_only_for_values(left, value) || holds_only_for_values(right, value),
        Kind::Or(left, right) => holds_only_for_values(left, value) && holds_only_for_values(right, value),
        _ => false,
    }
}

fn condition(operator: &str, value: &Expr) -> Result<()> {
    match value.data_type() {
        DataType::Boolean => Ok(()),
        other => internal_err!("{operator} takes BOOLEAN, not {}", sql_type(other)),
    }
}

fn text(operator: &str, value: &Expr) -> Result<()> {
    match value.data_type() {
        DataType::Utf8 => Ok(()),
        other => internal_err!("{operator} takes STRING, not {}", sql_type(other)),
    }
}
