"""An engine without a model, for tests of the scheduler and the server: it writes "tick " until told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace

from studio.errors import BadInput, NotFound
from studio.inference.request import Delta, Finished, GenerationRequest


class FakeEngine:
    """`gate` holds every batch back before its first piece; `batches` records the prompts that ran together."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.ended: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False
        self.base = SimpleNamespace(name="tiny", weights_hash="b" * 64, device="cpu")
        self.loaded: list[tuple[str, str]] = []

    def available(self) -> list[str]:
        return ["run1"]

    def rest(self) -> None:
        pass

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        if request.adapter not in (None, "run1"):
            raise NotFound("There is no such model.")
        if request.messages[-1].content == "too long":
            raise BadInput("The prompt is too long.")
        return request

    def decode(self, rows: Sequence[GenerationRequest], cancelled: Callable[[int], bool]) -> Iterator[Delta]:
        if rows:
            self.batches.append([row.messages[-1].content for row in rows])
        self.gate.wait(10)
        if self.broken:
            raise ZeroDivisionError("a bug")
        living = dict(enumerate(rows))
        for count in range(1, 10_000):
            for row, request in list(living.items()):
                over = "cancelled" if cancelled(row) else "length" if count >= request.max_tokens else None
                if over:
                    del living[row]
                    self.ended.append(over)
                done = Finished(over, 3, count, 0.1, "tiny", "b" * 64, request.adapter, None) if over else None
                yield Delta(row, "" if over == "cancelled" else "tick ", done)
            if not living:
                return
            time.sleep(0.001)
