//! The source of a filesystem table.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eddyline_api::message::chain_of;
use eddyline_formats::{Framing, RecordDecoder};
use eddyline_stream::{Batch, SplitId};
use tokio::sync::watch;

use super::config::Config;
use super::discovery::FileEnumerator;
use super::fields::{Fields, FileFields};
use super::patience::{Patience, PatientStore};
use super::piece::Piece;
use super::read_files::SharedReadFiles;
use super::read_lines::LineReader;
use super::read_parquet::{Decoding, DividedRowGroups, Plan, RowGroupReader};
use super::store::Store;
use crate::source::{
    Finished, Placement, Poll, ReaderContext, ReaderCounters, Source, SourceReader, Split, SplitEnumerator,
};
use crate::{Error, TableDescriptor};

/// The result of reading a piece.
pub(super) enum Progress {
    /// Rows of the file's columns.
    Rows(Batch),
    /// There are no rows yet. The waker is called when there are more.
    Pending,
    /// The piece has been read to its end.
    End,
}

/// The error of a file that cannot be decoded, for a reason that is not in a single record.
pub(super) fn format_failed(path: &str, error: eddyline_formats::Error) -> Error {
    Error::Unavailable { what: format!("cannot read file '{path}'"), source: Some(Box::new(error)), retryable: false }
}

/// The source of a filesystem table.
pub(crate) struct FileSource {
    config: Arc<Config>,
    table: TableDescriptor,
    fields: Fields,
    store: Store,
    /// Shared by the readers of this process.
    divided: Arc<DividedRowGroups>,
    /// Shared by the enumerator and the pool.
    read: SharedReadFiles,
}

impl FileSource {
    /// Prepares reading the physical columns `projection`, then the metadata columns `metadata`.
    pub(crate) fn open(
        config: Config,
        table: TableDescriptor,
        projection: &[usize],
        metadata: &[usize],
    ) -> Result<Self, Error> {
        let store = Store::open(&config.location, &config.s3)?;
        let fields = Fields::new(&config, &table, projection, metadata);
        Ok(Self {
            config: Arc::new(config),
            table,
            fields,
            store,
            divided: Arc::default(),
            read: SharedReadFiles::default(),
        })
    }
}

impl Source for FileSource {
    fn enumerator(&self, io: tokio::runtime::Handle) -> Result<Box<dyn SplitEnumerator>, Error> {
        Ok(Box::new(FileEnumerator::new(Arc::clone(&self.config), self.store.clone(), self.read.clone(), io)))
    }

    fn finished(&self) -> Box<dyn Finished> {
        Box::new(self.read.clone())
    }

    fn reader(&self, context: ReaderContext) -> Result<Box<dyn SourceReader>, Error> {
        let schema = self.config.file_schema(&self.table);
        let projection = self.fields.file_projection.clone();
        let trouble = Arc::<Mutex<Option<String>>>::default();
        let reported = Arc::clone(&trouble);
        let (needs, patience) = Patience::new(move |error| {
            *reported.lock().unwrap_or_else(PoisonError::into_inner) = error.map(|error| chain_of(error));
        });
        Ok(Box::new(FileSourceReader {
            plan: self.config.format.parquet().map(|config| Plan {
                config: config.clone(),
                schema,
                projection,
                divided: Arc::clone(&self.divided),
            }),
            config: Arc::clone(&self.config),
            table: self.table.clone(),
            fields: self.fields.clone(),
            store: PatientStore { store: self.store.clone(), patience },
            trouble,
            _needs: needs,
            context,
            pieces: Vec::new(),
            open: None,
            decoder: None,
            decoding: None,
            closed: ReaderCounters::default(),
        }))
    }

    fn placement(&self) -> Placement {
        Placement::OnDemand
    }

    fn discovery_interval(&self) -> Option<Duration> {
        self.config.monitor_interval
    }
}

/// Reads pieces, one after the other.
struct FileSourceReader {
    // Fixed at start.
    plan: Option<Plan>,
    config: Arc<Config>,
    table: TableDescriptor,
    fields: Fields,
    store: PatientStore,
    /// Why nothing can be read at the moment.
    trouble: Arc<Mutex<Option<String>>>,
    /// Dropped with the reader, and then no request waits for an answer of the store.
    _needs: watch::Sender<()>,
    context: ReaderContext,
    // Changing.
    /// The pieces of this reader that are not reported as finished.
    pieces: Vec<Held>,
    /// The piece that is being read, as a position in `pieces`.
    open: Option<(usize, Open)>,
    /// The decoder. It is kept from piece to piece, because it has learned what the records look like.
    decoder: Option<Box<dyn RecordDecoder>>,
    /// The row group in which the last piece ended.
    decoding: Option<Decoding>,
    /// The counters of finished pieces.
    closed: ReaderCounters,
}

/// A piece that was assigned to this reader.
struct Held {
    id: SplitId,
    piece: Piece,
    finished: bool,
    paused: bool,
}

struct Open {
    fields: FileFields,
    reader: PieceReader,
}

enum PieceReader {
    Lines(Box<LineReader>),
    RowGroups(Box<RowGroupReader>),
}

impl PieceReader {
    fn poll(&mut self, rows_max: usize) -> Result<Progress, Error> {
        match self {
            Self::Lines(reader) => reader.poll(rows_max),
            Self::RowGroups(reader) => reader.poll(rows_max),
        }
    }

    fn update(&self, piece: &mut Piece) {
        match self {
            Self::Lines(reader) => reader.update(piece),
            Self::RowGroups(reader) => reader.update(piece),
        }
    }

    fn counters(&self) -> (u64, u64) {
        match self {
            Self::Lines(reader) => (reader.bytes, reader.bad_records),
            Self::RowGroups(reader) => (reader.bytes, 0),
        }
    }
}

impl FileSourceReader {
    fn open_piece(&mut self, index: usize) -> Result<Open, Error> {
        let piece = &self.pieces[index].piece;
        let fields = self.fields.of_file(&piece.file, self.config.location.uri_of(&piece.file.path))?;
        let (io, waker) = (&self.context.io, Arc::clone(&self.context.waker));
        let reader = match (&self.plan, self.config.format.framing()) {
            (Some(plan), Framing::Files) => {
                let behind = self.decoding.take();
                PieceReader::RowGroups(Box::new(RowGroupReader::start(&self.store, piece, plan, (io, waker), behind)?))
            }
            _ => {
                let decoder = match self.decoder.take() {
                    Some(decoder) => decoder,
                    None => self.new_decoder(&piece.file.path)?,
                };
                let format = &self.config.format;
                PieceReader::Lines(Box::new(LineReader::start(&self.store, piece, format, decoder, io, waker)?))
            }
        };
        Ok(Open { fields, reader })
    }

    fn new_decoder(&self, path: &str) -> Result<Box<dyn RecordDecoder>, Error> {
        const BATCH_ROWS: usize = 8_192;
        let schema = self.config.file_schema(&self.table);
        self.config
            .format
            .decoder(&schema, &self.fields.file_projection, BATCH_ROWS)
            .map_err(|error| format_failed(path, error))
    }
}

impl SourceReader for FileSourceReader {
    fn add_split(&mut self, split: Split) -> Result<(), Error> {
        let piece = Piece::from_split(&split)?;
        self.pieces.push(Held { id: split.id, piece, finished: split.finished, paused: false });
        Ok(())
    }

    fn poll(&mut self, rows_max: usize) -> Result<Poll, Error> {
        let (index, mut open) = match self.open.take() {
            Some(open) => open,
            None => {
                let next = self.pieces.iter().position(|held| !held.finished && !held.paused);
                let Some(index) = next else { return Ok(Poll::Pending) };
                (index, self.open_piece(index)?)
            }
        };
        let held = &mut self.pieces[index];
        if held.paused {
            self.open = Some((index, open));
            return Ok(Poll::Pending);
        }
        let progress = open.reader.poll(rows_max)?;
        open.reader.update(&mut held.piece);
        let poll = match progress {
            Progress::Rows(rows) => Poll::Rows { split: held.id.clone(), rows: open.fields.complete(rows)? },
            Progress::Pending => Poll::Pending,
            Progress::End => {
                held.finished = true;
                let id = held.id.clone();
                let (bytes, bad_records) = open.reader.counters();
                self.closed.bytes += bytes;
                self.closed.bad_records += bad_records;
                match open.reader {
                    PieceReader::Lines(reader) => self.decoder = Some(reader.into_decoder()),
                    PieceReader::RowGroups(reader) => self.decoding = reader.into_decoding(),
                }
                return Ok(Poll::Finished(id));
            }
        };
        self.open = Some((index, open));
        Ok(poll)
    }

    /// A piece is not empty until it ends, however long the storage takes.
    fn is_empty(&mut self, split: &SplitId) -> bool {
        self.pieces.iter().all(|held| held.id != *split || held.finished)
    }

    fn pause(&mut self, split: &SplitId, paused: bool) {
        if let Some(held) = self.pieces.iter_mut().find(|held| held.id == *split) {
            held.paused = paused;
        }
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Error> {
        if self.open.is_none() {
            // Decompressed pages are not kept for a piece that may never come.
            self.decoding = None;
        }
        let split = |held: &Held| Split {
            id: held.id.clone(),
            position: serde_json::json!(held.piece),
            finished: held.finished,
        };
        let splits = self.pieces.iter().map(split).collect();
        // The snapshot has all finished pieces.
        if let Some((index, _)) = &mut self.open {
            *index -= self.pieces[..*index].iter().filter(|held| held.finished).count();
        }
        self.pieces.retain(|held| !held.finished);
        Ok(splits)
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn counters(&self) -> ReaderCounters {
        let (bytes, bad_records) = self.open.as_ref().map_or((0, 0), |(_, open)| open.reader.counters());
        ReaderCounters {
            bytes: self.closed.bytes + bytes,
            bad_records: self.closed.bad_records + bad_records,
            lag_records: None,
        }
    }
}
