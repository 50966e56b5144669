//! eddyline-windows
