//! Writes the checkpoints of `tests/fixtures/v3` to the folder given as the argument. Earlier releases have written
//! those of `v1` and `v2`.
//!
//! Run it once for each version of the format. The files of a version are never written again, because they represent
//! the files in users' storage.

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
