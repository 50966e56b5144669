//! `SESSION`: windows per key that end a gap after their last row.
//!
//! Sessions of a key are a linked list; the accumulators of a session are in a packed row of their own, by session number.
//! Two sessions that touch become one. A batch without late rows is sorted by key and time first, so that each burst of
//! rows meets the state once; aggregates still see rows in order of arrival.
//!
//! Invariant: an open session is in `ends` once, at or before its end, or it is being given out; ends only grow.

mod ends;
pub(crate) mod state;

use arrow::datatypes::DataType;
use eddyline_operators::{Error as OperatorError, Progress, Result};
use eddyline_state::{ChunkRows, GroupTable, RowsMut};
use eddyline_stream::Watermark;

use self::ends::Ends;
use crate::Error;
use crate::accumulator::{Cells, Sides, View};
use crate::groups::{Rows, merge_cells};
use crate::layout::Layout;
use crate::output::Firing;
use crate::slice::Slice;
use crate::zone::Zone;

/// No session: the end of a list.
const END: u64 = u64::MAX;

/// State is rebuilt without its closed sessions when these are more than the open ones and more than this.
const CLOSED_MIN: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Session {
    window: Slice,
    key: u32,
    next: u64,
    /// The number of its first row, in order of arrival.
    arrival: u64,
    is_open: bool,
}

/// Accumulators by number.
#[derive(Debug)]
struct Store {
    words: Vec<u64>,
    sides: Sides,
}

impl Store {
    fn new(layout: &Layout) -> Self {
        Self { words: Vec::new(), sides: layout.sides() }
    }

    fn view(&self, layout: &Layout) -> View<'_> {
        View { rows: ChunkRows::new(&self.words, 0, layout.initial.len(), 0), cells: &self.sides.cells }
    }

    fn cells(&mut self, layout: &Layout) -> Cells<'_> {
        Cells { rows: RowsMut::of_words(&mut self.words, layout.initial.len()), sides: &mut self.sides }
    }

    fn push_empty(&mut self, layout: &Layout, rows: usize) {
        self.words.extend_from_slice(&layout.initial);
        self.sides.grow(rows);
    }

    /// A copy of some rows.
    fn gather(&self, layout: &Layout, rows: &[u32]) -> Result<Self> {
        let mut copy = Self::new(layout);
        for number in 1..=rows.len() {
            copy.push_empty(layout, number);
        }
        let all: Vec<u32> = (0..rows.len() as u32).collect();
        let source = (self.view(layout), self.sides.distinct.as_slice());
        merge_cells(layout, &mut copy.cells(layout), &all, source, rows)?;
        Ok(copy)
    }
}

/// Open sessions by key.
#[derive(Debug)]
pub(crate) struct Sessions {
    // Fixed at start.
    gap_ms: i64,
    key_types: Vec<DataType>,
    // Changing.
    keys: GroupTable,
    sessions: Vec<Session>,
    store: Store,
    ends: Ends,
    /// Sessions that are being given out, and how many of them are out.
    due: Vec<u32>,
    given: usize,
    open: usize,
    arrivals: u64,
}

impl Sessions {
    pub(crate) fn new(gap_ms: i64, key_types: &[DataType], layout: &Layout) -> std::result::Result<Self, Error> {
        Ok(Self {
            gap_ms,
            key_types: key_types.to_vec(),
            keys: GroupTable::new(key_types, &[END])?,
            sessions: Vec::new(),
            store: Store::new(layout),
            ends: Ends::new(gap_ms),
            due: Vec::new(),
            given: 0,
            open: 0,
            arrivals: 0,
        })
    }

    /// Adds rows with these local times; gives how many were late.
    pub(crate) fn add(
        &mut self,
        layout: &Layout,
        rows: &Rows<'_>,
        times: &[i64],
        (zone, watermark): (&Zone, Watermark),
    ) -> Result<u64> {
        let out_of_range = |time: &&i64| time.checked_add(self.gap_ms).is_none();
        if let Some(time) = times.iter().find(out_of_range) {
            let message = format!("no session can hold the time {time} (milliseconds since 1970)");
            return Err(OperatorError::InvalidRow(message));
        }
        let mut keys = Vec::with_capacity(times.len());
        self.keys.find_or_insert(&rows.keys, &rows.hashes, 0..times.len(), &mut keys);
        let first_end = times.iter().min().map_or(0, |time| time + self.gap_ms);
        let late = if layout.is_ordered() || zone.is_fired(first_end, watermark) {
            self.add_one_by_one(layout, rows, (times, &keys), (zone, watermark))?
        } else {
            self.add_sorted(layout, rows, times, &keys)?;
            0
        };
        self.arrivals += times.len() as u64;
        Ok(late)
    }

    /// Row by row, in order of arrival: which rows are late, and what order-dependent aggregates see, depends on it.
    fn add_one_by_one(
        &mut self,
        layout: &Layout,
        rows: &Rows<'_>,
        (times, keys): (&[i64], &[u32]),
        (zone, watermark): (&Zone, Watermark),
    ) -> Result<u64> {
        let mut late = 0;
        for (row, (time, key)) in times.iter().zip(keys).enumerate() {
            let window = Slice { start: *time, end: time + self.gap_ms };
            if zone.is_fired(window.end, watermark) && self.touching(*key, window).next().is_none() {
                late += 1;
                continue;
            }
            let session = self.cover(layout, *key, window, self.arrivals + row as u64)?;
            rows.input.add(layout, &mut self.store.cells(layout), &[session], row);
        }
        Ok(late)
    }

    fn add_sorted(&mut self, layout: &Layout, rows: &Rows<'_>, times: &[i64], keys: &[u32]) -> Result<()> {
        let mut order: Vec<u32> = (0..times.len() as u32).collect();
        order.sort_unstable_by_key(|row| (keys[*row as usize], times[*row as usize], *row));
        let mut session_of = vec![0u32; times.len()];
        let mut rest = order.as_slice();
        while let Some(first) = rest.first() {
            let key = keys[*first as usize];
            let start = times[*first as usize];
            let mut end = start + self.gap_ms;
            let mut taken = 0;
            let mut arrival = u32::MAX;
            for row in rest {
                let time = times[*row as usize];
                if keys[*row as usize] != key || time > end {
                    break;
                }
                end = time + self.gap_ms;
                arrival = arrival.min(*row);
                taken += 1;
            }
            let session = self.cover(layout, key, Slice { start, end }, self.arrivals + u64::from(arrival))?;
            rest[..taken].iter().for_each(|row| session_of[*row as usize] = session);
            rest = &rest[taken..];
        }
        for (block, sessions) in session_of.chunks(1024).enumerate() {
            rows.input.add(layout, &mut self.store.cells(layout), sessions, block * 1024);
        }
        Ok(())
    }

    fn head(&self, key: u32) -> u64 {
        self.keys.packed().accumulators(key)[0]
    }

    fn set_head(&mut self, key: u32, head: u64) {
        self.keys.accumulators_mut(key)[0] = head;
    }

    /// The open sessions of a key that touch a window, in no particular order.
    fn touching(&self, key: u32, window: Slice) -> impl Iterator<Item = u32> {
        let mut next = self.head(key);
        let open = std::iter::from_fn(move || {
            let number = u32::try_from(next).ok()?;
            next = self.sessions[number as usize].next;
            Some(number)
        });
        open.filter(move |number| {
            let other = self.sessions[*number as usize].window;
            other.start <= window.end && other.end >= window.start
        })
    }

    /// The session of a key that covers a window: grown, merged of several, or new.
    fn cover(&mut self, layout: &Layout, key: u32, window: Slice, arrival: u64) -> Result<u32> {
        let two = {
            let mut touching = self.touching(key, window);
            (touching.next(), touching.next())
        };
        let covering = match two {
            (None, _) => return Ok(self.open(layout, key, window, arrival)),
            (Some(only), None) => only,
            (Some(_), Some(_)) => self.merge_touching(layout, key, window)?,
        };
        let session = &mut self.sessions[covering as usize];
        session.window.start = session.window.start.min(window.start);
        session.window.end = session.window.end.max(window.end);
        Ok(covering)
    }

    /// Makes one of all sessions of a key that touch a window; the earliest stays.
    fn merge_touching(&mut self, layout: &Layout, key: u32, window: Slice) -> Result<u32> {
        let mut touching: Vec<u32> = self.touching(key, window).collect();
        touching.sort_unstable_by_key(|session| self.sessions[*session as usize].window.start);
        let first = touching[0];
        for other in &touching[1..] {
            let absorbed = self.sessions[*other as usize];
            let copy = self.store.gather(layout, &[*other])?;
            let source = (copy.view(layout), copy.sides.distinct.as_slice());
            merge_cells(layout, &mut self.store.cells(layout), &[first], source, &[0])?;
            self.close(*other);
            let session = &mut self.sessions[first as usize];
            session.window.end = session.window.end.max(absorbed.window.end);
            session.arrival = session.arrival.min(absorbed.arrival);
        }
        Ok(first)
    }

    fn open(&mut self, layout: &Layout, key: u32, window: Slice, arrival: u64) -> u32 {
        let number = self.sessions.len() as u32;
        self.sessions.push(Session { window, key, next: self.head(key), arrival, is_open: true });
        self.set_head(key, u64::from(number));
        self.store.push_empty(layout, self.sessions.len());
        self.ends.add(number, window.end);
        self.open += 1;
        number
    }

    /// Takes a session out of the list of its key.
    fn close(&mut self, number: u32) {
        let Session { key, next, .. } = self.sessions[number as usize];
        self.sessions[number as usize].is_open = false;
        self.open -= 1;
        let mut at = self.head(key);
        if at == u64::from(number) {
            self.set_head(key, next);
            return;
        }
        while at != END {
            let session = &mut self.sessions[at as usize];
            if session.next == u64::from(number) {
                session.next = next;
                return;
            }
            at = session.next;
        }
    }

    pub(crate) fn fire(&mut self, firing: &mut Firing<'_>) -> Result<Progress> {
        if self.due.is_empty() {
            self.due = self.take_due(firing);
        }
        while self.given < self.due.len() {
            let room = firing.room();
            if room == 0 {
                return Ok(Progress::More);
            }
            let block = self.due[self.given..self.due.len().min(self.given + room)].to_vec();
            let keys: Vec<u32> = block.iter().map(|number| self.sessions[*number as usize].key).collect();
            let windows: Vec<Slice> = block.iter().map(|number| self.sessions[*number as usize].window).collect();
            let mut columns = self.keys.packed().key_columns(&keys)?;
            columns.extend(firing.layout.results(self.store.view(firing.layout), &block)?);
            let hashes = keys.iter().map(|key| self.keys.packed().hash(*key));
            firing.emit_rows(columns, &windows, hashes)?;
            block.iter().for_each(|number| self.close(*number));
            self.given += block.len();
        }
        self.due.clear();
        self.given = 0;
        self.compact(firing.layout)?;
        Ok(Progress::Done)
    }

    /// Takes the sessions that the watermark has passed, in the order in which they are given out.
    fn take_due(&mut self, firing: &Firing<'_>) -> Vec<u32> {
        let sessions = &self.sessions;
        let end_of =
            |number: u32| Some(sessions[number as usize]).filter(|session| session.is_open).map(|it| it.window.end);
        let mut due = self.ends.take_due(end_of, |end| firing.is_due(end));
        due.sort_unstable_by_key(|number| {
            let session = &sessions[*number as usize];
            (session.window.end, session.arrival, *number)
        });
        due
    }

    /// Rebuilds the state without what is closed, when that is most of it.
    fn compact(&mut self, layout: &Layout) -> Result<()> {
        let dead_keys = self.keys.len().saturating_sub(self.open);
        let closed = self.sessions.len() - self.open;
        if closed.max(dead_keys) <= self.open.max(CLOSED_MIN) {
            return Ok(());
        }
        let mut numbers: Vec<u32> =
            (0..self.sessions.len() as u32).filter(|number| self.sessions[*number as usize].is_open).collect();
        numbers.sort_unstable_by_key(|number| (self.sessions[*number as usize].arrival, *number));
        let of_old: Vec<u32> = numbers.iter().map(|number| self.sessions[*number as usize].key).collect();
        let mut keys =
            GroupTable::new(&self.key_types, &[END]).map_err(|error| OperatorError::InvalidRow(error.to_string()))?;
        let mut of_new = Vec::with_capacity(of_old.len());
        keys.adopt(self.keys.packed(), &of_old, &mut of_new);
        self.store = self.store.gather(layout, &numbers)?;
        let old = std::mem::take(&mut self.sessions);
        self.keys = keys;
        self.ends.clear();
        for (position, (number, key)) in numbers.iter().zip(of_new).enumerate() {
            let session = old[*number as usize];
            self.ends.add(position as u32, session.window.end);
            self.sessions.push(Session { key, next: self.head(key), ..session });
            self.set_head(key, position as u64);
        }
        Ok(())
    }

    /// Bytes held and open sessions.
    pub(crate) fn size(&self) -> (usize, usize) {
        let store = self.store.words.capacity() * 8 + self.store.sides.bytes();
        let sessions = self.sessions.capacity() * size_of::<Session>();
        (self.keys.bytes() + store + sessions + self.ends.bytes(), self.open)
    }
}
