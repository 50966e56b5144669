"""The latency benchmark: `latency.py BROKER_SH BOOTSTRAP EDDYLINE... [-- CASE...]`, see latency.sh."""

import collections
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

from confluent_kafka import Consumer, TopicPartition

import job
import measure

RATE = int(os.environ.get("RATE", 50_000))
SECONDS = int(os.environ.get("SECONDS_MEASURED", 30))
RUNS = int(os.environ.get("RUNS", 1))
PARALLELISM = int(os.environ.get("PARALLELISM", 1))
PARTITIONS = 8
WINDOW_S = 0.2


class Case:
    def __init__(
        self, source: str, guarantee: str, checkpoint_interval: str, wanted_ms: float, beside: list[str] = [], warm_up_s: int = 5
    ):
        self.source = source
        self.guarantee = guarantee
        self.checkpoint_interval = checkpoint_interval
        self.wanted_ms = wanted_ms
        """The 99th percentile."""
        self.beside = beside
        """Queries that the job has in addition."""
        self.warm_up_s = warm_up_s


CASES = {
    "datagen": Case("datagen", "at-least-once", "10s", 50),
    "kafka": Case("kafka", "at-least-once", "10s", 50),
    "exactly-once": Case("datagen", "exactly-once", "1s", 1300),
    # More than 1 GiB of state that does not change. Its first checkpoints are whole.
    "exactly-once-state": Case("datagen", "exactly-once", "1s", 1300, ["latency_state"], warm_up_s=20),
}


class Reader:
    """Reads results as they become visible, and notes how long after the end of their windows that is."""

    def __init__(self, bootstrap: str, topic: str, first: float, last: float):
        self.first, self.last = first, last
        """Windows that end between these times, in seconds since 1970, count."""
        self.latencies_ms: list[float] = []
        self.rows = collections.Counter()
        self.consumer = Consumer({
            "bootstrap.servers": bootstrap, "group.id": topic, "isolation.level": "read_committed",
            "enable.auto.commit": False, "fetch.queue.backoff.ms": 1,
        })
        self.consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        self.is_stopped = False
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self) -> None:
        ends = {}
        while not self.is_stopped:
            message = self.consumer.poll(0.1)
            if message is None or message.error():
                continue
            now = time.time()
            result = json.loads(message.value())
            text = result["window_end"]
            if text not in ends:
                end = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.timezone.utc)
                ends[text] = end.timestamp()
            end = ends[text]
            if self.first <= end < self.last:
                self.latencies_ms.append((now - end) * 1000)
                self.rows[text] += result["readings"]

    def stop(self) -> None:
        self.is_stopped = True
        self.thread.join()
        self.consumer.close()


class Bench:
    def __init__(self, script: str, bootstrap: str):
        self.script = script
        self.bootstrap = bootstrap
        self.topics = 0

    def topic(self) -> str:
        self.topics += 1
        name = f"latency-{os.getpid()}-{self.topics}"
        subprocess.run([self.script, "topic", name, str(PARTITIONS)], check=True, stdout=subprocess.DEVNULL)
        return name

    def run(self, binary: str, case: Case) -> tuple[Reader, measure.Usage]:
        eddyline = job.Eddyline(binary)
        values = {"bootstrap": self.bootstrap, "out": self.topic(), "guarantee": case.guarantee, "rate": str(RATE)}
        load = None
        if case.source == "kafka":
            values["topic"] = self.topic()
            program = pathlib.Path(__file__).with_name("latency_load.py")
            arguments = [self.bootstrap, values["topic"], str(PARTITIONS), str(RATE)]
            load = subprocess.Popen([sys.executable, str(program), *arguments])
        first = time.time() + case.warm_up_s
        reader = Reader(self.bootstrap, values["out"], first, first + SECONDS)
        try:
            usage = eddyline.run(
                ["latency_" + case.source, *case.beside, "latency"], values, parallelism=PARALLELISM,
                checkpoint_interval=case.checkpoint_interval, stop_after_s=case.warm_up_s + SECONDS + 2,
            )
        finally:
            if load is not None:
                load.terminate()
                load.wait()
            reader.stop()
            eddyline.close()
        return reader, usage


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def main(script: str, bootstrap: str, *arguments: str) -> None:
    arguments = list(arguments)
    split = arguments.index("--") if "--" in arguments else len(arguments)
    binaries, names = arguments[:split], arguments[split + 1 :] or list(CASES)
    bench = Bench(script, bootstrap)
    for name in names:
        case = CASES[name]
        print(
            f"{name}: from {case.source}, {case.guarantee}, a checkpoint every {case.checkpoint_interval}, "
            f"{RATE} rows a second, parallelism {PARALLELISM}   load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
        measured = {binary: [] for binary in binaries}
        for _ in range(RUNS):
            for binary in binaries:
                measured[binary].append(bench.run(binary, case))
        for binary in binaries:
            latencies = [latency for reader, _ in measured[binary] for latency in reader.latencies_ms]
            if not latencies:
                sys.exit(f"{binary} gave no results")
            rows = statistics.median(rows for reader, _ in measured[binary] for rows in reader.rows.values())
            cpu = sum(usage.cpu_s for _, usage in measured[binary]) / sum(usage.wall_s for _, usage in measured[binary])
            p99 = percentile(latencies, 0.99)
            print(
                f"  {binary}\n"
                f"    results behind the end of their window: median {percentile(latencies, 0.5):.0f} ms, "
                f"90 % {percentile(latencies, 0.9):.0f} ms, 99 % {p99:.0f} ms, all {max(latencies):.0f} ms; "
                f"wanted 99 % within {case.wanted_ms:g} ms: {'reached' if p99 <= case.wanted_ms else 'MISSED'}\n"
                f"    {rows / WINDOW_S:.0f} rows a second in the windows, {cpu * 100:.0f} % of a processor",
                flush=True,
            )


main(*sys.argv[1:])
