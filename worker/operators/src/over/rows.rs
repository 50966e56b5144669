//! Rows in the batches in which they arrived. A batch is released when nothing refers to it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_empty_array, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::operand::{Operand, OperandColumn};
use crate::Result;

/// The position of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRef {
    /// The block, by number.
    pub block: u32,
    /// The row within it.
    pub row: u32,
}

/// Batches of rows, with the number of references into each.
pub struct RowStore {
    schema: SchemaRef,
    operands: Vec<OperandColumn>,
    blocks: Vec<Option<Block>>,
    free: Vec<u32>,
    /// The number of rows in all blocks, referenced or not.
    rows_stored: usize,
    references: usize,
    bytes: usize,
}

struct Block {
    rows: RecordBatch,
    /// The operand of each aggregate.
    operands: Vec<Operand>,
    /// The number of references to rows, plus one for the caller of [`RowStore::insert`] until it releases the block.
    references: usize,
    bytes: usize,
}

/// Rows of a store at one moment, to be copied later. Later changes of the store do not affect them.
pub struct FrozenRows {
    schema: SchemaRef,
    blocks: Vec<RecordBatch>,
    /// For each row, the position of its block and the row within it.
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
    pub fn gather(&self) -> std::result::Result<RecordBatch, ArrowError> {
        let columns = (0..self.schema.fields().len()).map(|column| {
            let arrays: Vec<&dyn Array> = self.blocks.iter().map(|block| block.column(column).as_ref()).collect();
            if arrays.is_empty() {
                return Ok(new_empty_array(self.schema.field(column).data_type()));
            }
            interleave(&arrays, &self.indices)
        });
        let columns = columns.collect::<std::result::Result<Vec<ArrayRef>, _>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
    }
}

/// Blocks are compacted when more than this number of rows, and more than three quarters of all rows, are not
/// referenced.
const UNUSED_ROWS_MAX: usize = 16_384;

/// The maximum number of rows in a block after compaction.
const COMPACTED_BLOCK_ROWS: usize = 65_536;

impl RowStore {
    /// An empty store of rows with these columns. The operands are computed for each block.
    pub fn new(schema: SchemaRef, operands: Vec<OperandColumn>) -> Self {
        Self { schema, operands, blocks: Vec::new(), free: Vec::new(), rows_stored: 0, references: 0, bytes: 0 }
    }

    /// The columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Adds a block, with one reference to the block itself, which [`Self::release_block`] releases.
    pub fn insert(&mut self, rows: RecordBatch) -> Result<u32> {
        let operands = self.operands.iter().map(|column| column.of(&rows)).collect::<Result<Vec<_>>>()?;
        let bytes = rows.get_array_memory_size();
        self.rows_stored += rows.num_rows();
        self.bytes += bytes;
        let block = Some(Block { rows, operands, references: 1, bytes });
        if let Some(index) = self.free.pop() {
            self.blocks[index as usize] = block;
            return Ok(index);
        }
        self.blocks.push(block);
        Ok(u32::try_from(self.blocks.len() - 1).expect("fewer blocks than u32 counts fit in memory"))
    }

    /// Releases the reference of [`Self::insert`].
    pub fn release_block(&mut self, block: u32) {
        self.drop_reference(block);
    }

    /// Counts a reference to a row.
    pub fn retain(&mut self, at: RowRef) {
        self.block_mut(at.block).references += 1;
        self.references += 1;
    }

    /// Releases a reference to a row.
    pub fn release(&mut self, at: RowRef) {
        self.references -= 1;
        self.drop_reference(at.block);
    }

    fn drop_reference(&mut self, index: u32) {
        let block = self.block_mut(index);
        block.references -= 1;
        if block.references == 0 {
            let (rows, bytes) = (block.rows.num_rows(), block.bytes);
            self.blocks[index as usize] = None;
            self.free.push(index);
            self.rows_stored -= rows;
            self.bytes -= bytes;
        }
    }

    fn block(&self, index: u32) -> &Block {
        self.blocks[index as usize].as_ref().expect("a block lives as long as there are references to it")
    }

    fn block_mut(&mut self, index: u32) -> &mut Block {
        self.blocks[index as usize].as_mut().expect("a block lives as long as there are references to it")
    }

    /// The operand of an aggregate in a block.
    #[inline]
    pub fn operand(&self, block: u32, aggregate: usize) -> &Operand {
        &self.block(block).operands[aggregate]
    }

    /// The number of references to rows.
    pub fn len(&self) -> usize {
        self.references
    }

    /// Whether there are no references.
    pub fn is_empty(&self) -> bool {
        self.references == 0
    }

    /// The size of all blocks, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Copies rows into one batch, in the order of `refs`.
    pub fn gather(&self, refs: &[RowRef]) -> Result<RecordBatch> {
        if let Some(slice) = self.as_slice(refs) {
            // Blocks can differ in the nullability of a column.
            return Ok(RecordBatch::try_new(Arc::clone(&self.schema), slice.columns().to_vec())?);
        }
        Ok(self.freeze(refs.iter().copied()).gather()?)
    }

    /// A view of rows as they are now, in the order of `refs`.
    pub fn freeze(&self, refs: impl Iterator<Item = RowRef>) -> FrozenRows {
        let (blocks, indices) = self.dense(refs);
        let blocks = blocks.into_iter().map(|block| self.block(block).rows.clone()).collect();
        FrozenRows { schema: Arc::clone(&self.schema), blocks, indices }
    }

    /// One column of rows, copied into one array; NULL where there is no row.
    pub fn gather_column(&self, column: usize, refs: &[Option<RowRef>]) -> Result<ArrayRef> {
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
        Ok(interleave(&arrays, &indices)?)
    }

    /// The referenced blocks, and for each row the index of its block among them and the row.
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

    /// The rows without copying, if they are adjacent in one block.
    fn as_slice(&self, refs: &[RowRef]) -> Option<RecordBatch> {
        let Some(first) = refs.first() else { return Some(RecordBatch::new_empty(Arc::clone(&self.schema))) };
        let are_adjacent = refs.iter().zip(first.row..).all(|(at, row)| at.block == first.block && at.row == row);
        are_adjacent.then(|| self.block(first.block).rows.slice(first.row as usize, refs.len()))
    }

    /// Whether enough stored rows are not referenced for compaction to pay.
    pub fn is_sparse(&self) -> bool {
        let unused = self.rows_stored.saturating_sub(self.references);
        unused > UNUSED_ROWS_MAX && unused / 3 > self.references
    }

    /// Copies all referenced rows into new blocks. `refs` are all references.
    pub fn compact(&mut self, refs: Vec<&mut RowRef>) -> Result<()> {
        let mut compacted = Self::new(Arc::clone(&self.schema), self.operands.clone());
        let mut refs = refs;
        for part in refs.chunks_mut(COMPACTED_BLOCK_ROWS) {
            let before: Vec<RowRef> = part.iter().map(|at| **at).collect();
            let rows = self.gather(&before)?;
            let block = compacted.insert(rows)?;
            for (at, row) in part.iter_mut().zip(0..) {
                **at = RowRef { block, row };
                compacted.retain(**at);
            }
            compacted.release_block(block);
        }
        *self = compacted;
        Ok(())
    }
}
