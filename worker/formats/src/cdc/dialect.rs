//! What the tools call the parts of a message.

/// Whose messages they are.
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

/// What a message says has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Rows are new.
    Insert,
    /// Rows have another content.
    Update,
    /// Rows are gone.
    Delete,
    /// Nothing that concerns rows.
    Nothing,
}

impl Dialect {
    /// All of them.
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

    /// The field with the old content of a row.
    pub(crate) fn before(self) -> &'static str {
        match self {
            Self::Debezium | Self::Ogg => "before",
            Self::Canal | Self::Maxwell => "old",
        }
    }

    /// The field with the content of a row: the new one, or (Canal, Maxwell) that of a row that is gone.
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

    /// Whether the old content has only what has changed, and a row that is gone lies where new ones do.
    pub(crate) fn is_partial(self) -> bool {
        matches!(self, Self::Canal | Self::Maxwell)
    }

    /// Whether a message has several rows, in arrays.
    pub(crate) fn has_arrays(self) -> bool {
        self == Self::Canal
    }

    /// What an operation means; `None` for one that is not known.
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
            // A table was created.
            (Self::Canal, "CREATE") => Operation::Nothing,
            _ => return None,
        })
    }

    /// How an insert is written, and a delete.
    #[cfg(feature = "io")]
    pub(crate) fn written(self) -> (&'static str, &'static str) {
        match self {
            Self::Debezium => ("c", "d"),
            Self::Canal => ("INSERT", "DELETE"),
            Self::Maxwell => ("insert", "delete"),
            Self::Ogg => ("I", "D"),
        }
    }
}
