"""A file that came in a request's multipart body."""

from dataclasses import dataclass, field
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Upload:
    """`file` is open at its beginning, larger ones lie on disk; `media_type` is what its first bytes show, `size` is
    in bytes. `filename` is the caller's own, fit for a header, with the extension of the media type.
    """

    file: BinaryIO = field(repr=False, compare=False)
    filename: str
    media_type: str
    size: int

    def read(self) -> bytes:
        """The whole content, whoever has read of it before."""
        self.file.seek(0)
        return self.file.read()
