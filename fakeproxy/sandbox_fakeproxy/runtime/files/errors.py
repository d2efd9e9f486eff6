"""The errors of file operations, each with one of the runtime's values of `error_type`."""

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
    errno.ENXIO: "invalid_target",  # a pipe or a socket instead of a file
    errno.EEXIST: "already_exists",
    errno.EINVAL: "invalid_path",
    errno.ELOOP: "invalid_path",
    errno.ENAMETOOLONG: "invalid_path",
    errno.EROFS: "read_only_filesystem",
    errno.ENOSPC: "no_space_left",
    errno.EDQUOT: "no_space_left",
}


class FileError(Exception):
    """A file operation failed; `retryable` if the same request may succeed later."""

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
    """A path or a file does not fit the operation; `file_errors` makes it a `FileError`."""

    def __init__(self, error_type: ErrorType, message: str) -> None:
        super().__init__(message)
        self.error_type: ErrorType = error_type
        self.message = message


@contextmanager
def file_errors(operation: str, path: str) -> Generator[None]:
    """Raise a `FileError` with the operation and the path for any failure in the block.

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
        raise _from_os_error(exc, path, operation) from exc


def _from_os_error(exc: OSError, path: str, operation: str) -> FileError:
    # Without the exception's own text, which names a path of this machine.
    number = exc.errno or errno.EIO
    error_type = _BY_ERRNO.get(number, "io_error")
    return FileError(
        error_type,
        path,
        operation,
        f"{os.strerror(number)}: '{path}'",
        retryable=error_type == "io_error",
    )
