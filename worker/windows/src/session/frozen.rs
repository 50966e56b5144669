//! Sessions as they were at a barrier, and the rows of a snapshot that they become.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use eddyline_state::{
    Bucket, Frozen, Handover, Inventory, NO_BUCKET, PackedRows, RowSink, SnapshotRequest, TableRows, fixed,
};

use super::Sessions;
use super::row::{HEADER, Row};
use super::state::{SESSIONS, VALUES};
use crate::accumulator::{Sides, View};
use crate::distinct::FrozenSet;
use crate::layout::Layout;
use crate::shape::{LOCAL_TIME, Shape};

/// The most rows of a batch in a snapshot.
const ROWS_MAX: usize = 65_536;

/// What a checkpoint gets of sessions.
struct FrozenSessions {
    handover: Handover,
    sides: Arc<Sides>,
    distinct: Vec<FrozenSet>,
    homes: Vec<(i64, u64, Vec<u64>)>,
}

impl Sessions {
    /// The sessions that a request asks for. They are gathered later.
    pub(crate) fn freeze(
        &mut self,
        (layout, shape): (Arc<Layout>, Arc<Shape>),
        request: SnapshotRequest,
        union: Vec<(String, Vec<u8>)>,
    ) -> Frozen {
        // The order in which values came is kept only where all of them are handed over together.
        let since = request.since.filter(|_| !layout.has_ordered_sets());
        let request = SnapshotRequest { since, ..request };
        let handover = self.table.hand_over(request, NO_BUCKET);
        let distinct = match layout.distinct.is_empty() {
            true => Vec::new(),
            false => {
                let sets = &mut Arc::make_mut(&mut self.sides).distinct;
                sets.iter_mut().map(|set| set.hand_over(request, NO_BUCKET, &self.table)).collect()
            }
        };
        let sides = match handover.is_whole {
            true => Arc::clone(&self.sides),
            false => Arc::new(self.sides.copy(&handover.groups)),
        };
        let frozen = FrozenSessions { handover, sides, distinct, homes: self.homes.counts() };
        Frozen::in_pieces(move |into| {
            frozen.gather(&layout, &shape, &mut *into)?;
            frozen.gather_values(&layout, &shape, into)?;
            Ok(Inventory { buckets: frozen.buckets(), union })
        })
    }
}

impl FrozenSessions {
    fn gather(&self, layout: &Layout, shape: &Shape, into: RowSink<'_>) -> Result<(), ArrowError> {
        let packed = &*self.handover.packed;
        let (words, stride, first) = packed.rows();
        let view = View { words, stride, first: first + HEADER, sides: &self.sides };
        let schema = shape.session_state(layout.fields());
        for (home, rows) in by_home(packed, self.handover.rows().map(|row| (row, row))) {
            // Without key columns a row has no identity, and is all of its home.
            let is_whole = self.count(home).is_some_and(|(count, _)| count == rows.len() as u64);
            for block in rows.chunks(ROWS_MAX) {
                let rows: Vec<u32> = block.iter().map(|(row, _)| *row).collect();
                let windows: Vec<_> = rows.iter().map(|row| read(packed, *row).window).collect();
                let is_open: NullBuffer = windows.iter().map(Option::is_some).collect();
                let nulls = Some(is_open).filter(|is_open| is_open.null_count() > 0);
                let starts = windows.iter().map(|window| window.map_or(0, |window| window.start)).collect();
                let ends = windows.iter().map(|window| window.map_or(0, |window| window.end)).collect();
                let mut values = vec![fixed::column(starts, nulls.clone(), &LOCAL_TIME)];
                values.push(fixed::column(ends, nulls, &LOCAL_TIME));
                values.extend(layout.columns(view, &rows)?);
                let place = (SESSIONS.to_owned(), home, is_whole);
                into(table_rows(place, &schema, (packed, &rows), values)?)?;
            }
        }
        Ok(())
    }

    fn gather_values(&self, layout: &Layout, shape: &Shape, into: RowSink<'_>) -> Result<(), ArrowError> {
        for (index, (set, frozen)) in layout.distinct.iter().zip(&self.distinct).enumerate() {
            let schema = shape.session_values(&set.data_type);
            let packed = frozen.owners();
            let (owners, entries) =
                if layout.has_ordered_sets() { frozen.ordered_entries() } else { frozen.entries(0) };
            for (home, rows) in by_home(packed, owners.into_iter().zip(entries)) {
                let is_whole = self.count(home).is_some_and(|(_, values)| values[index] == rows.len() as u64);
                for block in rows.chunks(ROWS_MAX) {
                    let (owners, entries): (Vec<u32>, Vec<u32>) = block.iter().copied().unzip();
                    let values = vec![frozen.values(&entries, &set.data_type)?];
                    let place = (format!("{VALUES}{index}"), home, is_whole);
                    into(table_rows(place, &schema, (packed, &owners), values)?)?;
                }
            }
        }
        Ok(())
    }

    /// The number of rows of a home, and of the values of each distinct set.
    fn count(&self, home: i64) -> Option<(u64, &[u64])> {
        let at = self.homes.binary_search_by_key(&home, |(home, ..)| *home).ok()?;
        Some((self.homes[at].1, &self.homes[at].2))
    }

    fn buckets(&self) -> Vec<Bucket> {
        let mut buckets = Vec::new();
        for (home, rows, values) in &self.homes {
            buckets.push(Bucket { table: SESSIONS.to_owned(), bucket: *home, rows: *rows });
            let values = (0..).zip(values).filter(|(_, values)| **values > 0);
            buckets.extend(values.map(|(set, rows): (usize, _)| Bucket {
                table: format!("{VALUES}{set}"),
                bucket: *home,
                rows: *rows,
            }));
        }
        buckets
    }
}

fn read(packed: &PackedRows, row: u32) -> Row {
    let (words, stride, first) = packed.rows();
    Row::read(&words[row as usize * stride + first..])
}

/// Rows, each with something of it, by the home of the row. They keep their order within a home.
fn by_home(packed: &PackedRows, rows: impl Iterator<Item = (u32, u32)>) -> Vec<(i64, Vec<(u32, u32)>)> {
    let mut with_home: Vec<(i64, (u32, u32))> = rows.filter_map(|of| Some((read(packed, of.0).home?, of))).collect();
    with_home.sort_by_key(|(home, _)| *home);
    let of_home = with_home.chunk_by(|one, next| one.0 == next.0);
    of_home.map(|rows| (rows[0].0, rows.iter().map(|(_, of)| *of).collect())).collect()
}

fn table_rows(
    (table, bucket, is_whole): (String, i64, bool),
    schema: &SchemaRef,
    (packed, rows): (&PackedRows, &[u32]),
    values: Vec<ArrayRef>,
) -> Result<TableRows, ArrowError> {
    let mut columns = packed.key_columns(rows)?;
    columns.extend(values);
    let key_hashes = rows.iter().map(|row| packed.hashes()[*row as usize]).collect();
    let rows = RecordBatch::try_new(schema.clone(), columns)?;
    Ok(TableRows { table, bucket, is_whole, key_hashes, rows })
}
