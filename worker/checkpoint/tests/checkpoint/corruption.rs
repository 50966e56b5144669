//! Every damaged byte is detected, and none makes a reader panic.

use eddyline_checkpoint::storage::Memory;
use eddyline_checkpoint::{CheckpointHandle, Error, JobStore, fuzz_open_manifest, fuzz_open_run};
use eddyline_stream::{Assignment, KeyGroupSet, MaxParallelism};
use proptest::prelude::*;

use crate::states::{self, Keys, checkpoint, contents, groups, start, uid};

const MANIFEST: &str = "orders/chk/0000000001-1/manifest";

async fn restore_all(store: &JobStore) -> Result<(), Error> {
    let handle = store.latest().await?.expect("a checkpoint");
    for operator in ["windows", "sessions"] {
        handle.restore(&uid(operator), &KeyGroupSet::all(handle.max_parallelism())).await?;
    }
    Ok(())
}

#[tokio::test]
async fn every_damaged_byte_of_a_manifest_and_what_is_in_it_is_found() {
    let memory = Memory::new();
    let keys: Keys = [(("windows".into(), "sums".into(), 5), (0..8).collect())].into();
    let writer = start(&memory).await.writer;
    writer.write(checkpoint(1), contents(&keys, &Assignment::even(groups(), 2))).await.expect("written");
    let whole = memory.peek(MANIFEST).expect("a manifest");
    assert!(fuzz_open_manifest(&whole));
    let store = states::store(&memory);
    for at in 0..whole.len() {
        let mut damaged = whole.to_vec();
        damaged[at] ^= 1 << (at % 8);
        memory.poke(MANIFEST, damaged);
        let error = restore_all(&store).await.expect_err("damage is found");
        assert!(matches!(error, Error::Corrupt { .. }), "byte {at}: {error}");
        assert!(error.to_string().contains("chk/0000000001-1/manifest is corrupt"), "{error}");
    }
    memory.poke(MANIFEST, whole.slice(..whole.len() - 1));
    assert!(matches!(restore_all(&store).await, Err(Error::Corrupt { .. })));
    memory.remove(MANIFEST);
    assert!(matches!(restore_all(&store).await, Err(Error::MissingManifest { .. })));
}

/// A savepoint and the name of its run file. A savepoint has its rows in a file of their own, whatever their size.
async fn savepoint(memory: &Memory, keys: &Keys) -> (CheckpointHandle, String) {
    let started = start(memory).await;
    let uri = started
        .writer
        .write_savepoint("memory:/saved", checkpoint(1), &contents(keys, &Assignment::even(groups(), 2)))
        .await
        .expect("written");
    let folder = uri.strip_prefix("memory:/").expect("in memory");
    (open(memory, &uri).await, format!("{folder}/state.run"))
}

async fn open(memory: &Memory, uri: &str) -> CheckpointHandle {
    let storage = eddyline_checkpoint::Storage::in_memory(memory.clone());
    CheckpointHandle::open_in(storage.open_beside(uri).expect("a location")).await.expect("a savepoint")
}

#[tokio::test]
async fn every_damaged_byte_of_a_run_file_is_found() {
    let memory = Memory::new();
    let keys: Keys = [(("windows".into(), "sums".into(), 5), (0..12).collect())].into();
    let (handle, name) = savepoint(&memory, &keys).await;
    let run = memory.peek(&name).expect("a run file");
    let uri = handle.uri().to_owned();
    assert_eq!(fuzz_open_run(&run), Some(12));
    for at in 0..run.len() {
        let mut damaged = run.to_vec();
        damaged[at] ^= 1 << (at % 8);
        memory.poke(&name, damaged.clone());
        let restored = open(&memory, &uri).await.restore(&uid("windows"), &KeyGroupSet::all(groups())).await;
        let error = restored.expect_err("damage is found");
        assert!(error.to_string().contains("state.run is corrupt"), "byte {at}: {error}");
        // Without the checksums of blocks the rows may be wrong, but nothing panics.
        let _rows = fuzz_open_run(&damaged);
    }
    memory.poke(&name, run.slice(..run.len() / 2));
    let error = open(&memory, &uri).await.restore(&uid("windows"), &KeyGroupSet::all(groups())).await;
    assert!(matches!(error, Err(Error::Corrupt { .. })), "{error:?}");
    memory.remove(&name);
    let error = open(&memory, &uri).await.restore(&uid("windows"), &KeyGroupSet::all(groups())).await;
    assert!(matches!(error, Err(Error::MissingRunFile { .. })), "{error:?}");
}

#[tokio::test]
async fn damage_in_a_large_run_file_is_named_by_block() {
    let memory = Memory::new();
    let few = MaxParallelism::try_from(2).expect("a power of two");
    let identity = eddyline_checkpoint::JobIdentity { max_parallelism: few, ..states::identity() };
    let keys: Keys = [(("windows".into(), "sums".into(), 5), (0..30_000).collect())].into();
    let writer = states::store(&memory).start_attempt(identity).await.expect("started").writer;
    writer.write(checkpoint(1), contents(&keys, &Assignment::even(few, 1))).await.expect("written");
    let name = "orders/state/0000000001/leader/0000000001.run";
    let mut run = memory.peek(name).expect("a run file").to_vec();
    run[2000] ^= 4;
    memory.poke(name, run.clone());
    let error = restore_all(&states::store(&memory)).await.expect_err("damage is found").to_string();
    assert!(
        error.contains("0000000001.run is corrupt: block at byte 8 (windows, table sums, key group 0, bucket 5)"),
        "{error}"
    );
    run[2000] ^= 4;
    run[3] ^= 1;
    memory.poke(name, run);
    let error = restore_all(&states::store(&memory)).await.expect_err("damage is found").to_string();
    assert!(error.contains("it does not begin as a run file"), "{error}");
}

#[tokio::test]
async fn a_run_file_of_another_checkpoint_is_not_taken_for_the_right_one() {
    let (ours, theirs) = (Memory::new(), Memory::new());
    let keys: Keys = [(("windows".into(), "sums".into(), 5), (0..12).collect())].into();
    let (handle, name) = savepoint(&ours, &keys).await;
    let other: Keys = [(("windows".into(), "sums".into(), 5), (1..13).collect())].into();
    let (_, foreign) = savepoint(&theirs, &other).await;
    ours.poke(&name, theirs.peek(&foreign).expect("a run file"));
    let error = handle.restore(&uid("windows"), &KeyGroupSet::all(groups())).await.expect_err("refused");
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _rows = fuzz_open_run(&bytes);
        let _is_manifest = fuzz_open_manifest(&bytes);
        let framed = [b"KGRUN001".as_slice(), &bytes, b"KGRUN001"].concat();
        let _rows = fuzz_open_run(&framed);
    }
}
