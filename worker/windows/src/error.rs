//! What can be wrong with a window aggregation before it runs.

use arrow::datatypes::DataType;
use eddyline_stream::key_hash::UnsupportedKey;

/// A configuration that cannot run. The planner lets none of these through for SQL it accepts.
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
    /// A column position beyond the input.
    #[error("column {position} is not among the {columns} columns of the input")]
    NoSuchColumn {
        /// The position.
        position: usize,
        /// How many columns the input has.
        columns: usize,
    },
    /// Windows are not cut by a time attribute in milliseconds.
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
    /// Sizes that do not make windows.
    #[error("{0}")]
    InvalidWindow(String),
}
