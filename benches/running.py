"""A job that runs while a benchmark watches it."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

SQL = pathlib.Path(__file__).parent / "sql"


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Job:
    """A running job: `sql/NAME.sql` with its braces filled in, in one slot, with its checkpoints in a folder."""

    def __init__(self, binary: str, folder: pathlib.Path, name: str, values: dict[str, str], arguments: list[str]):
        text = (SQL / f"{name}.sql").read_text()
        for key, value in values.items():
            text = text.replace("{" + key + "}", value)
        left = re.search(r"\{\w+\}", text)
        assert left is None, f"nothing fills in {left}"
        file = folder / f"{name}.sql"
        file.write_text(text)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.errors = open(folder / "log", "w")
        self.process = subprocess.Popen(
            [
                binary, "run", str(file), "--parallelism", "1", "--metrics-addr", self.address,
                "--checkpoint-dir", str(folder / "checkpoints"), *arguments,
            ],
            stdout=self.errors, stderr=self.errors,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def metrics(self) -> str:
        """All metrics as they are served; nothing while they are not."""
        if self.process.poll() is not None:
            sys.exit(f"the job has ended:\n{pathlib.Path(self.errors.name).read_text()[-4000:]}")
        try:
            return urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10).read().decode()
        except OSError:
            return ""

    def metric(self, name: str, of: str = "") -> int:
        """A counter or gauge of the job, or of an operator; the sum over slots; 0 if there is none yet."""
        return value_of(self.metrics(), name, of)

    def wait_for(self, least: int, name: str, of: str = "") -> None:
        while self.metric(name, of) < least:
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.errors.close()


def value_of(metrics: str, name: str, of: str = "") -> int:
    """The sum of a metric over what it is kept of; 0 if there is none."""
    return sum(int(float(value)) for value in re.findall(rf"^{name}(?:{{.*{of}.*}})? (\S+)$", metrics, re.M))
