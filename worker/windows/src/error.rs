//! Errors of the configuration of a window aggregation.

use arrow::datatypes::DataType;
use eddyline_stream::key_hash::UnsupportedKey;

/// A configuration that cannot run. The planner refuses SQL that would lead to one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A function that is not defined for the type of its argument.
    #[error("{name} cannot be computed over a column of type {argument_type}")]
    UnsupportedArgument {
        /// The name of the result column.
        name: String,
        /// The type of the argument.
        argument_type: DataType,
    },
    /// A function other than COUNT(*) without its argument.
    #[error("{name} has no argument")]
    MissingArgument {
        /// The name of the result column.
        name: String,
    },
    /// A key that cannot be hashed.
    #[error(transparent)]
    Key(#[from] UnsupportedKey),
    /// A column index that the input does not have.
    #[error("column {position} is not among the {columns} columns of the input")]
    NoSuchColumn {
        /// The position.
        position: usize,
        /// The number of columns of the input.
        columns: usize,
    },
    /// The time column of the windows is not a time attribute in milliseconds.
    #[error("windows cannot be cut by {column} of type {found}; they need TIMESTAMP(3) or TIMESTAMP_LTZ(3)")]
    NotATimeAttribute {
        /// The column.
        column: String,
        /// Its type.
        found: DataType,
    },
    /// A time zone that is not in the IANA database.
    #[error("{0} is not a time zone")]
    UnknownTimeZone(String),
    /// The results of parts of the rows cannot be merged.
    #[error("sessions, and aggregates that are DISTINCT or depend on the order of rows, cannot be computed in parts")]
    NotInParts,
    /// Sizes that are not valid for windows.
    #[error("{0}")]
    InvalidWindow(String),
}
