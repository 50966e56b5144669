//! The options of print.

use std::num::NonZeroU16;

use crate::{OptionErrors, Options, TableDescriptor};

/// A print table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `print-identifier`: a prefix of each row.
    pub identifier: String,
    /// `standard-error`: whether to print to standard error instead of standard output.
    pub standard_error: bool,
    /// `sink.parallelism`: the maximum number of writers.
    pub parallelism: Option<NonZeroU16>,
}

impl Config {
    /// Reads the options of a table.
    ///
    /// # Errors
    /// Names the option that is wrong.
    pub fn parse(table: &TableDescriptor) -> Result<Self, OptionErrors> {
        Options::read(&table.options, |options| {
            Ok(Self {
                identifier: options.get("print-identifier").unwrap_or_default().to_owned(),
                standard_error: options.boolean("standard-error").unwrap_or(false),
                parallelism: options.parallelism("sink.parallelism"),
            })
        })
    }

    /// The prefix of each row of subtask `index` of `parallelism`.
    pub fn prefix(&self, (index, parallelism): (usize, usize)) -> String {
        match (self.identifier.as_str(), parallelism > 1) {
            ("", false) => String::new(),
            ("", true) => format!("{}> ", index + 1),
            (identifier, false) => format!("{identifier}> "),
            (identifier, true) => format!("{identifier}:{}> ", index + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_names_identifier_and_subtask() {
        let named = Config { identifier: "out".to_owned(), ..Config::default() };
        assert_eq!(named.prefix((0, 1)), "out> ");
        assert_eq!(named.prefix((2, 4)), "out:3> ");
        assert_eq!(Config::default().prefix((0, 1)), "");
        assert_eq!(Config::default().prefix((0, 2)), "1> ");
    }
}
