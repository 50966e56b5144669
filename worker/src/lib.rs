//! eddyline-worker
