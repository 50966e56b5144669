//! Gathers the small reads of a source to batches.
//!
//! A reader returns the rows that are available and waits for nothing. If each read were a batch, a source with few
//! rows would make its chain work on a few rows at a time. So small reads are gathered, even those of several splits.
//! They are handed on when they fill a batch, or when the first of them has waited for the buffer timeout. A large read
//! is never copied. It is handed on at once, after the reads that were gathered before it.
//!
//! All sources use this. The time is a parameter.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arrow::error::ArrowError;
use eddyline_stream::{Batch, SplitId};

/// The memory of gathered rows, in bytes, from which they are handed on, whatever their number.
const BYTES_MAX: usize = 16 << 20;

/// Rows that are handed on together.
#[derive(Debug)]
pub struct Gathered {
    /// The rows. Those of one split are consecutive and in order.
    pub rows: Batch,
    /// The splits in the order of the rows, with the number of rows of each.
    pub parts: Vec<(SplitId, usize)>,
}

/// Gathers the reads of a source task.
#[derive(Debug)]
pub struct ReadBuffer {
    // Fixed at start.
    /// The number of rows of a full batch.
    rows_max: usize,
    /// The longest wait of a row. `None`: no limit.
    timeout: Option<Duration>,
    // Changing.
    gathered: BTreeMap<SplitId, Vec<Batch>>,
    rows: usize,
    bytes: usize,
    /// When the first gathered rows were read.
    since: Option<Instant>,
    /// A large read, which follows the gathered ones.
    large: Option<(SplitId, Batch)>,
    /// Whether everything is due, until nothing is left.
    flushed: bool,
}

impl ReadBuffer {
    /// Makes an empty buffer. `rows_max` rows are a full batch. Fewer rows wait for `timeout` at most. `None`: no
    /// limit.
    pub fn new(rows_max: usize, timeout: Option<Duration>) -> Self {
        Self {
            rows_max,
            timeout,
            gathered: BTreeMap::new(),
            rows: 0,
            bytes: 0,
            since: None,
            large: None,
            flushed: false,
        }
    }

    /// Adds a read. The caller must take the rows that are due before the next read.
    pub fn push(&mut self, split: SplitId, rows: Batch, now: Instant) {
        if rows.num_rows() == 0 {
            return;
        }
        let bytes = rows.rows().get_array_memory_size();
        if rows.num_rows() * 2 >= self.rows_max || bytes >= BYTES_MAX {
            self.large = Some((split, rows));
            return;
        }
        self.rows += rows.num_rows();
        self.bytes += bytes;
        self.since.get_or_insert(now);
        self.gathered.entry(split).or_default().push(rows);
    }

    /// Whether the buffer has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0 && self.large.is_none()
    }

    /// Whether the buffer has rows of a split.
    pub fn holds(&self, split: &SplitId) -> bool {
        self.gathered.contains_key(split) || self.large.as_ref().is_some_and(|(of, _)| of == split)
    }

    /// When the rows are due by the timeout, if there are rows.
    pub fn due_at(&self) -> Option<Instant> {
        self.since?.checked_add(self.timeout?)
    }

    /// Makes all rows in the buffer due.
    pub fn flush(&mut self) {
        self.flushed = true;
    }

    /// Removes and returns rows that are due. Call it until it returns `None`.
    ///
    /// # Errors
    /// When the values of a column do not fit in one array.
    pub fn take(&mut self, now: Instant) -> Result<Option<Gathered>, ArrowError> {
        let is_due = self.flushed
            || self.large.is_some()
            || self.rows >= self.rows_max
            || self.bytes >= BYTES_MAX
            || self.due_at().is_some_and(|due_at| due_at <= now);
        if is_due && self.rows > 0 {
            return self.take_gathered().map(Some);
        }
        self.flushed = false;
        let large = self.large.take();
        Ok(large.map(|(split, rows)| Gathered { parts: vec![(split, rows.num_rows())], rows }))
    }

    fn take_gathered(&mut self) -> Result<Gathered, ArrowError> {
        let gathered = std::mem::take(&mut self.gathered);
        (self.rows, self.bytes, self.since) = (0, 0, None);
        let rows_of =
            |(split, reads): (&SplitId, &Vec<Batch>)| (split.clone(), reads.iter().map(Batch::num_rows).sum());
        let parts = gathered.iter().map(rows_of).collect();
        let reads: Vec<Batch> = gathered.into_values().flatten().collect();
        let rows = match &reads[..] {
            [read] => read.clone(),
            reads => Batch::concat(reads)?.expect("some rows have been gathered"),
        };
        Ok(Gathered { rows, parts })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::Int64Type;

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(5);

    /// A buffer with batches of 100 rows, and the start of its clock.
    struct Setup {
        buffer: ReadBuffer,
        started: Instant,
    }

    impl Setup {
        fn new(timeout: Option<Duration>) -> Self {
            Self { buffer: ReadBuffer::new(100, timeout), started: Instant::now() }
        }

        fn at(&self, micros: u64) -> Instant {
            self.started + Duration::from_micros(micros)
        }

        fn push(&mut self, split: &str, numbers: std::ops::Range<i64>, micros: u64) {
            let numbers = Arc::new(Int64Array::from_iter_values(numbers)) as _;
            let rows = RecordBatch::try_from_iter([("number", numbers)]).expect("one column");
            self.buffer.push(SplitId::new(split), Batch::new(rows), self.at(micros));
        }

        /// The batches that are due, as texts such as `a: 0..5, b: 7..9`.
        fn due(&mut self, micros: u64) -> Vec<String> {
            let now = self.at(micros);
            let mut due = Vec::new();
            while let Some(Gathered { rows, parts }) = self.buffer.take(now).expect("it fits") {
                let numbers = rows.rows().column(0).as_primitive::<Int64Type>().values().to_vec();
                let mut rest = &numbers[..];
                let parts = parts.iter().map(|(split, count)| {
                    let (part, behind) = rest.split_at(*count);
                    rest = behind;
                    assert!(part.windows(2).all(|pair| pair[0] + 1 == pair[1]), "rows of a split in order");
                    format!("{split}: {}..{}", part[0], part[part.len() - 1] + 1)
                });
                due.push(parts.collect::<Vec<_>>().join(", "));
                assert!(rest.is_empty());
            }
            due
        }
    }

    #[test]
    fn a_batch_that_is_not_full_is_handed_on_when_its_first_row_has_waited_for_the_timeout() {
        let mut setup = Setup::new(Some(TIMEOUT));
        assert_eq!(setup.buffer.due_at(), None);
        setup.push("a", 0..10, 1_000);
        assert_eq!(setup.due(1_000), [""; 0]);
        // Later rows do not postpone it.
        setup.push("a", 10..15, 5_000);
        assert_eq!(setup.buffer.due_at(), Some(setup.at(6_000)));
        assert_eq!(setup.due(5_999), [""; 0]);
        assert_eq!(setup.due(6_000), ["a: 0..15"]);
        assert_eq!(setup.buffer.due_at(), None);
        // The next batch waits from its own first row on.
        setup.push("a", 15..20, 9_000);
        assert_eq!(setup.due(13_999), [""; 0]);
        assert_eq!(setup.due(14_000), ["a: 15..20"]);
    }

    #[test]
    fn a_busy_source_fills_whole_batches() {
        let mut setup = Setup::new(Some(TIMEOUT));
        for read in 0..4 {
            setup.push("a", read * 30..(read + 1) * 30, 0);
            let full = if read == 3 { vec!["a: 0..120"] } else { vec![] };
            assert_eq!(setup.due(0), full);
        }
        // A large read does not wait.
        setup.push("a", 120..220, 0);
        assert_eq!(setup.due(0), ["a: 120..220"]);
    }

    #[test]
    fn reads_of_several_splits_are_one_batch_and_those_of_a_split_stay_in_order() {
        let mut setup = Setup::new(Some(TIMEOUT));
        setup.push("b", 0..2, 0);
        setup.push("a", 5..6, 0);
        setup.push("b", 2..9, 0);
        assert!(setup.buffer.holds(&SplitId::new("a")) && !setup.buffer.holds(&SplitId::new("c")));
        assert_eq!(setup.due(5_000), ["a: 5..6, b: 0..9"]);
        assert!(!setup.buffer.holds(&SplitId::new("a")));
    }

    #[test]
    fn a_large_read_is_not_copied_and_does_not_overtake() {
        let mut setup = Setup::new(Some(TIMEOUT));
        setup.push("a", 0..3, 0);
        let numbers = Int64Array::from_iter_values(3..53);
        let at = numbers.values().as_ptr();
        let rows = RecordBatch::try_from_iter([("number", Arc::new(numbers) as _)]).expect("one column");
        let now = setup.at(0);
        setup.buffer.push(SplitId::new("a"), Batch::new(rows), now);
        let first = setup.buffer.take(now).expect("it fits").expect("what was before");
        assert_eq!(first.rows.num_rows(), 3);
        let second = setup.buffer.take(now).expect("it fits").expect("the large read");
        assert_eq!(second.rows.rows().column(0).as_primitive::<Int64Type>().values().as_ptr(), at);
        assert!(setup.buffer.take(now).expect("it fits").is_none());
    }

    #[test]
    fn a_flush_makes_due_what_is_there_and_not_what_comes_then() {
        let mut setup = Setup::new(None);
        setup.push("a", 0..3, 0);
        assert_eq!(setup.due(u64::from(u32::MAX)), [""; 0], "without a timeout it waits for ever");
        assert_eq!(setup.buffer.due_at(), None);
        setup.buffer.flush();
        assert_eq!(setup.due(0), ["a: 0..3"]);
        setup.push("a", 3..4, 0);
        assert_eq!(setup.due(0), [""; 0]);
    }

    #[test]
    fn a_read_without_rows_makes_nothing_due() {
        let mut setup = Setup::new(Some(TIMEOUT));
        setup.push("a", 0..0, 0);
        assert!(setup.buffer.is_empty());
        assert_eq!(setup.buffer.due_at(), None, "or its slot would never sleep");
    }

    #[test]
    fn without_a_wait_each_read_is_a_batch() {
        let mut setup = Setup::new(Some(Duration::ZERO));
        setup.push("a", 0..1, 0);
        assert_eq!(setup.due(0), ["a: 0..1"]);
    }
}
