"""What can go wrong. Each message names the file or argument, the value found and the remedy."""

from typing import Any


class Error(Exception):
    """Any error of partstad."""


class FileError(Error, OSError):
    """A file could not be opened, read or written."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        told = {name: getattr(self, name) for name in ("errno", "strerror", "filename")}
        return type(self), self.args, told


class NotFoundError(FileError, FileNotFoundError):
    """There is no such file or folder."""


class FormatError(Error, ValueError):
    """A file was read, but its content is not what its format asks for."""


class InvalidError(Error, ValueError):
    """An argument or an option is outside what is accepted."""


class ModelError(Error, RuntimeError):
    """A model or ONNX Runtime itself cannot be used."""


class DeviceError(Error, RuntimeError):
    """The device cannot be used."""


class OutOfMemoryError(Error, MemoryError):
    """A device, or the host, has not enough memory."""
