//! The homes of sessions: the buckets in which a checkpoint has them.
//!
//! A home is a period of a quarter of the gap, and is named by its end. A session gets the home in which it would end if
//! no row followed, and keeps it until event time passes the end of the home. So a session that grows stays where it is,
//! and the rows of sessions that are gone are kept for a quarter of the gap.

use std::collections::BTreeMap;

/// What is in a home.
#[derive(Debug)]
struct Home {
    rows: Vec<u32>,
    /// The number of values of each distinct set, in all of these rows.
    values: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct Homes {
    // Fixed at start.
    period_ms: i64,
    sets: usize,
    // Changing.
    by_end: BTreeMap<i64, Home>,
}

impl Homes {
    pub(super) fn new(gap_ms: i64, sets: usize) -> Self {
        Self { period_ms: (gap_ms / 4).max(1), sets, by_end: BTreeMap::new() }
    }

    /// The homes that end at a time or later, one after the other. At the end of all times they are closer together.
    pub(super) fn from(&self, end: i64) -> impl Iterator<Item = i64> + use<> {
        let period_ms = self.period_ms;
        let first = (end - 1).div_euclid(period_ms).checked_add(1).and_then(|home| home.checked_mul(period_ms));
        let nth = move |number: i64| first?.checked_add(number.checked_mul(period_ms)?);
        (0..).map(move |number| nth(number).unwrap_or(i64::MAX - number))
    }

    fn home(&mut self, end: i64) -> &mut Home {
        let sets = self.sets;
        self.by_end.entry(end).or_insert_with(|| Home { rows: Vec::new(), values: vec![0; sets] })
    }

    /// Adds a row.
    pub(super) fn add(&mut self, home: i64, number: u32) {
        self.home(home).rows.push(number);
    }

    /// Some values of a distinct set have been added to rows of a home.
    pub(super) fn add_values(&mut self, home: i64, set: usize, values: usize) {
        if values > 0 {
            self.home(home).values[set] += values as u64;
        }
    }

    /// Removes the first home if it is over, and returns its rows.
    pub(super) fn take_over(&mut self, is_over: impl Fn(i64) -> bool) -> Option<Vec<u32>> {
        let first = self.by_end.first_entry().filter(|entry| is_over(*entry.key()))?;
        Some(first.remove().rows)
    }

    /// Each home, with the number of its rows and of the values of each distinct set.
    pub(super) fn counts(&self) -> Vec<(i64, u64, Vec<u64>)> {
        self.by_end.iter().map(|(end, home)| (*end, home.rows.len() as u64, home.values.clone())).collect()
    }

    /// The size in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.by_end.values().map(|home| home.rows.capacity() * 4 + size_of::<Home>()).sum()
    }
}
