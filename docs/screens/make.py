"""Makes the pictures and the pasted screens of the documentation from real runs: see make.sh.

A program runs in a terminal of its own (a pseudo terminal); what that terminal shows at the end, or at a chosen moment, is
the screen. It becomes an SVG beside this file, and it replaces the text between `<!-- screen NAME -->` and
`<!-- end of screen -->` in the Markdown files of the repository.
"""

import fcntl
import html
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import pyte

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
COLUMNS, LINES = 118, 60
LINE_HEIGHT, CHAR_WIDTH, MARGIN = 18, 8.4, 16


def terminal(command: list[str], seconds: float, until: str | None = None) -> list[str]:
    """The lines that a terminal shows after a command ran: when it ends, when `until` has appeared, or after `seconds`."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(ROOT)
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(terminal, 65536)
            except OSError:
                break
            if not data:
                break
            stream.feed(data)
            if until and any(re.search(until, line) for line in screen.display):
                break
    finally:
        os.close(terminal)
        try:
            os.kill(process, 15)
        except ProcessLookupError:
            pass
        os.waitpid(process, 0)
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def svg(title: str, lines: list[str]) -> str:
    """The lines as a picture."""
    width = MARGIN * 2 + CHAR_WIDTH * max(len(line) for line in [title, *lines])
    height = MARGIN * 2 + LINE_HEIGHT * (len(lines) + 1)
    rows = [
        f'<text x="{MARGIN}" y="{MARGIN + LINE_HEIGHT * (index + 1)}" class="{kind}" xml:space="preserve">'
        f"{html.escape(line)}</text>"
        for index, (kind, line) in enumerate([("command", "$ " + title), *(("out", line) for line in lines)])
        if line
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" role="img">\n'
        f"<title>{html.escape(title)}</title>\n"
        "<style>text { font: 14px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #d8dee9 } "
        ".command { fill: #8fbcbb; font-weight: bold }</style>\n"
        '<rect width="100%" height="100%" rx="8" fill="#242933"/>\n' + "\n".join(rows) + "\n</svg>\n"
    )


def paste(name: str, title: str, lines: list[str]) -> None:
    """Puts the screen between its marks in every Markdown file that has them."""
    block = f"<!-- screen {name} -->\n```\n$ {title}\n" + "\n".join(lines) + "\n```\n<!-- end of screen -->"
    tracked = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True)
    for file in map(ROOT.joinpath, tracked.stdout.split()):
        text = file.read_text()
        marks = re.compile(f"<!-- screen {name} -->.*?<!-- end of screen -->", re.DOTALL)
        if marks.search(text):
            file.write_text(marks.sub(lambda _: block, text))
            print(f"{name}: {file.relative_to(ROOT)}")


def publish(name: str, title: str, lines: list[str]) -> None:
    if not lines:
        sys.exit(f"{name}: `{title}` showed nothing")
    (HERE / f"{name}.svg").write_text(svg(title, lines))
    paste(name, title, lines)


def local(eddyline: str) -> None:
    """The screens that need nothing but the binary."""
    live = "config/samples/sensors/live.sql"
    lines = terminal([eddyline, "run", "--log", "text", "--progress", "full", live], 9.2)
    publish("live-view", f"eddyline run --progress full {live}", lines[-14:])
    publish("explain", f"eddyline explain {live}", terminal([eddyline, "explain", live], 10))
    # The sample with a typing error.
    misspelt = ROOT / "target" / "misspelt.sql"
    misspelt.parent.mkdir(exist_ok=True)
    misspelt.write_text((ROOT / live).read_text().replace("'number-of-rows'", "'number-of-row'"))
    name = str(misspelt.relative_to(ROOT))
    publish("misspelt-option", f"eddyline run {name}", terminal([eddyline, "run", name], 10))


def cluster() -> None:
    """The screens of a cluster in which the sample `hello` runs and the job `broken` fails: see make.sh."""
    columns = f"stty columns {COLUMNS}; "
    publish("get-streamjobs", "kubectl get sj", terminal(["sh", "-c", columns + "kubectl get sj"], 20))
    # People read its end: the summary and the events.
    described = terminal(["sh", "-c", columns + "kubectl describe sj broken"], 20)
    publish("describe-failing", "kubectl describe sj broken | tail -n 24", described[-24:])


if __name__ == "__main__":
    local(sys.argv[1])
    if sys.argv[2:] == ["cluster"]:
        cluster()
