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

    def run(
        self, names: str | list[str], values: dict[str, str], parallelism: int = 1, checkpoint_interval: str = "10s", **how
    ) -> measure.Usage:
        """Runs `sql/NAME.sql`, or several such texts as one, with its braces filled in, from an empty state."""
        names = [names] if isinstance(names, str) else names
        text = "\n".join((SQL / f"{name}.sql").read_text() for name in names)
        for key, value in values.items():
            text = text.replace("{" + key + "}", value)
        left = re.search(r"\{\w+\}", text)
        assert left is None, f"nothing fills in {left} of {names}"
        file = self.scratch / f"{names[-1]}.sql"
        file.write_text(text)
        checkpoints = self.scratch / "checkpoints"
        shutil.rmtree(checkpoints, ignore_errors=True)
        return measure.run(
            [
                self.binary, "run", str(file), "--parallelism", str(parallelism),
                "--checkpoint-dir", str(checkpoints), "--checkpoint-interval", checkpoint_interval,
            ],
            **how,
        )
