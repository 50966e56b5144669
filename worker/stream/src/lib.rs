//! What flows through a job, and the ids of its parts.
//!
//! Batches, kinds of rows, watermarks, barriers, key hashes, key groups, ids, types and their conversions, time zones.
//! All other crates use this one, and it uses none of them. It has no I/O, no clock and no randomness: everything is a
//! value or a pure function. The exception is [`crash`], which ends the process in tests.

pub mod assignment;
pub mod barrier;
pub mod batch;
pub mod cast;
pub mod crash;
pub mod element;
pub mod ids;
pub mod key_group;
pub mod key_hash;
pub mod kinds;
pub mod row_kind;
pub mod sql_type;
pub mod time_zone;
pub mod watermark;

pub use assignment::Assignment;
pub use barrier::{Barrier, BarrierKind, CheckpointId};
pub use batch::{Batch, KeyHashes, NotInsertOnly};
pub use crash::crash_point;
pub use element::Element;
pub use ids::{Attempt, OperatorUid, SlotIndex, SplitId};
pub use key_group::{KeyGroup, KeyGroupSet, MaxParallelism};
pub use kinds::{Kinds, KindsBuilder, TornPair};
pub use row_kind::{ChangelogMode, RowKind};
pub use sql_type::sql_type;
pub use time_zone::TimeZone;
pub use watermark::Watermark;
