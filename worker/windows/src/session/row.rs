//! The header of a session's row, in front of its accumulators.

use crate::slice::Slice;

/// The number of words of a header.
pub(super) const HEADER: usize = 5;

/// No row: the end of a list.
pub(super) const NO_ROW: u32 = u32::MAX;

/// No time. A window ends at least a millisecond after the first time, and so does a home.
const NO_TIME: u64 = i64::MIN as u64;

/// The header of a new key, which is in no home.
pub(super) const INITIAL: [u64; HEADER] = [u64::MAX, 0, NO_TIME, NO_TIME, 0];

/// The header of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The rows of the same key are a list. It begins with the one that lookups find.
    pub(super) previous: u32,
    pub(super) next: u32,
    /// `None` if the session was emitted or absorbed.
    pub(super) window: Option<Slice>,
    /// The end of the period in which the session is listed. `None` for a key that has just been added.
    pub(super) home: Option<i64>,
    /// The number of its first row, in order of arrival.
    pub(super) arrival: u64,
}

impl Row {
    /// Reads the words of a row from its header on.
    #[inline]
    pub(super) fn read(words: &[u64]) -> Self {
        let [links, start, end, home, arrival]: [u64; HEADER] =
            words[..HEADER].try_into().expect("a row begins with a header");
        let time = |word: u64| (word != NO_TIME).then_some(word as i64);
        Self {
            previous: links as u32,
            next: (links >> 32) as u32,
            window: time(end).map(|end| Slice { start: start as i64, end }),
            home: time(home),
            arrival,
        }
    }

    /// Writes the header into the words of a row.
    #[inline]
    pub(super) fn write(&self, words: &mut [u64]) {
        let word = |time: Option<i64>| time.map_or(NO_TIME, |time| time as u64);
        words[..HEADER].copy_from_slice(&[
            u64::from(self.previous) | u64::from(self.next) << 32,
            self.window.map_or(0, |window| window.start as u64),
            word(self.window.map(|window| window.end)),
            word(self.home),
            self.arrival,
        ]);
    }
}
