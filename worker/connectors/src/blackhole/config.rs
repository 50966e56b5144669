//! The options of blackhole: there are none.

use crate::{OptionError, Options, TableDescriptor};

/// A blackhole table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {}

impl Config {
    /// Reads the options of a table.
    ///
    /// # Errors
    /// Names an option, since it takes none.
    pub fn parse(table: &TableDescriptor) -> Result<Self, OptionError> {
        Options::new(&table.options).finish()?;
        Ok(Self {})
    }
}
