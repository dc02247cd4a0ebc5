"""A file that came in a request's multipart body."""

import io
from dataclasses import field
from typing import BinaryIO, cast

from shared.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Upload:
    """`file` is open and on disk if large; `media_type` is detected from its first bytes, `size` is in bytes.
    `filename` is safe in a header.
    """

    file: BinaryIO = field(repr=False, compare=False)
    filename: str
    media_type: str
    size: int

    def read(self) -> bytes:
        """The whole content."""
        self.file.seek(0)
        return self.file.read()

    def open(self) -> BinaryIO:
        """An independent reader, at the beginning: several calls may send the same file at once."""
        return cast(BinaryIO, _Reader(self.file))


class _Reader(io.RawIOBase):
    """One of several readers of a file, each with its own position, all on one thread."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset, whence = self._at + offset, io.SEEK_SET
        self._at = self._file.seek(offset, whence)
        return self._at

    def read(self, size: int = -1) -> bytes:
        self._file.seek(self._at)
        data = self._file.read(size)
        self._at += len(data)
        return data
