//! Shares the pages of a row group between two readers. Pages that both need are decompressed once.
//!
//! A reader that needs a page which the other one is decompressing does not only wait: it decompresses pages of other columns
//! meanwhile, which both will need. So two readers of a row group with one page per column share the work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use parquet::arrow::arrow_reader::RowGroups;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::Result;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

/// Decompressed pages of a row group that is read in two parts. Only dictionaries and pages with rows of both parts are
/// kept. A row group with many pages has one such page per column. A row group that is a single page is kept whole.
#[derive(Debug, Default)]
pub struct SharedPages {
    /// The first row of the second part. None if one reader reads all rows.
    boundary: Option<u64>,
    /// The columns that are read.
    columns: Mutex<BTreeSet<usize>>,
    /// The pages by column, and by index in the column.
    pages: Mutex<BTreeMap<(usize, usize), SharedPage>>,
}

/// A page that is locked while it is decompressed.
type SharedPage = Arc<Mutex<Option<Page>>>;

impl SharedPages {
    /// Makes an empty store for a row group whose second part begins with this row.
    pub fn divided_at(row: u64) -> Self {
        Self { boundary: Some(row), ..Self::default() }
    }

    fn page(&self, column: usize, place: usize) -> SharedPage {
        Arc::clone(lock(&self.pages).entry((column, place)).or_default())
    }
}

/// Locks a mutex, even if a holder has panicked. That cannot leave an inconsistent value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks a mutex unless somebody else has it.
fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// One row group of a file.
pub(super) struct RowGroupPages<R> {
    pub(super) input: Arc<R>,
    pub(super) metadata: Arc<ParquetMetaData>,
    pub(super) row_group: usize,
    pub(super) shared: Arc<SharedPages>,
}

impl<R> Clone for RowGroupPages<R> {
    fn clone(&self) -> Self {
        let (input, metadata) = (Arc::clone(&self.input), Arc::clone(&self.metadata));
        Self { input, metadata, row_group: self.row_group, shared: Arc::clone(&self.shared) }
    }
}

impl<R: ChunkReader> RowGroupPages<R> {
    fn chunk(&self, column: usize) -> Result<SharingReader<R>> {
        let chunk = self.metadata.row_group(self.row_group).column(column);
        let rows = usize::try_from(self.metadata.row_group(self.row_group).num_rows()).unwrap_or(0);
        Ok(SharingReader {
            pages: SerializedPageReader::new(Arc::clone(&self.input), chunk, rows, None)?,
            group: self.clone(),
            column,
            is_nested: chunk.column_descr().max_rep_level() > 0,
            place: 0,
            rows: 0,
        })
    }
}

impl<R: ChunkReader + 'static> RowGroups for RowGroupPages<R> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.metadata.row_group(self.row_group).num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>> {
        lock(&self.shared.columns).insert(column);
        Ok(Box::new(OneChunk(Some(Box::new(self.chunk(column)?)))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata.row_group(self.row_group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

struct OneChunk(Option<Box<dyn PageReader>>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for OneChunk {}

/// Reads the pages of a column chunk in order.
struct SharingReader<R: ChunkReader> {
    // Fixed at start.
    group: RowGroupPages<R>,
    column: usize,
    is_nested: bool,
    // Changing.
    pages: SerializedPageReader<R>,
    /// The number of pages read so far.
    place: usize,
    rows: u64,
}

impl<R: ChunkReader> SharingReader<R> {
    /// The rows of a page. `None` if its header does not have them, or if it is a dictionary.
    fn rows_of(&self, page: &PageMetadata) -> Option<u64> {
        let levels = page.num_levels.filter(|_| !self.is_nested);
        page.num_rows.or(levels).map(|rows| rows as u64)
    }

    fn is_shared(&self, page: &PageMetadata) -> bool {
        let Some(boundary) = self.group.shared.boundary else { return false };
        page.is_dict || self.rows_of(page).is_some_and(|rows| self.rows < boundary && boundary < self.rows + rows)
    }

    /// Decompresses the shared pages of this column that nobody has begun, until `is_enough`.
    fn unpack_shared(mut self, is_enough: impl Fn() -> bool) -> Result<()> {
        while let Some(metadata) = self.pages.peek_next_page()?.filter(|_| !is_enough()) {
            let shared = self.is_shared(&metadata).then(|| self.group.shared.page(self.column, self.place));
            match shared.as_deref().and_then(try_lock).filter(|page| page.is_none()) {
                Some(mut page) => *page = self.pages.get_next_page()?,
                None => self.pages.skip_next_page()?,
            }
            self.pass(&metadata);
        }
        Ok(())
    }

    /// Decompresses pages of other columns until a page is free.
    fn help_until_free(&self, page: &SharedPage) -> Result<()> {
        let is_free = || try_lock(page).is_some();
        let columns = lock(&self.group.shared.columns).clone();
        // Columns are read in order, so those behind this one are needed next.
        for column in columns.range(self.column + 1..) {
            if is_free() {
                break;
            }
            self.group.chunk(*column)?.unpack_shared(is_free)?;
        }
        Ok(())
    }

    fn pass(&mut self, page: &PageMetadata) {
        self.place += 1;
        self.rows += self.rows_of(page).unwrap_or(0);
    }
}

impl<R: ChunkReader> PageReader for SharingReader<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let Some(metadata) = self.pages.peek_next_page()? else { return Ok(None) };
        let page = if self.is_shared(&metadata) {
            let shared = self.group.shared.page(self.column, self.place);
            if try_lock(&shared).is_none() {
                self.help_until_free(&shared)?;
            }
            let mut shared = lock(&shared);
            match &*shared {
                Some(page) => {
                    self.pages.skip_next_page()?;
                    Some(page.clone())
                }
                None => {
                    *shared = self.pages.get_next_page()?;
                    shared.clone()
                }
            }
        } else {
            self.pages.get_next_page()?
        };
        self.pass(&metadata);
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        if let Some(metadata) = self.pages.peek_next_page()? {
            self.pass(&metadata);
        }
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

impl<R: ChunkReader> Iterator for SharingReader<R> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::Int64Type;
    use bytes::Bytes;
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::*;
    use crate::parquet::{Config, FileReader};

    const ROWS: i64 = 1_000;

    fn rows() -> RecordBatch {
        let texts = StringArray::from_iter_values((0..ROWS).map(|row| format!("text {row}")));
        let few: StringArray = (0..ROWS).map(|row| (row % 9 > 0).then(|| format!("k{}", row % 7))).collect();
        let lists = (0..ROWS).map(|row| (row % 5 > 0).then(|| (0..row % 4).map(Some)));
        let columns: [(&str, ArrayRef); 4] = [
            ("text", Arc::new(texts)),
            ("few", Arc::new(few)),
            ("number", Arc::new(Int64Array::from_iter_values(0..ROWS))),
            ("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))),
        ];
        RecordBatch::try_from_iter(columns).expect("columns of one length")
    }

    fn file(rows_of_page: usize) -> Bytes {
        let properties = WriterProperties::builder()
            .set_data_page_row_count_limit(rows_of_page)
            .set_write_batch_size(rows_of_page.min(64))
            .set_column_dictionary_enabled("text".into(), false);
        let mut writer = ArrowWriter::try_new(Vec::new(), rows().schema(), Some(properties.build())).expect("a writer");
        writer.write(&rows()).expect("written");
        writer.into_inner().expect("a file").into()
    }

    #[test]
    fn two_readers_side_by_side_give_what_one_gives_and_unpack_what_both_need_once() {
        for rows_of_page in [usize::MAX, 90] {
            let file = file(rows_of_page);
            let reader =
                FileReader::open("f", &file, &Config::default(), &rows().schema(), &[0, 1, 2, 3]).expect("opens");
            for boundary in [1, 500, 540, 999] {
                let pages = Arc::new(SharedPages::divided_at(boundary));
                let read = |skip| reader.read(file.clone(), 0, skip, 64, Arc::clone(&pages)).expect("a reader");
                let (mut first, mut second) = (read(0), read(boundary));
                let (mut firsts, mut seconds) = (Vec::new(), Vec::new());
                // The readers take turns. The first one stops at the boundary.
                loop {
                    let rows_read: usize = firsts.iter().map(RecordBatch::num_rows).sum();
                    let left = boundary as usize - rows_read;
                    let (a, b) = (if left > 0 { first.next() } else { None }, second.next());
                    if a.is_none() && b.is_none() {
                        break;
                    }
                    firsts.extend(
                        a.map(|batch| batch.expect("rows")).map(|batch| batch.slice(0, left.min(batch.num_rows()))),
                    );
                    seconds.extend(b.map(|batch| batch.expect("rows")));
                }
                let read = concat_batches(reader.schema(), firsts.iter().chain(&seconds)).expect("one schema");
                assert_eq!(read.columns(), rows().columns(), "{rows_of_page} rows in a page, divided at {boundary}");
                let kept = lock(&pages.pages).len();
                // These are a dictionary for each of `few`, `number` and `list`, and the pages with rows of both
                // halves.
                assert!((3..=6).contains(&kept), "{kept} pages, divided at {boundary}");
            }
        }
    }

    #[test]
    fn a_reader_that_would_wait_for_a_page_unpacks_those_of_other_columns() {
        let file = file(usize::MAX);
        let reader = FileReader::open("f", &file, &Config::default(), &rows().schema(), &[0, 1, 2]).expect("opens");
        let pages = Arc::new(SharedPages::divided_at(500));
        let waited_for = pages.page(0, 0);
        let being_unpacked = lock(&waited_for);
        let (opened, shared) = (reader.clone(), Arc::clone(&pages));
        let second = std::thread::spawn(move || {
            let rows = opened.read(file, 0, 500, 64, shared).expect("a reader");
            rows.map(|batch| batch.expect("rows").num_rows()).sum::<usize>()
        });
        let is_unpacked = |column: usize| {
            [0, 1].into_iter().all(|place| try_lock(&pages.page(column, place)).is_some_and(|page| page.is_some()))
        };
        while !(is_unpacked(1) && is_unpacked(2)) {
            assert!(!second.is_finished(), "it cannot end without the first column");
            std::thread::yield_now();
        }
        drop(being_unpacked);
        assert_eq!(second.join().expect("no panic"), 500);
    }
}
