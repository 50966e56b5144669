//! eddyline-checkpoint
