//! Why an expression cannot be built, or has no value.

use arrow::error::ArrowError;

/// Why an expression cannot be built, or has no value for a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The statement is wrong: types that do not fit, or a literal that can never work.
    #[error("{0}")]
    Plan(String),
    /// A value that cannot be computed: a division by zero, a text that is not a number.
    #[error("{0}")]
    Value(String),
    /// A defect of Eddyline.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

/// The result of building or evaluating an expression.
pub type Result<T> = std::result::Result<T, Error>;

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        Self::Value(error.to_string())
    }
}

/// Returns [`Error::Plan`] with a formatted text.
#[macro_export]
macro_rules! plan_err {
    ($($text:tt)*) => { Err($crate::Error::Plan(format!($($text)*))) };
}

/// Returns [`Error::Value`] with a formatted text.
#[macro_export]
macro_rules! value_err {
    ($($text:tt)*) => { Err($crate::Error::Value(format!($($text)*))) };
}

/// Returns [`Error::Internal`] with a formatted text.
#[macro_export]
macro_rules! internal_err {
    ($($text:tt)*) => { Err($crate::Error::Internal(format!($($text)*))) };
}
