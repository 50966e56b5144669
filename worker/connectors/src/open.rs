//! Opens the sources and sinks of a job from their configuration.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::blackhole::sink::BlackholeSink;
use crate::filesystem::sink::FileSink;
use crate::filesystem::source::FileSource;
use crate::generated::Clock;
use crate::kafka::{KafkaSink, KafkaSource};
use crate::print::sink::PrintSink;
use crate::sink::{Sink, Staging};
use crate::source::Source;
use crate::{Error, SinkConfig, SourceConfig, TableDescriptor, datagen, nexmark};

/// The job and attempt in which a connector runs.
#[derive(Clone)]
pub struct OpenContext {
    /// The name of the job. It stays the same over restarts and differs from every other job that writes to the same
    /// target.
    pub job: String,
    /// The history that checkpoint numbers belong to. It changes when the job starts again in an empty folder.
    pub history: String,
    /// The uid of the source or sink in the job.
    pub uid: String,
    /// The number of the attempt, for names that must not be reused.
    pub attempt: u64,
    /// Where sinks store output between a barrier and its commit.
    pub staging: Arc<dyn Staging>,
}

/// Opens a table to read the physical columns `projection`, then the metadata columns `metadata`, both as positions in
/// the table. It may wait for the network: call it on the I/O runtime's blocking threads or before the job starts.
///
/// # Errors
/// Names what cannot be reached or does not fit.
pub fn open_source(
    config: SourceConfig,
    table: &TableDescriptor,
    projection: &[usize],
    metadata: &[usize],
    _context: &OpenContext,
) -> Result<Box<dyn Source>, Error> {
    Ok(match config {
        SourceConfig::Kafka(config) => {
            Box::new(KafkaSource::open(config, table.clone(), projection.to_vec(), metadata.to_vec())?)
        }
        SourceConfig::Filesystem(config) => Box::new(FileSource::open(config, table.clone(), projection, metadata)?),
        SourceConfig::Datagen(config) => datagen::open(&config, table, projection, system_clock()),
        SourceConfig::Nexmark(config) => nexmark::open(&config, table, projection),
    })
}

/// Opens a table to write. It may wait for the network, as [`open_source`] may.
///
/// # Errors
/// Names what cannot be reached or does not fit.
pub fn open_sink(config: SinkConfig, table: &TableDescriptor, context: &OpenContext) -> Result<Box<dyn Sink>, Error> {
    Ok(match config {
        SinkConfig::Kafka(config) => {
            let staging = Arc::clone(&context.staging);
            Box::new(
                KafkaSink::open(config, table.clone(), &context.uid, &context.job, staging)?
                    .with_history(&context.history),
            )
        }
        SinkConfig::Filesystem(config) => Box::new(FileSink::open(config, table, context)?),
        SinkConfig::Print(config) => Box::new(PrintSink::new(config)),
        SinkConfig::Blackhole(_) => Box::new(BlackholeSink),
    })
}

fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
