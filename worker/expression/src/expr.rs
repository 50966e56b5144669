//! The nodes of an expression.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use regex::Regex;

use crate::evaluate::membership::Set;
use crate::{Scalar, ScalarFunction};

mod build;

/// An expression: a node with its type, and the nodes below it. It is cheap to share.
///
/// Two expressions are equal if they compute the same in the same way.
#[derive(Clone)]
pub struct Expr(Arc<Node>);

struct Node {
    kind: Kind,
    data_type: DataType,
    nullable: bool,
    can_fail: bool,
    is_volatile: bool,
}

/// The kinds of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A column of the rows.
    Column {
        /// Its position.
        index: usize,
        /// Its name, for people.
        name: String,
    },
    /// A constant.
    Literal(Literal),
    /// `left operator right`, of two values of one type.
    Compare {
        /// Which comparison.
        operator: Comparison,
        /// The left side.
        left: Expr,
        /// The right side.
        right: Expr,
    },
    /// `left operator right`, of numbers of one type or a point in time and an interval.
    Calculate {
        /// Which calculation.
        operator: Arithmetic,
        /// The left side.
        left: Expr,
        /// The right side.
        right: Expr,
    },
    /// `-value`
    Negate(Expr),
    /// `left AND right`. The right side is computed only for rows for which the left one is not false.
    And(Expr, Expr),
    /// `left OR right`. The right side is computed only for rows for which the left one is not true.
    Or(Expr, Expr),
    /// `NOT condition`
    Not(Expr),
    /// `CASE … END`. A branch is computed only for the rows that reach it.
    Case(Case),
    /// `value IN (…)`
    In(In),
    /// `value LIKE pattern`, where a backslash escapes.
    Like {
        /// The text.
        value: Expr,
        /// The pattern.
        pattern: Expr,
        /// Whether it is NOT LIKE.
        negated: bool,
    },
    /// `value SIMILAR TO pattern`
    Similar(Similar),
    /// `value IS NULL`
    IsNull(Expr),
    /// `value IS NOT NULL`
    IsNotNull(Expr),
    /// `CAST(value AS type)`, as Arrow's kernel does it; the type is that of the expression.
    Cast {
        /// The value to cast.
        value: Expr,
        /// Whether a value that cannot be cast becomes NULL.
        or_null: bool,
    },
    /// `row.name`
    Field {
        /// The row.
        row: Expr,
        /// The field's position.
        index: usize,
        /// Its name.
        name: String,
    },
    /// `array[at]`, from 1, and `map[at]`. NULL if there is no such element.
    Element {
        /// The array or map.
        of: Expr,
        /// The position or key.
        at: Expr,
    },
    /// A call of a function.
    Call(Call),
}

/// A constant.
#[derive(Clone, Debug)]
pub struct Literal {
    value: Scalar,
    /// The same for kernels.
    pub(crate) array: ArrayRef,
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Literal {}

impl Hash for Literal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl Literal {
    pub(crate) fn new(value: Scalar) -> Self {
        let array = value.to_array();
        Self { value, array }
    }

    /// The value.
    pub fn value(&self) -> &Scalar {
        &self.value
    }
}

/// `CASE operand WHEN value THEN result … ELSE result END`. Without an operand the values are conditions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    /// What the values are compared with.
    pub operand: Option<Expr>,
    /// Values or conditions, and results.
    pub branches: Vec<(Expr, Expr)>,
    /// The result of ELSE. NULL if there is none.
    pub otherwise: Option<Expr>,
}

/// `value IN (list)`
#[derive(Clone, Debug)]
pub struct In {
    /// The value.
    pub value: Expr,
    /// The list.
    pub list: Vec<Expr>,
    /// Whether it is NOT IN.
    pub negated: bool,
    /// A long list of constants, to look up.
    pub(crate) set: Option<Set>,
}

impl PartialEq for In {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.list == other.list && self.negated == other.negated
    }
}

impl Eq for In {}

impl Hash for In {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.value, &self.list, self.negated).hash(state);
    }
}

/// `value SIMILAR TO pattern`
#[derive(Clone, Debug)]
pub struct Similar {
    /// The text.
    pub value: Expr,
    /// The pattern as SQL has it.
    pub pattern: String,
    /// The same as a regular expression.
    pub regex: Regex,
    /// Whether it is NOT SIMILAR TO.
    pub negated: bool,
}

impl PartialEq for Similar {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.pattern == other.pattern && self.negated == other.negated
    }
}

impl Eq for Similar {}

impl Hash for Similar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.value, &self.pattern, self.negated).hash(state);
    }
}

/// A call of a function.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function.
    pub function: Arc<dyn ScalarFunction>,
    /// Its arguments, of the types it takes.
    pub arguments: Vec<Expr>,
    /// The expression that computes the call, if the function needs only some of its arguments.
    pub(crate) instead: Option<Expr>,
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        *self.function == *other.function && self.arguments == other.arguments
    }
}

impl Eq for Call {}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
        self.arguments.hash(state);
    }
}

/// A comparison of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
    /// `IS DISTINCT FROM`: `<>` for which a NULL is a value.
    Distinct,
    /// `IS NOT DISTINCT FROM`
    NotDistinct,
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "=",
            Self::NotEq => "<>",
            Self::Lt => "<",
            Self::LtEq => "<=",
            Self::Gt => ">",
            Self::GtEq => ">=",
            Self::Distinct => "IS DISTINCT FROM",
            Self::NotDistinct => "IS NOT DISTINCT FROM",
        })
    }
}

/// A calculation with two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        })
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        let (own, other) = (&self.0, &other.0);
        Arc::ptr_eq(own, other) || (own.data_type == other.data_type && own.kind == other.kind)
    }
}

impl Eq for Expr {}

impl Hash for Expr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.kind.hash(state);
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.kind.fmt(f)
    }
}

impl Expr {
    /// Whether it is the very same node.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The node.
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// The type of its values.
    pub fn data_type(&self) -> &DataType {
        &self.0.data_type
    }

    /// Whether a value can be NULL.
    pub fn nullable(&self) -> bool {
        self.0.nullable
    }

    /// Whether it can fail for a row. If unsure, yes.
    pub fn can_fail(&self) -> bool {
        self.0.can_fail
    }

    /// Whether it gives another result each time.
    pub fn is_volatile(&self) -> bool {
        self.0.is_volatile
    }

    /// The position of the column, if it is only a column.
    pub fn as_column(&self) -> Option<usize> {
        match self.kind() {
            Kind::Column { index, .. } => Some(*index),
            _ => None,
        }
    }

    /// The value, if it is a literal.
    pub fn as_literal(&self) -> Option<&Scalar> {
        match self.kind() {
            Kind::Literal(literal) => Some(&literal.value),
            _ => None,
        }
    }
}
