//! Which run files hold the rows of a bucket.
//!
//! What one subtask has in one bucket of a table, its *share*, lies in a chain of run files, the oldest first. A base has
//! all rows of the share; a delta has those that were added or have changed since the checkpoint before it, and besides one
//! of [`PARTS`] parts of all others. The part is another one in each completed checkpoint, so what a run file has that is
//! [`PARTS`] completed checkpoints old has been written again since: it leaves the chain. No chain is longer than that, and
//! nothing is ever read back to keep it short.
//!
//! All of this is decided here, without I/O.

use eddyline_state::snapshot::PARTS;

use crate::run_file::RunKind;

/// How many checkpoints of an attempt were complete before this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Round(u64);

impl Round {
    /// The part of the state that is handed over besides what has changed.
    pub(crate) fn part(self) -> u8 {
        u8::try_from(self.0 % u64::from(PARTS)).expect("a remainder of a u8 fits in a u8")
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Whether all rows that were handed over in the round `earlier` were handed over again since, up to this one.
    fn supersedes(self, earlier: Self) -> bool {
        self.0 >= earlier.0 + u64::from(PARTS)
    }
}

/// What a subtask has handed over of its share of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handed<F> {
    /// All rows, which are in this file now.
    All(F),
    /// All rows. They are what the only base of the chain holds, which is not written again.
    Same,
    /// So many rows that were added or have changed, or that belong to the part; they are in this file now.
    Changed(F, u64),
    /// No rows: none has changed, and none belongs to the part.
    Nothing,
}

/// A run file in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link<F> {
    pub file: F,
    pub kind: RunKind,
    /// Rows of the share in the file.
    pub rows: u64,
    /// When the rows were handed over.
    round: Round,
}

/// The run files that hold a share of a bucket, the oldest first. Of a row that is in several the last one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain<F> {
    links: Vec<Link<F>>,
}

impl<F: Clone> Chain<F> {
    /// The chain of a share that has `rows` rows now; `before` is its chain in the checkpoint that the snapshot builds on.
    ///
    /// # Errors
    /// The reason why the files would not hold all rows: the operator has handed over too few.
    pub(crate) fn after(before: Option<&Self>, handed: Handed<F>, rows: u64, round: Round) -> Result<Self, String> {
        let earlier = || before.map_or(&[][..], |before| &before.links).iter();
        let added = match handed {
            Handed::All(file) => return Ok(Self { links: vec![Link { file, kind: RunKind::Base, rows, round }] }),
            Handed::Same => match before.and_then(Self::only_base) {
                Some(base) => return Ok(Self { links: vec![Link { round, ..base.clone() }] }),
                None => return Err("nothing has been written that it could be the same as".to_owned()),
            },
            Handed::Changed(file, rows) => Some(Link { file, kind: RunKind::Delta, rows, round }),
            Handed::Nothing => None,
        };
        let links: Vec<Link<F>> =
            earlier().filter(|link| !round.supersedes(link.round)).cloned().chain(added).collect();
        let held: u64 = links.iter().map(|link| link.rows).sum();
        if held < rows {
            // Of rows that were handed over twice this sees nothing. But it sees a bucket that was left out.
            return Err(format!("it has {rows} rows, and no more than {held} of them were handed over"));
        }
        Ok(Self { links })
    }

    /// The base, if there is nothing else.
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
