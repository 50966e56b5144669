//! Staged records: the output of one epoch of one writer, stored beside the checkpoint until it may be published.
//!
//! An object is `EDSTAGE1`, records, a trailer. A record is its length (u32), then partition (i32, -1: the client
//! chooses), timestamp (i64, `i64::MIN`: the time of publishing), key and value (each an i32 length, -1: none, and
//! bytes), the number of headers (u16), and for each a name (u16 length and bytes) and a value (as key and value). The
//! trailer is the number of records (u64) and the CRC-32C of everything before it (u32). All numbers are little-endian.
//! The format is part of checkpoints: a new one gets a new magic, and this one must still be read.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::records::Record;
use crate::Error;
use crate::sink::Committable;

const MAGIC: &[u8; 8] = b"EDSTAGE1";
const TRAILER_BYTES: usize = 12;
const NO_TIMESTAMP: i64 = i64::MIN;

/// The version of [`Staged`] that this build writes, and the newest it reads.
pub const VERSION: u32 = 1;

/// The staged output of a writer for a checkpoint: the committable of a Kafka sink. Part of checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The version of this description.
    pub version: u32,
    /// The slot whose transactions publish it.
    pub slot: u16,
    /// The checkpoint it was staged for.
    pub checkpoint: u64,
    /// The time of staging in milliseconds since 1970. Nothing was published earlier.
    pub staged_at_ms: i64,
    /// The objects, in the order of their records.
    pub objects: Vec<StagedObject>,
}

/// One object of a [`Staged`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedObject {
    /// Its name in the staging area.
    pub name: String,
    /// The number of its records.
    pub records: u64,
    /// Its size.
    pub bytes: u64,
    /// The CRC-32C in its trailer.
    pub crc32c: u32,
}

impl Staged {
    /// As a committable.
    pub fn to_committable(&self) -> Committable {
        Committable { description: serde_json::json!(self) }
    }

    /// From a committable.
    ///
    /// # Errors
    /// Says that it is another sink's, or a newer version's.
    pub fn parse(committable: &Committable) -> Result<Self, Error> {
        let refused = |reason: String| Error::Restore { split: "staged output of a Kafka sink".to_owned(), reason };
        let version = committable.description["version"].as_u64();
        if let Some(found) = version.filter(|found| *found > u64::from(VERSION)) {
            return Err(refused(format!("version {found} is newer than {VERSION}, the newest this worker reads")));
        }
        serde_json::from_value(committable.description.clone())
            .map_err(|error| refused(format!("not the committable of a Kafka sink: {error}")))
    }
}

/// An object while it is written.
#[derive(Debug)]
pub struct StagedWriter {
    bytes: Vec<u8>,
    records: u64,
}

impl Default for StagedWriter {
    fn default() -> Self {
        Self { bytes: MAGIC.to_vec(), records: 0 }
    }
}

impl StagedWriter {
    /// The number of records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The number of bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a record.
    pub fn push(&mut self, record: &Record<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&record.partition.unwrap_or(-1).to_le_bytes());
        self.bytes.extend_from_slice(&record.timestamp.unwrap_or(NO_TIMESTAMP).to_le_bytes());
        self.push_bytes(record.key);
        self.push_bytes(record.value);
        // More headers than this are more than a record of Kafka's default size can have.
        let headers = u16::try_from(record.headers.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&headers.to_le_bytes());
        for (name, value) in record.headers.iter().take(usize::from(headers)) {
            let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
            self.bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
            self.bytes.extend_from_slice(name);
            self.push_bytes(*value);
        }
        let length = (self.bytes.len() - start - 4) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        self.records += 1;
    }

    fn push_bytes(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.bytes.extend_from_slice(&(-1i32).to_le_bytes()),
            Some(bytes) => {
                self.bytes.extend_from_slice(&(bytes.len() as i32).to_le_bytes());
                self.bytes.extend_from_slice(bytes);
            }
        }
    }

    /// Ends the object, and gives it the name `name`.
    pub fn finish(mut self, name: String) -> (StagedObject, Bytes) {
        self.bytes.extend_from_slice(&self.records.to_le_bytes());
        let crc32c = crc32c::crc32c(&self.bytes);
        self.bytes.extend_from_slice(&crc32c.to_le_bytes());
        let object = StagedObject { name, records: self.records, bytes: self.bytes.len() as u64, crc32c };
        (object, Bytes::from(self.bytes))
    }
}

/// Checks a staged object against its committable and calls `each` with its records in order.
///
/// # Errors
/// Names the object if it is not what was staged, or passes on the error of `each`.
pub fn for_each(
    object: &StagedObject,
    bytes: &[u8],
    mut each: impl FnMut(&Record<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let damaged = |reason: &str| Error::Restore {
        split: format!("staged object {}", object.name),
        reason: format!("{reason}; the output of its checkpoint cannot be published"),
    };
    if bytes.len() as u64 != object.bytes || bytes.len() < MAGIC.len() + TRAILER_BYTES {
        return Err(damaged(&format!("it has {} bytes, but {} were staged", bytes.len(), object.bytes)));
    }
    let (rest, crc) = bytes.split_at(bytes.len() - 4);
    let stored = u32::from_le_bytes(crc.try_into().expect("split off four bytes"));
    if stored != object.crc32c || crc32c::crc32c(rest) != stored {
        return Err(damaged("its checksum is not the one that was staged"));
    }
    let records = rest[..rest.len() - 8]
        .strip_prefix(MAGIC)
        .ok_or_else(|| damaged("it is of a format this worker does not read"))?;
    let mut input = Input(records);
    let mut count = 0;
    while !input.0.is_empty() {
        let record = input.record().ok_or_else(|| damaged("a record is cut short"))?;
        each(&record)?;
        count += 1;
    }
    if count == object.records { Ok(()) } else { Err(damaged("the number of its records is wrong")) }
}

/// The records of an object that are still to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<Option<&'a [u8]>> {
        match i32::from_le_bytes(self.number()?) {
            -1 => Some(None),
            length => self.take(usize::try_from(length).ok()?).map(Some),
        }
    }

    fn record(&mut self) -> Option<Record<'a>> {
        let length = u32::from_le_bytes(self.number()?);
        let mut record = Input(self.take(usize::try_from(length).ok()?)?);
        let partition = i32::from_le_bytes(record.number()?);
        let timestamp = i64::from_le_bytes(record.number()?);
        let (key, value) = (record.bytes()?, record.bytes()?);
        let mut headers = Vec::new();
        for _ in 0..u16::from_le_bytes(record.number()?) {
            let length = u16::from_le_bytes(record.number()?);
            let name = std::str::from_utf8(record.take(usize::from(length))?).ok()?;
            headers.push((name, record.bytes()?));
        }
        record.0.is_empty().then_some(Record {
            key,
            value,
            partition: (partition >= 0).then_some(partition),
            timestamp: (timestamp != NO_TIMESTAMP).then_some(timestamp),
            headers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> (StagedObject, Bytes, [Record<'static>; 2]) {
        let records = [
            Record { value: Some(b"{}"), ..Record::default() },
            Record {
                key: Some(b""),
                value: None,
                partition: Some(3),
                timestamp: Some(-1),
                headers: vec![("a", Some(b"1")), ("b", None)],
            },
        ];
        let mut writer = StagedWriter::default();
        for record in &records {
            writer.push(record);
        }
        let (object, bytes) = writer.finish("o".to_owned());
        (object, bytes, records)
    }

    #[test]
    fn records_come_back_as_they_were_staged() {
        let (object, bytes, records) = object();
        let mut read = 0;
        for_each(&object, &bytes, |record| {
            assert_eq!(*record, records[read]);
            read += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!((read, object.records), (2, 2));
    }

    #[test]
    fn a_damaged_object_is_refused_before_its_first_record() {
        let (object, bytes, _) = object();
        let refused = |bytes: &[u8]| {
            let error = for_each(&object, bytes, |_| panic!("a record of a damaged object")).unwrap_err();
            assert!(error.to_string().contains("staged object o"), "{error}");
        };
        refused(&bytes[..bytes.len() - 1]);
        refused(&[]);
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            refused(&damaged);
        }
    }

    #[test]
    fn a_newer_description_is_refused() {
        let staged = Staged { version: VERSION + 1, slot: 0, checkpoint: 1, staged_at_ms: 0, objects: Vec::new() };
        assert!(Staged::parse(&staged.to_committable()).unwrap_err().to_string().contains("newer"));
        let staged = Staged { version: VERSION, ..staged };
        assert_eq!(Staged::parse(&staged.to_committable()).unwrap(), staged);
    }
}
