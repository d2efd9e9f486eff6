"""Failures of file operations, as the runtime words them: each has one `error_type`."""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

ErrorType = Literal[
    "not_found",
    "permission_denied",
    "invalid_target",
    "already_exists",
    "invalid_path",
    "read_only_filesystem",
    "no_space_left",
    "decode_error",
    "io_error",
]

_BY_ERRNO: dict[int, ErrorType] = {
    errno.ENOENT: "not_found",
    errno.EACCES: "permission_denied",
    errno.EPERM: "permission_denied",
    errno.EISDIR: "invalid_target",
    errno.ENOTDIR: "invalid_target",
    errno.ENXIO: "invalid_target",  # a pipe or a socket where a file was meant
    errno.EEXIST: "already_exists",
    errno.EINVAL: "invalid_path",
    errno.ELOOP: "invalid_path",
    errno.ENAMETOOLONG: "invalid_path",
    errno.EROFS: "read_only_filesystem",
    errno.ENOSPC: "no_space_left",
    errno.EDQUOT: "no_space_left",
}


class FileError(Exception):
    """A file operation that failed; `retryable` when the same request may succeed later."""

    def __init__(
        self,
        error_type: ErrorType,
        path: str,
        operation: str,
        message: str,
        *,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.error_type: ErrorType = error_type
        self.path = path
        self.operation = operation
        self.message = message
        self.retryable = retryable


class FileRejected(Exception):
    """A path or a file that does not fit the operation."""

    def __init__(self, error_type: ErrorType, message: str) -> None:
        super().__init__(message)
        self.error_type: ErrorType = error_type
        self.message = message


@contextmanager
def faults(operation: str, path: str) -> Generator[None]:
    """Turn any failure of a file operation into a fault that names operation and path.

    Raises:
        FileError: the operation failed.
    """
    try:
        yield
    except FileRejected as exc:
        raise FileError(exc.error_type, path, operation, f"{exc.message}: '{path}'") from exc
    except UnicodeDecodeError as exc:
        message = f"Not UTF-8 text at byte {exc.start}; download it instead: '{path}'"
        raise FileError("decode_error", path, operation, message) from exc
    except OSError as exc:
        raise _of_the_system(exc, path, operation) from exc


def _of_the_system(exc: OSError, path: str, operation: str) -> FileError:
    # Not the text of the exception: it would name a path of this machine.
    number = exc.errno or errno.EIO
    error_type = _BY_ERRNO.get(number, "io_error")
    return FileError(
        error_type,
        path,
        operation,
        f"{os.strerror(number)}: '{path}'",
        retryable=error_type == "io_error",
    )
