//! Watermarks: generation and combination.
//!
//! Pure state machines: [`WatermarkGenerator`] for one split of a source, [`SplitGenerators`] and [`SplitWatermarks`] for
//! the splits of one source reader, and [`ChannelWatermarks`] for the input channels of one task. Time is a parameter.

pub mod channels;
pub mod generator;
pub mod generators;
pub mod splits;

pub use channels::ChannelWatermarks;
pub use generator::WatermarkGenerator;
pub use generators::SplitGenerators;
pub use splits::SplitWatermarks;
