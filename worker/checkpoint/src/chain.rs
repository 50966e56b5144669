//! Decides which run files hold the rows of a bucket.
//!
//! A *share* is what one subtask has in one bucket of a table. It is stored in a chain of run files, oldest first. A
//! base has all rows of the share. A delta has the rows that were added or changed since the checkpoint before it. It
//! also has one of [`PARTS`] parts of the other rows, and each completed checkpoint takes the next part. So after
//! [`PARTS`] completed checkpoints every row of a run file has been written again, and the file leaves the chain. No
//! chain is longer than that, and no file is ever read back for compaction.
//!
//! There is no I/O here.

use eddyline_state::snapshot::PARTS;

use crate::run_file::RunKind;

/// The number of checkpoints of an attempt that were completed before this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Round(u64);

impl Round {
    /// The part of the state that is handed over in addition to the changed rows.
    pub(crate) fn part(self) -> u8 {
        u8::try_from(self.0 % u64::from(PARTS)).expect("a remainder of a u8 fits in a u8")
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Whether all rows that were handed over in the round `earlier` have been handed over again, in this round at the
    /// latest.
    fn supersedes(self, earlier: Self) -> bool {
        self.0 >= earlier.0 + u64::from(PARTS)
    }
}

/// What a subtask has handed over of its share of a bucket. `F` names a run file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handed<F> {
    /// All rows. They are written to this file.
    All(F),
    /// All rows. They equal those of the chain's only base, so they are not written again.
    Same,
    /// The rows that were added, have changed, or belong to the part. They are written to this file, and this is their
    /// number.
    Changed(F, u64),
    /// No rows, because none has changed and none belongs to the part.
    Nothing,
}

/// A run file in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link<F> {
    pub file: F,
    pub kind: RunKind,
    /// The number of rows of the share in the file.
    pub rows: u64,
    /// The round in which the rows were handed over.
    round: Round,
}

/// The run files that hold a share of a bucket, oldest first. If a row is in several files, the last one has its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain<F> {
    links: Vec<Link<F>>,
}

impl<F: Clone> Chain<F> {
    /// The chain of a share that has `rows` rows now. `before` is its chain in the checkpoint that the snapshot builds
    /// on.
    ///
    /// # Errors
    /// The reason why the files would lack rows: the operator has handed over too few.
    pub(crate) fn after(before: Option<&Self>, handed: Handed<F>, rows: u64, round: Round) -> Result<Self, String> {
        let earlier = || before.map_or(&[][..], |before| &before.links).iter();
        let added = match handed {
            Handed::All(file) => return Ok(Self { links: vec![Link { file, kind: RunKind::Base, rows, round }] }),
            Handed::Same => match before.and_then(Self::only_base) {
                Some(base) => return Ok(Self { links: vec![Link { round, ..base.clone() }] }),
                None => return Err("it should equal an earlier base, and there is none".to_owned()),
            },
            Handed::Changed(file, rows) => Some(Link { file, kind: RunKind::Delta, rows, round }),
            Handed::Nothing => None,
        };
        let links: Vec<Link<F>> =
            earlier().filter(|link| !round.supersedes(link.round)).cloned().chain(added).collect();
        let held: u64 = links.iter().map(|link| link.rows).sum();
        if held < rows {
            // The sum counts a row twice if two files have it, so the test can miss lost rows. It does detect a bucket
            // that was left out.
            return Err(format!("it has {rows} rows, and at most {held} of them were handed over"));
        }
        Ok(Self { links })
    }

    /// The base, if the chain has no other file.
    pub(crate) fn only_base(&self) -> Option<&Link<F>> {
        match self.links.as_slice() {
            [link] if link.kind == RunKind::Base => Some(link),
            _ => None,
        }
    }

    pub(crate) fn links(&self) -> &[Link<F>] {
        &self.links
    }
}

#[cfg(test)]
mod tests;
