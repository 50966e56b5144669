//! Writes the savepoint and the checkpoint of `tests/fixtures/v2` into a folder given as the argument; those of `v1` are from a
//! release that did not know what is in them.
//!
//! Run once for each version of the form. The files of a version are never written again: they stand for what is in users'
//! storage.

#[path = "../tests/checkpoint/states.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod states;

use std::collections::BTreeMap;

use eddyline_checkpoint::{JobStore, Storage};
use eddyline_stream::Assignment;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args().nth(1).ok_or("the folder is missing")?;
    let storage = Storage::open(&format!("{root}/jobs"), &BTreeMap::new())?;
    let started = JobStore::open(storage, "orders").start_attempt(states::identity()).await?;
    let state = states::with_finished(states::contents(&states::sample(100), &Assignment::even(states::groups(), 3)));
    let savepoint = started.writer.write_savepoint(&root, states::checkpoint(7), &state).await?;
    started.writer.write(states::checkpoint(7), state).await?;
    println!("{savepoint}");
    Ok(())
}
