"""How long until the first page: `python app.py` against a Gradio page with one textbox, started on the same machine.

    python tests/bench/bench_start.py [--runs 5]

The three kinds of start take turns: the bare page, the studio on a fresh workspace, and the studio on that workspace
again. A start lasts from before the process is made until GET / has answered 200 with its whole body. Memory is the
resident size of the whole process tree two seconds later; whether torch is loaded is read from the processes' maps.
CPU seconds are those of the process when its page is served: they stay comparable on a machine with other work.
Before the counted runs each kind is started once, so that all find their files in the disk cache.
"""

from __future__ import annotations

import argparse
import http.client
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

ROOT = Path(__file__).resolve().parents[2]
BARE = """
import sys
import gradio as gr
with gr.Blocks(analytics_enabled=False) as page:
    gr.Textbox(label="One")
page.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
"""
_LIMIT_SECONDS = 120
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Start:
    """One start: seconds to the first page, CPU seconds until then, bytes resident, whether libtorch is mapped."""

    seconds: float
    cpu_seconds: float
    memory_bytes: int
    torch: bool


def main(arguments: Sequence[str] | None = None) -> dict[str, list[Start]]:
    """Run the bench and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="counted starts of each kind (default: %(default)s)")
    parser.add_argument("--no-warm-up", action="store_true", help="count the first start too")
    options = parser.parse_args(arguments)
    starts: dict[str, list[Start]] = {"bare": [], "fresh": [], "again": []}
    for number in range(options.runs + (0 if options.no_warm_up else 1)):
        taken = one_round()
        if number or options.no_warm_up:
            for kind, start in taken.items():
                starts[kind].append(start)
    show(starts)
    return starts


def one_round() -> dict[str, Start]:
    """Each kind of start once."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(BARE, encoding="utf-8")
        studio = [str(ROOT / "app.py"), "--workspace", str(Path(folder) / "workspace"), "--port"]
        return {
            "bare": measure([str(script)]),
            "fresh": measure(studio),
            "again": measure(studio),
        }


def measure(command: Sequence[str]) -> Start:
    """Start `python command PORT`, wait for its page, look at its memory, end it."""
    port = free_port()
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command, str(port)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        while not page_served(port):
            if process.poll() is not None or time.perf_counter() - begun > _LIMIT_SECONDS:
                said = process.stderr.read().decode() if process.stderr and process.poll() is not None else ""
                raise SystemExit(f"{command[0]} served no page: {said[-2000:]}")
            time.sleep(0.01)
        seconds = time.perf_counter() - begun
        used = psutil.Process(process.pid).cpu_times()
        time.sleep(_SETTLE_SECONDS)
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        memory = sum(one.memory_info().rss for one in tree)
        cpu_seconds = used.user + used.system + used.children_user + used.children_system
        return Start(seconds, cpu_seconds, memory, any(torch_loaded(one.pid) for one in tree))
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        process.kill()
        process.wait()


def page_served(port: int) -> bool:
    """Whether GET / answers 200 with a body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        return response.status == 200 and len(response.read()) > 0
    except OSError:
        return False
    finally:
        connection.close()


def torch_loaded(pid: int) -> bool:
    """Whether a process has mapped torch's library (False where the system has no /proc)."""
    try:
        return "libtorch" in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def show(starts: dict[str, list[Start]]) -> None:
    """Print medians, their ratios, memory, and whether torch was loaded."""
    names = {"bare": "one textbox", "fresh": "studio, fresh workspace", "again": "studio, second start"}
    libraries = ", ".join(f"{name} {version(name)}" for name in ("gradio", "duckdb", "uvicorn"))
    print(f"Python {platform.python_version()}, {libraries}; {cpu_name()}, {os.cpu_count()} threads")
    print(f"{'':26}{'median s':>10}{'min s':>8}{'max s':>8}{'CPU s':>8}{'MB':>7}  torch")
    for kind, found in starts.items():
        seconds = [start.seconds for start in found]
        memory = max(start.memory_bytes for start in found) / 1e6
        torch = "loaded" if any(start.torch for start in found) else "no"
        cpu = median(start.cpu_seconds for start in found)
        line = f"{median(seconds):>10.2f}{min(seconds):>8.2f}{max(seconds):>8.2f}{cpu:>8.2f}{memory:>7.0f}  {torch}"
        print(f"{names[kind]:26}{line}")
    for kind in ("fresh", "again"):
        wall, cpu = ratio(starts, kind, "seconds"), ratio(starts, kind, "cpu_seconds")
        print(f"ratio, {names[kind]}: {wall:.2f}  (CPU {cpu:.2f}; target 1.5)")


def ratio(starts: dict[str, list[Start]], kind: str, figure: str) -> float:
    """The median of a figure over that of the bare page."""
    middle = {name: median(getattr(start, figure) for start in found) for name, found in starts.items()}
    return middle[kind] / middle["bare"]


def cpu_name() -> str:
    """What the machine calls its processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
