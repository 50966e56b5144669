//! `SESSION`: windows of a key that end a gap after their last row.
//!
//! Sessions are groups of one table. A key has its first session in the group that lookups find, and further ones beside
//! it; the rows of a key are a linked list. Two sessions that touch become one. A batch without late rows is first sorted
//! by key and time, so that each sequence of rows of one session is looked up once. Aggregates still see rows in order of
//! arrival.
//!
//! For checkpoints each session has a [home](homes), which is a period of time. A session that was emitted or absorbed
//! leaves a row without a window in its home, which says that it is gone. When event time passes the end of a
//! home, its rows are removed, and those of open sessions move to another home. A key has one row in each home at most.
//!
//! Invariants: an open session is in `ends` at least once, at its end or before, or it is being emitted. Ends only grow.
//! Every row is in one home. Between batches no key is without a row in a home.

mod ends;
mod frozen;
mod homes;
mod restore;
mod row;
pub(crate) mod state;

use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_operators::{Error as OperatorError, Progress, Result};
use eddyline_state::GroupTable;
use eddyline_stream::Watermark;

use self::ends::Ends;
use self::homes::Homes;
use self::row::{HEADER, INITIAL, NO_ROW, Row};
use crate::Error;
use crate::accumulator::{Cells, Sides, View};
use crate::groups::{Rows, merge_cells};
use crate::layout::Layout;
use crate::output::Firing;
use crate::slice::Slice;
use crate::zone::Zone;

/// Open sessions by key.
#[derive(Debug)]
pub(crate) struct Sessions {
    // Fixed at start.
    gap_ms: i64,
    // Changing.
    table: GroupTable,
    /// Shared with frozen state, like the rows in the table.
    sides: Arc<Sides>,
    homes: Homes,
    ends: Ends,
    /// The sessions that are being emitted. The first `given` of them are done.
    due: Vec<u32>,
    given: usize,
    open: usize,
    arrivals: u64,
}

impl Sessions {
    pub(crate) fn new(gap_ms: i64, key_types: &[DataType], layout: &Layout) -> std::result::Result<Self, Error> {
        let initial: Vec<u64> = INITIAL.into_iter().chain(layout.initial.iter().copied()).collect();
        let mut sides = layout.sides();
        sides.distinct.iter_mut().for_each(|set| set.note_fresh());
        Ok(Self {
            gap_ms,
            table: GroupTable::new(key_types, &initial)?,
            sides: Arc::new(sides),
            homes: Homes::new(gap_ms, layout.distinct.len()),
            ends: Ends::new(gap_ms),
            due: Vec::new(),
            given: 0,
            open: 0,
            arrivals: 0,
        })
    }

    /// Adds rows with these local times. Returns the number of late rows.
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
        self.table.find_or_insert(&rows.keys, &rows.hashes, 0..times.len(), &mut keys);
        let first_end = times.iter().min().map_or(0, |time| time + self.gap_ms);
        let late = if layout.is_ordered() || zone.is_fired(first_end, watermark) {
            self.add_one_by_one(layout, rows, (times, &keys), (zone, watermark))?
        } else {
            self.add_sorted(layout, rows, times, &keys)?;
            0
        };
        self.arrivals += times.len() as u64;
        self.count_values();
        Ok(late)
    }

    /// Adds rows one by one in order of arrival. Lateness and order-dependent aggregates depend on that order.
    fn add_one_by_one(
        &mut self,
        layout: &Layout,
        rows: &Rows<'_>,
        (times, keys): (&[i64], &[u32]),
        (zone, watermark): (&Zone, Watermark),
    ) -> Result<u64> {
        let (mut late, mut changed) = (Vec::new(), Vec::with_capacity(times.len()));
        for (row, (time, key)) in times.iter().zip(keys).enumerate() {
            let window = Slice { start: *time, end: time + self.gap_ms };
            if zone.is_fired(window.end, watermark) && self.touching(*key, window).next().is_none() {
                late.push(*key);
                continue;
            }
            let session = self.cover(layout, *key, window, self.arrivals + row as u64)?;
            rows.input.add(layout, &mut self.cells_to_name(), &[session], row);
            changed.push(session);
        }
        self.table.rows_mut(&changed);
        let count = late.len() as u64;
        self.remove_empty(late);
        Ok(count)
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
            rows.input.add(layout, &mut self.cells(sessions), sessions, block * 1024);
        }
        Ok(())
    }

    fn row(&self, number: u32) -> Row {
        let (words, stride, first) = self.table.packed().rows();
        Row::read(&words[number as usize * stride + first..])
    }

    /// Writes the header of a row. It counts as changed once it is named to the table.
    fn set_row(&mut self, number: u32, row: Row) {
        let (words, stride, first) = self.table.rows_to_name();
        row.write(&mut words[number as usize * stride + first..]);
    }

    /// The accumulators, to change those of `sessions`.
    fn cells(&mut self, sessions: &[u32]) -> Cells<'_> {
        self.table.rows_mut(sessions);
        self.cells_to_name()
    }

    /// The accumulators, to change those of sessions that are named to the table afterwards.
    fn cells_to_name(&mut self) -> Cells<'_> {
        let sides = Arc::make_mut(&mut self.sides);
        sides.grow(self.table.places());
        let (words, stride, first) = self.table.rows_to_name();
        Cells { words, stride, first: first + HEADER, sides }
    }

    fn view(&self) -> View<'_> {
        let (words, stride, first) = self.table.packed().rows();
        View { words, stride, first: first + HEADER, sides: &self.sides }
    }

    /// All rows of a key, in no particular order. `key` is the one that lookups find.
    fn rows_of(&self, key: u32) -> impl Iterator<Item = (u32, Row)> {
        let mut next = key;
        std::iter::from_fn(move || {
            let number = Some(next).filter(|next| *next != NO_ROW)?;
            let row = self.row(number);
            next = row.next;
            Some((number, row))
        })
    }

    /// The open sessions of a key that touch a window, in no particular order.
    fn touching(&self, key: u32, window: Slice) -> impl Iterator<Item = u32> {
        let touches =
            move |row: &Row| row.window.is_some_and(|other| other.start <= window.end && other.end >= window.start);
        self.rows_of(key).filter(move |(_, row)| touches(row)).map(|(number, _)| number)
    }

    /// Makes a session of a key cover a window: extends one, merges several, or opens a new one. Returns its number.
    fn cover(&mut self, layout: &Layout, key: u32, window: Slice, arrival: u64) -> Result<u32> {
        let two = {
            let mut touching = self.touching(key, window);
            (touching.next(), touching.next())
        };
        let covering = match two {
            (None, _) => return Ok(self.open(key, (window, arrival), None)),
            (Some(only), None) => only,
            (Some(_), Some(_)) => self.merge_touching(layout, key, window)?,
        };
        let mut row = self.row(covering);
        if let Some(own) = &mut row.window {
            own.start = own.start.min(window.start);
            own.end = own.end.max(window.end);
        }
        self.set_row(covering, row);
        Ok(covering)
    }

    /// Merges all sessions of a key that touch a window into the earliest one.
    fn merge_touching(&mut self, layout: &Layout, key: u32, window: Slice) -> Result<u32> {
        let mut touching: Vec<(u32, Slice)> =
            self.touching(key, window).filter_map(|number| Some((number, self.row(number).window?))).collect();
        touching.sort_unstable_by_key(|(_, window)| window.start);
        let first = touching[0].0;
        for (other, absorbed) in touching.split_off(1) {
            let (words, sides) = self.copy(layout, other)?;
            let copy = View { words: &words, stride: words.len(), first: 0, sides: &sides };
            merge_cells(layout, &mut self.cells(&[first]), &[first], copy, &[0])?;
            let mut row = self.row(first);
            row.arrival = row.arrival.min(self.row(other).arrival);
            if let Some(own) = &mut row.window {
                own.end = own.end.max(absorbed.end);
            }
            self.set_row(first, row);
            self.close(layout, &[other]);
        }
        Ok(first)
    }

    /// A copy of the accumulators of a session, and of what is beside them.
    fn copy(&self, layout: &Layout, number: u32) -> Result<(Vec<u64>, Sides)> {
        let View { words, stride, first, sides } = self.view();
        let start = number as usize * stride + first;
        let mut copy = layout.sides();
        copy.cells = sides.copy(&[number]).cells;
        for (set, (copy, own)) in layout.distinct.iter().zip(copy.distinct.iter_mut().zip(&sides.distinct)) {
            copy.merge(&[0], own, &[number], &set.data_type)?;
        }
        Ok((words[start..start + layout.initial.len()].to_vec(), copy))
    }

    /// Opens a session of a key, in this home or in one that has no row of the key. Returns its number.
    fn open(&mut self, key: u32, (window, arrival): (Slice, u64), home: Option<i64>) -> u32 {
        let home = home.unwrap_or_else(|| self.free_home(key, window.end));
        let mut first = self.row(key);
        let mut row = Row { window: Some(window), home: Some(home), arrival, ..first };
        let number = if first.home.is_none() {
            key
        } else {
            let number = self.table.add_beside(key);
            (row.previous, row.next) = (key, first.next);
            if first.next != NO_ROW {
                let next = self.row(first.next);
                self.set_row(first.next, Row { previous: number, ..next });
            }
            first.next = number;
            self.set_row(key, first);
            number
        };
        self.set_row(number, row);
        self.homes.add(home, number);
        self.ends.add(number, window.end);
        self.open += 1;
        number
    }

    /// A home that is not over before this end, and in which the key has no row.
    fn free_home(&self, key: u32, end: i64) -> i64 {
        let is_free = |home: &i64| self.rows_of(key).all(|(_, row)| row.home != Some(*home));
        self.homes.from(end).find(is_free).expect("a key has fewer rows than there are times")
    }

    /// Takes the windows of sessions that are emitted or absorbed. Their rows stay, and say so.
    fn close(&mut self, layout: &Layout, sessions: &[u32]) {
        let Cells { words, stride, first, sides } = self.cells(sessions);
        for number in sessions {
            let start = *number as usize * stride + first;
            words[start..start + layout.initial.len()].copy_from_slice(&layout.initial);
        }
        sides.reset(sessions);
        for number in sessions {
            let row = self.row(*number);
            self.open -= usize::from(row.window.is_some());
            self.set_row(*number, Row { window: None, ..row });
        }
    }

    /// Removes those of some keys that have no row in a home: they came with late rows only.
    fn remove_empty(&mut self, mut keys: Vec<u32>) {
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            if self.row(key).home.is_none() {
                self.table.remove(key);
            }
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
            let windows: Vec<Slice> = block.iter().filter_map(|number| self.row(*number).window).collect();
            let mut columns = self.table.packed().key_columns(&block)?;
            columns.extend(firing.layout.results(self.view(), &block)?);
            let hashes = block.iter().map(|number| self.table.packed().hashes()[*number as usize]);
            firing.emit_rows(columns, &windows, hashes)?;
            self.close(firing.layout, &block);
            self.given += block.len();
        }
        self.due.clear();
        self.given = 0;
        self.leave_homes(firing);
        Ok(Progress::Done)
    }

    /// Removes and returns the sessions that the watermark has passed, in the order in which they are emitted.
    fn take_due(&mut self, firing: &Firing<'_>) -> Vec<u32> {
        let (packed, places) = (self.table.packed(), self.table.places());
        let (words, stride, first) = packed.rows();
        // The place of a removed row can be vacant, or have another session.
        let row_of = |number: u32| Row::read(&words[number as usize * stride + first..]);
        let end_of = |number: u32| Some(row_of((number as usize).lt(&places).then_some(number)?).window?.end);
        let mut due = self.ends.take_due(end_of, |end| firing.is_due(end));
        due.sort_unstable_by_key(|number| {
            let row = row_of(*number);
            (row.window.map(|window| window.end), row.arrival, *number)
        });
        due.dedup();
        due
    }

    /// Removes the rows of homes that are over. Sessions that are still open get another home.
    fn leave_homes(&mut self, firing: &Firing<'_>) {
        while let Some(rows) = self.homes.take_over(|home| firing.is_due(home)) {
            let (open, gone): (Vec<_>, Vec<_>) =
                rows.into_iter().partition(|number| self.row(*number).window.is_some());
            for number in &open {
                let row = self.row(*number);
                let end = row.window.map_or(0, |window| window.end);
                let home = self.free_home(self.first_of(*number), end);
                self.set_row(*number, Row { home: Some(home), ..row });
                self.homes.add(home, *number);
                let sides = Arc::make_mut(&mut self.sides);
                for (set, values) in sides.distinct.iter_mut().enumerate() {
                    let moved = values.move_group(*number);
                    self.homes.add_values(home, set, moved);
                }
            }
            self.table.rows_mut(&open);
            gone.into_iter().for_each(|number| self.remove(number));
        }
    }

    /// The row of the same key that lookups find.
    fn first_of(&self, number: u32) -> u32 {
        std::iter::successors(Some(number), |number| Some(self.row(*number).previous).filter(|it| *it != NO_ROW))
            .last()
            .unwrap_or(number)
    }

    /// Removes a row without a window.
    fn remove(&mut self, number: u32) {
        let Row { previous, next, .. } = self.row(number);
        if next != NO_ROW {
            let row = self.row(next);
            self.set_row(next, Row { previous, ..row });
        }
        if previous != NO_ROW {
            let row = self.row(previous);
            self.set_row(previous, Row { next, ..row });
        } else if next != NO_ROW {
            self.table.find_instead(number, next);
        }
        if !self.sides.distinct.is_empty() {
            let sides = Arc::make_mut(&mut self.sides);
            sides.distinct.iter_mut().for_each(|set| set.remove_group(number));
        }
        self.table.remove(number);
    }

    /// Counts distinct values that were new in the homes of their sessions.
    fn count_values(&mut self) {
        if self.sides.distinct.is_empty() {
            return;
        }
        for set in 0..self.sides.distinct.len() {
            for number in Arc::make_mut(&mut self.sides).distinct[set].take_fresh() {
                if let Some(home) = self.row(number).home {
                    self.homes.add_values(home, set, 1);
                }
            }
        }
    }

    /// The size in bytes, and the number of open sessions.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.table.bytes() + self.sides.bytes() + self.homes.bytes() + self.ends.bytes(), self.open)
    }
}
