//! What a function is to an expression.

use std::fmt;
use std::hash::{Hash, Hasher};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use crate::{Expr, Result, Value};

/// How a call is written in SQL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Syntax {
    /// `NAME(a, b)`
    #[default]
    Call,
    /// `a + b`
    Infix(&'static str),
    /// `CAST(a AS type)`, `TRY_CAST(a AS type)`
    Cast {
        /// The type's name.
        to: String,
        /// Whether what cannot be converted becomes NULL.
        or_null: bool,
    },
    /// `NAME(DAY, a, b)`: the first argument is a unit of time.
    Unit,
    /// `NAME(DAY FROM a)`
    From,
    /// `NAME(a TO DAY)`, under this name.
    To(&'static str),
}

/// A function of a row's values.
pub trait ScalarFunction: fmt::Debug + Send + Sync {
    /// Its name, in lower case.
    fn name(&self) -> &str;

    /// Its other names.
    fn aliases(&self) -> &[String];

    /// What besides the name distinguishes two functions: types it was made for, the session.
    fn identity(&self) -> &str;

    /// What results depend on besides name and arguments, for people, such as `in Europe/Berlin`. It is kept in the
    /// meaning of operators, so it must stay what it is.
    fn detail(&self) -> &str;

    /// How a call is written.
    fn syntax(&self) -> &Syntax;

    /// Whether it gives another result each time: never folded, never shared, never moved.
    fn is_volatile(&self) -> bool;

    /// Whether a call has no value for some arguments. Errs on the side of yes.
    fn can_fail(&self) -> bool;

    /// The types that arguments of these types are converted to.
    ///
    /// # Errors
    /// When the function does not take arguments of these types.
    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>>;

    /// The type of the result for these arguments, which have the types that [`Self::coerce`] gave.
    ///
    /// # Errors
    /// When a literal among them can never work.
    fn return_type(&self, arguments: &[Expr]) -> Result<DataType>;

    /// The expression that computes the same, but only those of the arguments that it needs.
    fn instead(&self, arguments: &[Expr]) -> Option<Expr>;

    /// The values of a call.
    ///
    /// # Errors
    /// When a row has no value.
    fn invoke(&self, invocation: Invocation<'_>) -> Result<ArrayRef>;
}

/// A call for the rows of one batch.
#[derive(Debug)]
pub struct Invocation<'a> {
    /// The values of the arguments.
    pub values: Vec<Value>,
    /// How many values the result has.
    pub rows: usize,
    /// The type of the result.
    pub return_type: &'a DataType,
    /// The arguments; none where a function is called without an expression.
    pub arguments: &'a [Expr],
}

impl PartialEq for dyn ScalarFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.identity() == other.identity()
    }
}

impl Eq for dyn ScalarFunction {}

impl Hash for dyn ScalarFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
        self.identity().hash(state);
    }
}
