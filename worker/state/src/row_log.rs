//! Rows in blocks of columns, with a chain of them for each key.
//!
//! A [`RowLog`] keeps rows as they arrive: each batch is a block, which never changes, and a [`RowRef`] is the place of a row in
//! it. Rows are removed one by one; a block goes with its last row, and blocks with many removed rows are put together. So
//! rows come out by `interleave` from blocks, and none is ever taken apart.
//!
//! [`Chains`] say which rows a key has, in order. A key is the number of its group in a
//! [`GroupTable`](crate::GroupTable), so that rows of a batch need one lookup each. An operator that finds its rows in another way,
//! such as by time, uses a log without chains.
//!
//! What a checkpoint gets of a log is in [`handover`]: the rows that are new, and an eighth of the others. Blocks also belong
//! to one of eight parts for that.
//!
//! Places for what nothing needs yet: a link of a chain has an order, such as a time or a sort key, so a chain can be kept in that
//! order by inserting in its middle. And a block whose rows all have an order below a bound can be dropped as a whole.

mod chains;
pub mod handover;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_empty_array, new_null_array};
use arrow::compute::{interleave, take_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef};
use arrow::error::ArrowError;

pub use self::chains::{Chains, Link};
use self::handover::Stored;
pub use self::handover::{LogHandover, RemovedRows};

/// The most rows of a block. Builds for tests have small blocks, so that few rows have several.
const BLOCK_ROWS: usize = if cfg!(debug_assertions) { 16 } else { 8192 };

/// Blocks are put together when there are more removed rows in them than this, and more than other rows. Then a log takes at
/// most twice the memory of its rows, and a removed row costs the copy of one other. At 30 % of removed rows it would be the
/// copies of more than two.
const REMOVED_ROWS_MAX: usize = if cfg!(debug_assertions) { 32 } else { 16_384 };

/// The place of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowRef {
    /// The block, by number.
    pub block: u32,
    /// The row within it.
    pub row: u32,
}

/// Computes what an operator keeps beside the rows of each block, such as arguments in the form in which they are added up.
pub trait Beside {
    /// What is kept.
    type Of;
    /// Why it could not be computed.
    type Error: From<ArrowError>;

    /// What is kept beside these rows.
    ///
    /// # Errors
    /// When it cannot be computed.
    fn of(&self, rows: &RecordBatch) -> Result<Self::Of, Self::Error>;
}

/// Nothing beside the rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Beside for Nothing {
    type Of = ();
    type Error = ArrowError;

    fn of(&self, _: &RecordBatch) -> Result<(), ArrowError> {
        Ok(())
    }
}

/// The owners of a row: the number of those that refer to it, and whether it is set aside.
type Owners = u32;
const ASIDE: Owners = 1 << 31;

/// Rows in blocks.
///
/// The last column numbers the rows: an `Int64` that no other row of the same key has or had.
#[derive(Debug)]
pub struct RowLog<B: Beside = Nothing> {
    // Fixed at start.
    schema: SchemaRef,
    beside: B,
    // Changing.
    blocks: Vec<Option<Block<B::Of>>>,
    free: Vec<u32>,
    /// Rows in blocks, removed or not.
    rows_held: usize,
    rows: usize,
    bytes: usize,
    stored: Stored,
}

#[derive(Debug)]
struct Block<T> {
    rows: RecordBatch,
    beside: T,
    owners: Vec<Owners>,
    /// How many rows have owners.
    live: usize,
    /// How many of these are set aside.
    aside: usize,
    /// The part in which checkpoints have it; none if none has it yet.
    part: Option<u8>,
    bytes: usize,
}

/// Where rows of a batch are that was appended.
#[derive(Clone, Debug)]
pub struct Appended(Vec<u32>);

impl Appended {
    /// Where a row of the batch is.
    #[inline]
    pub fn at(&self, row: usize) -> RowRef {
        RowRef { block: self.0[row / BLOCK_ROWS], row: (row % BLOCK_ROWS) as u32 }
    }
}

/// Where rows have gone when blocks were put together.
#[derive(Debug)]
pub struct Moved(BTreeMap<u32, Vec<RowRef>>);

impl Moved {
    /// Where the row is now that was here.
    pub fn now(&self, at: RowRef) -> RowRef {
        self.0.get(&at.block).map_or(at, |rows| rows[at.row as usize])
    }
}

impl<B: Beside> RowLog<B> {
    /// An empty log of rows with these columns, the last of which numbers them.
    pub fn new(schema: SchemaRef, beside: B) -> Self {
        Self {
            schema,
            beside,
            blocks: Vec::new(),
            free: Vec::new(),
            rows_held: 0,
            rows: 0,
            bytes: 0,
            stored: Stored::default(),
        }
    }

    /// The columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The bytes of all blocks, and of what is kept for checkpoints.
    pub fn bytes(&self) -> usize {
        self.bytes + self.rows_held * size_of::<Owners>() + self.stored.bytes()
    }

    /// Appends rows, each with one owner.
    ///
    /// # Errors
    /// When the rows have other columns, or what is beside them cannot be computed.
    pub fn append(&mut self, rows: &RecordBatch) -> Result<Appended, B::Error> {
        // Batches can differ in the nullability of a column.
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), rows.columns().to_vec())?;
        if (1..=BLOCK_ROWS).contains(&rows.num_rows()) {
            return Ok(Appended(vec![self.push_block(rows, None)?]));
        }
        let starts = (0..rows.num_rows()).step_by(BLOCK_ROWS);
        let blocks = starts.map(|start| {
            let end = rows.num_rows().min(start + BLOCK_ROWS);
            let of_block = UInt32Array::from_iter_values(start as u32..end as u32);
            self.push_block(take_record_batch(&rows, &of_block)?, None)
        });
        Ok(Appended(blocks.collect::<Result<_, B::Error>>()?))
    }

    fn push_block(&mut self, rows: RecordBatch, part: Option<u8>) -> Result<u32, B::Error> {
        let beside = self.beside.of(&rows)?;
        let (count, bytes) = (rows.num_rows(), rows.get_array_memory_size());
        self.rows_held += count;
        self.rows += count;
        self.bytes += bytes;
        let block = Some(Block { rows, beside, owners: vec![1; count], live: count, aside: 0, part, bytes });
        if let Some(number) = self.free.pop() {
            self.blocks[number as usize] = block;
            return Ok(number);
        }
        self.blocks.push(block);
        Ok(u32::try_from(self.blocks.len() - 1).expect("fewer blocks than u32 counts fit in memory"))
    }

    fn block(&self, number: u32) -> &Block<B::Of> {
        self.blocks[number as usize].as_ref().expect("a block lives as long as a row of it has an owner")
    }

    fn block_mut(&mut self, number: u32) -> &mut Block<B::Of> {
        self.blocks[number as usize].as_mut().expect("a block lives as long as a row of it has an owner")
    }

    /// What is beside the rows of a block.
    #[inline]
    pub fn beside(&self, block: u32) -> &B::Of {
        &self.block(block).beside
    }

    /// Adds an owner to a row.
    pub fn retain(&mut self, at: RowRef) {
        self.block_mut(at.block).owners[at.row as usize] += 1;
    }

    /// Takes an owner from a row. A row without owners is removed. `key_hash` is that of the row's key.
    #[inline]
    pub fn release(&mut self, at: RowRef, key_hash: impl FnOnce() -> u64) {
        let block = self.blocks[at.block as usize].as_mut().expect("a row with an owner has a block");
        let owners = &mut block.owners[at.row as usize];
        *owners -= 1;
        if *owners & !ASIDE > 0 {
            return;
        }
        let is_aside = *owners & ASIDE > 0;
        *owners = 0;
        block.live -= 1;
        block.aside -= usize::from(is_aside);
        self.rows -= 1;
        if block.part.is_some() && !is_aside {
            self.stored.note_removed(block.number(at.row), key_hash());
        }
        if block.live == 0 {
            self.rows_held -= block.owners.len();
            self.bytes -= block.bytes;
            self.blocks[at.block as usize] = None;
            self.free.push(at.block);
        }
    }

    /// Takes a row out of what checkpoints get of the log. From now on its owner hands it over with each of them.
    pub fn set_aside(&mut self, at: RowRef, key_hash: impl FnOnce() -> u64) {
        let block = self.blocks[at.block as usize].as_mut().expect("a row with an owner has a block");
        let owners = &mut block.owners[at.row as usize];
        if *owners & ASIDE > 0 {
            return;
        }
        *owners |= ASIDE;
        block.aside += 1;
        if block.part.is_some() {
            self.stored.note_removed(block.number(at.row), key_hash());
        }
    }

    /// Copies rows into one batch, in the order of `refs`.
    ///
    /// # Errors
    /// When they do not fit in columns.
    pub fn gather(&self, refs: &[RowRef]) -> Result<RecordBatch, ArrowError> {
        self.as_slice(refs).map_or_else(|| self.freeze(refs.iter().copied()).gather(), Ok)
    }

    /// Rows as they are now, in the order of `refs`, to be copied later.
    pub fn freeze(&self, refs: impl Iterator<Item = RowRef>) -> FrozenRows {
        let (blocks, indices) = self.dense(refs);
        let blocks = blocks.into_iter().map(|block| self.block(block).rows.clone()).collect();
        FrozenRows { schema: Arc::clone(&self.schema), blocks, indices }
    }

    /// One column of rows, copied into one array; NULL where there is no row.
    ///
    /// # Errors
    /// When the values do not fit in a column.
    pub fn gather_column(&self, column: usize, refs: &[Option<RowRef>]) -> Result<ArrayRef, ArrowError> {
        let data_type = self.schema.field(column).data_type();
        let (blocks, mut indices) = self.dense(refs.iter().copied().flatten());
        let null = new_null_array(data_type, 1);
        if indices.len() < refs.len() {
            let mut found = indices.into_iter();
            indices = refs.iter().map(|at| at.and_then(|_| found.next()).unwrap_or((blocks.len(), 0))).collect();
        }
        let mut arrays: Vec<&dyn Array> =
            blocks.iter().map(|block| self.block(*block).rows.column(column).as_ref()).collect();
        arrays.push(null.as_ref());
        interleave(&arrays, &indices)
    }

    /// The blocks of rows, and for each row the index of its block among them and the row.
    fn dense(&self, refs: impl Iterator<Item = RowRef>) -> (Vec<u32>, Vec<(usize, usize)>) {
        let mut position = vec![usize::MAX; self.blocks.len()];
        let mut blocks = Vec::new();
        let indices = refs.map(|at| {
            let position = &mut position[at.block as usize];
            if *position == usize::MAX {
                *position = blocks.len();
                blocks.push(at.block);
            }
            (*position, at.row as usize)
        });
        let indices = indices.collect();
        (blocks, indices)
    }

    /// The rows without copying, if they are side by side in one block.
    fn as_slice(&self, refs: &[RowRef]) -> Option<RecordBatch> {
        let Some(first) = refs.first() else { return Some(RecordBatch::new_empty(Arc::clone(&self.schema))) };
        let are_adjacent = refs.iter().zip(first.row..).all(|(at, row)| at.block == first.block && at.row == row);
        are_adjacent.then(|| self.block(first.block).rows.slice(first.row as usize, refs.len()))
    }

    /// Puts blocks with many removed rows together, if there are enough of them. Whoever has references must then ask
    /// [`Moved`] for each, once.
    ///
    /// # Errors
    /// When rows do not fit in columns.
    pub fn compact(&mut self) -> Result<Option<Moved>, B::Error> {
        let removed = self.rows_held - self.rows;
        if removed <= REMOVED_ROWS_MAX || removed <= self.rows {
            return Ok(None);
        }
        let mut sparse: BTreeMap<Option<u8>, Vec<RowRef>> = BTreeMap::new();
        let mut moved = Moved(BTreeMap::new());
        for (block, number) in self.blocks.iter().zip(0..) {
            if let Some(block) = block.as_ref().filter(|block| block.live < block.owners.len()) {
                let rows = (0..).zip(&block.owners).filter(|(_, owners)| **owners > 0);
                sparse.entry(block.part).or_default().extend(rows.map(|(row, _)| RowRef { block: number, row }));
                moved.0.insert(number, vec![RowRef { block: u32::MAX, row: u32::MAX }; block.owners.len()]);
            }
        }
        for (part, refs) in sparse {
            for refs in refs.chunks(BLOCK_ROWS) {
                let rows = self.gather(refs)?;
                // Not a view of the old block.
                let rows = if refs.len() < rows.num_rows() || self.as_slice(refs).is_none() {
                    rows
                } else {
                    take_record_batch(&rows, &UInt32Array::from_iter_values(0..refs.len() as u32))?
                };
                let number = self.push_block(rows, part)?;
                let owners: Vec<Owners> = refs.iter().map(|at| self.block(at.block).owners[at.row as usize]).collect();
                let block = self.block_mut(number);
                block.aside = owners.iter().filter(|owners| **owners & ASIDE > 0).count();
                block.owners = owners;
                for (at, row) in refs.iter().zip(0..) {
                    if let Some(rows) = moved.0.get_mut(&at.block) {
                        rows[at.row as usize] = RowRef { block: number, row };
                    }
                }
            }
        }
        for number in moved.0.keys() {
            if let Some(block) = self.blocks[*number as usize].take() {
                self.rows_held -= block.owners.len();
                self.rows -= block.live;
                self.bytes -= block.bytes;
                self.free.push(*number);
            }
        }
        Ok(Some(moved))
    }
}

impl<T> Block<T> {
    /// The number of a row.
    fn number(&self, row: u32) -> i64 {
        numbers(&self.rows).value(row as usize)
    }
}

/// The numbers of rows.
fn numbers(rows: &RecordBatch) -> &arrow::array::Int64Array {
    rows.column(rows.num_columns() - 1).as_primitive::<Int64Type>()
}

/// Rows of a log at one moment, to be copied later. Later changes of the log do not affect them.
#[derive(Debug)]
pub struct FrozenRows {
    schema: SchemaRef,
    blocks: Vec<RecordBatch>,
    /// For each row the position of its block, and the row within it.
    indices: Vec<(usize, usize)>,
}

impl FrozenRows {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Copies the rows into one batch.
    ///
    /// # Errors
    /// When they do not fit in columns.
    pub fn gather(&self) -> Result<RecordBatch, ArrowError> {
        let columns = (0..self.schema.fields().len()).map(|column| {
            let arrays: Vec<&dyn Array> = self.blocks.iter().map(|block| block.column(column).as_ref()).collect();
            if arrays.is_empty() {
                return Ok(new_empty_array(self.schema.field(column).data_type()));
            }
            interleave(&arrays, &self.indices)
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

#[cfg(test)]
mod tests;
