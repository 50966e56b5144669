//! The writer that hands records to the client at once (`none`, `at-least-once`).
//!
//! At a barrier, a thread that may block waits until all rows before it are acknowledged. Until then, rows after the
//! barrier wait in the writer's queue. Otherwise they would also be flushed, and a flush might never end. Barriers are
//! in the same queue, so several checkpoints can be in flight, and an abandoned one delays nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use eddyline_stream::{Batch, CheckpointId, crash_point};
use tokio::sync::oneshot;
use tracing::warn;

use super::client::producer_config;
use super::config::{DeliveryGuarantee, SinkConfig};
use super::producer::Outbox;
use super::records::{EncodedRows, RowEncoder};
use crate::Error;
use crate::sink::{Prepared, SinkWriter, WriterContext};

/// The number of unacknowledged records in the client from which a writer accepts no more rows.
const IN_FLIGHT_MAX: usize = 80_000;

/// The number of bytes of rows after a barrier from which a writer accepts no more until the barrier is acknowledged.
const WAITING_BYTES_MAX: u64 = 16 << 20;

/// The time between two checks of a full client.
const ROOM_CHECK: Duration = Duration::from_millis(5);

/// The time limit of one flush. After it the thread checks whether anybody still needs the flush.
const FLUSH_SLICE: Duration = Duration::from_millis(500);

/// How often the log reports that a flush still waits.
const FLUSH_WARNING: Duration = Duration::from_secs(30);

/// Hands records to the client at once.
pub struct ProducingWriter {
    encoder: RowEncoder,
    guarantee: DeliveryGuarantee,
    context: WriterContext,

    shared: Arc<Producing>,
    bytes: u64,
}

/// The state that a writer shares with the thread that waits for acknowledgements.
struct Producing {
    outbox: Outbox,
    queue: Mutex<Queue>,
    /// Whether the slot thread will be woken when there is room.
    watched: AtomicBool,
    /// The writer was dropped: nobody needs acknowledgements.
    closed: AtomicBool,
}

/// Rows for which the client has no room, barriers that wait for acknowledgements, and rows after them.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// The next record of the first batch.
    next: usize,
    /// Bytes of all rows in the queue.
    bytes: u64,
    /// The number of barriers in the queue. While there are any, a thread handles them, and the slot thread sends
    /// nothing.
    barriers: usize,
}

enum Waiting {
    Rows(EncodedRows),
    Barrier(oneshot::Sender<Result<(), Error>>),
}

/// Why no more rows were sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drained {
    Empty,
    ClientFull,
    AtBarrier,
}

impl ProducingWriter {
    /// A writer with a client of its own.
    ///
    /// # Errors
    /// Names the property that librdkafka does not accept.
    pub fn new(
        config: &SinkConfig,
        table: &str,
        guarantee: DeliveryGuarantee,
        encoder: RowEncoder,
        context: WriterContext,
    ) -> Result<Self, Error> {
        let mut fixed = vec![("delivery.report.only.error", "true")];
        let acks = config.properties.producer.get("acks").map(|acks| acks.trim());
        if guarantee == DeliveryGuarantee::AtLeastOnce
            && acks.is_none_or(|acks| matches!(acks, "all" | "-1"))
            && !config.properties.producer.contains_key("enable.idempotence")
        {
            // Retries then neither duplicate nor reorder.
            fixed.push(("enable.idempotence", "true"));
        }
        let purpose = format!("sink {table}, writer {}", context.subtask.0);
        let outbox = Outbox::open(&producer_config(&config.properties, &fixed), &purpose, &config.topic)?;
        let shared = Producing {
            outbox,
            queue: Mutex::default(),
            watched: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        };
        Ok(Self { encoder, guarantee, context, shared: Arc::new(shared), bytes: 0 })
    }
}

impl Drop for ProducingWriter {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
    }
}

impl Producing {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands waiting records to the client in order, up to the first barrier.
    fn drain(&self, queue: &mut Queue) -> Result<Drained, Error> {
        let Queue { waiting, next, bytes, .. } = queue;
        loop {
            match waiting.front() {
                None => return Ok(Drained::Empty),
                Some(Waiting::Barrier(_)) => return Ok(Drained::AtBarrier),
                Some(Waiting::Rows(rows)) => {
                    while *next < rows.len() {
                        if !self.outbox.send(&rows.record(*next))? {
                            return Ok(Drained::ClientFull);
                        }
                        *next += 1;
                    }
                    *bytes -= rows.bytes();
                    *next = 0;
                    waiting.pop_front();
                }
            }
        }
    }

    /// Waits for the acknowledgements before each barrier of the queue, until no barrier is left.
    fn work_off(&self, waker: &dyn Fn()) {
        loop {
            let result = self.reach_barrier().and_then(|()| self.flush());
            let mut queue = self.queue();
            // After an error, rows before the barrier stay in the queue, and nothing is ever sent again.
            let at = queue.waiting.iter().position(|waiting| matches!(waiting, Waiting::Barrier(_)));
            if let Some(Waiting::Barrier(reply)) = at.and_then(|at| queue.waiting.remove(at)) {
                queue.barriers -= 1;
                // The receiver is gone if the attempt has ended.
                let _gone = reply.send(result);
            }
            let is_done = queue.barriers == 0;
            drop(queue);
            waker();
            if is_done {
                return;
            }
        }
    }

    fn reach_barrier(&self) -> Result<(), Error> {
        while self.drain(&mut self.queue())? == Drained::ClientFull {
            self.check()?;
            std::thread::sleep(ROOM_CHECK);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), Error> {
        let mut reported = Instant::now();
        // The client drops a record after its delivery timeout, so this ends.
        while !self.outbox.flush(FLUSH_SLICE)? {
            self.check()?;
            if reported.elapsed() > FLUSH_WARNING {
                warn!(in_flight = self.outbox.in_flight(), "records of a checkpoint are not acknowledged yet");
                reported = Instant::now();
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) {
            let what = "the attempt has ended before its records were acknowledged".to_owned();
            return Err(Error::Unavailable { what, source: None, retryable: true });
        }
        self.outbox.check()
    }
}

impl SinkWriter for ProducingWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        self.shared.outbox.check()?;
        let rows = self.encoder.encode(batch)?;
        self.bytes += rows.bytes();
        let mut queue = self.shared.queue();
        queue.bytes += rows.bytes();
        queue.waiting.push_back(Waiting::Rows(rows));
        if queue.barriers == 0 {
            self.shared.drain(&mut queue)?;
        }
        Ok(())
    }

    fn is_ready(&mut self) -> Result<bool, Error> {
        self.shared.outbox.check()?;
        let mut queue = self.shared.queue();
        if queue.barriers > 0 {
            return Ok(queue.bytes < WAITING_BYTES_MAX);
        }
        let is_empty = self.shared.drain(&mut queue)? == Drained::Empty;
        drop(queue);
        if is_empty && self.shared.outbox.in_flight() < IN_FLIGHT_MAX {
            return Ok(true);
        }
        if !self.shared.watched.swap(true, Ordering::AcqRel) {
            let (shared, waker) = (Arc::clone(&self.shared), Arc::clone(&self.context.waker));
            self.context.io.spawn(async move {
                while shared.outbox.in_flight() > IN_FLIGHT_MAX / 2 {
                    tokio::time::sleep(ROOM_CHECK).await;
                }
                shared.watched.store(false, Ordering::Release);
                waker();
            });
        }
        Ok(false)
    }

    fn prepare_commit(&mut self, _checkpoint: CheckpointId) -> Prepared {
        if self.guarantee == DeliveryGuarantee::None {
            return Prepared::done(Vec::new());
        }
        crash_point("kafka-sink.before-flush");
        let (reply, acknowledged) = oneshot::channel();
        let mut queue = self.shared.queue();
        queue.waiting.push_back(Waiting::Barrier(reply));
        queue.barriers += 1;
        if queue.barriers == 1 {
            let (shared, waker) = (Arc::clone(&self.shared), Arc::clone(&self.context.waker));
            drop(self.context.io.spawn_blocking(move || shared.work_off(&*waker)));
        }
        drop(queue);
        Prepared::start(&self.context.io, async move {
            let outcome = acknowledged.await.unwrap_or_else(|_| {
                let what = "the wait for acknowledgements ended early".to_owned();
                Err(Error::Unavailable { what, source: None, retryable: true })
            });
            crash_point("kafka-sink.after-flush");
            outcome.map(|()| Vec::new())
        })
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}
