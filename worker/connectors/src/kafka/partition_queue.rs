//! The queue of one partition, and its records in librdkafka's memory.
//!
//! This is the only place that handles librdkafka's memory. A [`Message`] owns one record of it until dropped; a
//! [`PartitionQueue`] holds on to its consumer, so both end before the client does if they are dropped with the reader.

use std::ffi::{CStr, CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::client::TableConsumer;
use crate::Error;

type Waker = Arc<dyn Fn() + Send + Sync>;

/// Records of one partition, fetched and not yet taken.
pub struct PartitionQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// The function that the queue calls when something arrives. It is boxed because librdkafka keeps its address.
    _waker: Box<Waker>,
    _consumer: Arc<TableConsumer>,
}

// SAFETY: librdkafka's queues may be used from any thread; nothing here is tied to the one that made it.
unsafe impl Send for PartitionQueue {}

unsafe extern "C" fn wake(_client: *mut sys::rd_kafka_t, waker: *mut c_void) {
    // SAFETY: `waker` is the boxed waker of a queue that is alive: `drop` disables the callback before freeing it.
    let waker = unsafe { &*waker.cast::<Waker>() };
    waker();
}

impl PartitionQueue {
    /// Splits a partition's records off the consumer's common queue. Must come before the partition is assigned.
    ///
    /// # Errors
    /// Names a partition that the client does not take.
    pub fn split_off(consumer: &Arc<TableConsumer>, topic: &str, partition: i32, waker: Waker) -> Result<Self, Error> {
        let refused = || Error::Unavailable {
            what: format!("topic {topic}, partition {partition}: no queue for it"),
            source: None,
            retryable: false,
        };
        let name = CString::new(topic).map_err(|_| refused())?;
        let waker = Box::new(waker);
        // SAFETY: the client lives as long as `consumer`, which the queue keeps; the waker's address stays the same and
        // valid until `drop` has disabled the callback.
        unsafe {
            let queue = sys::rd_kafka_queue_get_partition(consumer.client().native_ptr(), name.as_ptr(), partition);
            let queue = NonNull::new(queue).ok_or_else(refused)?;
            sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            let opaque = ptr::from_ref::<Waker>(&waker).cast_mut().cast();
            sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(wake), opaque);
            Ok(Self { queue, _waker: waker, _consumer: Arc::clone(consumer) })
        }
    }

    /// Whether the queue is empty now.
    pub fn is_empty(&self) -> bool {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_length(self.queue.as_ptr()) == 0 }
    }

    /// Appends up to `max` records from the queue. Never waits.
    pub fn take(&self, into: &mut Vec<Message>, max: usize) {
        into.reserve(max);
        let free = into.spare_capacity_mut();
        // SAFETY: `Message` is a transparent wrapper of a pointer that is never null; librdkafka writes at most `max`
        // pointers, there is room for them, and the caller owns what it writes.
        unsafe {
            let taken = sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, free.as_mut_ptr().cast(), max);
            into.set_len(into.len() + usize::try_from(taken).unwrap_or(0));
        }
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is alive and ours; after the first call no callback is running or will run.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// How many events wait for [`rdkafka::consumer::BaseConsumer::poll`], which takes one at a time and may answer `None`
/// for one it has dealt with.
pub fn events_waiting(consumer: &TableConsumer) -> usize {
    // SAFETY: the client is alive; the queue we get is ours to give back.
    unsafe {
        let queue = sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr());
        if queue.is_null() {
            return 0;
        }
        let waiting = sys::rd_kafka_queue_length(queue);
        sys::rd_kafka_queue_destroy(queue);
        waiting
    }
}

/// A record, or an event of its partition.
#[repr(transparent)]
pub struct Message(NonNull<sys::rd_kafka_message_t>);

// SAFETY: the caller that took a message from a queue owns it, and may read and free it on any thread.
unsafe impl Send for Message {}

impl Message {
    fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: the pointer came from librdkafka and is ours until `drop`.
        unsafe { self.0.as_ref() }
    }

    /// The code and the text of an event. `None` for a record.
    pub fn news(&self) -> Option<(RDKafkaErrorCode, String)> {
        let code = self.raw().err;
        if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: librdkafka answers null or a string that lives as long as the message.
        let text = unsafe {
            let text = sys::rd_kafka_message_errstr(self.0.as_ptr());
            if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        };
        Some((code.into(), text))
    }

    /// The offset of the record, or the offset that the event is about.
    pub fn offset(&self) -> i64 {
        self.raw().offset
    }

    /// The value. `None` for a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        let raw = self.raw();
        // SAFETY: librdkafka keeps `len` bytes at `payload` as long as the message lives.
        unsafe { slice(raw.payload, raw.len) }
    }

    /// The key. `None` if there is none.
    pub fn key(&self) -> Option<&[u8]> {
        let raw = self.raw();
        // SAFETY: librdkafka keeps `key_len` bytes at `key` as long as the message lives.
        unsafe { slice(raw.key, raw.key_len) }
    }

    /// The timestamp in milliseconds since 1970 (-1 without one), and the name of its kind.
    pub fn timestamp(&self) -> (i64, &'static str) {
        use sys::rd_kafka_timestamp_type_t as Kind;
        let mut kind = Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: both pointers are valid for the call.
        let timestamp = unsafe { sys::rd_kafka_message_timestamp(self.0.as_ptr(), &mut kind) };
        let kind = match kind {
            Kind::RD_KAFKA_TIMESTAMP_CREATE_TIME => "CreateTime",
            Kind::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => "LogAppendTime",
            Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => "NoTimestampType",
        };
        (timestamp, kind)
    }

    /// The epoch of the leader that wrote the record, if the broker reports it.
    pub fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is alive.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.0.as_ptr()) };
        Some(epoch).filter(|epoch| *epoch >= 0)
    }

    /// Calls `each` with name and value of every header, in order.
    pub fn each_header(&self, mut each: impl FnMut(&str, Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: headers belong to the message and live as long; names end with zero, values have the returned length.
        unsafe {
            let code = sys::rd_kafka_message_headers(self.0.as_ptr(), &mut headers);
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
                return;
            }
            for index in 0..sys::rd_kafka_header_cnt(headers) {
                let (mut name, mut value, mut bytes) = (ptr::null(), ptr::null(), 0);
                let code = sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut bytes);
                if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                    return;
                }
                each(&CStr::from_ptr(name).to_string_lossy(), slice(value.cast_mut(), bytes));
            }
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message is ours and is not used afterwards.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// # Safety
/// `start` is null or the start of `bytes` bytes that live for `'a`.
unsafe fn slice<'a>(start: *const c_void, bytes: usize) -> Option<&'a [u8]> {
    // SAFETY: as above.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), bytes) })
}
