"""A seekable file over bytes in memory."""

import io


class MemoryFile(io.RawIOBase):
    """A seekable file over bytes in memory that copies only what is read."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def _length(self) -> int:
        return len(self._data)

    def _between(self, start: int, end: int) -> bytes:
        return bytes(self._data[start:end])

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position, in bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length()}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Up to `size` bytes, or all that are left."""
        end = self._length() if size is None or size < 0 else min(self._position + size, self._length())
        data = self._between(self._position, end)
        self._position += len(data)
        return data
