//! Kinds of rows, and changelog modes: which kinds a stream can contain.

use std::fmt;

/// How a row changes the table that a changelog describes. The numbers are those of Flink's `RowKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RowKind {
    /// `+I`: a new row.
    Insert = 0,
    /// `-U`: the old content of a row that is updated.
    UpdateBefore = 1,
    /// `+U`: the new content of a row that is updated.
    UpdateAfter = 2,
    /// `-D`: a deleted row.
    Delete = 3,
}

impl RowKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Insert, Self::UpdateBefore, Self::UpdateAfter, Self::Delete];

    /// Whether the row retracts a row of the table.
    pub fn is_retraction(self) -> bool {
        matches!(self, Self::UpdateBefore | Self::Delete)
    }

    /// The symbol in printed rows: `+I`, `-U`, `+U`, `-D`.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Insert => "+I",
            Self::UpdateBefore => "-U",
            Self::UpdateAfter => "+U",
            Self::Delete => "-D",
        }
    }

    /// The abbreviation in plans: `I`, `UB`, `UA`, `D`.
    fn abbreviation(self) -> &'static str {
        match self {
            Self::Insert => "I",
            Self::UpdateBefore => "UB",
            Self::UpdateAfter => "UA",
            Self::Delete => "D",
        }
    }
}

impl fmt::Display for RowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

/// The kinds of rows that a stream can contain, or that a table accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangelogMode(u8);

impl ChangelogMode {
    /// Only inserts.
    pub const INSERT_ONLY: Self = Self(1 << RowKind::Insert as u8);
    /// All kinds.
    pub const ALL: Self = Self(0b1111);

    /// The mode with these kinds.
    pub fn of(kinds: impl IntoIterator<Item = RowKind>) -> Self {
        Self(kinds.into_iter().fold(0, |bits, kind| bits | 1 << kind as u8))
    }

    /// Whether rows of a kind can occur.
    pub fn contains(self, kind: RowKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// Whether only `+I` can occur.
    pub fn is_insert_only(self) -> bool {
        self.0 & !Self::INSERT_ONLY.0 == 0
    }

    /// The kinds, in the order of their numbers.
    pub fn kinds(self) -> impl Iterator<Item = RowKind> {
        RowKind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }

    /// The kinds of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The kinds that are not in the other mode.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Display for ChangelogMode {
    /// As Flink's plans show it: `[I,UB,UA,D]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<&str> = self.kinds().map(RowKind::abbreviation).collect();
        write!(f, "[{}]", kinds.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_modes_are_shown_as_in_flink() {
        assert_eq!(RowKind::ALL.map(|kind| kind.to_string()), ["+I", "-U", "+U", "-D"]);
        assert_eq!(RowKind::ALL.map(|kind| kind as u8), [0, 1, 2, 3]);
        assert_eq!(ChangelogMode::ALL.to_string(), "[I,UB,UA,D]");
        assert_eq!(ChangelogMode::INSERT_ONLY.to_string(), "[I]");
        let upsert = ChangelogMode::of([RowKind::Delete, RowKind::Insert, RowKind::UpdateAfter]);
        assert_eq!(upsert.to_string(), "[I,UA,D]");
    }

    #[test]
    fn a_mode_is_a_set_of_kinds() {
        let upsert = ChangelogMode::of([RowKind::Insert, RowKind::UpdateAfter, RowKind::Delete]);
        assert!(!upsert.is_insert_only() && ChangelogMode::INSERT_ONLY.is_insert_only());
        assert_eq!(ChangelogMode::ALL.without(upsert), ChangelogMode::of([RowKind::UpdateBefore]));
        assert_eq!(upsert.union(ChangelogMode::of([RowKind::UpdateBefore])), ChangelogMode::ALL);
        assert_eq!(ChangelogMode::ALL.kinds().collect::<Vec<_>>(), RowKind::ALL);
    }
}
