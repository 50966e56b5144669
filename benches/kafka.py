"""The benchmark from Kafka to Kafka: `kafka.py EDDYLINE BROKER_SH BOOTSTRAP [KEYS...]`, see kafka.sh."""

import os
import subprocess
import sys

import data
import job
import measure

ROWS = int(os.environ.get("ROWS", 500_000 if os.environ.get("QUICK") == "1" else 10_000_000))
RUNS = int(os.environ.get("RUNS", 3))
FLINK_RUNNER = os.environ.get("FLINK_RUNNER")
FLINK_RUNS = int(os.environ.get("FLINK_RUNS", 1))
PARTITIONS = 8
WANTED = {1000: 5.0, 1_000_000: 10.0}
"""Rows per CPU-second, Eddyline / Flink."""


class Broker:
    def __init__(self, script: str, bootstrap: str):
        self.script = script
        self.bootstrap = bootstrap

    def create(self, topic: str) -> str:
        """Makes an empty topic."""
        subprocess.run([self.script, "topic", topic, str(PARTITIONS)], check=True, stdout=subprocess.DEVNULL)
        return topic

    def delete(self, topic: str) -> None:
        """Deletes a topic, if there is one."""
        tool = [self.script, "tool", "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.bootstrap]
        subprocess.run([*tool, "--delete", "--if-exists", "--topic", topic], check=True, stdout=subprocess.DEVNULL)

    def load(self, eddyline: job.Eddyline, keys: int) -> str:
        """The topic of records with so many keys, filled the first time."""
        topic = f"readings-{data.GENERATION}-{ROWS}-{keys}"
        # The topic lives as long as the broker's folder, which goes by its port.
        loaded = data.cache() / f"{topic}-{self.bootstrap.rsplit(':')[-1]}.loaded"
        if not loaded.exists():
            self.delete(topic)
            self.create(topic)
            path = data.file("json", ROWS, keys)
            eddyline.run("kafka_load", {"path": str(path), "topic": topic, "bootstrap": self.bootstrap})
            loaded.touch()
        return topic


def main(binary: str, script: str, bootstrap: str, *keys: str) -> None:
    broker = Broker(script, bootstrap)
    eddyline = job.Eddyline(binary)
    try:
        for count in [int(count) for count in keys] or [1000, 1_000_000]:
            case(eddyline, broker, count)
    finally:
        eddyline.close()


def case(eddyline: job.Eddyline, broker: Broker, keys: int) -> None:
    topic = broker.load(eddyline, keys)
    load = os.getloadavg()[0]
    print(f"kafka, {ROWS / 1e6:g} M rows in {PARTITIONS} partitions, {keys} keys   load {load:.1f}", flush=True)
    values = {"topic": topic, "bootstrap": broker.bootstrap}

    def out(name: str, run: int) -> dict[str, str]:
        return values | {"out": broker.create(f"totals-{name}-{keys}-{os.getpid()}-{run}")}

    runs = []
    for run in range(RUNS):
        into = out("eddyline", run)
        runs.append(eddyline.run("kafka", into))
        broker.delete(into["out"])
    ours = measure.Figures(ROWS, runs)
    print(ours.line("eddyline, 1 thread"), flush=True)
    if not FLINK_RUNNER:
        print("  (FLINK_RUNNER is not set: Flink was not measured)\n", flush=True)
        return
    runs = []
    for run in range(FLINK_RUNS):
        text = "SET 'parallelism.default' = '1';\n"
        text += f"SET 'execution.checkpointing.dir' = 'file://{eddyline.scratch}/flink';\n"
        text += (job.SQL / "kafka.sql").read_text()
        into = out("flink", run)
        for key, value in into.items():
            text = text.replace("{" + key + "}", value)
        file = eddyline.scratch / "flink.sql"
        file.write_text(text)
        runs.append(measure.run([FLINK_RUNNER, str(file)]))
        broker.delete(into["out"])
    flink = measure.Figures(ROWS, runs)
    print(flink.line("flink, parallelism 1"))
    ratio = flink.cpu_s / ours.cpu_s
    wanted = WANTED.get(keys, 5.0)
    print(
        f"  rows per CPU-second, Eddyline / Flink: {ratio:.1f}   wanted {wanted:g}: "
        f"{'reached' if ratio >= wanted else 'MISSED'}\n",
        flush=True,
    )


main(*sys.argv[1:])
