"""The elements of a JSON array or the members of a JSON object in a file, one at a time, with the byte of each.

Only the standard library: `json.JSONDecoder.raw_decode` over chunks reads 125 MB in about 0.4 s and holds one chunk
plus one element. ijson is as fast and a little smaller, but does not say where a record began.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from pipeline.core.errors import InputError

CHUNK_BYTES = 1 << 20
"""Bytes read at a time; doubled while one element does not fit, so that a huge element costs linear time."""
_SEPARATORS = " \t\n\r,"
_TAIL = 16
"""A decoding error this close to the end of the buffer may be a token cut in two by the chunk border."""


class Element(NamedTuple):
    """One element of the array."""

    number: int
    """Position in the array, from 0."""
    byte: int
    """Offset of its first byte in the file."""
    value: Any
    """The decoded JSON value."""


class Member(NamedTuple):
    """One member of the object."""

    byte: int
    """Offset of the first byte of its key in the file."""
    key: str
    """The key."""
    value: Any
    """The decoded JSON value."""


class CutOff(Exception):
    """The file ends before its array or object does; `byte` is the end of the file."""

    def __init__(self, byte: int, inside: bool) -> None:
        """`inside`: whether the end lies inside an element rather than between two."""
        self.byte = byte
        where = "inside a record" if inside else "between two records"
        super().__init__(f"input ends {where} at byte {byte}")


def array_elements(path: Path) -> Iterator[Element]:
    """The elements of the JSON array in `path`, streaming; time is linear also for one very long element.

    Raises:
        InputError: no such file, not UTF-8, not a JSON array, or malformed in the middle; names file, byte, record.
        CutOff: the file ends inside the array; raised after all whole elements.
    """
    with _open(path) as file:
        yield from _Reader(path, file).elements()


def object_members(path: Path) -> Iterator[Member]:
    """The members of the JSON object in `path`, streaming, in the order of the file.

    Raises:
        InputError: no such file, not UTF-8, not a JSON object, or malformed in the middle; names file, byte, record.
        CutOff: the file ends inside the object; raised after all whole members.
    """
    with _open(path) as file:
        yield from _Reader(path, file).members()


def _open(path: Path) -> BinaryIO:
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    return path.open("rb")


@dataclass
class _Reader:
    path: Path
    file: BinaryIO
    buffer: str = ""
    start: int = 0
    """Byte offset of buffer[0]."""
    at: int = 0
    """Next character of the buffer to read."""
    counted: int = 0
    """Characters of the buffer whose bytes are in `counted_bytes`."""
    counted_bytes: int = 0
    read_bytes: int = 0
    ended: bool = False

    def __post_init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._parse = json.JSONDecoder().raw_decode

    def elements(self) -> Iterator[Element]:
        self._begin("[", "array")
        for number, byte in self._places("]"):
            yield Element(number, byte, self._value(number, byte))

    def members(self) -> Iterator[Member]:
        self._begin("{", "object")
        for number, byte in self._places("}"):
            key = self._value(number, byte)
            if self._next_character() not in (":", None) or not isinstance(key, str):
                raise InputError(f"{self.path}: byte {byte}, record {number}: malformed JSON: expected a key and `:`.")
            self.at += 1
            if self._next_character() is None:
                raise CutOff(self.read_bytes, inside=True)
            yield Member(byte, key, self._value(number, byte))

    def _begin(self, opening: str, what: str) -> None:
        if self._next_character() == "\ufeff":
            self.at += 1
        if self._next_character() != opening:
            place = f"{self.path}: byte {self._byte()}"
            raise InputError(f"{place}: expected a JSON {what} (`{opening}`) at the start of the file.")
        self.at += 1

    def _places(self, closing: str) -> Iterator[tuple[int, int]]:
        """Number and byte of each record up to `closing`; whoever asks for the next has read the one before."""
        number = 0
        while (character := self._next_character()) != closing:
            if character is None:
                raise CutOff(self.read_bytes, inside=False)
            yield number, self._byte()
            number += 1

    def _next_character(self) -> str | None:
        while True:
            while self.at < len(self.buffer) and self.buffer[self.at] in _SEPARATORS:
                self.at += 1
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if not self._fill(CHUNK_BYTES):
                return None

    def _value(self, number: int, byte: int) -> Any:
        want = CHUNK_BYTES
        while True:
            try:
                value, end = self._parse(self.buffer, self.at)
            except json.JSONDecodeError as error:
                self._fail_unless_unfinished(error, number)
            except RecursionError:
                raise InputError(f"{self.path}: byte {byte}, record {number}: nested too deeply.") from None
            else:
                # A number at the very end of the buffer may go on in the next chunk.
                if end < len(self.buffer) or self.ended:
                    self.at = end
                    return value
            if not self._fill(want):
                raise CutOff(self.read_bytes, inside=True)
            want *= 2

    def _fail_unless_unfinished(self, error: json.JSONDecodeError, number: int) -> None:
        unfinished = error.msg.startswith("Unterminated string") or error.pos >= len(self.buffer) - _TAIL
        if not unfinished:
            self.at = error.pos
            where = f"{self.path}: byte {self._byte()}, record {number}"
            raise InputError(f"{where}: malformed JSON: {error.msg}.") from error

    def _fill(self, size: int) -> bool:
        """Read `size` more bytes behind the unread rest of the buffer; False at the end of the file."""
        if self.ended:
            return False
        data = self.file.read(size)
        self.ended = len(data) < size
        try:
            text = self._decode.decode(data, final=False)
        except UnicodeDecodeError as error:
            byte = self.read_bytes - len(error.object) + len(data) + error.start
            raise InputError(
                f"{self.path}: byte {byte}: not UTF-8 ({error.reason}); convert the file, e.g. with "
                "`iconv -f UTF-16 -t UTF-8`."
            ) from error
        self.read_bytes += len(data)
        self.start = self._byte()
        self.buffer = self.buffer[self.at :] + text
        self.at = self.counted = self.counted_bytes = 0
        return bool(text) or not self.ended

    def _byte(self) -> int:
        """Byte offset of the next character; each character is counted once."""
        part = self.buffer[self.counted : self.at]
        self.counted_bytes += len(part) if part.isascii() else len(part.encode("utf-8"))
        self.counted = self.at
        return self.start + self.counted_bytes
