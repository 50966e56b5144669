use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A row's identity and its version.
type Rows = BTreeMap<u32, u64>;
/// The number of rows in a chunk of the model. The identity of a row determines its chunk.
const CHUNK: u32 = 4;

/// What happens to a bucket between two barriers, and whether the checkpoint of the second barrier completes.
#[derive(Clone, Debug)]
struct Step {
    changed: Vec<u32>,
    completes: bool,
    /// All rows are requested, as for a savepoint.
    all: bool,
    /// The operator hands over all rows although fewer were requested.
    whole: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let changed = prop_oneof![
        3 => Just(Vec::new()),
        4 => prop::collection::vec(0u32..80, 0..6),
        1 => prop::collection::vec(0u32..80, 0..80),
    ];
    let (completes, all, whole) = (prop::bool::weighted(0.7), prop::bool::weighted(0.05), prop::bool::weighted(0.1));
    let step = (changed, completes, all, whole).prop_map(|(changed, completes, all, whole)| Step {
        changed,
        completes,
        all,
        whole,
    });
    prop::collection::vec(step, 1..60)
}

/// The rows in the files of a chain, read in order.
fn read(chain: &Chain<usize>, files: &[Rows]) -> Rows {
    chain.links().iter().flat_map(|link| files[link.file].clone()).collect()
}

proptest! {
    #[test]
    fn a_chain_holds_the_latest_version_of_every_row_and_is_never_longer_than_the_parts(steps in steps()) {
        let mut rows = Rows::new();
        let mut changed_at: BTreeMap<u32, usize> = BTreeMap::new();
        let mut files: Vec<Rows> = Vec::new();
        let mut completed: Option<(usize, Chain<usize>)> = None;
        let mut round = Round::default();
        for (checkpoint, step) in steps.iter().enumerate() {
            for row in &step.changed {
                rows.insert(*row, checkpoint as u64);
                changed_at.insert(*row, checkpoint);
            }
            let since = completed.as_ref().map(|(since, _)| *since).filter(|_| !step.all);
            let is_wanted = |row: &u32| {
                since.is_none_or(|since| changed_at[row] > since)
                    || (row / CHUNK) % u32::from(PARTS) == u32::from(round.part())
            };
            let whole = step.whole || since.is_none();
            let handed: Rows =
                rows.iter().filter(|(row, _)| whole || is_wanted(row)).map(|(row, at)| (*row, *at)).collect();
            let (file, count) = (files.len(), handed.len() as u64);
            files.push(handed);
            let handed = match (whole, count) {
                (true, _) => Handed::All(file),
                (false, 0) => Handed::Nothing,
                (false, _) => Handed::Changed(file, count),
            };
            let before = completed.as_ref().map(|(_, chain)| chain).filter(|_| since.is_some());
            let chain = Chain::after(before, handed, rows.len() as u64, round).expect("enough was handed over");
            prop_assert_eq!(read(&chain, &files), rows.clone());
            prop_assert!(chain.links().len() <= usize::from(PARTS));
            if step.completes {
                completed = Some((checkpoint, chain));
                round = round.next();
            }
        }
    }
}

fn after(before: Option<&Chain<u32>>, handed: Handed<u32>, rows: u64, round: u64) -> Result<Chain<u32>, String> {
    Chain::after(before, handed, rows, Round(round))
}

#[test]
fn a_file_leaves_the_chain_when_all_parts_were_written_after_it() {
    let mut chain = after(None, Handed::All(0), 8, 0).expect("a base");
    for round in 1..=7 {
        chain = after(Some(&chain), Handed::Changed(round, 1), 8, u64::from(round)).expect("a delta");
    }
    let files = |chain: &Chain<u32>| chain.links().iter().map(|link| link.file).collect::<Vec<_>>();
    assert_eq!(files(&chain), [0, 1, 2, 3, 4, 5, 6, 7]);
    chain = after(Some(&chain), Handed::Changed(8, 1), 8, 8).expect("a delta");
    assert_eq!(files(&chain), [1, 2, 3, 4, 5, 6, 7, 8]);
    chain = after(Some(&chain), Handed::All(9), 8, 9).expect("a base");
    assert_eq!(files(&chain), [9]);
}

#[test]
fn a_base_that_is_handed_over_again_is_as_good_as_new() {
    let base = after(None, Handed::All(0), 8, 0).expect("a base");
    let again = after(Some(&base), Handed::Same, 8, 5).expect("the same");
    let later = after(Some(&again), Handed::Nothing, 8, 12).expect("still there");
    assert_eq!(later.only_base().map(|base| base.file), Some(0));
    after(Some(&base), Handed::Nothing, 8, 8).expect_err("its rows have not been handed over for eight checkpoints");
}

#[test]
fn rows_that_nobody_has_written_are_refused() {
    let error = after(None, Handed::Nothing, 3, 1).expect_err("no chain");
    assert_eq!(error, "it has 3 rows, and at most 0 of them were handed over");
    after(None, Handed::Changed(0, 2), 3, 1).expect_err("two of three");
    after(None, Handed::Same, 3, 1).expect_err("there is no base");
    let delta = after(None, Handed::Changed(0, 3), 3, 1).expect("all three");
    after(Some(&delta), Handed::Same, 3, 2).expect_err("a delta has no digest");
    after(None, Handed::Nothing, 0, 1).expect("an empty bucket");
}
