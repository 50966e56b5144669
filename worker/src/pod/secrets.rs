//! `${secret:NAME/KEY}` in table options. A reference is resolved when the tables of an attempt are opened, and not
//! earlier. The plan, its messages and its fingerprint contain only the reference.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use eddyline_api::secret;
use eddyline_connectors::OpenContext;
use eddyline_connectors::sink::Sink;
use eddyline_connectors::source::Source;
use eddyline_connectors::table::{OptionError, OptionErrors, TableDescriptor};
use eddyline_job_graph::{SinkNode, SourceNode};

use crate::runtime::connectors::{Connectors, OpenError};

/// Opens tables with their secrets resolved.
pub struct WithSecrets {
    inner: Arc<dyn Connectors>,
    folder: PathBuf,
}

impl WithSecrets {
    /// Secrets are in `folder`: a folder for each Secret, a file for each key.
    pub fn new(inner: Arc<dyn Connectors>, folder: PathBuf) -> Self {
        Self { inner, folder }
    }

    fn resolve(&self, table: &TableDescriptor) -> Result<TableDescriptor, OptionErrors> {
        let mut resolved = table.clone();
        resolved.options = table
            .options
            .iter()
            .map(|(key, value)| Ok((key.clone(), self.resolve_value(key, value)?)))
            .collect::<Result<BTreeMap<_, _>, OptionError>>()?;
        Ok(resolved)
    }

    fn resolve_value(&self, option: &str, value: &str) -> Result<String, OptionError> {
        secret::replace(value, |secret| {
            let path = self.folder.join(&secret.name).join(&secret.key);
            match std::fs::read_to_string(path) {
                Ok(value) => Ok(value.trim_end_matches('\n').to_owned()),
                Err(error) => Err(format!("key {} of Secret {} cannot be read: {error}", secret.key, secret.name)),
            }
        })
        .map_err(|reason| OptionError::of(option, format!("'{option}': {reason}")))
    }
}

impl Connectors for WithSecrets {
    fn open_source(&self, source: &SourceNode, context: &OpenContext) -> Result<Box<dyn Source>, OpenError> {
        let mut source = source.clone();
        source.table = self.resolve(&source.table)?;
        self.inner.open_source(&source, context)
    }

    fn open_sink(&self, sink: &SinkNode, context: &OpenContext) -> Result<Box<dyn Sink>, OpenError> {
        let mut sink = sink.clone();
        sink.table = self.resolve(&sink.table)?;
        self.inner.open_sink(&sink, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::connectors::BuiltIn;

    #[test]
    fn a_value_of_many_lines_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("kafka")).unwrap();
        let pem = "-----BEGIN CERTIFICATE-----\nQUJD\nREVG\n-----END CERTIFICATE-----";
        std::fs::write(folder.path().join("kafka/ca.crt"), format!("{pem}\n")).unwrap();
        let secrets = WithSecrets::new(Arc::new(BuiltIn), folder.path().to_owned());
        let option = "properties.ssl.truststore.certificates";
        assert_eq!(secrets.resolve_value(option, "${secret:kafka/ca.crt}").unwrap(), pem);
        let error = secrets.resolve_value(option, "${secret:kafka/tls.crt}").unwrap_err();
        assert!(error.message.contains("tls.crt") && error.key.as_deref() == Some(option), "{error}");
    }
}
