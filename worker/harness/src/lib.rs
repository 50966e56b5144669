//! eddyline-harness
