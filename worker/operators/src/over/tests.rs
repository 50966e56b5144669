//! Compares the operator with a model that keeps every row and follows Flink's functions literally.

mod chain;
mod model;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use eddyline_expression::Scalar;
use eddyline_job_graph::{AggregateCall, AggregateFunction, Over, OverFrame, TimeColumn};
use eddyline_state::{NO_BUCKET, Snapshot};
use eddyline_stream::{Assignment, MaxParallelism, Watermark, key_hash};
use proptest::prelude::*;

use self::chain::Chain;
use self::model::{Model, Row};
use super::OverOperator;
use crate::testing::{Driver, redistribute};
use crate::{Error, Operator, Progress};

fn input() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("key", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("whole", DataType::Int32, true),
        Field::new("real", DataType::Float64, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("wanted", DataType::Boolean, true),
    ]))
}

fn batch(rows: &[Row]) -> RecordBatch {
    let whole = || rows.iter().map(|row| row.value);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.id))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| format!("k{}", row.key)))),
        Arc::new(rows.iter().map(|row| Some(row.time)).collect::<TimestampMillisecondArray>()),
        Arc::new(whole().collect::<Int32Array>()),
        Arc::new(whole().map(|value| value.map(|value| f64::from(value) / 4.0)).collect::<Float64Array>()),
        Arc::new(whole().map(|value| value.map(|value| value.to_string())).collect::<StringArray>()),
        Arc::new(whole().map(|value| value.map(|value| value % 2 == 0)).collect::<arrow::array::BooleanArray>()),
    ];
    RecordBatch::try_new(input(), columns).expect("columns fit the schema")
}

const WHOLE: usize = 3;
const REAL: usize = 4;
const TEXT: usize = 5;

fn call(function: AggregateFunction, argument: Option<usize>, result_type: DataType) -> AggregateCall {
    let argument_type = argument.map(|column| input().field(column).data_type().clone());
    AggregateCall {
        name: format!("{function:?}"),
        function,
        argument,
        distinct: false,
        filter: None,
        argument_type,
        result_type,
    }
}

fn calls() -> Vec<AggregateCall> {
    use AggregateFunction::*;
    let mut filtered = call(CountStar, None, DataType::Int64);
    filtered.filter = Some(6);
    vec![
        call(CountStar, None, DataType::Int64),
        call(Count, Some(WHOLE), DataType::Int64),
        call(Sum, Some(WHOLE), DataType::Int32),
        call(Avg, Some(WHOLE), DataType::Int32),
        call(Min, Some(WHOLE), DataType::Int32),
        call(Max, Some(TEXT), DataType::Utf8),
        call(FirstValue, Some(WHOLE), DataType::Int32),
        call(LastValue, Some(TEXT), DataType::Utf8),
        call(Sum, Some(REAL), DataType::Float64),
        call(Avg, Some(REAL), DataType::Float64),
        call(VarPop, Some(REAL), DataType::Float64),
        call(StddevSamp, Some(WHOLE), DataType::Float64),
        call(ListAgg { separator: "-".to_owned() }, Some(TEXT), DataType::Utf8),
        filtered,
    ]
}

fn operator_of(frame: OverFrame, aggregates: Vec<AggregateCall>) -> OverOperator {
    let mut fields = input().fields().to_vec();
    fields.extend(aggregates.iter().map(|call| Arc::new(Field::new(&call.name, call.result_type.clone(), true))));
    let time = TimeColumn { column: 2, time_zone: None };
    let config = Over { keys: vec![1], time, frame, aggregates };
    OverOperator::new(config, input(), Arc::new(Schema::new(fields))).expect("a plan that makes sense")
}

fn operator(frame: OverFrame) -> OverOperator {
    operator_of(frame, calls())
}

/// The id and results of output rows. Floating-point numbers are rounded to six digits, with an offset that avoids
/// ties, so that the order of additions does not matter.
fn results(rows: Vec<Vec<Scalar>>) -> Vec<(i64, Vec<String>)> {
    let id = |row: &[Scalar]| match row[0] {
        Scalar::Int64(Some(id)) => id,
        ref other => panic!("{other} is no id"),
    };
    let text = |value: &Scalar| match value {
        Scalar::Float64(Some(value)) => format!("{:.6}", value + 1e-9),
        Scalar::Utf8(Some(text)) => text.clone(),
        value => value.to_string(),
    };
    rows.iter().map(|row| (id(row), row[input().fields().len()..].iter().map(text).collect())).collect()
}

/// An element of the input.
#[derive(Clone, Debug)]
enum Step {
    Row {
        key: u8,
        time: i64,
        value: Option<i32>,
    },
    Watermark(i64),
    /// A watermark with a barrier before this piece of its output, and a restore with this number of slots, if it is not 0.
    WatermarkWithBarrier(i64, usize, u16),
    /// Ends the current batch.
    Cut,
    /// A checkpoint, of everything or of what has changed, which completes or not.
    Checkpoint {
        is_whole: bool,
        completes: bool,
    },
    /// A barrier, and a restore with this number of slots.
    Rescale(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0u8..4, 0i64..400, prop::option::weighted(0.85, -9i32..9));
    let step = prop_oneof![
        12 => row.prop_map(|(key, time, value)| Step::Row { key, time, value }),
        2 => (1i64..60).prop_map(Step::Watermark),
        2 => (1i64..60, 0usize..8, 0u16..4).prop_map(|(rise, at, slots)| Step::WatermarkWithBarrier(rise, at, slots)),
        2 => Just(Step::Cut),
        4 => (prop::bool::weighted(0.1), any::<bool>())
            .prop_map(|(is_whole, completes)| Step::Checkpoint { is_whole, completes }),
        1 => (1u16..4).prop_map(Step::Rescale),
    ];
    prop::collection::vec(step, 0..160)
}

fn frames() -> impl Strategy<Value = OverFrame> {
    prop_oneof![
        Just(OverFrame::RowsUnbounded),
        Just(OverFrame::RangeUnbounded),
        (0u64..5).prop_map(OverFrame::Rows),
        (0i64..60).prop_map(OverFrame::Range),
    ]
}

/// All slots of a job, which get their rows as from an exchange.
struct Slots {
    frame: OverFrame,
    assignment: Assignment,
    drivers: Vec<Driver<OverOperator>>,
    /// What checkpoints have of each slot.
    chains: Vec<Chain>,
    buffer: Vec<Row>,
    piece_rows: usize,
    output: Vec<(i64, Vec<String>)>,
}

impl Slots {
    fn new(frame: OverFrame, piece_rows: usize) -> Self {
        let max_parallelism = MaxParallelism::try_from(16).expect("a power of two");
        let assignment = Assignment::even(max_parallelism, 1);
        let drivers = vec![Driver::new(operator(frame)).in_pieces(piece_rows)];
        let chains = vec![Chain::new(operator(frame).state_tables(&[]))];
        Self { frame, assignment, drivers, chains, buffer: Vec::new(), piece_rows, output: Vec::new() }
    }

    fn flush(&mut self) {
        for (slot, driver) in self.drivers.iter_mut().enumerate() {
            let of_slot = |row: &&Row| {
                let key = StringArray::from_iter_values([format!("k{}", row.key)]);
                let hash = key_hash::hash_columns(&[&key], 1).expect("a key");
                self.assignment.owner_of_hash(hash[0]).index() == slot
            };
            let rows: Vec<Row> = self.buffer.iter().filter(of_slot).cloned().collect();
            driver.push(batch(&rows)).expect("rows are fine");
        }
        self.buffer.clear();
    }

    /// Collects the output of a slot, and returns whether there is more. Peers are not separated, so with peers a piece
    /// can have more rows.
    fn piece(&mut self, slot: usize, progress: Result<Progress, Error>) -> bool {
        let rows = results(self.drivers[slot].rows());
        let has_peers = matches!(self.frame, OverFrame::RangeUnbounded | OverFrame::Range(_));
        assert!(has_peers || rows.len() <= self.piece_rows, "{} rows in a piece", rows.len());
        self.output.extend(rows);
        progress.expect("no failure") == Progress::More
    }

    /// Passes a watermark. Before piece `cut.0` comes a barrier, and a restore with `cut.1` slots.
    fn watermark(&mut self, watermark: Watermark, mut cut: Option<(usize, u16)>) {
        self.flush();
        let mut pieces = 0;
        let mut has_more: Vec<bool> = (0..self.drivers.len())
            .map(|slot| {
                let progress = self.drivers[slot].watermark(watermark);
                self.piece(slot, progress)
            })
            .collect();
        while has_more.contains(&true) {
            match cut.take_if(|(at, _)| *at == pieces) {
                Some((_, 0)) => self.checkpoint(false, true),
                Some((_, slots)) => has_more = self.rescale(slots),
                None => {}
            }
            let slot = pieces % has_more.len();
            if has_more[slot] {
                let progress = self.drivers[slot].resume();
                has_more[slot] = self.piece(slot, progress);
            }
            pieces += 1;
        }
    }

    /// Passes the barrier of a checkpoint.
    fn checkpoint(&mut self, is_whole: bool, completes: bool) {
        self.flush();
        for (driver, chain) in self.drivers.iter_mut().zip(&mut self.chains) {
            let request = chain.request(is_whole);
            let snapshot = driver.checkpoint(request).expect("a snapshot");
            if completes {
                chain.complete(request, snapshot);
            }
        }
    }

    /// Restores with this number of slots, from a checkpoint of changes and those before it, in two parts. Returns which
    /// slots have more output, after they have got the event time of their state.
    fn rescale(&mut self, slots: u16) -> Vec<bool> {
        self.checkpoint(false, true);
        let snapshots: Vec<_> = self.chains.iter().map(Chain::restored).collect();
        self.assignment = self.assignment.rescaled(slots);
        let restored = redistribute(&snapshots, &self.assignment).into_iter();
        // Half of the key groups first, then the others.
        let halves = Assignment::even(MaxParallelism::try_from(16).expect("a power of two"), 2);
        let driver = |snapshot: Snapshot| {
            let parts = redistribute(&[snapshot], &halves);
            Driver::restored_in_parts(operator(self.frame), parts).expect("its own snapshot")
        };
        self.drivers = restored.map(|snapshot| driver(snapshot).in_pieces(self.piece_rows)).collect();
        self.chains = self.drivers.iter().map(|_| Chain::new(operator(self.frame).state_tables(&[]))).collect();
        let continued = (0..self.drivers.len()).map(|slot| {
            let progress = self.drivers[slot].continues();
            self.piece(slot, progress)
        });
        continued.collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Rows and results do not depend on where batches end, on the size of pieces, and on restores with other numbers
    /// of slots, even between two pieces.
    #[test]
    fn results_are_those_of_the_model(frame in frames(), piece_rows in 1usize..8, steps in steps()) {
        let mut model = Model::new(frame);
        let mut slots = Slots::new(frame, piece_rows);
        let (mut watermark, mut id) = (0, 0);
        for step in steps {
            match step {
                Step::Row { key, time, value } => {
                    // Times spread around the watermark, so that some rows are late.
                    let row = Row { id, key, time: watermark + time / 2 - 60, value };
                    id += 1;
                    model.row(row.clone());
                    slots.buffer.push(row);
                }
                Step::Watermark(rise) => {
                    watermark += rise;
                    model.watermark(watermark);
                    slots.watermark(Watermark::new(watermark), None);
                }
                Step::WatermarkWithBarrier(rise, at, count) => {
                    watermark += rise;
                    model.watermark(watermark);
                    slots.watermark(Watermark::new(watermark), Some((at, count)));
                }
                Step::Cut => slots.flush(),
                Step::Checkpoint { is_whole, completes } => slots.checkpoint(is_whole, completes),
                Step::Rescale(count) => {
                    let has_more = slots.rescale(count);
                    prop_assert!(!has_more.contains(&true), "everything has been emitted");
                }
            }
        }
        model.watermark(i64::MAX);
        slots.watermark(Watermark::MAX, None);
        let mut actual = slots.output;
        actual.sort();
        let mut expected = model.output;
        expected.sort();
        prop_assert_eq!(actual, expected);
    }
}

fn row(id: i64, key: u8, time: i64, value: i32) -> Row {
    Row { id, key, time, value: Some(value) }
}

fn sums(frame: OverFrame) -> Driver<OverOperator> {
    Driver::new(operator_of(frame, vec![call(AggregateFunction::Sum, Some(WHOLE), DataType::Int32)]))
}

fn sums_at(driver: &mut Driver<OverOperator>, watermark: i64) -> Vec<(i64, String)> {
    driver.watermark(Watermark::new(watermark)).expect("no failure");
    results(driver.rows()).into_iter().map(|(id, mut results)| (id, results.remove(0))).collect()
}

fn expect(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
    rows.iter().map(|(id, sum)| (*id, (*sum).to_owned())).collect()
}

#[test]
fn rows_come_out_in_order_of_time_and_then_of_arrival() {
    let mut driver = sums(OverFrame::RowsUnbounded);
    driver
        .push(batch(&[row(0, 0, 30, 1), row(1, 1, 10, 2), row(2, 0, 10, 4), row(3, 1, 40, 8)]))
        .expect("rows are fine");
    assert_eq!(sums_at(&mut driver, 5), []);
    assert_eq!(sums_at(&mut driver, 30), expect(&[(1, "2"), (2, "4"), (0, "5")]));
    assert_eq!(sums_at(&mut driver, 99), expect(&[(3, "10")]));
}

#[test]
fn rows_of_one_time_share_the_result_of_a_range_but_not_of_rows() {
    let rows = [row(0, 0, 10, 1), row(1, 0, 10, 2), row(2, 0, 11, 4)];
    let mut range = sums(OverFrame::RangeUnbounded);
    range.push(batch(&rows)).expect("rows are fine");
    assert_eq!(sums_at(&mut range, 20), expect(&[(0, "3"), (1, "3"), (2, "7")]));
    let mut counted = sums(OverFrame::RowsUnbounded);
    counted.push(batch(&rows)).expect("rows are fine");
    assert_eq!(sums_at(&mut counted, 20), expect(&[(0, "1"), (1, "3"), (2, "7")]));
}

#[test]
fn both_ends_of_an_interval_belong_to_the_frame() {
    let mut driver = sums(OverFrame::Range(10));
    driver.push(batch(&[row(0, 0, 10, 1), row(1, 0, 20, 2), row(2, 0, 21, 4)])).expect("rows are fine");
    assert_eq!(sums_at(&mut driver, 50), expect(&[(0, "1"), (1, "3"), (2, "6")]));
}

#[test]
fn an_unbounded_frame_drops_rows_that_are_not_after_the_watermark() {
    let mut driver = sums(OverFrame::RowsUnbounded);
    sums_at(&mut driver, 20);
    driver.push(batch(&[row(0, 0, 20, 1), row(1, 0, 21, 2)])).expect("rows are fine");
    assert_eq!(sums_at(&mut driver, 30), expect(&[(1, "2")]));
    assert_eq!(driver.operator().counters().late_rows, 1);
}

#[test]
fn a_row_frame_drops_rows_that_are_not_after_the_last_of_their_key() {
    let mut driver = sums(OverFrame::Rows(1));
    driver.push(batch(&[row(0, 0, 10, 1)])).expect("rows are fine");
    sums_at(&mut driver, 20);
    // These are behind the watermark. But key 1 has not fired yet, and key 0 has fired only at 10.
    driver.push(batch(&[row(1, 1, 5, 2), row(2, 0, 10, 4), row(3, 0, 11, 8)])).expect("rows are fine");
    assert_eq!(sums_at(&mut driver, 21), expect(&[(1, "2"), (3, "9")]));
    assert_eq!(driver.operator().counters().late_rows, 1);
}

#[test]
fn a_range_takes_late_rows_again_when_it_has_passed() {
    let mut driver = sums(OverFrame::Range(10));
    driver.push(batch(&[row(0, 0, 100, 1)])).expect("rows are fine");
    sums_at(&mut driver, 115);
    driver.push(batch(&[row(1, 0, 100, 2)])).expect("rows are fine");
    assert_eq!(driver.operator().counters().late_rows, 1);
    // The cleanup is due one and a half intervals and a millisecond after the row.
    sums_at(&mut driver, 116);
    assert_eq!(driver.operator().counters().state_rows, 0);
    driver.push(batch(&[row(2, 0, 50, 4)])).expect("rows are fine");
    assert_eq!(sums_at(&mut driver, 117), expect(&[(2, "4")]));
}

#[test]
fn a_null_time_is_an_error_that_names_the_column() {
    let rows = batch(&[row(0, 0, 10, 1)]);
    let mut columns = rows.columns().to_vec();
    columns[2] = Arc::new(TimestampMillisecondArray::from(vec![None]));
    let rows = RecordBatch::try_new(input(), columns).expect("ts is nullable");
    let error = sums(OverFrame::Rows(1)).push(rows).expect_err("no time, no place");
    assert!(matches!(&error, Error::InvalidRow(message) if message.contains("ts")), "{error}");
}

#[test]
fn kept_rows_are_copied_together_when_most_of_their_batches_are_gone() {
    let mut driver = sums(OverFrame::Rows(0));
    for round in 0..40i64 {
        // One row of a key that does not occur again keeps each batch alive, until the store is compacted.
        let mut rows = vec![row(round, 100 + round as u8, round, 1)];
        rows.extend((0..2_000).map(|i| row(i, 0, round, 1)));
        driver.push(batch(&rows)).expect("rows are fine");
        sums_at(&mut driver, round);
    }
    assert_eq!(driver.operator().kept.len(), 41);
    assert!(driver.operator().kept.bytes() < batch(&vec![row(0, 0, 0, 1); 2_000]).get_array_memory_size() * 20);
    driver.push(batch(&[row(7, 100, 90, 4)])).expect("rows are fine");
    assert_eq!(sums_at(&mut driver, 99), expect(&[(7, "4")]));
}

#[test]
fn a_snapshot_of_another_query_is_refused() {
    let mut before = sums(OverFrame::RowsUnbounded);
    before.push(batch(&[row(0, 0, 10, 1)])).expect("rows are fine");
    let snapshot = before.barrier().expect("a snapshot");
    let refused = Driver::restored(operator(OverFrame::RowsUnbounded), snapshot);
    assert!(matches!(refused.err(), Some(Error::Restore { table, .. }) if table == "accumulators"));
}

#[test]
fn many_rows_of_one_time_come_in_pieces() {
    const ROWS: usize = 50_000;
    let time = 10;
    for (frame, has_peers) in [(OverFrame::Rows(2), false), (OverFrame::RangeUnbounded, true)] {
        let mut driver = sums(frame).in_pieces(8192);
        let rows: Vec<Row> = (0..ROWS).map(|id| row(id as i64, (id % 200) as u8, time, 1)).collect();
        driver.push(batch(&rows)).expect("rows are fine");
        let mut progress = driver.watermark(Watermark::new(time)).expect("no failure");
        let mut taken = driver.rows();
        while progress == Progress::More {
            progress = driver.resume().expect("no failure");
            let piece = driver.rows();
            assert!(piece.len() <= 8192, "{frame:?}: {} rows in a piece", piece.len());
            taken.extend(piece);
        }
        let results = results(taken);
        assert_eq!(results.len(), ROWS);
        if has_peers {
            assert!(results.iter().all(|(_, results)| results[0] == "250"), "all rows of a key are in each frame");
        }
    }
}

#[test]
fn a_row_far_in_the_future_does_not_keep_its_whole_batch() {
    let mut driver = sums(OverFrame::Rows(0));
    for round in 0..40i64 {
        let mut rows = vec![row(round, 1, 1_000_000 + round, 1)];
        rows.extend((0..2_000).map(|id| row(id, 0, round, 1)));
        driver.push(batch(&rows)).expect("rows are fine");
        sums_at(&mut driver, round);
    }
    assert_eq!(driver.operator().pending.len(), 40);
    let of_a_batch = batch(&vec![row(0, 0, 0, 1); 2_000]).get_array_memory_size();
    assert!(driver.operator().pending.bytes() < of_a_batch * 20, "{} bytes", driver.operator().pending.bytes());
    let expected: Vec<(i64, String)> = (0..40).map(|id| (id, "1".to_owned())).collect();
    assert_eq!(sums_at(&mut driver, 2_000_000), expected);
}

#[test]
fn a_restore_does_no_cleanups_of_rows_that_came_behind_the_watermark() {
    let mut slots = Slots::new(OverFrame::Range(0), 1);
    slots.watermark(Watermark::new(1), None);
    slots.buffer.extend([row(0, 0, -37, 1), row(1, 0, 1, 1)]);
    assert!(!slots.rescale(1).contains(&true), "nothing was being given out");
    slots.buffer.push(row(2, 0, -59, 1));
    slots.watermark(Watermark::MAX, None);

    let ids: Vec<i64> = slots.output.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [2, 0, 1]);
}

#[test]
fn a_key_that_is_out_is_cleaned_up_though_its_watermark_is_still_being_worked_on() {
    let mut slots = Slots::new(OverFrame::Range(3), 1);
    slots.buffer.extend([row(0, 0, 80, 1), row(1, 2, 85, 1), row(2, 2, 105, 1)]);
    slots.watermark(Watermark::new(105), Some((0, 2)));
    slots.buffer.push(row(3, 0, 45, 1));
    slots.watermark(Watermark::MAX, None);

    let mut ids: Vec<i64> = slots.output.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2, 3]);
}

#[test]
fn rows_of_one_time_keep_their_order_through_two_restores() {
    let mut slots = Slots::new(OverFrame::Rows(1), 1);
    slots.buffer.extend([row(0, 0, 57, 1), row(1, 0, 57, 2), row(2, 0, 58, 4)]);
    slots.watermark(Watermark::new(57), Some((0, 1)));
    assert!(!slots.rescale(1).contains(&true), "everything has been emitted");
    slots.watermark(Watermark::MAX, None);

    let last = slots.output.iter().find(|(id, _)| *id == 2).expect("all rows are out");
    let mut expected = Model::new(OverFrame::Rows(1));
    [row(0, 0, 57, 1), row(1, 0, 57, 2), row(2, 0, 58, 4)].into_iter().for_each(|row| expected.row(row));
    expected.watermark(i64::MAX);
    assert_eq!(Some(last), expected.output.iter().find(|(id, _)| *id == 2));
}

#[test]
fn earlier_releases_have_stored_all_waiting_rows_in_one_bucket() {
    let mut before = sums(OverFrame::Rows(1)).in_pieces(1);
    before.push(batch(&[row(0, 0, 57, 1), row(1, 0, 57, 2), row(2, 0, 58, 4)])).expect("rows are fine");
    assert_eq!(before.watermark(Watermark::new(57)).expect("no failure"), Progress::More);
    assert_eq!(before.rows().len(), 1);
    let mut snapshot = before.barrier().expect("a snapshot");
    let pending = snapshot.keyed.iter().filter(|part| part.table == "pending");
    assert_eq!(pending.map(|part| part.rows.num_rows()).collect::<Vec<_>>(), [1, 1], "one is released, and one waits");
    snapshot.keyed.iter_mut().for_each(|part| part.bucket = NO_BUCKET);

    let operator = operator_of(OverFrame::Rows(1), vec![call(AggregateFunction::Sum, Some(WHOLE), DataType::Int32)]);
    let mut after = Driver::restored(operator, snapshot).expect("its own snapshot");
    after.continues().expect("no failure");
    assert_eq!(results(after.rows()), [(1, vec!["3".to_owned()])]);
    assert_eq!(sums_at(&mut after, 60), expect(&[(2, "6")]));
}

#[test]
fn a_key_without_state_is_forgotten_and_takes_rows_again() {
    let mut driver = sums(OverFrame::Range(10));
    let mut chain = Chain::new(driver.operator().state_tables(&[]));
    for round in 0..40i64 {
        // Each key comes once, but for one that is there all the time, and one that comes again when it is cleaned up.
        let time = round * 100;
        let rows = [
            row(round, 10 + round as u8, time, 1),
            row(1_000 + round, 0, time, 1),
            row(2_000 + round, 1, time % 300, 1),
        ];
        driver.push(batch(&rows)).expect("rows are fine");
        assert_eq!(sums_at(&mut driver, time + 50).len(), 3);
        let request = chain.request(false);
        let snapshot = driver.checkpoint(request).expect("a snapshot");
        chain.complete(request, snapshot);
    }
    let counters = driver.operator().counters();
    assert_eq!((counters.state_rows, counters.late_rows), (0, 0), "all are cleaned up");
    let restored = Driver::restored(
        operator_of(OverFrame::Range(10), vec![call(AggregateFunction::Sum, Some(WHOLE), DataType::Int32)]),
        chain.restored(),
    );
    let mut restored = restored.expect("its own snapshot");
    restored.continues().expect("no failure");
    assert_eq!(restored.operator().counters().state_rows, 0);
    restored.push(batch(&[row(7, 10, 5, 4)])).expect("rows are fine");
    assert_eq!(sums_at(&mut restored, 5_000), expect(&[(7, "4")]));
}
