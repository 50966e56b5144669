//! Copies of run files on a local disk: which there are, and that a restore takes none for what it is not.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eddyline_checkpoint::storage::{Fault, Memory};
use eddyline_checkpoint::{BytesRead, CheckpointHandle, JobStore, LocalCopies, Writer};
use eddyline_stream::Assignment;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::changing::{self, Job, State, restored};
use crate::states::{self, checkpoint};

const NO_BOUND: u64 = u64::MAX;
/// So many rows do not fit into a manifest.
const ROWS: i64 = 4_000;

/// The job's folder as a process finds it that has just started.
fn store(memory: &Memory, disk: &Path, bytes_max: u64) -> JobStore {
    let store = changing::store(memory);
    let copies = LocalCopies::open(disk, bytes_max, store.job(), &store.uri());
    store.with_local_copies(copies)
}

fn copies_of(memory: &Memory, disk: &Path) -> LocalCopies {
    let store = changing::store(memory);
    LocalCopies::open(disk, NO_BOUND, store.job(), &store.uri())
}

/// All files on the disk.
fn files(disk: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(disk).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            files.extend(self::files(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// Waits until the disk has so many files: those that are not needed are removed beside the checkpoints.
async fn wait_for_files(disk: &Path, count: usize) -> Vec<PathBuf> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = files(disk);
        if found.len() == count || Instant::now() > deadline {
            assert_eq!(found.len(), count, "{found:?}");
            return found;
        }
        tokio::task::yield_now().await;
    }
}

async fn writer_of(store: &JobStore) -> Writer {
    store.start_attempt(states::identity()).await.expect("started").writer
}

async fn write(writer: &Writer, job: &mut Job, number: u64) {
    let contents = job.contents(checkpoint(number), false, |_| false);
    writer.write(checkpoint(number), contents).await.expect("written");
    writer.mark_committed(checkpoint(number)).await.expect("noted");
    writer.collect_garbage().await.expect("collected");
    job.completed(checkpoint(number));
}

async fn latest(store: &JobStore) -> CheckpointHandle {
    store.latest().await.expect("read").expect("a checkpoint")
}

/// A job with one checkpoint, and a copy of its run file.
async fn begun(memory: &Memory, disk: &Path) -> (Writer, Job) {
    let mut job = Job::new(2, 16);
    (0..ROWS).for_each(|key| job.change(0, 1, key));
    let writer = writer_of(&store(memory, disk, NO_BOUND)).await;
    write(&writer, &mut job, 1).await;
    (writer, job)
}

/// What a new process reads to restore the job, and from where.
async fn read_again(memory: &Memory, disk: &Path, job: &Job) -> BytesRead {
    let handle = latest(&store(memory, disk, NO_BOUND)).await;
    assert_eq!(restored(&handle, job.assignment()).await, job.state());
    handle.bytes_read()
}

#[tokio::test]
async fn there_are_copies_of_what_the_latest_checkpoint_names_and_a_restore_reads_nothing_else() {
    let (memory, disk) = (Memory::new(), TempDir::new().expect("a folder"));
    let (writer, mut job) = begun(&memory, disk.path()).await;
    for number in 2..=20 {
        (0..50).for_each(|key| job.change(0, 1, key * 97 % ROWS));
        write(&writer, &mut job, number).await;
        let handle = latest(&store(&memory, disk.path(), NO_BOUND)).await;
        let named = handle.inspect().await.expect("inspected").files;
        let named = named.iter().filter(|(name, _)| !name.is_empty()).count();
        wait_for_files(disk.path(), named).await;
        let read = read_again(&memory, disk.path(), &job).await;
        assert!(read.from_copies > 0 && read.from_storage == 0, "{read:?}");
    }
    // The next attempt writes all state again, and then needs nothing older.
    let writer = writer_of(&store(&memory, disk.path(), NO_BOUND)).await;
    let mut job = job.restarted(3, &job.state());
    write(&writer, &mut job, 21).await;
    let left = wait_for_files(disk.path(), 1).await;
    assert_eq!(copies_of(&memory, disk.path()).bytes(), left[0].metadata().expect("a file").len());
}

#[tokio::test]
async fn the_file_of_a_large_checkpoint_is_copied_in_parts_and_read_by_any_number_of_slots() {
    let (memory, disk) = (Memory::new(), TempDir::new().expect("a folder"));
    let mut job = Job::new(2, 1 << 40);
    (0..300_000).for_each(|key| job.change(0, 1, key));
    let writer = writer_of(&store(&memory, disk.path(), NO_BOUND)).await;
    write(&writer, &mut job, 1).await;
    let copy = &files(disk.path())[0];
    let stored = memory.peek("orders/state/0000000001/leader/0000000001.run").expect("a run file");
    assert!(stored.len() > 8 << 20, "{} bytes", stored.len());
    assert!(std::fs::read(copy).expect("a copy") == stored, "the same bytes");
    for slots in [1, 2, 3, 5] {
        let handle = latest(&store(&memory, disk.path(), NO_BOUND)).await;
        assert_eq!(restored(&handle, &job.assignment().rescaled(slots)).await, job.state());
        let read = handle.bytes_read();
        assert!(read.from_copies > stored.len() as u64 / 2 && read.from_storage == 0, "{read:?}");
    }
    // Memory that is damaged far from its footer.
    let mut damaged = stored.to_vec();
    damaged[5 << 20] ^= 1;
    std::fs::write(copy, damaged).expect("written");
    let read = read_again(&memory, disk.path(), &job).await;
    assert!(read.from_copies > 0 && read.from_storage > 0, "other parts are as they should be: {read:?}");
    assert_eq!(files(disk.path()), Vec::<PathBuf>::new(), "what is damaged is not read again");
}

#[tokio::test]
async fn a_copy_with_any_damaged_byte_is_read_from_storage() {
    let (memory, disk) = (Memory::new(), TempDir::new().expect("a folder"));
    let (_writer, job) = begun(&memory, disk.path()).await;
    let copy = files(disk.path())[0].clone();
    let whole = std::fs::read(&copy).expect("a copy");
    let ends = (0..20).chain(whole.len() - 40..whole.len());
    for at in ends.chain((20..whole.len() - 40).step_by(whole.len() / 60)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&copy, damaged).expect("written");
        let read = read_again(&memory, disk.path(), &job).await;
        assert!(read.from_storage > 0, "byte {at}: {read:?}");
        assert!(!copy.exists(), "byte {at}: what is damaged is not read again");
    }
    std::fs::write(&copy, &whole).expect("written");
    let read = read_again(&memory, disk.path(), &job).await;
    assert_eq!(read.from_storage, 0, "undamaged, it is read");
}

#[tokio::test]
async fn a_copy_that_is_torn_or_missing_is_read_from_storage() {
    let (memory, disk) = (Memory::new(), TempDir::new().expect("a folder"));
    let (_writer, job) = begun(&memory, disk.path()).await;
    let copy = files(disk.path())[0].clone();
    let whole = std::fs::read(&copy).expect("a copy");
    let zeros = |from: usize| [&whole[..from], &vec![0; whole.len() - from]].concat();
    let longer = [whole.as_slice(), b"x"].concat();
    let half = whole[..whole.len() / 2].to_vec();
    for torn in [Vec::new(), half, longer, zeros(0), zeros(4096), zeros(whole.len() - 16)] {
        std::fs::write(&copy, &torn).expect("written");
        let read = read_again(&memory, disk.path(), &job).await;
        assert!(read.from_storage > 0, "{} bytes: {read:?}", torn.len());
    }
    // It vanishes between the start of the process and the restore, and during it.
    std::fs::write(&copy, &whole).expect("written");
    let handle = latest(&store(&memory, disk.path(), NO_BOUND)).await;
    std::fs::remove_file(&copy).expect("a file");
    assert_eq!(restored(&handle, job.assignment()).await, job.state());
    assert!(handle.bytes_read().from_storage > 0);
    std::fs::write(&copy, &whole).expect("written");
    let handle = latest(&store(&memory, disk.path(), NO_BOUND)).await;
    let first = job.assignment().key_groups_of(eddyline_stream::SlotIndex::new(0));
    handle.restore(&states::uid("windows"), &first).await.expect("restored");
    std::fs::remove_file(&copy).expect("a file");
    assert_eq!(restored(&handle, job.assignment()).await, job.state());
    assert_eq!(handle.bytes_read().from_storage, 0, "an open file can be read to its end");
}

#[tokio::test]
async fn a_copy_of_another_history_is_not_read() {
    let disk = TempDir::new().expect("a folder");
    let (old, new) = (Memory::new(), Memory::new());
    begun(&old, disk.path()).await;
    let of_old = files(disk.path())[0].clone();
    let content = std::fs::read(&of_old).expect("a copy");
    // The job's folder was deleted, and the job counts from 1 again: the same attempt, checkpoint, and location.
    let mut job = Job::new(2, 16);
    (0..ROWS).for_each(|key| job.change(0, 1, key + 1));
    let writer = writer_of(&changing::store(&new)).await;
    write(&writer, &mut job, 1).await;
    let read = read_again(&new, disk.path(), &job).await;
    assert_eq!(read.from_copies, 0);
    // Nor if it lies under the name of the right one.
    let writer = writer_of(&store(&new, disk.path(), NO_BOUND)).await;
    let mut job = job.restarted(2, &job.state());
    write(&writer, &mut job, 2).await;
    let copies = wait_for_files(disk.path(), 1).await;
    std::fs::write(&copies[0], &content).expect("written");
    read_again(&new, disk.path(), &job).await;
    // Other jobs and other storage have folders of their own.
    let elsewhere = LocalCopies::open(disk.path(), NO_BOUND, "orders", "s3://elsewhere/orders");
    let other_job = LocalCopies::open(disk.path(), NO_BOUND, "other", &changing::store(&new).uri());
    assert_eq!((elsewhere.bytes(), other_job.bytes()), (0, 0));
}

/// Builds for tests keep few encoded bytes in memory, so most of this state lies on the disk before it is uploaded.
#[tokio::test]
async fn state_waits_on_the_disk_for_its_run_file() {
    use eddyline_checkpoint::EncodedState;
    use eddyline_state::snapshot::Inventory;
    let (memory, disk) = (Memory::new(), TempDir::new().expect("a folder"));
    let writer = writer_of(&store(&memory, disk.path(), NO_BOUND)).await;
    let mut job = Job::new(2, 16);
    (0..20_000).for_each(|key| job.change(0, key % 3, key));
    (0..300).for_each(|key| job.change(2, 0, key));
    let number = eddyline_stream::CheckpointId::new(1);
    let snapshots = job.snapshots(number, false, |_| false);
    let mut encoder = writer.state_encoder(states::groups());
    for (operator, slot, snapshot) in snapshots {
        snapshot.keyed.iter().for_each(|rows| encoder.rows(&operator, slot, rows).expect("valid"));
        encoder.inventory(&operator, slot, Inventory { buckets: snapshot.buckets, union: snapshot.union });
    }
    let state: EncodedState = encoder.finish();
    assert!(format!("{state:?}").contains("Disk {"), "nothing is on the disk");
    assert!(std::fs::read_dir(disk.path()).expect("a folder").count() > 0, "below the folder of the copies");
    assert!(files(disk.path()).is_empty(), "and without a name");
    let mut contents = job.contents_of(&Vec::new(), false);
    contents.state = std::sync::Arc::new(state);
    writer.write(number, contents).await.expect("written");
    job.completed(number);
    let read = read_again(&memory, disk.path(), &job).await;
    assert!(read.from_copies > 0);
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_costs_the_copy_and_not_the_checkpoint() {
    let (memory, parent) = (Memory::new(), TempDir::new().expect("a folder"));
    // No folder can be made below a file.
    let disk = parent.path().join("disk");
    std::fs::write(&disk, "in the way").expect("written");
    let copies = copies_of(&memory, &disk);
    let store = changing::store(&memory).with_local_copies(copies.clone());
    let writer = writer_of(&store).await;
    let mut job = Job::new(2, 1 << 40);
    (0..ROWS).for_each(|key| job.change(0, 1, key));
    write(&writer, &mut job, 1).await;
    assert_eq!((copies.failures(), copies.bytes()), (1, 0));
    assert_eq!(restored(&latest(&store).await, job.assignment()).await, job.state());
    // As soon as it can be written, there are copies again.
    std::fs::remove_file(&disk).expect("a file");
    (0..ROWS).for_each(|key| job.change(0, 1, key));
    write(&writer, &mut job, 2).await;
    assert_eq!(copies.failures(), 1);
    assert!(copies.bytes() > 0);
}

#[tokio::test]
async fn copies_have_a_bound_and_part_of_a_chain_is_read_where_it_is() {
    let (memory, disk) = (Memory::new(), TempDir::new().expect("a folder"));
    let (_, mut job) = begun(&memory, disk.path()).await;
    let of_all_state = copies_of(&memory, disk.path()).bytes();
    // There is room for the next copy of all state, and not for all changes after it.
    let bound = of_all_state * 2 + 1000;
    let bounded = store(&memory, disk.path(), bound);
    let writer = writer_of(&bounded).await;
    job = job.restarted(2, &job.state());
    for number in 2..=30 {
        (0..ROWS).step_by(2).for_each(|key| job.change(0, 1, key));
        write(&writer, &mut job, number).await;
        let size: u64 = files(disk.path()).iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
        assert!(size <= bound, "{size} bytes of {bound}");
        let read = read_again(&memory, disk.path(), &job).await;
        assert!(number < 8 || read.from_copies > 0 && read.from_storage > 0, "{number}: {read:?}");
    }
    // A bound that leaves room for nothing.
    let (memory, disk) = (Memory::new(), TempDir::new().expect("a folder"));
    let writer = writer_of(&store(&memory, disk.path(), 1000)).await;
    let mut job = Job::new(1, 16);
    (0..ROWS).for_each(|key| job.change(0, 1, key));
    write(&writer, &mut job, 1).await;
    assert_eq!(files(disk.path()), Vec::<PathBuf>::new(), "nothing is left of what was begun");
}

#[tokio::test]
async fn what_a_dead_process_has_begun_is_removed_and_a_failed_upload_leaves_nothing() {
    let (memory, disk) = (Memory::new(), TempDir::new().expect("a folder"));
    let (writer, mut job) = begun(&memory, disk.path()).await;
    let copy = files(disk.path())[0].clone();
    let begun = copy.with_file_name(".unfinished-0123");
    std::fs::write(&begun, "half").expect("written");
    assert_eq!(copies_of(&memory, disk.path()).bytes(), copy.metadata().expect("a copy").len());
    assert_eq!(files(disk.path()), std::slice::from_ref(&copy));
    // The upload fails.
    (0..ROWS).for_each(|key| job.change(0, 1, key));
    memory.plan(memory.requests(), Fault::Before);
    let contents = job.contents(checkpoint(2), false, |_| false);
    writer.write(checkpoint(2), contents).await.expect_err("storage fails");
    wait_for_files(disk.path(), 1).await;
    assert_eq!(files(disk.path()), [copy]);
    // The manifest fails. What was copied is removed when a later checkpoint is complete.
    memory.plan(memory.requests() + 1, Fault::Before);
    let contents = job.contents(checkpoint(3), false, |_| false);
    writer.write(checkpoint(3), contents).await.expect_err("storage fails");
    wait_for_files(disk.path(), 2).await;
    read_again(&memory, disk.path(), &begun_job()).await;
    write(&writer, &mut job, 4).await;
    // It has all rows.
    wait_for_files(disk.path(), 1).await;
    let read = read_again(&memory, disk.path(), &job).await;
    assert_eq!(read.from_storage, 0);
}

/// The job of [`begun`] at its first checkpoint.
fn begun_job() -> Job {
    let mut job = Job::new(2, 16);
    (0..ROWS).for_each(|key| job.change(0, 1, key));
    job
}

#[tokio::test]
async fn a_savepoint_has_no_copy_and_is_read_where_it_is() {
    let (memory, disk) = (Memory::new(), TempDir::new().expect("a folder"));
    let (writer, mut job) = begun(&memory, disk.path()).await;
    let contents = job.contents(checkpoint(2), true, |_| false);
    let uri = writer.write_savepoint("memory:/saved", checkpoint(2), &contents).await.expect("written");
    assert_eq!(files(disk.path()).len(), 1);
    let storage = eddyline_checkpoint::Storage::in_memory(memory.clone()).open_beside(&uri).expect("a location");
    let handle = CheckpointHandle::open_in(storage).await.expect("a savepoint");
    assert_eq!(restored(&handle, &Assignment::even(states::groups(), 3)).await, job.state());
    assert_eq!(handle.bytes_read().from_copies, 0);
}

#[derive(Clone, Debug)]
enum Step {
    Change {
        keys: Vec<i64>,
    },
    Checkpoint {
        all: bool,
        completes: bool,
    },
    Restart {
        slots: u16,
    },
    Damage {
        copy: usize,
        how: Damage,
    },
    /// The folder of the copies is replaced by a file, or comes back empty.
    Blocked(bool),
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip(usize),
    Cut(usize),
    Remove,
    /// It gets the content of another copy.
    Replace(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let damage = prop_oneof![
        4 => any::<usize>().prop_map(Damage::Flip),
        1 => any::<usize>().prop_map(Damage::Cut),
        1 => Just(Damage::Remove),
        1 => any::<usize>().prop_map(Damage::Replace),
    ];
    let step = prop_oneof![
        4 => proptest::collection::vec(0..ROWS, 1..200).prop_map(|keys| Step::Change { keys }),
        6 => (prop::bool::weighted(0.1), prop::bool::weighted(0.85))
            .prop_map(|(all, completes)| Step::Checkpoint { all, completes }),
        1 => (1u16..5).prop_map(|slots| Step::Restart { slots }),
        4 => (any::<usize>(), damage).prop_map(|(copy, how)| Step::Damage { copy, how }),
        1 => any::<bool>().prop_map(Step::Blocked),
    ];
    proptest::collection::vec(step, 1..25)
}

fn damage(disk: &Path, copy: usize, how: Damage) {
    let files: Vec<PathBuf> = files(disk).into_iter().filter(|file| file.extension().is_some()).collect();
    if files.is_empty() {
        return;
    }
    let path = &files[copy % files.len()];
    // Another thread may be removing it.
    let Ok(mut content) = std::fs::read(path) else { return };
    match how {
        Damage::Flip(at) => {
            let at = at % content.len();
            content[at] ^= 1 << (at % 8);
        }
        Damage::Cut(at) => content.truncate(at % content.len()),
        Damage::Remove => {
            let _gone = std::fs::remove_file(path);
            return;
        }
        Damage::Replace(other) => match std::fs::read(&files[other % files.len()]) {
            Ok(other) => content = other,
            Err(_) => return,
        },
    }
    let _gone = std::fs::write(path, content);
}

async fn run(slots: u16, steps: &[Step]) {
    let (memory, parent) = (Memory::new(), TempDir::new().expect("a folder"));
    let disk = parent.path().join("disk");
    let mut job = Job::new(slots, 16);
    (0..ROWS).for_each(|key| job.change(0, 1, key));
    let mut open = store(&memory, &disk, NO_BOUND);
    let mut writer = writer_of(&open).await;
    let (mut number, mut complete) = (0, State::new());
    for step in steps {
        match step {
            Step::Change { keys } => keys.iter().for_each(|key| job.change(0, 1, *key)),
            Step::Damage { copy, how } => damage(&disk, *copy, *how),
            Step::Blocked(is_blocked) => {
                let _none = std::fs::remove_dir_all(&disk);
                let _none = std::fs::remove_file(&disk);
                if *is_blocked {
                    std::fs::write(&disk, "in the way").expect("written");
                }
            }
            Step::Restart { slots } => {
                open = store(&memory, &disk, NO_BOUND);
                let started = open.start_attempt(states::identity()).await.expect("started");
                if !complete.is_empty() {
                    job = job.restarted(*slots, &complete);
                }
                writer = started.writer;
            }
            Step::Checkpoint { all, completes } => {
                number += 1;
                let contents = job.contents(checkpoint(number), *all, |_| false);
                if *completes {
                    writer.write(checkpoint(number), contents).await.expect("written");
                    writer.mark_committed(checkpoint(number)).await.expect("noted");
                    writer.collect_garbage().await.expect("collected");
                    job.completed(checkpoint(number));
                    complete = job.state();
                } else {
                    memory.plan(memory.requests(), Fault::Before);
                    writer.write(checkpoint(number), contents).await.expect_err("storage fails");
                }
            }
        }
        if complete.is_empty() {
            continue;
        }
        // In this process, and in one that starts.
        for store in [open.clone(), store(&memory, &disk, NO_BOUND)] {
            let handle = latest(&store).await;
            assert_eq!(restored(&handle, job.assignment()).await, complete);
        }
    }
    if complete.is_empty() {
        return;
    }
    let _none = std::fs::remove_file(&disk);
    (0..ROWS).for_each(|key| job.change(0, 1, key));
    number += 1;
    write(&writer, &mut job, number).await;
    let read = read_again(&memory, &disk, &job).await;
    assert!(read.from_copies > 0, "the newest file has a copy, whatever has happened before");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_happens_to_copies_the_latest_version_of_every_row_is_restored(slots in 1u16..5, steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(slots, &steps));
    }
}
