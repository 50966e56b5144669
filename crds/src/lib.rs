//! eddyline-crds
