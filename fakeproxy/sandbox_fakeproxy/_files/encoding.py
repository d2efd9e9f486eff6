"""What a write's `content` stands for, by its encoding."""

import base64
import binascii

from .faults import Misfit


def decoded(content: str, encoding: str) -> bytes:
    """Return the bytes that a content stands for: `utf-8`, `base64`, or `raw`, a byte a character.

    Raises:
        Misfit: it is not in that encoding.
    """
    if encoding == "utf-8":
        return content.encode()
    if encoding == "raw":
        try:
            return content.encode("latin-1")
        except UnicodeEncodeError as exc:
            message = f"Character {exc.start} of the content is more than one byte"
            raise Misfit("decode_error", message) from exc
    try:
        # Lines, as the base64 command writes them, are base64 too.
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Misfit("decode_error", f"The content is not base64: {exc}") from exc
