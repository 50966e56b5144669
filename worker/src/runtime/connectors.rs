//! The interface between tasks and connectors.

use eddyline_connectors::config::{SinkConfig, SourceConfig};
use eddyline_connectors::sink::Sink;
use eddyline_connectors::source::Source;
use eddyline_connectors::{OpenContext, open_sink, open_source};
use eddyline_job_graph::{SinkNode, SourceNode};

/// Opens the tables of a job. The connectors of this release implement it, and tables in memory for tests.
pub trait Connectors: Send + Sync {
    /// Opens a table for reading.
    ///
    /// # Errors
    /// When its options are wrong or the external system cannot be used.
    fn open_source(&self, source: &SourceNode, context: &OpenContext) -> Result<Box<dyn Source>, OpenError>;

    /// Opens a table for writing.
    ///
    /// # Errors
    /// When its options are wrong or the external system cannot be used.
    fn open_sink(&self, sink: &SinkNode, context: &OpenContext) -> Result<Box<dyn Sink>, OpenError>;
}

/// Why a table could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The table's options are wrong. The planner should have refused them.
    #[error(transparent)]
    Options(#[from] eddyline_connectors::OptionErrors),
    /// The external system cannot be used.
    #[error(transparent)]
    Connector(#[from] eddyline_connectors::Error),
}

/// The connectors of this release.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn;

impl Connectors for BuiltIn {
    fn open_source(&self, source: &SourceNode, context: &OpenContext) -> Result<Box<dyn Source>, OpenError> {
        let config = SourceConfig::parse(&source.table)?;
        Ok(open_source(config, &source.table, &source.projection, &source.metadata, context)?)
    }

    fn open_sink(&self, sink: &SinkNode, context: &OpenContext) -> Result<Box<dyn Sink>, OpenError> {
        let config = SinkConfig::parse(&sink.table)?;
        Ok(open_sink(config, &sink.table, context)?)
    }
}
