//! An expression with its type.

use arrow::datatypes::{DataType, Field};

use super::relation::Expression;

/// An expression with its type.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// The expression, over column positions.
    pub expression: Expression,
    /// Its type.
    pub data_type: DataType,
    /// Whether it can be NULL.
    pub nullable: bool,
}

impl Bound {
    /// A column of its type.
    pub(crate) fn field(&self, name: &str) -> Field {
        Field::new(name, self.data_type.clone(), self.nullable)
    }
}
