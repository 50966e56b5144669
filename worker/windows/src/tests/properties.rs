//! Every assigner with every family of aggregates gives the results of the model. That holds for any batches, any piece
//! size, a restart at any place and any parallelism, with and without aggregation before the exchange, and for a
//! barrier between any two pieces, and for groups that are written to disk between any two steps. The checkpoints in between have only changes. Put together, they are the whole state.

use eddyline_job_graph::WindowAssigner;
use proptest::prelude::*;

use super::aggregates::{Call, distinct_values, invertible, mergeable, ordered};
use super::harness::{Job, Pieces, config};
use super::model;
use super::rows::{END, Event, KEY, NAME, Row, START, WINDOW_MS, events};

fn tumble() -> WindowAssigner {
    WindowAssigner::Tumble { size_ms: WINDOW_MS, offset_ms: 5 }
}

fn hop() -> WindowAssigner {
    WindowAssigner::Hop { size_ms: WINDOW_MS, slide_ms: 3, offset_ms: -2 }
}

/// Windows with so many slices that not every slice has a merge.
fn long_hop() -> WindowAssigner {
    WindowAssigner::Hop { size_ms: 36, slide_ms: 2, offset_ms: 0 }
}

fn cumulate() -> WindowAssigner {
    WindowAssigner::Cumulate { size_ms: WINDOW_MS, step_ms: 4, offset_ms: 1 }
}

fn session() -> WindowAssigner {
    WindowAssigner::Session { gap_ms: 4 }
}

fn attached() -> WindowAssigner {
    WindowAssigner::Attached { start: START, end: END }
}

fn key_text(keys: &[usize], row: &Row) -> String {
    let text = |key: &usize| match *key {
        KEY => format!("{}|", row.key.map(|key| key.to_string()).unwrap_or_default()),
        _ => format!("{}|", row.name().unwrap_or_default()),
    };
    keys.iter().map(text).collect()
}

#[derive(Clone, Debug)]
struct Case {
    events: Vec<Event>,
    keys: Vec<usize>,
    subtasks: u16,
    checkpoints: Vec<Option<bool>>,
    evictions: Vec<usize>,
    restart: Option<(usize, u16, usize)>,
    pieces: Pieces,
}

fn cases() -> impl Strategy<Value = Case> {
    let keys = prop_oneof![Just(vec![KEY]), Just(vec![NAME]), Just(vec![NAME, KEY]), Just(Vec::new())];
    let restart = prop::option::of((0usize..20, 1u16..4, 1usize..6));
    let cut = prop::option::of((0usize..40, 1u16..4, 1usize..6));
    let pieces = prop_oneof![
        1 => Just(Pieces::WHOLE),
        3 => (1usize..6, cut).prop_map(|(rows, cut)| Pieces { rows, cut }),
    ];
    let checkpoints = prop::collection::vec(prop::option::of(prop::bool::weighted(0.7)), 1..6);
    let evictions = prop_oneof![
        1 => Just(Vec::new()),
        2 => prop::collection::vec(prop_oneof![Just(0), Just(1), Just(usize::MAX)], 1..6),
    ];
    let case = (events(), keys, 1u16..4, checkpoints, evictions, restart, pieces);
    case.prop_map(|(events, keys, subtasks, checkpoints, evictions, restart, pieces)| Case {
        events,
        keys,
        subtasks,
        checkpoints,
        evictions,
        restart,
        pieces,
    })
}

fn check(assigner: WindowAssigner, calls: &[Call], case: &Case, is_local: bool) -> Result<(), TestCaseError> {
    let key_of = |row: &Row| key_text(&case.keys, row);
    let (expected, late) = model::run(&assigner, calls, &key_of, &case.events);
    let job = Job::new(config(assigner, &case.keys, calls), case.subtasks, is_local)
        .in_pieces(case.pieces)
        .evicting(&case.evictions);
    let (lines, late_rows) = job.run(&case.events, &case.checkpoints, case.restart);
    prop_assert_eq!(lines, expected);
    prop_assert_eq!(late_rows, late);
    Ok(())
}

macro_rules! equals_the_model {
    ($($name:ident: $assigner:expr, $calls:expr, $is_local:expr;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(48))]
            $(
                #[test]
                fn $name(case in cases()) {
                    check($assigner, &$calls, &case, $is_local)?;
                }
            )*
        }
    };
}

equals_the_model! {
    tumble_of_sums_equals_the_model: tumble(), invertible(), false;
    tumble_of_extremes_equals_the_model: tumble(), mergeable(), false;
    tumble_of_distinct_values_equals_the_model: tumble(), distinct_values(), false;
    tumble_of_ordered_values_equals_the_model: tumble(), ordered(), false;
    tumble_in_two_phases_equals_the_model: tumble(), [invertible(), mergeable()].concat(), true;

    hop_of_sums_equals_the_model: hop(), invertible(), false;
    hop_of_extremes_equals_the_model: hop(), mergeable(), false;
    hop_of_distinct_values_equals_the_model: hop(), distinct_values(), false;
    hop_of_ordered_values_equals_the_model: hop(), ordered(), false;
    hop_of_sums_in_two_phases_equals_the_model: hop(), invertible(), true;
    hop_of_extremes_in_two_phases_equals_the_model: hop(), mergeable(), true;

    long_hop_of_sums_equals_the_model: long_hop(), invertible(), false;
    long_hop_of_extremes_equals_the_model: long_hop(), mergeable(), false;
    long_hop_of_ordered_values_equals_the_model: long_hop(), ordered(), false;

    cumulate_of_sums_equals_the_model: cumulate(), invertible(), false;
    cumulate_of_extremes_equals_the_model: cumulate(), mergeable(), false;
    cumulate_of_distinct_values_equals_the_model: cumulate(), distinct_values(), false;
    cumulate_in_two_phases_equals_the_model: cumulate(), [invertible(), mergeable()].concat(), true;

    session_of_sums_equals_the_model: session(), invertible(), false;
    session_of_extremes_equals_the_model: session(), mergeable(), false;
    session_of_distinct_values_equals_the_model: session(), distinct_values(), false;
    session_of_ordered_values_equals_the_model: session(), ordered(), false;

    attached_sums_equal_the_model: attached(), invertible(), false;
    attached_extremes_equal_the_model: attached(), mergeable(), false;
    attached_distinct_values_equal_the_model: attached(), distinct_values(), false;
    attached_in_two_phases_equals_the_model: attached(), invertible(), true;
}
