"""Writes readings into a topic at a steady rate: `latency_load.py BOOTSTRAP TOPIC PARTITIONS ROWS_PER_SECOND`, until stopped."""

import datetime
import sys
import time

from confluent_kafka import Producer

KEYS = 1000
TICK_S = 0.002
LINGER_MS = 1


def main(bootstrap: str, topic: str, partitions: int, rate: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "1", "linger.ms": LINGER_MS})
    beginnings = [b'{"key":"k%d","value":%d,"ts":"' % (key, key % 7) for key in range(KEYS)]
    started = time.monotonic()
    made = 0
    while True:
        due = int((time.monotonic() - started) * rate)
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(sep=" ", timespec="milliseconds")[:23]
        end = now.encode() + b'"}'
        try:
            while made < due:
                # Keys and partitions that have nothing to do with each other.
                producer.produce(topic, beginnings[made * 7919 % KEYS] + end, partition=made % partitions)
                made += 1
        except BufferError:
            # The broker does not keep up. What is missing follows.
            pass
        producer.poll(0)
        time.sleep(TICK_S)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
