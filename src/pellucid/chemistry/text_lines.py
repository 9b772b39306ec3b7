"""Lines of a text file of any size, encoding and packing, one after another in bounded memory."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from pellucid.errors import PellucidError

MAX_LINE = 1 << 20
"""Characters of a line; a longer one is passed over and told."""
_GIVE_UP = 1 << 26
"""Characters after which a line without an end makes the whole file unreadable."""
_SAMPLE = 1 << 16
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
          (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_BINARY = {b"PK\x03\x04": "an Excel workbook or a .zip archive", b"\xd0\xcf\x11\xe0": "an old Excel workbook",
           b"BZh": "a .bz2 archive", b"\xfd7zXZ": "an .xz archive", b"\x28\xb5\x2f\xfd": "a .zst archive",
           b"%PDF": "a PDF", b"\x89HDF": "HDF5"}


_PROBLEMS = (OSError, EOFError, zlib.error, UnicodeError)


class LongLineError(Exception):
    """A line that is passed over."""


class TextFile:
    """A text file that may be gzipped, whatever its name says, and read again and again.

    UTF-8, with or without a mark, UTF-16 and UTF-32 with one; a line of anything else is read as Windows-1252.

    Attributes:
        path: The file.
        notes: What was unusual, a sentence each, as far as it has been read.

    Raises:
        PellucidError: if it is missing, cannot be read, is empty or is no text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: dict[str, None] = {}
        with self.open() as file, told(path):
            start = file.read(_SAMPLE)
        if not start.strip():
            raise PellucidError(f"expected at least one molecule in {path}, got an empty file; check that it is the "
                                "right one")
        for magic, what in _BINARY.items():
            if start.startswith(magic):
                raise PellucidError(f"expected text in {path}, got {what}; save or unpack it as .csv, .sdf or .smi")
        self._encoding = next((name for mark, name in _MARKS if start.startswith(mark)), "")
        if self._encoding in ("", "utf-8") and b"\0" in start:
            raise PellucidError(f"expected text in {path}, got bytes that are no text (NUL); save it as UTF-8")
        if self._encoding in ("utf-16", "utf-32"):
            self.notes[f"its encoding is {self._encoding.upper()}"] = None
        self._mark = len(codecs.BOM_UTF8) if self._encoding == "utf-8" else 0
        self._returns = b"\n" not in start and b"\r" in start

    def open(self) -> IO[bytes]:
        """Its unpacked bytes from the start."""
        with told(self.path):
            with self.path.open("rb") as file:
                packed = file.read(2) == b"\x1f\x8b"
            return gzip.open(self.path) if packed else self.path.open("rb")  # type: ignore[return-value]

    def lines(self, *, returns: bool = True) -> Lines:
        """Its lines from the start, with their ends.

        Args:
            returns: Whether a lone carriage return ends a line where there is no other end.
        """
        file = self.open()
        if self._encoding in ("utf-16", "utf-32"):
            return Lines(self, io.TextIOWrapper(file, self._encoding, errors="replace", newline="\n"), "\n")
        with told(self.path):
            file.read(self._mark)
        if returns and self._returns:
            return Lines(self, io.TextIOWrapper(file, "latin-1", newline="\r"), "\r", bytes_in=True)
        return Lines(self, file, b"\n")

    def decode(self, line: bytes) -> str:
        """A line as text."""
        try:
            return line.decode()
        except UnicodeDecodeError:
            self.notes.setdefault("some of its lines are not UTF-8 and are read as Windows-1252 (Latin-1)")
            return decoded(line)


def decoded(data: bytes) -> str:
    """Bytes as text: UTF-8 with or without a mark, else Windows-1252, else Latin-1, which any bytes are.

    Example:
        >>> decoded("µM".encode()), decoded("µM".encode("latin-1"))
        ('µM', 'µM')
    """
    for encoding in ("utf-8-sig", "cp1252"):
        with suppress(UnicodeDecodeError):
            return data.decode(encoding)
    return data.decode("latin-1")  # five bytes mean nothing in Windows-1252


class Lines(Iterator[str]):
    """Lines one after another; one that is too long raises :class:`LongLineError`, and the next call goes on after it.

    Args:
        text: The file.
        reader: Has its lines, as bytes or texts.
        end: Of a line.
        bytes_in: Whether the texts are bytes, a letter each.

    Attributes:
        number: Of the last line, from 1.
    """

    def __init__(self, text: TextFile, reader: Any, end: str | bytes, *, bytes_in: bool = False) -> None:
        self.number = 0
        self._text, self._reader, self._end, self._bytes_in = text, reader, end, bytes_in

    def __next__(self) -> str:
        try:
            line = self._reader.readline(MAX_LINE + 1)
            if len(line) > MAX_LINE:
                self.number += 1
                self._pass_over(line)
        except _PROBLEMS as error:
            raise _told(self._text.path, error) from None
        if not line:
            raise StopIteration
        self.number += 1
        if self._bytes_in:
            line = line.encode("latin-1")
        return line if isinstance(line, str) else self._text.decode(line)

    def _pass_over(self, line: Any) -> None:
        passed = 0
        while line and not line.endswith(self._end):
            passed += len(line)
            if passed > _GIVE_UP:
                raise PellucidError(f"expected lines of text in {self._text.path}, got one of more than "
                                    f"{_GIVE_UP:,} characters (line {self.number}); check that it is the right file")
            line = self._reader.readline(MAX_LINE)
        raise LongLineError

    def close(self) -> None:
        """Closes the file."""
        self._reader.close()


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Tells what reading a file raises in one sentence."""
    try:
        yield
    except _PROBLEMS as error:
        raise _told(path, error) from None


def _told(path: Path, error: BaseException) -> PellucidError:
    if isinstance(error, FileNotFoundError):
        return PellucidError(f"expected a file {path}, got nothing there; check the path")
    if isinstance(error, IsADirectoryError):
        return PellucidError(f"expected a file {path}, got a folder; give a file in it")
    if isinstance(error, (EOFError, zlib.error, gzip.BadGzipFile)):
        return PellucidError(f"expected a whole gzipped file in {path}, got one that is cut short or damaged "
                             f"({error}); download or pack it again")
    reason = getattr(error, "strerror", None) or error
    return PellucidError(f"expected to read {path}, got a problem ({reason}); check it and its permissions")
