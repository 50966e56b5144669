//! `LISTAGG`: concatenates strings in order, with a separator.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};

use super::{kept_of, of_key};

/// Texts for every key, and the results of the current rows.
pub struct Texts {
    separator: String,
    totals: Vec<Option<String>>,
    results: StringBuilder,
}

impl Texts {
    /// No texts.
    pub fn new(separator: &str) -> Self {
        Self { separator: separator.to_owned(), totals: Vec::new(), results: StringBuilder::new() }
    }

    /// Appends a text.
    pub fn add(&mut self, key: u32, text: &str) {
        match of_key(&mut self.totals, key) {
            Some(total) => {
                total.push_str(&self.separator);
                total.push_str(text);
            }
            total => *total = Some(text.to_owned()),
        }
    }

    /// Resets a key to no text.
    pub fn reset(&mut self, key: u32) {
        *of_key(&mut self.totals, key) = None;
    }

    /// The text of a key; `None` if it has had no value.
    pub fn total(&self, key: u32) -> Option<&str> {
        self.totals.get(key as usize)?.as_deref()
    }

    /// Restores the text of a key.
    pub fn restore(&mut self, key: u32, text: Option<&str>) {
        *of_key(&mut self.totals, key) = text.map(str::to_owned);
    }

    /// Keeps these keys, in order, which get the numbers from 0 on.
    pub fn renumber(&mut self, kept: &[u32]) {
        self.totals = kept_of(&mut self.totals, kept);
    }

    /// Adds the result of a row.
    pub fn push_result(&mut self, key: u32) {
        self.results.append_option(of_key(&mut self.totals, key).as_deref());
    }

    /// The results as a column.
    pub fn finish_results(&mut self) -> ArrayRef {
        Arc::new(self.results.finish())
    }
}
