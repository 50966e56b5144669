//! Formats from outside: their options, and rows that are written and read again.

mod config;
mod round_trip;
