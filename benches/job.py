"""Runs Eddyline on the SQL texts beside this file."""

import pathlib
import re
import shutil
import tempfile

import measure

SQL = pathlib.Path(__file__).parent / "sql"
BLACKHOLE = "'connector' = 'blackhole'"


class Eddyline:
    """The binary, and a folder for what its jobs leave behind."""

    def __init__(self, binary: str):
        self.binary = binary
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="eddyline-bench-"))

    def close(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)

    def run(self, name: str, values: dict[str, str], parallelism: int = 1, **how) -> measure.Usage:
        """Runs `sql/NAME.sql` with its braces filled in, from an empty state, with a checkpoint every 10 s."""
        text = (SQL / f"{name}.sql").read_text()
        for key, value in values.items():
            text = text.replace("{" + key + "}", value)
        left = re.search(r"\{\w+\}", text)
        assert left is None, f"nothing fills in {left} of {name}.sql"
        file = self.scratch / f"{name}.sql"
        file.write_text(text)
        checkpoints = self.scratch / "checkpoints"
        shutil.rmtree(checkpoints, ignore_errors=True)
        return measure.run(
            [
                self.binary, "run", str(file), "--parallelism", str(parallelism),
                "--checkpoint-dir", str(checkpoints), "--checkpoint-interval", "10s",
            ],
            **how,
        )
