//! Expressions as SQL, for EXPLAIN and errors.

use std::fmt::{self, Write};

use eddyline_stream::sql_type;

use crate::{Call, Comparison, Expr, Kind, Scalar, Syntax};

/// The precedence of expressions, the lowest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bond {
    Or,
    And,
    Not,
    Compare,
    Add,
    Multiply,
    Sign,
    Whole,
}

impl Bond {
    /// The next higher precedence.
    fn stronger(self) -> Self {
        match self {
            Self::Or => Self::And,
            Self::And => Self::Not,
            Self::Not => Self::Compare,
            Self::Compare => Self::Add,
            Self::Add => Self::Multiply,
            Self::Multiply => Self::Sign,
            Self::Sign | Self::Whole => Self::Whole,
        }
    }

    fn of(expr: &Expr) -> Self {
        match expr.kind() {
            Kind::Or(..) => Self::Or,
            Kind::And(..) => Self::And,
            Kind::Not(_) => Self::Not,
            Kind::Compare { .. }
            | Kind::In(_)
            | Kind::Like { .. }
            | Kind::Similar(_)
            | Kind::IsNull(_)
            | Kind::IsNotNull(_) => Self::Compare,
            Kind::Calculate { operator, .. } => Self::of_operator(&operator.to_string()),
            Kind::Call(call) => match call.function.syntax() {
                Syntax::Infix(symbol) => Self::of_operator(symbol),
                _ => Self::Whole,
            },
            Kind::Negate(_) => Self::Sign,
            Kind::Literal(literal) if literal.value().to_string().starts_with('-') => Self::Sign,
            _ => Self::Whole,
        }
    }

    fn of_operator(symbol: &str) -> Self {
        if matches!(symbol, "*" | "/" | "%") { Self::Multiply } else { Self::Add }
    }
}

/// An expression inside another one, in parentheses if the precedence requires them.
struct Inside<'a>(&'a Expr, Bond);

impl fmt::Display for Inside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(expr, needed) = self;
        if Bond::of(expr) < *needed { write!(f, "({expr})") } else { write!(f, "{expr}") }
    }
}

/// A list of expressions.
struct List<'a>(&'a [Expr]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, expr) in self.0.iter().enumerate() {
            f.write_str(if position > 0 { ", " } else { "" })?;
            write!(f, "{expr}")?;
        }
        Ok(())
    }
}

/// A name, in backticks if it needs them. The name of an aggregate's column is its call, which stays as it is.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |name: &str| {
            !name.starts_with(|first: char| first.is_ascii_digit())
                && name.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '$'))
        };
        if is_plain(self.0) || self.0.contains('(') {
            f.write_str(self.0)
        } else {
            write!(f, "`{}`", self.0.replace('`', "``"))
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = Bond::of(self);
        let not = |negated: bool| if negated { "NOT " } else { "" };
        match self.kind() {
            Kind::Column { name, .. } => write!(f, "{}", Name(name)),
            Kind::Literal(literal) => write!(f, "{}", literal.value()),
            Kind::Compare { operator, left, right } => write_comparison(f, *operator, left, right),
            Kind::Calculate { operator, left, right } => write_infix(f, &operator.to_string(), left, right),
            Kind::Negate(value) => write!(f, "-{}", Inside(value, own.stronger())),
            Kind::And(left, right) => write!(f, "{} AND {}", Inside(left, own), Inside(right, own)),
            Kind::Or(left, right) => write!(f, "{} OR {}", Inside(left, own), Inside(right, own)),
            Kind::Not(value) => write!(f, "NOT {}", Inside(value, own)),
            Kind::Case(case) => {
                f.write_str("CASE")?;
                case.operand.iter().try_for_each(|operand| write!(f, " {operand}"))?;
                case.branches.iter().try_for_each(|(when, then)| write!(f, " WHEN {when} THEN {then}"))?;
                case.otherwise.iter().try_for_each(|otherwise| write!(f, " ELSE {otherwise}"))?;
                f.write_str(" END")
            }
            Kind::In(one_of) => {
                let value = Inside(&one_of.value, own.stronger());
                write!(f, "{value} {}IN ({})", not(one_of.negated), List(&one_of.list))
            }
            Kind::Like { value, pattern, negated } => {
                let (value, of_pattern) = (Inside(value, own.stronger()), Inside(pattern, own.stronger()));
                write!(f, "{value} {}LIKE {of_pattern}", not(*negated))?;
                match pattern.as_literal().and_then(Scalar::as_str) {
                    Some(text) if text.contains('\\') => f.write_str(" ESCAPE '\\'"),
                    _ => Ok(()),
                }
            }
            Kind::Similar(similar) => {
                let value = Inside(&similar.value, own.stronger());
                let pattern = Scalar::from(similar.pattern.as_str());
                write!(f, "{value} {}SIMILAR TO {pattern}", not(similar.negated))
            }
            Kind::IsNull(value) => write!(f, "{} IS NULL", Inside(value, own.stronger())),
            Kind::IsNotNull(value) => write!(f, "{} IS NOT NULL", Inside(value, own.stronger())),
            Kind::Cast { value, or_null } => write_cast(f, value, &sql_type(self.data_type()), *or_null),
            Kind::Field { row, name, .. } => write!(f, "{}.{}", Inside(row, Bond::Whole), Name(name)),
            Kind::Element { of, at } => write!(f, "{}[{at}]", Inside(of, Bond::Whole)),
            Kind::Call(call) => write_call(f, call),
        }
    }
}

/// Two comparisons need parentheses between them.
fn write_comparison(f: &mut fmt::Formatter<'_>, operator: Comparison, left: &Expr, right: &Expr) -> fmt::Result {
    let inside = |expr| Inside(expr, Bond::Compare.stronger());
    let truth = match right.as_literal() {
        Some(Scalar::Boolean(Some(true))) => Some("TRUE"),
        Some(Scalar::Boolean(Some(false))) => Some("FALSE"),
        Some(Scalar::Boolean(None)) => Some("UNKNOWN"),
        _ => None,
    };
    match (operator, truth) {
        (Comparison::NotDistinct, Some(truth)) => write!(f, "{} IS {truth}", inside(left)),
        (Comparison::Distinct, Some(truth)) => write!(f, "{} IS NOT {truth}", inside(left)),
        _ => write!(f, "{} {operator} {}", inside(left), inside(right)),
    }
}

/// `a - b - c` is `(a - b) - c`: the right side needs a higher precedence.
fn write_infix(f: &mut fmt::Formatter<'_>, symbol: &str, left: &Expr, right: &Expr) -> fmt::Result {
    let own = Bond::of_operator(symbol);
    write!(f, "{} {symbol} {}", Inside(left, own), Inside(right, own.stronger()))
}

fn write_cast(f: &mut fmt::Formatter<'_>, value: &Expr, to: &str, or_null: bool) -> fmt::Result {
    write!(f, "{}CAST({value} AS {to})", if or_null { "TRY_" } else { "" })
}

fn write_call(f: &mut fmt::Formatter<'_>, call: &Call) -> fmt::Result {
    let name = call.function.name().to_uppercase();
    let unit = call.arguments.first().and_then(Expr::as_literal).and_then(Scalar::as_str);
    match (call.function.syntax(), call.arguments.as_slice(), unit) {
        (Syntax::Infix(symbol), [left, right], _) => write_infix(f, symbol, left, right),
        (Syntax::Cast { to, or_null }, [value], _) => write_cast(f, value, to, *or_null),
        (Syntax::Unit, [_, rest @ ..], Some(unit)) => write!(f, "{name}({unit}, {})", List(rest)),
        (Syntax::From, [_, value], Some(unit)) => write!(f, "{name}({unit} FROM {value})"),
        (Syntax::To(name), [_, value], Some(unit)) => write!(f, "{name}({value} TO {unit})"),
        (_, arguments, _) => {
            f.write_str(&name)?;
            f.write_char('(')?;
            write!(f, "{})", List(arguments))
        }
    }
}
