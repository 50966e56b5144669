use proptest::prelude::*;

use super::*;

fn uid(text: &str) -> OperatorUid {
    OperatorUid::new(text)
}

fn values(list: &[&str]) -> Vec<String> {
    list.iter().map(|value| (*value).to_owned()).collect()
}

fn aggregate(name: &str, window: &str, calls: &[&str], source: &str) -> Operator {
    let facts = vec![
        Fact::one("window", window),
        Fact::of("keys", values(&["k"]), Rule::Same),
        Fact::of("aggregates", values(calls), Rule::Fewer),
    ];
    (uid(name), Meaning { kind: "window-aggregate".to_owned(), facts, sources: vec![uid(source)] })
}

fn source(name: &str, topic: &str, servers: &[&str]) -> Operator {
    let facts = vec![Fact::one("topic", topic), Fact::of("servers", values(servers), Rule::OneInCommon)];
    (uid(name), Meaning { kind: SOURCE.to_owned(), facts, sources: Vec::new() })
}

fn restored(comparison: &Comparison) -> Vec<(String, String)> {
    comparison.restored.iter().map(|(job, recorded)| (job.to_string(), recorded.to_string())).collect()
}

fn pair(job: &str, recorded: &str) -> (String, String) {
    (job.to_owned(), recorded.to_owned())
}

#[test]
fn state_is_found_by_what_an_operator_computes_whatever_it_is_called() {
    let recorded = [source("source/a", "t", &["x"]), aggregate("out/1", "1 min", &["SUM(v)"], "source/a")];
    let job = [
        source("source/renamed", "t", &["x"]),
        aggregate("out/1", "5 min", &["SUM(v)"], "source/renamed"),
        aggregate("out/2", "1 min", &["SUM(v)"], "source/renamed"),
    ];
    let comparison = compare(&recorded, &job);
    assert_eq!(restored(&comparison), [pair("out/2", "out/1"), pair("source/renamed", "source/a")]);
    assert_eq!((comparison.refusals, comparison.added), (Vec::new(), vec![uid("out/1")]));
}

#[test]
fn what_differs_is_said_and_what_does_not_is_not() {
    let recorded = [source("source/a", "t", &["x"]), aggregate("out/1", "1 min", &["SUM(v)", "MAX(v)"], "source/a")];
    let job = [source("source/a", "u", &["x"]), aggregate("out/1", "5 min", &["MIN(v)", "SUM(v)"], "source/a")];
    let comparison = compare(&recorded, &job);
    let texts: Vec<String> = comparison.refusals.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "operator out/1: its state belongs to another computation\n    window: 1 min -> 5 min\n    aggregates: MAX(v) -> MIN(v)",
            "operator source/a: its state belongs to another computation\n    topic: t -> u",
        ]
    );
}

#[test]
fn of_two_that_compute_the_same_each_gets_the_state_of_its_own_source() {
    let recorded = [
        source("source/a", "t", &["x"]),
        source("source/b", "t", &["x"]),
        aggregate("out/1", "1 min", &["SUM(v)"], "source/a"),
        aggregate("out/1#2", "1 min", &["SUM(v)"], "source/b"),
    ];
    // The inserts are in another order, so the numbers have changed.
    let job = [
        source("source/b", "t", &["x"]),
        source("source/a", "t", &["x"]),
        aggregate("out/1", "1 min", &["SUM(v)"], "source/b"),
        aggregate("out/1#2", "1 min", &["SUM(v)"], "source/a"),
    ];
    let comparison = compare(&recorded, &job);
    assert_eq!(
        restored(&comparison),
        [
            pair("out/1", "out/1#2"),
            pair("out/1#2", "out/1"),
            pair("source/a", "source/a"),
            pair("source/b", "source/b")
        ]
    );
}

#[test]
fn fewer_aggregates_leave_state_valid_and_one_with_all_of_them_comes_first() {
    let recorded =
        [aggregate("out/1", "1 min", &["MAX(v)", "SUM(v)"], "s"), aggregate("out/2", "1 min", &["SUM(v)"], "s")];
    let job = [aggregate("out/3", "1 min", &["SUM(v)"], "s"), aggregate("out/4", "1 min", &["MAX(v)"], "s")];
    let comparison = compare(&recorded, &job);
    assert_eq!(restored(&comparison), [pair("out/3", "out/2"), pair("out/4", "out/1")]);
    assert!(compare(&job, &recorded).refusals.iter().any(|refusal| refusal.to_string().contains("aggregates: ")));
}

#[test]
fn an_operator_that_is_added_restores_what_another_that_computes_the_same_restores_too() {
    let recorded = [source("source/a", "t", &["x"]), aggregate("out/1", "1 min", &["MAX(v)", "SUM(v)"], "source/a")];
    let job = [
        source("source/a", "t", &["x"]),
        aggregate("added/1", "1 min", &["MAX(v)", "SUM(v)"], "source/a"),
        aggregate("fewer/1", "1 min", &["SUM(v)"], "source/a"),
        aggregate("other/1", "1 min", &["MIN(v)"], "source/a"),
        aggregate("out/1", "1 min", &["MAX(v)", "SUM(v)"], "source/a"),
    ];
    let comparison = compare(&recorded, &job);
    let from_out = [pair("added/1", "out/1"), pair("fewer/1", "out/1"), pair("out/1", "out/1")];
    assert_eq!(restored(&comparison), [&from_out[..], &[pair("source/a", "source/a")]].concat());
    assert_eq!((comparison.refusals, comparison.added), (Vec::new(), vec![uid("other/1")]));
}

#[test]
fn state_of_one_computation_that_is_recorded_twice_is_needed_once() {
    let two = |calls: &[&str], of: &str| {
        [
            source("source/a", "t", &["x"]),
            source("source/a#2", "t", &["x"]),
            aggregate("out/1", "1 min", &["SUM(v)"], "source/a"),
            aggregate("out/2", "1 min", calls, of),
        ]
    };
    let one = &two(&[], "")[..3];
    let same = compare(&two(&["SUM(v)"], "source/a"), one);
    assert_eq!(same.refusals, Vec::new());
    let refused = |recorded: &[Operator]| {
        compare(recorded, one).refusals.into_iter().map(|refusal| refusal.recorded.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(refused(&two(&["SUM(v)", "MAX(v)"], "source/a")), ["out/2"], "MAX would be left behind");
    assert_eq!(refused(&two(&["SUM(v)"], "source/a#2")), ["out/2"], "the other source is elsewhere in its rows");
}

#[test]
fn a_table_that_is_read_more_often_is_read_from_where_it_was_and_another_table_is_not() {
    let recorded = [source("source/a", "t", &["x"]), aggregate("out/1", "1 min", &["SUM(v)"], "source/a")];
    let job = [
        source("source/a", "t", &["x"]),
        source("source/a#2", "t", &["x"]),
        source("source/b", "t", &["x"]),
        aggregate("out/1", "1 min", &["SUM(v)"], "source/a"),
        aggregate("out/2", "1 min", &["SUM(v)"], "source/a#2"),
        aggregate("out/3", "1 min", &["SUM(v)"], "source/b"),
    ];
    let comparison = compare(&recorded, &job);
    assert_eq!(
        restored(&comparison),
        [pair("out/1", "out/1"), pair("out/2", "out/1"), pair("source/a", "source/a"), pair("source/a#2", "source/a")]
    );
    assert_eq!(comparison.added, [uid("source/b"), uid("out/3")]);
    let refused = compare(&job[..2], &recorded[..1]).refusals;
    assert_eq!(refused[0].recorded, uid("source/a#2"), "two sources have two positions");
}

#[test]
fn servers_are_the_same_when_one_is_in_both_lists() {
    let recorded = [source("source/a", "t", &["x", "y"])];
    assert!(compare(&recorded, &[source("source/a", "t", &["y", "z"])]).refusals.is_empty());
    let moved = compare(&recorded, &[source("source/a", "t", &["z"])]);
    assert!(moved.refusals[0].to_string().contains("servers: x, y -> z"));
}

#[test]
fn what_may_be_left_behind_is_named_by_the_recorded_operator() {
    let recorded = [aggregate("out/1", "1 min", &["SUM(v)"], "s"), aggregate("out/2", "2 min", &["SUM(v)"], "s")];
    let comparison = compare(&recorded, &[]);
    let may_be_left = BTreeSet::from([uid("out/1")]);
    let refused: Vec<&OperatorUid> = comparison.refused(&may_be_left).map(|refusal| &refusal.recorded).collect();
    assert_eq!(refused, [&uid("out/2")]);
    let text = ways_out(refused);
    assert!(text.contains("[out/2]") && text.contains("--allow-non-restored-state 'out/2'"), "{text}");
}

proptest! {
    /// The order of statements has no meaning, nor has the order of aggregates and the like within them.
    #[test]
    fn order_does_not_matter(picked in prop::collection::vec((0..3usize, 0..4usize), 1..6), turn in 0..6usize) {
        let calls = [vec!["SUM(v)", "MAX(v)"], vec!["SUM(w)"], vec!["COUNT(*)", "SUM(v)"], vec!["MIN(v)"]];
        let of = |number: usize, (window, call): (usize, usize), reverse: bool| {
            let mut calls = calls[call].clone();
            if reverse {
                calls.reverse();
            }
            aggregate(&format!("out/{number}"), ["1 min", "2 min", "3 min"][window], &calls, "s")
        };
        let recorded: Vec<Operator> = picked.iter().enumerate().map(|(n, pick)| of(n, *pick, false)).collect();
        let mut job: Vec<Operator> = picked.iter().enumerate().map(|(n, pick)| of(n + 10, *pick, true)).collect();
        let turn = turn % job.len();
        job.rotate_left(turn);
        let comparison = compare(&recorded, &job);
        prop_assert!(comparison.refusals.is_empty() && comparison.added.is_empty());
        let unique: BTreeSet<&OperatorUid> = comparison.restored.values().collect();
        prop_assert_eq!(unique.len(), recorded.len(), "no state is given twice");
        for (uid, meaning) in &job {
            let (_, of_recorded) = recorded.iter().find(|(other, _)| *other == comparison.restored[uid]).expect("there");
            prop_assert_eq!(meaning.digest(), of_recorded.digest());
        }
    }
}
