//! The elements of a stream.

use crate::{Barrier, Batch, Watermark};

/// One element of a stream. The order of elements in a channel is part of their meaning.
#[derive(Clone, Debug)]
pub enum Element {
    /// Rows.
    Data(Batch),
    /// Event time has reached this watermark. Within a channel it never decreases. [`Watermark::MAX`] is not sent:
    /// [`Self::EndOfInput`] reports the end of event time.
    Watermark(Watermark),
    /// The sender is idle. Until its next watermark it does not hold back the watermark of its receiver. Before this
    /// element it sends all rows that it holds. Before its next rows it sends a watermark, or repeats the last one if
    /// event time has not advanced. Rows alone do not end idleness.
    Idle,
    /// A checkpoint cuts the stream here.
    Barrier(Barrier),
    /// No rows and no watermarks follow. Barriers still follow: a task outlives its input, so that checkpoints continue
    /// while other tasks run, and the last checkpoint covers everything.
    EndOfInput,
}
