//! The order of the fields in previous objects.
//!
//! Between two values of an object are a comma, a field name, a colon and perhaps white space: the *lead* of the second
//! value. Records of one source mostly have the same leads in the same order. So each lead records its successors, and
//! the decoder compares bytes instead of parsing. A lead that differs costs one look-up, and is recorded.

use crate::json::scan::{Scanner, word};

/// The number of different leads that are recorded. Further field names of an object are always parsed.
const LEADS_MAX: usize = 256;

/// The longest lead that is recorded, in bytes.
const LEAD_BYTES_MAX: usize = 256;

/// Marks that no lead is known.
const NONE: u16 = u16::MAX;

/// The index of a recorded lead. The first one is the start of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeadId(u16);

impl LeadId {
    /// The start of an object, before its first lead.
    pub(crate) const START: Self = Self(0);
    /// A lead that is not recorded.
    pub(crate) const FORGOTTEN: Self = Self(NONE);
}

/// What follows a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The value of the field with this index.
    Field(u16),
    /// A value that no column reads.
    Unwanted,
    /// The end of the object.
    End,
}

#[derive(Debug)]
struct Lead {
    /// The bytes. The first sixteen are also in `words`, padded with zeros.
    bytes: Box<[u8]>,
    words: [u64; 2],
    masks: [u64; 2],
    target: Target,
    /// The leads that followed, the latest first.
    followers: [u16; 2],
}

impl Lead {
    fn new(bytes: &[u8], target: Target) -> Self {
        let mut padded = [0u8; 16];
        let mut mask = [0u8; 16];
        for (index, byte) in bytes.iter().take(16).enumerate() {
            padded[index] = *byte;
            mask[index] = 0xff;
        }
        let words = |bytes: [u8; 16]| [word(&bytes, 0).unwrap_or(0), word(&bytes, 8).unwrap_or(0)];
        Self { bytes: bytes.into(), words: words(padded), masks: words(mask), target, followers: [NONE; 2] }
    }

    /// Whether the lead is at the scanner's place.
    #[inline(always)]
    fn is_at(&self, scanner: &Scanner<'_>) -> bool {
        let (bytes, at) = (scanner.bytes, scanner.at);
        match (word(bytes, at), word(bytes, at + 8)) {
            (Some(first), Some(second)) if self.bytes.len() <= 16 => {
                ((first ^ self.words[0]) & self.masks[0]) | ((second ^ self.words[1]) & self.masks[1]) == 0
            }
            _ => bytes[at..].starts_with(&self.bytes),
        }
    }
}

/// The leads of one kind of object.
#[derive(Debug)]
pub(crate) struct Keys {
    leads: Vec<Lead>,
}

impl Keys {
    /// No leads yet.
    pub(crate) fn new() -> Self {
        Self { leads: vec![Lead::new(b"", Target::Unwanted)] }
    }

    /// Skips the lead after `previous`, if it is a recorded successor.
    #[inline(always)]
    pub(crate) fn pass_expected(&self, previous: LeadId, scanner: &mut Scanner<'_>) -> Option<(LeadId, Target)> {
        let followers = self.leads.get(usize::from(previous.0))?.followers;
        for follower in followers {
            if let Some(lead) = self.leads.get(usize::from(follower))
                && lead.is_at(scanner)
            {
                scanner.at += lead.bytes.len();
                return Some((LeadId(follower), lead.target));
            }
        }
        None
    }

    /// Records that `bytes`, which lead to `target`, follow `previous`.
    #[cold]
    pub(crate) fn remember(&mut self, previous: LeadId, bytes: &[u8], target: Target) -> LeadId {
        let known = self.leads.iter().skip(1).position(|lead| *lead.bytes == *bytes).map(|index| index + 1);
        let index = match known {
            Some(index) => index,
            None if self.leads.len() < LEADS_MAX && bytes.len() <= LEAD_BYTES_MAX => {
                self.leads.push(Lead::new(bytes, target));
                self.leads.len() - 1
            }
            None => return LeadId::FORGOTTEN,
        };
        // LEADS_MAX is far below u16::MAX.
        let id = LeadId(index as u16);
        if let Some(lead) = self.leads.get_mut(usize::from(previous.0)) {
            lead.followers = [id.0, lead.followers[0]];
        }
        id
    }
}
