//! Compressed files, recognised by their extensions.

use std::io::Read;

use crate::Error;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// `.gz`, one or several members.
    Gzip,
    /// `.zst`, one or several frames.
    Zstd,
}

impl Compression {
    /// How the file at `path` is compressed. `None` if it is not.
    ///
    /// # Errors
    /// Names a compression that is not supported.
    pub(super) fn of_path(path: &str) -> Result<Option<Self>, Error> {
        let name = path.rsplit('/').next().unwrap_or(path);
        match name.rsplit_once('.').map_or("", |(_, end)| end) {
            "gz" | "gzip" => Ok(Some(Self::Gzip)),
            "zst" | "zstd" => Ok(Some(Self::Zstd)),
            end @ ("bz2" | "xz" | "deflate" | "lz4" | "snappy" | "zip") => Err(Error::Unavailable {
                what: format!("file '{path}': '.{end}' files are not supported; .gz and .zst are"),
                source: None,
                retryable: false,
            }),
            _ => Ok(None),
        }
    }

    /// Decompresses `packed`.
    pub(super) fn unpack<'a>(self, packed: impl Read + Send + 'a) -> std::io::Result<Box<dyn Read + Send + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
            Self::Zstd => Box::new(zstd::Decoder::new(packed)?),
        })
    }
}
