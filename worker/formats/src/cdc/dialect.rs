//! The names of a message's parts, by tool.

/// A tool that writes messages of change data capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `debezium-json`.
    Debezium,
    /// `canal-json`.
    Canal,
    /// `maxwell-json`.
    Maxwell,
    /// `ogg-json`: Oracle GoldenGate.
    Ogg,
}

/// The operation that a message describes.
#[cfg(feature = "io")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Rows were inserted.
    Insert,
    /// Rows were updated.
    Update,
    /// Rows were deleted.
    Delete,
    /// No row was changed.
    Nothing,
}

impl Dialect {
    /// All tools.
    pub(crate) const ALL: [Self; 4] = [Self::Debezium, Self::Canal, Self::Maxwell, Self::Ogg];

    /// The format's name in SQL.
    pub fn format(self) -> &'static str {
        match self {
            Self::Debezium => "debezium-json",
            Self::Canal => "canal-json",
            Self::Maxwell => "maxwell-json",
            Self::Ogg => "ogg-json",
        }
    }
}

/// The parts of messages.
#[cfg(feature = "io")]
impl Dialect {
    /// The field with the old row.
    pub(crate) fn before(self) -> &'static str {
        match self {
            Self::Debezium | Self::Ogg => "before",
            Self::Canal | Self::Maxwell => "old",
        }
    }

    /// The field with the new row. In Canal and Maxwell it also has the row that a delete removes.
    pub(crate) fn after(self) -> &'static str {
        match self {
            Self::Debezium | Self::Ogg => "after",
            Self::Canal | Self::Maxwell => "data",
        }
    }

    /// The field with the operation.
    pub(crate) fn operation_field(self) -> &'static str {
        match self {
            Self::Debezium => "op",
            Self::Canal | Self::Maxwell => "type",
            Self::Ogg => "op_type",
        }
    }

    /// Whether the old row has only the changed fields, and the deleted row is in the field of the new one.
    pub(crate) fn is_partial(self) -> bool {
        matches!(self, Self::Canal | Self::Maxwell)
    }

    /// Whether a message has arrays of rows.
    pub(crate) fn has_arrays(self) -> bool {
        self == Self::Canal
    }

    /// The operation with this name. `None` if it is not known.
    pub(crate) fn operation(self, text: &str) -> Option<Operation> {
        Some(match (self, text) {
            (Self::Debezium, "c" | "r") | (Self::Canal, "INSERT") | (Self::Maxwell, "insert") | (Self::Ogg, "I") => {
                Operation::Insert
            }
            (Self::Debezium, "u") | (Self::Canal, "UPDATE") | (Self::Maxwell, "update") | (Self::Ogg, "U") => {
                Operation::Update
            }
            (Self::Debezium, "d") | (Self::Canal, "DELETE") | (Self::Maxwell, "delete") | (Self::Ogg, "D") => {
                Operation::Delete
            }
            // This message is about the creation of a table.
            (Self::Canal, "CREATE") => Operation::Nothing,
            _ => return None,
        })
    }

    /// The names of the operations insert and delete.
    pub(crate) fn written(self) -> (&'static str, &'static str) {
        match self {
            Self::Debezium => ("c", "d"),
            Self::Canal => ("INSERT", "DELETE"),
            Self::Maxwell => ("insert", "delete"),
            Self::Ogg => ("I", "D"),
        }
    }
}
