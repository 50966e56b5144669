//! eddyline-plan
