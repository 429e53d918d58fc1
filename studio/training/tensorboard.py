"""TensorBoard event files, written by hand: a record of length, checksums and one protocol buffer, flushed at once.

The format is small and has not changed since 2015 (tensorflow/core/util/event.proto, lib/io/record_writer), whereas the
tensorboard package takes a second to import and writes from a thread that a kill leaves behind. What it leaves out:
everything but scalars.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from pathlib import Path

FOLDER = "tensorboard"

_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5
"""Wire types of protocol buffers."""

_START = 1
"""SessionLog.START: readers drop what an earlier file has of this step and later ones."""


def _table() -> list[int]:
    made = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        made.append(byte)
    return made


_CRC = _table()


class ScalarWriter:
    """Appends scalars to a new event file in `folder`. A run that goes on from `step` says so. Raises OSError."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        number = sum(1 for _ in folder.iterdir())  # of two files of one second the later name comes later
        path = folder / f"events.out.tfevents.{int(now):010d}.studio.{number:04d}"
        self._file = path.open("xb", buffering=0)
        self._write(_field(1, _DOUBLE, now) + _field(3, _BYTES, b"brain.Event:2"))
        if step:
            self._event(step + 1, _field(7, _BYTES, _field(1, _VARINT, _START)))

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Scalars of one step, by their names."""
        parts = (_field(1, _BYTES, name.encode()) + _field(2, _FLOAT, value) for name, value in values.items())
        self._event(step, _field(5, _BYTES, b"".join(_field(1, _BYTES, part) for part in parts)))

    def close(self) -> None:
        """Close the file; it is whole at any time."""
        self._file.close()

    def _event(self, step: int, content: bytes) -> None:
        self._write(_field(1, _DOUBLE, time.time()) + _field(2, _VARINT, step) + content)

    def _write(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        self._file.write(length + _masked(length) + event + _masked(event))


def _field(number: int, kind: int, value: float | bytes) -> bytes:
    """One field of a protocol buffer."""
    key = _varint(number << 3 | kind)
    if isinstance(value, bytes):
        return key + _varint(len(value)) + value
    if kind == _VARINT:
        return key + _varint(int(value))
    return key + struct.pack("<d" if kind == _DOUBLE else "<f", value)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _masked(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted as the format wants it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
