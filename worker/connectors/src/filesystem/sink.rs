//! The sink of a filesystem table.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use super::commit::{FileCommitter, Target};
use super::config::Config;
use super::names::Names;
use super::object_upload::PARTS_MAX;
use super::patience::Patience;
use super::store::Store;
use super::upload::{Shared, Uploads};
use super::writer::FileWriter;
use crate::open::OpenContext;
use crate::sink::{Sink, SinkCommitter, SinkWriter, WriterContext};
use crate::{Error, TableDescriptor};

/// The sink of a filesystem table.
pub(crate) struct FileSink {
    config: Arc<Config>,
    table: TableDescriptor,
    store: Store,
    names: Names,
    history: String,
    attempt: u64,
}

impl FileSink {
    /// Prepares writing. Files are created when there are rows.
    pub(crate) fn open(config: Config, table: &TableDescriptor, context: &OpenContext) -> Result<Self, Error> {
        let store = Store::open(&config.location, &config.s3)?;
        let folder = store.absolute(config.location.path())?;
        let names = Names::new(folder, &context.job, &context.uid, config.format.name());
        // This makes an error show now instead of at the first row.
        super::part::PartEncoder::new(&config.format, &config.file_schema(table))?;
        Ok(Self {
            config: Arc::new(config),
            table: table.clone(),
            store,
            names,
            history: context.history.clone(),
            attempt: context.attempt,
        })
    }
}

impl Sink for FileSink {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>, Error> {
        let shared = Arc::new(Shared::default());
        let waits = context.waits;
        let (needs, patience) = Patience::new(move |error| error.into_iter().for_each(|error| waits(error)));
        let (commands, queue) = mpsc::unbounded_channel();
        let uploads = Uploads {
            store: self.store.clone(),
            names: self.names.clone(),
            attempt: context.attempt,
            slot: context.subtask.0,
            shared: Arc::clone(&shared),
            waker: context.waker,
            patience,
            room: Arc::new(Semaphore::new(PARTS_MAX)),
            open: BTreeMap::new(),
            closed: Vec::new(),
            staged_number: 0,
        };
        let io = context.io;
        drop(io.spawn(uploads.run(queue)));
        let schema = self.config.file_schema(&self.table);
        let keys = self.table.partition_keys.clone();
        Ok(Box::new(FileWriter::new(Arc::clone(&self.config), schema, keys, shared, (commands, needs), io)))
    }

    fn committer(&self, io: tokio::runtime::Handle) -> Result<Option<Box<dyn SinkCommitter>>, Error> {
        let target = Target {
            store: self.store.clone(),
            names: self.names.clone(),
            history: self.history.clone(),
            attempt: self.attempt,
            success_file: self.config.success_file.clone(),
            is_tidy: Arc::default(),
        };
        Ok(Some(Box::new(FileCommitter { target, io })))
    }
}
