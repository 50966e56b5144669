//! Checkpoints with deltas, and savepoints that are copied from them.

use std::collections::BTreeMap;

use eddyline_checkpoint::storage::{Fault, Memory};
use eddyline_checkpoint::{CheckpointHandle, Error, Storage, Writer, copy, copy_savepoint};
use eddyline_stream::KeyGroupSet;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::changing::{self, Job, State, restored};
use crate::states::{self, checkpoint};

/// The most run files that a manifest may refer to, including its own.
const FILES_MAX: usize = 16;

#[derive(Clone, Debug)]
enum Step {
    Change {
        table: usize,
        bucket: i64,
        keys: Vec<i64>,
    },
    /// Drops the shares of a bucket: those of all slots, or of every second one.
    Drop {
        bucket: i64,
        all: bool,
    },
    Checkpoint {
        all: bool,
        whole: Option<i64>,
        completes: bool,
    },
    /// Starts a new attempt.
    Restart {
        slots: u16,
    },
    Copy,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = prop_oneof![6 => vec(0i64..400, 1..20), 1 => vec(0i64..400, 200..400)];
    let change = (0..changing::TABLES.len(), 1i64..5, keys).prop_map(|(table, bucket, keys)| Step::Change {
        table,
        bucket,
        keys,
    });
    let checkpoint = (prop::bool::weighted(0.05), prop::option::weighted(0.2, 1i64..5), prop::bool::weighted(0.85))
        .prop_map(|(all, whole, completes)| Step::Checkpoint { all, whole, completes });
    let step = prop_oneof![
        12 => change,
        10 => checkpoint,
        1 => (1i64..5, any::<bool>()).prop_map(|(bucket, all)| Step::Drop { bucket, all }),
        1 => (1u16..5).prop_map(|slots| Step::Restart { slots }),
        1 => Just(Step::Copy),
    ];
    vec(step, 1..90)
}

/// A job, its storage, and the state that the storage should have.
struct World {
    memory: Memory,
    writer: Writer,
    job: Job,
    number: u64,
    latest: State,
}

impl World {
    async fn new(slots: u16) -> Self {
        let memory = Memory::new();
        let started = changing::store(&memory).start_attempt(states::identity()).await.expect("started");
        let job = Job::new(slots, 16);
        Self { memory, writer: started.writer, job, number: 0, latest: State::new() }
    }

    async fn handle(&self) -> Option<CheckpointHandle> {
        changing::store(&self.memory).latest().await.expect("read")
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Change { table, bucket, keys } => keys.iter().for_each(|key| self.job.change(*table, *bucket, *key)),
            Step::Drop { bucket, all } => self.job.drop_bucket(*bucket, |slot| *all || slot.index() % 2 == 0),
            Step::Checkpoint { all, whole, completes } => self.checkpoint(*all, *whole, *completes).await,
            Step::Restart { slots } => {
                let started = changing::store(&self.memory).start_attempt(states::identity()).await.expect("started");
                self.job = self.job.restarted(*slots, &self.latest);
                self.writer = started.writer;
                if let Some(handle) = started.latest {
                    assert_eq!(restored(&handle, self.job.assignment()).await, self.latest);
                }
            }
            Step::Copy => self.copy().await,
        }
    }

    async fn checkpoint(&mut self, all: bool, whole: Option<i64>, completes: bool) {
        self.number += 1;
        let number = checkpoint(self.number);
        let contents = self.job.contents(number, all, |bucket| Some(bucket) == whole);
        if !completes {
            // Storage fails at the run file, or at the manifest if there is no run file.
            self.memory.plan(self.memory.requests(), Fault::Before);
            let error = self.writer.write(number, contents).await.expect_err("storage fails");
            assert!(error.is_retryable() && !error.ends_attempt(), "{error}");
            return;
        }
        self.writer.write(number, contents).await.expect("written");
        self.writer.mark_committed(number).await.expect("noted");
        self.writer.collect_garbage().await.expect("collected");
        self.job.completed(number);
        self.latest = self.job.state();
        let handle = self.handle().await.expect("a checkpoint");
        assert_eq!(restored(&handle, self.job.assignment()).await, self.latest);
        let inspection = handle.inspect().await.expect("inspected");
        assert!(inspection.files.len() <= FILES_MAX, "{} files", inspection.files.len());
        let tables = inspection.operators.values().flat_map(|operator| &operator.tables);
        assert_eq!(tables.map(|table| table.rows).sum::<u64>(), self.latest.len() as u64);
    }

    /// Checks that a copy is self-contained and has each row once.
    async fn copy(&self) {
        let Some(handle) = self.handle().await else { return };
        let target = Storage::in_memory(Memory::new());
        copy::copy_checkpoint(&handle, &target).await.expect("copied");
        let copy = CheckpointHandle::open_in(target).await.expect("opened");
        assert!(copy.is_savepoint());
        assert_eq!(restored(&copy, &self.job.assignment().rescaled(3)).await, self.latest);
        let inspection = copy.inspect().await.expect("inspected");
        for table in inspection.operators.values().flat_map(|operator| &operator.tables) {
            assert_eq!((table.stored_rows, table.deltas), (table.rows, 0));
        }
        assert!(inspection.format_version < 3, "it opens in earlier releases too");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn whatever_changes_and_fails_the_latest_version_of_every_row_is_restored(
        slots in 1u16..5,
        steps in steps(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new(slots).await;
            for step in &steps {
                world.step(step).await;
            }
        });
    }
}

/// A job with a large state, few rows of which change.
async fn begun(memory: &Memory, rows: i64) -> (Writer, Job) {
    let started = changing::store(memory).start_attempt(states::identity()).await.expect("started");
    let mut job = Job::new(2, 16);
    (0..rows).for_each(|key| job.change(0, 1, key));
    (started.writer, job)
}

#[tokio::test]
async fn a_checkpoint_writes_what_has_changed_and_an_eighth_of_the_rest() {
    let memory = Memory::new();
    let (writer, mut job) = begun(&memory, 20_000).await;
    let mut sizes = Vec::new();
    for number in 1..=20 {
        (0..50).for_each(|key| job.change(0, 1, key * 397));
        let contents = job.contents(checkpoint(number), false, |_| false);
        let completed = writer.write(checkpoint(number), contents).await.expect("written");
        writer.mark_committed(checkpoint(number)).await.expect("noted");
        writer.collect_garbage().await.expect("collected");
        job.completed(checkpoint(number));
        sizes.push(completed.bytes);
        let handle = changing::store(&memory).latest().await.expect("read").expect("a checkpoint");
        assert_eq!(handle.inspect().await.expect("inspected").files.len(), sizes.len().min(8));
        assert_eq!(restored(&handle, job.assignment()).await, job.state());
    }
    assert!(sizes[1..].iter().all(|size| *size < sizes[0] / 5), "{sizes:?}");
    // Two checkpoints are kept.
    let runs = memory.names().into_iter().filter(|name| name.contains("/state/")).count();
    assert_eq!(runs, 9);
    // All files are read at the same time, each in parts.
    let before = memory.copy();
    let handle = changing::store(&before).latest().await.expect("read").expect("a checkpoint");
    assert_eq!(before.reads_at_once(), 0);
    handle.restore(&states::uid("windows"), &KeyGroupSet::all(states::groups())).await.expect("restored");
    assert!((8..=16).contains(&before.reads_at_once()), "{} at once", before.reads_at_once());
    let text = handle.inspect().await.expect("inspected").to_string();
    assert!(
        text.contains("format 3") && text.contains("20000 rows") && text.contains("8 run files (8 with changes"),
        "{text}"
    );
}

#[tokio::test]
async fn nothing_is_written_where_nothing_has_changed() {
    let memory = Memory::new();
    let started = changing::store(&memory).start_attempt(states::identity()).await.expect("started");
    // All rows are in the first chunk, which is handed over with every eighth checkpoint.
    let mut job = Job::new(1, 1_000_000);
    (0..20_000).for_each(|key| job.change(0, 1, key));
    for number in 1..=20 {
        let contents = job.contents(checkpoint(number), false, |_| false);
        let completed = started.writer.write(checkpoint(number), contents).await.expect("written");
        job.completed(checkpoint(number));
        assert_eq!(completed.bytes > 0, number == 1, "checkpoint {number}");
    }
    let handle = changing::store(&memory).latest().await.expect("read").expect("a checkpoint");
    assert_eq!(restored(&handle, job.assignment()).await, job.state());
}

#[tokio::test]
async fn what_does_not_build_on_the_latest_checkpoint_is_refused() {
    let memory = Memory::new();
    let (writer, mut job) = begun(&memory, 20_000).await;
    let contents = job.contents(checkpoint(1), false, |_| false);
    writer.write(checkpoint(1), contents).await.expect("written");
    job.completed(checkpoint(1));
    let contents = job.contents(checkpoint(2), false, |_| false);
    let refused = async |number, contents| {
        let error = writer.write(checkpoint(number), contents).await.expect_err("refused");
        assert!(!error.is_retryable());
        error.to_string()
    };
    let mut other = contents.clone();
    other.since = Some(checkpoint(7));
    let error = refused(2, other).await;
    assert!(error.contains("it has what has changed since 7, which is not the latest checkpoint"), "{error}");
    let mut other = contents.clone();
    other.part = 0;
    let error = refused(2, other).await;
    assert!(error.contains("it has part 0 of the state, and part 1 is to be written"), "{error}");
    let error =
        writer.write_savepoint("memory:/saved", checkpoint(2), &contents).await.expect_err("refused").to_string();
    assert!(error.contains("a savepoint needs all rows, and these are what has changed since 1"), "{error}");
    let mut all = contents.clone();
    all.since = None;
    let error = refused(2, all).await;
    assert!(error.contains("rows, and at most"), "{error}");
    writer.write(checkpoint(3), contents).await.expect("what was meant");
}

/// Snapshots that an operator must not hand over.
#[tokio::test]
async fn rows_that_cannot_be_told_apart_are_handed_over_whole() {
    let memory = Memory::new();
    let started = changing::store(&memory).start_attempt(states::identity()).await.expect("started");
    let mut job = Job::new(1, 16);
    (0..100).for_each(|key| job.change(2, 1, key));
    started.writer.write(checkpoint(1), job.contents(checkpoint(1), false, |_| false)).await.expect("written");
    job.completed(checkpoint(1));
    let snapshots = job.snapshots(checkpoint(2), false, |_| false);
    let mut changed = snapshots.clone();
    for (_, _, snapshot) in &mut changed {
        snapshot.keyed.truncate(1);
        snapshot.keyed.iter_mut().for_each(|rows| rows.is_whole = false);
    }
    let changed = job.contents_of(&changed, false);
    let error = started.writer.write(checkpoint(2), changed).await.expect_err("refused").to_string();
    assert!(error.contains("table open, cannot be written: some rows of bucket"), "{error}");
    let mut short = snapshots;
    for (_, _, snapshot) in &mut short {
        snapshot.keyed.truncate(1);
    }
    let short = job.contents_of(&short, false);
    let error = started.writer.write(checkpoint(3), short).await.expect_err("refused").to_string();
    assert!(error.contains("has 100 rows, and 50 were handed over"), "{error}");
}

#[tokio::test]
async fn a_savepoint_in_a_folder_is_made_of_a_chain() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| format!("{}/{name}", folder.path().display());
    let options = BTreeMap::new();
    let storage = Storage::open(&path("jobs"), &options).expect("a folder");
    let store = eddyline_checkpoint::JobStore::open(storage, "orders").with_operators(changing::operators(), "");
    let started = store.start_attempt(states::identity()).await.expect("started");
    let mut job = Job::new(2, 16);
    for number in 1..=5 {
        (0..3000).for_each(|key| job.change(0, 1, key * i64::try_from(number).expect("small")));
        let contents = job.contents(checkpoint(number), false, |_| false);
        started.writer.write(checkpoint(number), contents).await.expect("written");
        job.completed(checkpoint(number));
    }
    copy_savepoint(&store.uri(), &path("copy"), &options).await.expect("copied");
    std::fs::remove_dir_all(path("jobs")).expect("removed");
    let copy = CheckpointHandle::open_uri(&path("copy"), &options).await.expect("opened");
    assert_eq!(restored(&copy, &job.assignment().rescaled(3)).await, job.state());
}

/// Changes state, writes a checkpoint, and does what else a job does for it.
async fn write(writer: &Writer, job: &mut Job, number: u64) -> Result<(), Error> {
    (0..200).for_each(|key| job.change(0, 1 + key % 2, key * i64::try_from(number).expect("small")));
    (0..40).for_each(|key| job.change(2, 0, key));
    let contents = job.contents(checkpoint(number), false, |_| false);
    writer.write(checkpoint(number), contents).await?;
    job.completed(checkpoint(number));
    writer.mark_committed(checkpoint(number)).await?;
    writer.collect_garbage().await?;
    Ok(())
}

#[tokio::test]
async fn dying_or_failing_at_any_request_leaves_a_chain_that_is_whole() {
    let memory = Memory::new();
    let (writer, mut job) = begun(&memory, 2000).await;
    for number in 1..=3 {
        write(&writer, &mut job, number).await.expect("no faults yet");
    }
    let before = memory.requests();
    let (mut counted, last) = (job.clone(), 6);
    let whole = memory.copy();
    for number in 4..=last {
        write(&writer, &mut counted, number).await.expect("no faults yet");
    }
    let requests = memory.requests() - before;
    for fault in [Fault::Dead, Fault::Before, Fault::After] {
        for request in 0..requests {
            let memory = whole.copy();
            let started = changing::store(&memory).start_attempt(states::identity()).await.expect("started");
            let latest = started.latest.expect("a checkpoint");
            let mut job = job.restarted(2, &restored(&latest, job.assignment()).await);
            memory.plan(memory.requests() + request, fault);
            // The state that each checkpoint should have.
            let mut states = BTreeMap::from([(3, job.state())]);
            for number in 4..=last {
                let written = write(&started.writer, &mut job, number).await;
                states.insert(number, job.state());
                if written.is_err_and(|error| error.ends_attempt()) {
                    break;
                }
            }
            let after = changing::store(&memory.copy()).start_attempt(states::identity()).await.expect("started");
            let handle = after.latest.expect("a checkpoint");
            let what = format!("{fault:?} at request {request}: checkpoint {}", handle.id());
            assert_eq!(restored(&handle, job.assignment()).await, states[&handle.id().number()], "{what}");
        }
    }
}
