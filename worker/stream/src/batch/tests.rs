//! Random changelogs through random cuts, filters and exchanges. The oracle is a list of the rows of the table: it
//! knows operations as a whole, and no kinds.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::KindsBuilder;

/// Key and value.
type Row = (i64, i64);
/// A table: the number of times that it has each row.
type Table = BTreeMap<Row, usize>;

/// A random operation: its kind, the row that it changes, and the new row.
type Draw = (u8, Index, Row);

/// A changelog, and the table after each of its operations.
#[derive(Debug)]
struct Changelog {
    batch: Batch,
    tables: Vec<Table>,
}

impl Changelog {
    fn of(draws: &[Draw]) -> Self {
        let (mut present, mut changes) = (Vec::<Row>::new(), Vec::new());
        let (mut kinds, mut tables) = (KindsBuilder::default(), vec![Table::new()]);
        for (operation, which, new) in draws {
            match (operation, present.len()) {
                (0, _) | (_, 0) => {
                    kinds.insert();
                    present.push(*new);
                    changes.push(*new);
                }
                (1, count) => {
                    kinds.delete();
                    changes.push(present.remove(which.index(count)));
                }
                (_, count) => {
                    kinds.update();
                    let row = &mut present[which.index(count)];
                    changes.extend([*row, *new]);
                    *row = *new;
                }
            }
            tables.push(table(present.iter().copied()));
        }
        Self { batch: Batch::with_kinds(rows(&changes), kinds.finish()), tables }
    }

    fn last(&self) -> &Table {
        self.tables.last().expect("the table before the first operation")
    }
}

fn table(rows: impl Iterator<Item = Row>) -> Table {
    let mut table = Table::new();
    rows.for_each(|row| *table.entry(row).or_default() += 1);
    table
}

fn rows(rows: &[Row]) -> RecordBatch {
    let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let (keys, values) = rows.iter().copied().unzip();
    RecordBatch::try_from_iter([("k", column(keys)), ("v", column(values))]).expect("columns of one length")
}

fn listed(batch: &Batch) -> Vec<Row> {
    let column = |index: usize| batch.rows().column(index).as_primitive::<Int64Type>().values().iter().copied();
    column(0).zip(column(1)).collect()
}

/// Applies a batch to a table. Fails when a row to be removed is missing, and when a pair is torn.
fn apply(table: &mut Table, batch: &Batch) -> Result<(), TestCaseError> {
    let mut open = false;
    for (row, content) in listed(batch).into_iter().enumerate() {
        let kind = batch.kind(row);
        if open {
            prop_assert_eq!(kind, RowKind::UpdateAfter, "after a -U");
        } else {
            prop_assert_ne!(kind, RowKind::UpdateAfter, "nothing here produces upserts");
        }
        open = kind == RowKind::UpdateBefore;
        if kind.is_retraction() {
            let Some(count) = table.get_mut(&content) else {
                return Err(TestCaseError::fail(format!("{kind} of {content:?}, which is missing")));
            };
            *count -= 1;
            if *count == 0 {
                table.remove(&content);
            }
        } else {
            *table.entry(content).or_default() += 1;
        }
    }
    prop_assert!(!open, "a -U at the end of a batch");
    Ok(())
}

/// The table that a changelog describes.
fn fold<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Result<Table, TestCaseError> {
    let mut table = Table::new();
    batches.into_iter().try_for_each(|batch| apply(&mut table, batch))?;
    Ok(table)
}

/// Cuts a batch at random.
fn cut(mut batch: Batch, sizes: &[usize]) -> Vec<Batch> {
    let mut pieces: Vec<Batch> = sizes.iter().map(|size| batch.split_to(*size)).collect();
    pieces.push(batch);
    pieces.retain(|piece| piece.num_rows() > 0);
    pieces
}

/// Whether a row passes a filter.
fn passes((key, value): &Row, filter: (i64, i64)) -> bool {
    (key + value).rem_euclid(filter.0) <= filter.1
}

fn filtered(batch: &Batch, filter: (i64, i64)) -> Batch {
    let mask: Vec<bool> = listed(batch).iter().map(|row| passes(row, filter)).collect();
    batch.filter(&mask.into()).expect("a mask of its length")
}

fn kept(table: &Table, filter: (i64, i64)) -> Table {
    table.iter().filter(|(row, _)| passes(row, filter)).map(|(row, count)| (*row, *count)).collect()
}

/// The part of a batch that each slot gets.
fn exchanged(batch: Batch, slots: u64) -> Result<Vec<Batch>, TestCaseError> {
    let hashes = batch.key_hashes_by(&[0]).expect("numbers are keys");
    let keyed = batch.with_key_hashes(hashes);
    for (row, pair) in listed(&keyed).windows(2).enumerate() {
        let is_pair = keyed.kind(row) == RowKind::UpdateBefore;
        prop_assert!(!is_pair || pair[0].0 == pair[1].0, "a pair of two keys on a keyed edge");
    }
    let part = |slot| {
        let hashes = keyed.key_hashes().expect("keyed");
        let numbers = (0u32..).zip(hashes.iter()).filter(|(_, hash)| *hash % slots == slot);
        let part = keyed.take(&numbers.map(|(row, _)| row).collect()).expect("rows of the batch");
        assert_eq!(part.key_hashes(), part.clone().unkeyed().key_hashes_by(&[0]).ok().as_deref());
        part
    };
    Ok((0..slots).map(part).collect())
}

impl Batch {
    fn unkeyed(self) -> Self {
        Self { key_hashes: None, ..self }
    }
}

fn draws() -> impl Strategy<Value = Vec<Draw>> {
    prop::collection::vec((0u8..4, any::<Index>(), (0i64..6, 0i64..6)), 0..60)
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..9, 0..30)
}

fn filter() -> impl Strategy<Value = (i64, i64)> {
    (1i64..5).prop_flat_map(|modulus| (Just(modulus), 0..modulus))
}

proptest! {
    #[test]
    fn behind_every_piece_the_table_is_one_between_two_operations(draws in draws(), sizes in sizes()) {
        let changelog = Changelog::of(&draws);
        let pieces = cut(changelog.batch.clone(), &sizes);
        let (mut seen, mut from) = (Table::new(), 0);
        for piece in &pieces {
            apply(&mut seen, piece)?;
            let position = changelog.tables[from..].iter().position(|table| *table == seen);
            prop_assert!(position.is_some(), "not a table of the changelog: {:?}", seen);
            from += position.unwrap_or(0);
        }
        prop_assert_eq!(&seen, changelog.last());
        let whole = Batch::concat(&pieces).expect("columns of one changelog");
        if let Some(whole) = whole {
            prop_assert_eq!(listed(&whole), listed(&changelog.batch));
            prop_assert_eq!(whole.kinds(), changelog.batch.kinds());
        }
    }

    #[test]
    fn pieces_have_the_size_that_was_asked_for_or_the_rest_of_a_pair_more(draws in draws(), size in 1usize..9) {
        let changelog = Changelog::of(&draws);
        let pieces: Vec<Batch> = changelog.batch.clone().pieces(size).collect();
        if let Some((_, full)) = pieces.split_last() {
            for piece in full {
                let last = piece.num_rows() - 1;
                let is_longer = piece.num_rows() == size + 1 && piece.kind(last) == RowKind::UpdateAfter;
                prop_assert!(piece.num_rows() == size || is_longer);
            }
        }
        prop_assert_eq!(&fold(&pieces)?, changelog.last());
    }

    #[test]
    fn a_filter_of_the_changelog_is_the_changelog_of_the_filtered_table(
        draws in draws(), sizes in sizes(), filter in filter(),
    ) {
        let changelog = Changelog::of(&draws);
        let (mut all, mut some) = (Table::new(), Table::new());
        for piece in cut(changelog.batch, &sizes) {
            apply(&mut all, &piece)?;
            apply(&mut some, &filtered(&piece, filter))?;
            prop_assert_eq!(&some, &kept(&all, filter));
        }
    }

    #[test]
    fn every_slot_gets_the_changelog_of_its_part_of_the_table(
        draws in draws(), before in sizes(), behind in sizes(), slots in 1u64..4,
        (first, second) in (filter(), filter()),
    ) {
        let changelog = Changelog::of(&draws);
        let mut channels: Vec<Vec<Batch>> = vec![Vec::new(); usize::try_from(slots).expect("few")];
        for piece in cut(changelog.batch.clone(), &before) {
            for (channel, part) in channels.iter_mut().zip(exchanged(filtered(&piece, first), slots)?) {
                channel.push(part);
            }
        }
        let mut together = Table::new();
        for channel in channels {
            let merged = Batch::concat(&channel).expect("columns of one changelog");
            let received = merged.map_or_else(Vec::new, |merged| cut(merged, &behind));
            let of_slot = fold(&channel)?;
            prop_assert_eq!(&fold(&received)?, &of_slot);
            let results: Vec<Batch> = received.iter().map(|batch| filtered(batch, second)).collect();
            prop_assert_eq!(&fold(&results)?, &kept(&of_slot, second));
            together.extend(of_slot);
        }
        prop_assert_eq!(&together, &kept(changelog.last(), first));
    }

    #[test]
    fn any_rows_in_any_order_are_whole_pairs_and_single_rows(
        draws in draws(), picks in prop::collection::vec(any::<Index>(), 0..40),
    ) {
        let batch = Changelog::of(&draws).batch;
        let count = batch.num_rows().max(1);
        let numbers: Vec<u32> = picks.iter().map(|pick| pick.index(count) as u32).collect();
        let numbers: UInt32Array = numbers.into_iter().filter(|row| (*row as usize) < batch.num_rows()).collect();
        let taken = batch.take(&numbers).expect("rows of the batch");
        let again = Kinds::new((0..taken.num_rows()).map(|row| taken.kind(row)));
        prop_assert_eq!(again.as_ref().map(Option::as_ref), Ok(taken.kinds()));
        for (row, number) in numbers.values().iter().enumerate() {
            let before = batch.kind(*number as usize);
            prop_assert_eq!(before.is_retraction(), taken.kind(row).is_retraction());
        }
    }
}

#[test]
fn a_cut_stays_within_the_batch_and_ends() {
    let pair = Kinds::new([RowKind::UpdateBefore, RowKind::UpdateAfter]).expect("a whole pair");
    let batch = Batch::with_kinds(rows(&[(1, 1), (1, 2)]), pair);
    assert_eq!([0, 1, 2, 3, usize::MAX].map(|rows| batch.cut_at(rows)), [0, 2, 2, 2, 2]);
    assert_eq!(batch.clone().pieces(0).map(|piece| piece.num_rows()).collect::<Vec<_>>(), [2]);
    assert_eq!(batch.clone().split_to(0).num_rows(), 0);
    let inserts = Batch::new(rows(&[(1, 1), (1, 2)]));
    assert_eq!(inserts.pieces(0).map(|piece| piece.num_rows()).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn only_inserts_are_given_to_those_who_can_take_nothing_else() {
    let kinds = Kinds::new([RowKind::Insert, RowKind::Delete]).expect("no pairs");
    let mut batch = Batch::with_kinds(rows(&[(1, 1), (1, 1)]), kinds);
    let refusal = batch.inserts().expect_err("a -D is none").to_string();
    assert_eq!(refusal, "a row of kind -D, but only inserts (+I) are accepted here");
    assert!(batch.split_to(1).inserts().is_ok() && batch.inserts().is_err());
}
