//! What a channel carries.

use crate::{Barrier, Batch, Watermark};

/// One element of a stream. The order of elements in a channel is part of their meaning.
#[derive(Clone, Debug)]
pub enum Element {
    /// Rows.
    Data(Batch),
    /// Event time has come this far. Never falls within a channel. Not sent for [`Watermark::MAX`]: that event time is over is
    /// what [`Self::EndOfInput`] says.
    Watermark(Watermark),
    /// The sender has had nothing to say for its idle timeout: it does not hold back the watermark of its receiver until its
    /// next watermark. Before this element it sends all rows that it holds back, and before its next rows a watermark: the
    /// same one again if event time has not risen. Rows do not end idleness, whatever flushed them.
    Idle,
    /// A checkpoint cuts the stream here.
    Barrier(Barrier),
    /// No rows and no watermarks follow. Barriers still do: a task outlives its input, so that checkpoints continue
    /// while other tasks are at work, and the last one covers everything.
    EndOfInput,
}
