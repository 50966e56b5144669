//! Writes the checkpoints of `tests/fixtures/v3` into a folder given as the argument; those of `v1` and `v2` are from releases
//! that did not know what is in them.
//!
//! Run once for each version of the form. The files of a version are never written again: they stand for what is in users'
//! storage.

#[path = "../tests/checkpoint/changing.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod changing;
#[path = "../tests/checkpoint/states.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod states;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::args().nth(1).ok_or("the folder is missing")?;
    changing::write_sample(&format!("{root}/jobs")).await;
    Ok(())
}
