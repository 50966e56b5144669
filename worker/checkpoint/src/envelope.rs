//! The frame around manifests and control records.
//!
//! ```text
//! magic 8 bytes | version u32 | min reader version u32 | body length u64 | body | crc32c u32 of all before it
//! ```
//! Numbers are little-endian. The frame itself never changes, so a release always recognises an object that it cannot
//! read.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, Result};

const HEADER: usize = 8 + 4 + 4 + 8;
const TRAILER: usize = 4;

/// What is framed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    magic: &'static [u8; 8],
    name: &'static str,
    /// The newest version of the body's format that this release reads.
    version: u32,
}

pub(crate) const MANIFEST: Kind = Kind { magic: b"EDLMANIF", name: "manifest", version: 3 };
pub(crate) const CONTROL_RECORD: Kind = Kind { magic: b"EDLCNTRL", name: "control record", version: 1 };

/// Frames a message. `version` is the oldest version of its format that has all fields in use: a reader that knows this
/// version can read the message.
pub(crate) fn seal(kind: Kind, version: u32, message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let mut framed = Vec::with_capacity(HEADER + body.len() + TRAILER);
    framed.extend_from_slice(kind.magic);
    framed.extend_from_slice(&version.to_le_bytes());
    framed.extend_from_slice(&version.to_le_bytes());
    framed.extend_from_slice(&(body.len() as u64).to_le_bytes());
    framed.extend_from_slice(&body);
    framed.extend_from_slice(&crc32c::crc32c(&framed).to_le_bytes());
    framed.into()
}

/// The checksum at the end of a framed message. It identifies the content.
pub(crate) fn checksum(framed: &[u8]) -> u32 {
    framed.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The same bytes with the right length and checksum.
pub(crate) fn resealed(framed: &[u8]) -> Vec<u8> {
    let mut framed = framed.to_vec();
    if let Some(body) = framed.len().checked_sub(HEADER + TRAILER) {
        framed[HEADER - 8..HEADER].copy_from_slice(&(body as u64).to_le_bytes());
        let end = HEADER + body;
        let crc = crc32c::crc32c(&framed[..end]).to_le_bytes();
        framed[end..].copy_from_slice(&crc);
    }
    framed
}

/// Opens a frame.
///
/// # Errors
/// [`Error::Corrupt`] for any changed byte, [`Error::TooNew`] for a format that this release does not know.
pub(crate) fn open<M: Message + Default>(kind: Kind, object: &str, framed: &[u8]) -> Result<M> {
    let corrupt = |reason: &str| Error::corrupt(object, kind.name, reason);
    if framed.len() < HEADER + TRAILER {
        return Err(corrupt("it is shorter than its frame"));
    }
    if !framed.starts_with(kind.magic) {
        return Err(corrupt("it does not begin as one"));
    }
    let number = |at: usize| u32::from_le_bytes([framed[at], framed[at + 1], framed[at + 2], framed[at + 3]]);
    let (content, _) = framed.split_at(framed.len() - TRAILER);
    if crc32c::crc32c(content) != checksum(framed) {
        return Err(corrupt("its checksum does not match"));
    }
    let needed = number(12);
    if needed > kind.version {
        return Err(Error::TooNew { object: object.to_owned(), needed, known: kind.version });
    }
    let body = &content[HEADER..];
    if u64::from(number(16)) | u64::from(number(20)) << 32 != body.len() as u64 {
        return Err(corrupt("its length does not match"));
    }
    M::decode(body).map_err(|error| corrupt(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Note {
        #[prost(string, tag = "1")]
        text: String,
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let framed = seal(MANIFEST, 1, &Note { text: "hello".into() });
        assert_eq!(open::<Note>(MANIFEST, "x", &framed).expect("as written").text, "hello");
        for at in 0..framed.len() {
            assert!(open::<Note>(MANIFEST, "x", &framed[..at]).is_err());
            for bit in 0..8 {
                let mut damaged = framed.to_vec();
                damaged[at] ^= 1 << bit;
                assert!(matches!(open::<Note>(MANIFEST, "x", &damaged), Err(Error::Corrupt { .. })), "byte {at}");
            }
        }
    }

    #[test]
    fn a_later_form_is_refused_by_version() {
        let mut framed = seal(CONTROL_RECORD, 1, &Note::default()).to_vec();
        framed[12] = 9;
        let end = framed.len() - TRAILER;
        let crc = crc32c::crc32c(&framed[..end]).to_le_bytes();
        framed[end..].copy_from_slice(&crc);
        let refused = open::<Note>(CONTROL_RECORD, "control/7", &framed).expect_err("too new");
        assert_eq!(refused.to_string(), "control/7 needs version 9 of the reader; this release has version 1");
    }
}
