//! Sensor readings under load, and the expected results of the sensor job.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use crate::topic::{self, Broker};

/// Partitions of the readings' topic.
pub const PARTITIONS: i32 = 4;
/// Sensors that report.
const SENSORS: u64 = 40;
/// Event time between two readings: a minute of event time in 600 readings.
const STEP_MS: i64 = 100;
/// Event time of the first reading.
const START_MS: i64 = 1_772_323_200_000;
const WINDOW_MS: i64 = 60_000;
/// The time limit for results.
const PATIENCE: Duration = Duration::from_secs(180);

/// A sensor and the start of a window, and the sum and count of its readings.
type Sums = BTreeMap<(String, i64), (i64, i64)>;

/// Writes readings at a steady rate until it is asked to finish.
pub struct Load {
    broker: Broker,
    topic: String,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<Result<Sums>>>,
}

fn reading(number: u64) -> (String, i64, i64) {
    let key = format!("sensor-{}", number.wrapping_mul(0x9E37_79B9) % SENSORS);
    let value = i64::try_from(number % 997).expect("a small number") - 100;
    // Up to three seconds out of order, within what the watermark waits for.
    let jitter_ms = i64::try_from(number.wrapping_mul(2_654_435_761) % 3_000).expect("a small number");
    let ts = START_MS + i64::try_from(number).expect("a count") * STEP_MS
        - jitter_ms.min(i64::try_from(number).expect("a count") * STEP_MS);
    (key, value, ts)
}

fn record(key: &str, value: i64, ts: i64) -> String {
    let ts = chrono::DateTime::from_timestamp_millis(ts).expect("a date of this century");
    format!(r#"{{"key":"{key}","value":{value},"ts":"{}"}}"#, ts.format("%Y-%m-%d %H:%M:%S%.3f"))
}

impl Load {
    /// Starts writing to a topic, at this number of readings per second.
    ///
    /// # Errors
    /// When there is no producer.
    pub fn start(broker: &Broker, topic: &str, per_second: u64) -> Result<Self> {
        let producer = broker.producer()?;
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = {
            let (stop, sent, topic) = (Arc::clone(&stop), Arc::clone(&sent), topic.to_owned());
            std::thread::spawn(move || {
                let mut sums = Sums::new();
                let started = Instant::now();
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    let due = started.elapsed().as_millis() as u64 * per_second / 1000;
                    while number < due {
                        let (key, value, ts) = reading(number);
                        topic::send(&producer, &topic, None, &key, &record(&key, value, ts))?;
                        let sum = sums.entry((key, ts.div_euclid(WINDOW_MS) * WINDOW_MS)).or_default();
                        sum.0 += value;
                        sum.1 += 1;
                        number += 1;
                    }
                    sent.store(number, Ordering::Relaxed);
                    topic::poll(&producer, Duration::from_millis(20));
                }
                // Event time passes the end of every window on every partition.
                let end = START_MS + i64::try_from(number)? * STEP_MS + 10 * WINDOW_MS;
                for partition in 0..PARTITIONS {
                    topic::send(&producer, &topic, Some(partition), "end", &record("end", 0, end))?;
                }
                topic::flush(&producer)?;
                Ok(sums)
            })
        };
        Ok(Self { broker: broker.clone(), topic: topic.to_owned(), stop, sent, thread: Some(thread) })
    }

    /// The number of readings written so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends the input and checks the results of the job: each expected result occurs once, and there are no others.
    /// Returns the number of results.
    ///
    /// # Errors
    /// Names the first difference.
    pub fn finish(mut self, results: &str) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the load has been finished before")?;
        let expected = thread.join().map_err(|_| anyhow!("the producer of {} panicked", self.topic))??;
        let wanted = expected.len();
        let records = self.broker.read_committed(results, PATIENCE, |records| records.len() >= wanted)?;
        compare(&expected, &records)?;
        Ok(wanted)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Only reached when the scenario has failed already.
            drop(thread.join());
        }
    }
}

fn compare(expected: &Sums, records: &[Vec<u8>]) -> Result<()> {
    let mut found = Sums::new();
    for record in records {
        let row: Value = serde_json::from_slice(record)?;
        let key = row["key"].as_str().context("a result without key")?.to_owned();
        let start = row["window_start"].as_str().context("a result without window_start")?;
        let start = chrono::NaiveDateTime::parse_from_str(start, "%Y-%m-%d %H:%M:%S%.f")
            .with_context(|| format!("window_start {start}"))?;
        let total = row["total"].as_i64().context("a result without total")?;
        let average = row["average"].as_i64().context("a result without average")?;
        let at = (key, start.and_utc().timestamp_millis());
        let (sum, count) = *expected.get(&at).with_context(|| format!("a result that should not be: {row}"))?;
        ensure!(total == sum, "{row}: the total should be {sum}");
        ensure!(average == sum / count, "{row}: the average should be {}", sum / count);
        ensure!(found.insert(at, (total, count)).is_none(), "a result that is there twice: {row}");
    }
    let missing = expected.keys().find(|at| !found.contains_key(at));
    ensure!(missing.is_none(), "no result for {missing:?}; {} of {} are there", found.len(), expected.len());
    Ok(())
}
