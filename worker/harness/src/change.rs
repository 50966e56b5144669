//! Changes of the rows of a table. An update is one change here, never two rows, so it cannot be torn. A filter is
//! applied to its old and its new content, and the result follows from which of them pass.

use std::collections::BTreeMap;

use eddyline_stream::{Batch, RowKind};

use crate::row::{Row, rows_of};

/// A row as a sink gets it, with its kind.
pub type Written = (RowKind, Row);

/// A change of one row of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new row.
    Insert(Row),
    /// A deleted row.
    Delete(Row),
    /// A row with new content.
    Update {
        /// The old content.
        before: Row,
        /// The new content.
        after: Row,
    },
}

impl Change {
    /// The changes of a batch.
    ///
    /// # Errors
    /// When a value cannot be read, or a pair is torn.
    pub fn all_of(batch: &Batch) -> Result<Vec<Self>, String> {
        let mut rows = rows_of(batch.rows())?.into_iter().enumerate();
        let mut changes = Vec::new();
        while let Some((number, row)) = rows.next() {
            changes.push(match batch.kind(number) {
                RowKind::Insert => Self::Insert(row),
                RowKind::Delete => Self::Delete(row),
                RowKind::UpdateBefore => match rows.next() {
                    Some((behind, after)) if batch.kind(behind) == RowKind::UpdateAfter => {
                        Self::Update { before: row, after }
                    }
                    _ => return Err(format!("there is no +U after the -U of {row:?}")),
                },
                RowKind::UpdateAfter => return Err(format!("there is no -U before the +U of {row:?}")),
            });
        }
        Ok(changes)
    }

    /// The change after `act` is applied to its rows. `act` returns `None` for a row that is dropped.
    ///
    /// # Errors
    /// Those of `act`.
    pub fn through(&self, act: impl Fn(&Row) -> Result<Option<Row>, String>) -> Result<Option<Self>, String> {
        Ok(match self {
            Self::Insert(row) => act(row)?.map(Self::Insert),
            Self::Delete(row) => act(row)?.map(Self::Delete),
            Self::Update { before, after } => match (act(before)?, act(after)?) {
                (Some(before), Some(after)) => Some(Self::Update { before, after }),
                (Some(before), None) => Some(Self::Delete(before)),
                (None, Some(after)) => Some(Self::Insert(after)),
                (None, None) => None,
            },
        })
    }

    /// The row, for an operator that accepts only inserts.
    ///
    /// # Errors
    /// When it is not an insert.
    pub fn into_insert(self) -> Result<Row, String> {
        match self {
            Self::Insert(row) => Ok(row),
            other => Err(format!("an operator that accepts only inserts gets {other:?}")),
        }
    }

    /// The rows that represent the change: two for an update.
    pub fn rows(&self) -> Vec<(RowKind, &Row)> {
        match self {
            Self::Insert(row) => vec![(RowKind::Insert, row)],
            Self::Delete(row) => vec![(RowKind::Delete, row)],
            Self::Update { before, after } => vec![(RowKind::UpdateBefore, before), (RowKind::UpdateAfter, after)],
        }
    }
}

/// The table that a changelog describes: how often it has each row. It begins empty.
///
/// # Errors
/// When a row to be removed is missing, and when a pair is torn.
pub fn fold(written: &[Written]) -> Result<BTreeMap<String, usize>, String> {
    let mut table: BTreeMap<String, usize> = BTreeMap::new();
    let mut open = false;
    for (number, (kind, row)) in written.iter().enumerate() {
        let text = format!("{row:?}");
        if open != (*kind == RowKind::UpdateAfter) {
            return Err(format!("row {number} is the {kind} of {text}: half of an update is alone"));
        }
        open = *kind == RowKind::UpdateBefore;
        if !kind.is_retraction() {
            *table.entry(text).or_default() += 1;
            continue;
        }
        match table.get_mut(&text) {
            Some(1) => drop(table.remove(&text)),
            Some(count) => *count -= 1,
            None => return Err(format!("row {number} is the {kind} of {text}, which is missing")),
        }
    }
    if open { Err("the last row is a -U without its +U".to_owned()) } else { Ok(table) }
}

#[cfg(test)]
mod tests {
    use eddyline_expression::Scalar;

    use super::*;

    fn row(number: i64) -> Row {
        vec![Scalar::Int64(Some(number))]
    }

    fn written(rows: &[(RowKind, i64)]) -> Vec<Written> {
        rows.iter().map(|(kind, number)| (*kind, row(*number))).collect()
    }

    #[test]
    fn a_changelog_is_folded_to_its_table() {
        use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
        let table = fold(&written(&[(Insert, 1), (Insert, 1), (UpdateBefore, 1), (UpdateAfter, 2), (Delete, 1)]));
        assert_eq!(table, Ok(BTreeMap::from([(format!("{:?}", row(2)), 1)])));
    }

    #[test]
    fn what_is_not_there_cannot_be_taken_out_and_half_an_update_is_none() {
        use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
        let error = |rows: &[(RowKind, i64)]| fold(&written(rows)).expect_err("no changelog");
        assert!(error(&[(Insert, 1), (Delete, 1), (Delete, 1)]).contains("row 2 is the -D"));
        assert!(error(&[(Insert, 1), (UpdateBefore, 2), (UpdateAfter, 3)]).contains("which is missing"));
        assert!(error(&[(Insert, 1), (UpdateBefore, 1), (Insert, 2)]).contains("is alone"));
        assert!(error(&[(UpdateAfter, 1)]).contains("is alone"));
        assert!(error(&[(Insert, 1), (UpdateBefore, 1)]).contains("the last row"));
    }

    #[test]
    fn a_filter_makes_of_half_an_update_what_it_is_for_the_filtered_table() {
        let even = |row: &Row| Ok((row[0] == Scalar::Int64(Some(2))).then(|| row.clone()));
        let update = |before, after| Change::Update { before: row(before), after: row(after) };
        assert_eq!(update(1, 2).through(even), Ok(Some(Change::Insert(row(2)))));
        assert_eq!(update(2, 1).through(even), Ok(Some(Change::Delete(row(2)))));
        assert_eq!(update(2, 2).through(even), Ok(Some(update(2, 2))));
        assert_eq!(update(1, 3).through(even), Ok(None));
    }
}
