"""The one file of a multipart/form-data body, handed on while it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from backyard.core.errors import InvalidInputError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

FIELD = "file"

ROOM = 65_536
"""Bytes of a body that may be other than the file: boundaries, headers and small fields beside it."""

_HOW = "Send multipart/form-data with one file in the field 'file', for example curl -F file=@report.csv."


class IncomingFile:
    """A file on its way in. Only the piece at hand is in memory.

    Args:
        request: The request, its body not yet read.
        limit: Most bytes the file may have.

    Raises:
        InvalidInputError: The body is no multipart/form-data.
        TooLargeError: The body says that it is too large.
    """

    def __init__(self, request: Request, limit: int) -> None:
        kind, options = parse_options_header(request.headers.get("content-type"))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise InvalidInputError(f"This body is not multipart/form-data. {_HOW}")
        self.name = ""
        self.content_type: str | None = None
        self._limit = limit
        self._received = 0
        length = request.headers.get("content-length", "")
        self._check_size(int(length) if length.isdecimal() else 0)
        self._stream = request.stream()
        self._pieces: list[bytes] = []
        self._header = [bytearray(), bytearray()]
        self._disposition = b""
        self._type = b""
        self._found = self._inside = self._ended = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise _unreadable(error) from None

    async def begin(self) -> None:
        """Read up to the file's first byte, so that its name and type are known.

        Raises:
            InvalidInputError: The body has no file in the field, or cannot be read.
            TooLargeError: It is too large before the file begins.
        """
        while not self._found:
            if not await self._advance():
                raise InvalidInputError(f"This body has no file in the field '{FIELD}'. {_HOW}")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the file's bytes as they come, to the end of the body.

        Raises:
            InvalidInputError: The body was cut off or cannot be read.
            TooLargeError: The body is too large.
        """
        going_on = True
        while going_on:
            pieces, self._pieces = self._pieces, []
            for piece in pieces:
                yield piece
            going_on = await self._advance()

    async def _advance(self) -> bool:
        try:
            data = await anext(self._stream, b"")
            self._received += len(data)
            self._check_size(self._received)
            if data:
                self._parser.write(data)
        except ClientDisconnect:
            raise InvalidInputError("The upload was cut off before its end. Send it again.") from None
        except FormParserError as error:
            raise _unreadable(error) from None
        if not data and not self._ended:
            raise InvalidInputError(f"The body ends before its last boundary. {_HOW}")
        return bool(data)

    def _check_size(self, size: int) -> None:
        if size > self._limit + ROOM:
            raise TooLargeError(
                f"The body has at least {size:,} bytes, and an upload may have {self._limit:,}. "
                "Send a smaller file, or raise BACKYARD_MAX_UPLOAD."
            )

    def _on_part_begin(self) -> None:
        self._disposition = self._type = b""
        self._inside = False

    def _on_header_end(self) -> None:
        field, value = (bytes(part) for part in self._header)
        self._header = [bytearray(), bytearray()]
        if field.lower() == b"content-disposition":
            self._disposition = value
        elif field.lower() == b"content-type":
            self._type = value

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") != FIELD.encode():
            return
        if self._found:
            raise InvalidInputError(f"This body has more than one field '{FIELD}'. {_HOW}")
        if not options.get(b"filename"):
            raise InvalidInputError(f"The field '{FIELD}' is not a file: it has no file name. {_HOW}")
        self._found = self._inside = True
        # parse_options_header reads headers as latin-1; browsers and curl write names in UTF-8.
        self.name = options[b"filename"].decode("utf-8", "replace")
        self.content_type = self._type.decode("latin-1") or None

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._pieces.append(data[start:end])

    def _on_end(self) -> None:
        self._ended = True


def _unreadable(error: FormParserError) -> InvalidInputError:
    return InvalidInputError(f"This multipart/form-data body cannot be read: {error}. {_HOW}")
