//! eddyline-formats
