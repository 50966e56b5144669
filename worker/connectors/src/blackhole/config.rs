//! The options of blackhole: there are none.

use crate::{OptionErrors, Options, TableDescriptor};

/// A blackhole table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {}

impl Config {
    /// Reads the options of a table.
    ///
    /// # Errors
    /// Names an option, since it takes none.
    pub fn parse(table: &TableDescriptor) -> Result<Self, OptionErrors> {
        Options::read(&table.options, |_| Ok(Self {}))
    }
}
