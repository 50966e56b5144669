//! End-to-end tests of checkpoints: writing, restoring, damage, crashes, fencing, garbage collection.

mod changing;
mod control_log;
mod copy;
mod corruption;
mod crash;
mod deltas;
mod fencing;
mod fixture;
mod histories;
mod local_copies;
mod meanings;
mod refusal;
mod retention;
mod reuse;
mod round_trip;
mod s3;
mod savepoint;
mod states;
