//! Restores the window aggregation operator. It can receive the state of its key groups in several parts, each with all rows of
//! some key groups.
//!
//! Of `groups` and `cycles` the last row of each key counts. Rows of runs on disk are merged: they are older than those.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use eddyline_operators::{Error, Result};
use eddyline_state::{Snapshot, StateTable, TableRows, column_types};
use eddyline_stream::Watermark;

use super::state::{CYCLES, SPILLED, SPILLED_CYCLES, TableNames, WATERMARK};
use super::{Cut, WindowAggregateOperator, Windows};
use crate::argument::Argument;
use crate::behind::{BEHIND, Behind};
use crate::cumulate::cycle_slice;
use crate::groups::{Groups, Input, Rows, key_error};
use crate::layout::Layout;
use crate::slice::{Slice, runs_of_windows};
use crate::slice_tables::SliceTables;

/// The tables of slices or of cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Slices,
    Cycles,
}

/// Some rows of a run.
struct Stretch<'a> {
    kind: Kind,
    slice: Slice,
    age: i64,
    /// The distinct set whose values these are.
    set: Option<usize>,
    rows: &'a TableRows,
    range: Range<usize>,
}

impl WindowAggregateOperator {
    pub(super) fn restore_snapshot(&mut self, snapshot: &Snapshot) -> Result<()> {
        let mut watermark: Option<Watermark> = None;
        for value in snapshot.union_values(WATERMARK) {
            let bytes = <[u8; 8]>::try_from(value).map_err(|_| Error::Restore {
                table: WATERMARK.to_owned(),
                reason: format!("{} bytes instead of 8", value.len()),
            })?;
            let stored = Watermark::new(i64::from_le_bytes(bytes));
            watermark = Some(watermark.map_or(stored, |known| known.min(stored)));
        }
        self.watermark = watermark.unwrap_or(Watermark::MIN);
        let tables = self.tables_of_state(&[]);
        for rows in &snapshot.keyed {
            check(&tables, rows)?;
        }
        let (spilled, in_memory): (Vec<_>, Vec<_>) =
            snapshot.keyed.iter().partition(|rows| rows.table.starts_with(SPILLED.0));
        let stretches = self.stretches(&spilled)?;
        let before = self.set_aside(&stretches);
        self.read_groups(&in_memory)?;
        self.merge_stretches(before, stretches)?;
        let known = match &mut self.windows {
            Windows::Hop(hop) => hop.take_behind(),
            Windows::Cumulate(cumulate) => cumulate.take_behind(),
            Windows::Tumble(_) | Windows::Session(_) => return Ok(()),
        };
        let mut behind = match known {
            Some(behind) => behind,
            None => Behind::new(&self.shape.key_types).map_err(|error| key_error(&error))?,
        };
        for rows in in_memory.iter().filter(|rows| rows.table == BEHIND) {
            behind.restore(rows.rows.columns(), &rows.key_hashes)?;
        }
        match &mut self.windows {
            Windows::Hop(hop) => hop.resume(&mut self.zone, self.watermark, behind),
            Windows::Cumulate(cumulate) => cumulate.resume(&mut self.zone, self.watermark, behind),
            Windows::Tumble(_) | Windows::Session(_) => {}
        }
        Ok(())
    }

    /// Reads groups that were in memory, and then the values of their distinct sets.
    fn read_groups(&mut self, tables: &[&TableRows]) -> Result<()> {
        let is_distinct = |rows: &&&TableRows| rows.table.contains("distinct");
        for rows in tables.iter().filter(|rows| !is_distinct(rows) && rows.table != BEHIND) {
            self.read(rows, None)?;
        }
        for rows in tables.iter().filter(is_distinct) {
            let set = self.set_of(rows)?;
            self.read(rows, Some(set))?;
        }
        Ok(())
    }

    /// The distinct set that a table belongs to.
    fn set_of(&self, rows: &TableRows) -> Result<usize> {
        let number = rows.table.rsplit_once('_').and_then(|(_, number)| number.parse().ok());
        number.filter(|set| *set < self.layout.distinct.len()).ok_or_else(|| Error::Restore {
            table: rows.table.clone(),
            reason: "this operator has no such table".to_owned(),
        })
    }

    /// The tables of slices or of cycles.
    fn tables(&mut self, kind: Kind) -> Option<&mut SliceTables> {
        match (&mut self.windows, kind) {
            (Windows::Tumble(tumble), _) => Some(&mut tumble.tables),
            (Windows::Hop(hop), _) => Some(&mut hop.tables),
            (Windows::Cumulate(cumulate), Kind::Slices) => Some(&mut cumulate.tables),
            (Windows::Cumulate(cumulate), Kind::Cycles) => Some(&mut cumulate.cycles),
            (Windows::Session(_), _) => None,
        }
    }

    /// The slice that ends at a time, if its start follows from its end.
    fn slice_of(&self, kind: Kind, end: i64) -> Slice {
        match self.cut {
            _ if kind == Kind::Cycles => cycle_slice(end),
            Cut::Grid { grid, .. } => Slice { start: end.saturating_sub(grid.step_ms), end },
            _ => Slice { start: end, end },
        }
    }

    /// Splits rows of runs by slice and age. The oldest come first.
    fn stretches<'a>(&self, tables: &[&'a TableRows]) -> Result<Vec<Stretch<'a>>> {
        let keys = self.shape.keys.len();
        let (end_at, age_at) = (self.shape.identity(), self.shape.identity() + 1);
        let mut stretches: Vec<Stretch<'a>> = Vec::new();
        for rows in tables {
            let is_of = |names: TableNames| rows.table == names.0 || rows.table.starts_with(names.1);
            let kind = if is_of(SPILLED_CYCLES) { Kind::Cycles } else { Kind::Slices };
            let set = rows.table.contains("distinct").then(|| self.set_of(rows)).transpose()?;
            let columns = rows.rows.columns();
            let times = |column: usize| columns[column].as_primitive::<TimestampMillisecondType>().values();
            let ages = columns[age_at].as_primitive::<Int64Type>().values();
            let ends = times(end_at);
            let place = |row: usize| {
                let slice = match self.shape.is_attached {
                    true => Slice { start: times(keys)[row], end: ends[row] },
                    false => self.slice_of(kind, ends[row]),
                };
                (slice, ages[row])
            };
            let mut start = 0;
            while start < ages.len() {
                let (slice, age) = place(start);
                let same = (start..ages.len()).take_while(|row| place(*row) == (slice, age)).count();
                stretches.push(Stretch { kind, slice, age, set, rows, range: start..start + same });
                start += same;
            }
        }
        stretches.sort_by_key(|stretch| (stretch.age, stretch.set));
        Ok(stretches)
    }

    /// Takes the tables of slices out of which there are rows of runs. They have other keys than these rows.
    fn set_aside(&mut self, stretches: &[Stretch<'_>]) -> BTreeMap<(Kind, Slice), Option<Groups>> {
        let mut aside = BTreeMap::new();
        for stretch in stretches {
            let Some(tables) = self.tables(stretch.kind) else { continue };
            let table = || tables.slices.remove(&stretch.slice);
            aside.entry((stretch.kind, stretch.slice)).or_insert_with(table);
        }
        aside
    }

    /// Merges rows of runs, the oldest first, and then what was in memory of the same slices, which is newer.
    fn merge_stretches(
        &mut self,
        before: BTreeMap<(Kind, Slice), Option<Groups>>,
        stretches: Vec<Stretch<'_>>,
    ) -> Result<()> {
        let mut newer = Vec::new();
        for ((kind, slice), before) in before {
            let Some(tables) = self.tables(kind) else { continue };
            let restored = tables.slices.remove(&slice);
            newer.extend(restored.map(|groups| (kind, slice, groups)));
            let table = before.unwrap_or_else(|| tables.table());
            tables.slices.insert(slice, table);
        }
        let layout = self.layout.clone();
        let keys = self.shape.keys.len();
        let values_at = self.shape.identity() + 2;
        let mut scratch = std::mem::take(&mut self.scratch);
        for Stretch { kind, slice, set, rows, range, .. } in stretches {
            let columns = rows.rows.columns();
            let input = match set {
                Some(set) => Input::Values { set, column: &columns[values_at] },
                None => Input::WithoutDistinct(&columns[values_at..]),
            };
            let added = Rows::new(&columns[..keys], Some(&rows.key_hashes), rows.rows.num_rows(), input)?;
            let Some(tables) = self.tables(kind) else { continue };
            tables.open(slice).add(&layout, &added, range, &mut scratch);
        }
        self.scratch = scratch;
        for (kind, slice, groups) in newer {
            let Some(tables) = self.tables(kind) else { continue };
            tables.open(slice).absorb(&layout, &groups, &groups.all())?;
            tables.recycle(groups);
        }
        Ok(())
    }

    /// Reads rows of groups, or of the distinct set `set`.
    fn read(&mut self, rows: &TableRows, set: Option<usize>) -> Result<()> {
        let keys = self.shape.keys.len();
        let columns = rows.rows.columns();
        let num_rows = rows.rows.num_rows();
        let start = keys + usize::from(self.shape.is_attached);
        let values = if matches!(self.windows, Windows::Session(_)) { keys + 2 } else { start };
        let input = Input::Partial(columns.get(values..).unwrap_or_default());
        let added = Rows::new(&columns[..keys], Some(&rows.key_hashes), num_rows, input)?;
        let is_cycle = rows.table == CYCLES.0 || rows.table.starts_with(CYCLES.1);
        let kind = if is_cycle { Kind::Cycles } else { Kind::Slices };
        let slice = self.slice_of(kind, rows.bucket);
        let layout = self.layout.clone();
        if let Windows::Session(sessions) = &mut self.windows {
            return match set {
                None => sessions.restore(&layout, &added, &columns[keys..]),
                Some(set) => sessions.restore_distinct(set, &added, &columns[keys..]),
            };
        }
        let runs = match self.shape.is_attached {
            true => {
                let starts = columns[keys].as_primitive::<TimestampMillisecondType>().values();
                runs_of_windows(starts, &vec![rows.bucket; num_rows])
            }
            false => vec![crate::slice::Run { slice, rows: 0..num_rows }],
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        for run in runs {
            let Some(tables) = self.tables(kind) else { continue };
            let groups = tables.open(run.slice);
            add(groups, &layout, &added, run.rows, (set, columns.get(start)), &mut scratch);
        }
        self.scratch = scratch;
        Ok(())
    }
}

/// Adds restored rows to a table: groups, or values of a distinct set.
fn add(
    groups: &mut Groups,
    layout: &Layout,
    rows: &Rows<'_>,
    range: Range<usize>,
    (set, values): (Option<usize>, Option<&ArrayRef>),
    scratch: &mut Vec<u32>,
) {
    match (set, values) {
        (Some(set), Some(values)) => {
            let column = values.slice(range.start, range.len());
            groups.restore_distinct(set, rows, range, &Argument::of_distinct(column.as_ref(), None));
        }
        _ => groups.restore(layout, rows, range, scratch),
    }
}

/// Refuses rows that an operator with these tables has not written.
pub(crate) fn check(tables: &[StateTable], rows: &TableRows) -> Result<()> {
    let refuse = |reason| Err(Error::Restore { table: rows.table.clone(), reason });
    let Some(table) = tables.iter().find(|table| table.name == rows.table) else {
        return refuse("this operator has no such table".to_owned());
    };
    let (found, expected) = (column_types(rows.rows.schema_ref()), column_types(&table.schema));
    if found != expected {
        return refuse(format!("its columns have the types {found:?}, expected are {expected:?}"));
    }
    if rows.key_hashes.len() != rows.rows.num_rows() {
        return refuse(format!("{} key hashes for {} rows", rows.key_hashes.len(), rows.rows.num_rows()));
    }
    let keys_and_times = table.schema.fields().iter().zip(rows.rows.columns());
    for (field, column) in keys_and_times.filter(|(field, _)| !field.is_nullable()) {
        if column.null_count() > 0 {
            return refuse(format!("column {} has NULLs", field.name()));
        }
    }
    Ok(())
}
