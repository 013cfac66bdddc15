"""Asks in plain HTTP/2 whether a Ray head listens at an address; Ray itself would try for minutes.

A connection begins with a greeting of either side, by which any server of HTTP/2 answers (RFC 9113,
3.4). Only a Ray head knows the method that it is then asked for.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

DATA, HEADERS, SETTINGS = 0, 1, 4
"""Types of frames."""
END_STREAM, END_HEADERS = 1, 4
"""Flags of frames."""
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
REQUEST = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/ray.rpc.NodeInfoGcsService/CheckAlive",
    ":authority": "vaebench",
    "te": "trailers",
    "content-type": "application/grpc",
}
STATUS = re.compile(rb"grpc-status.(\d+)", re.DOTALL)
"""How a call of gRPC ended, as its own library writes it: a name, the length of a number, that."""
UNKNOWN_METHOD = b"12"
"""How a call ends of which a server of gRPC knows nothing. Other ends are a Ray head's, which may
ask for a token first."""
NO_RAY = "what listens there is no Ray head"


class Frame(NamedTuple):
    """What HTTP/2 sends at once."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    def __bytes__(self) -> bytes:
        head = len(self.payload).to_bytes(3, "big") + bytes((self.kind, self.flags))
        return head + self.stream.to_bytes(4, "big") + self.payload


def answers(address: str, seconds: float) -> None:
    """Raises OSError where nobody greets at HOST:PORT as a Ray head would."""
    with _greeted(address, seconds):
        pass


def check_ray(address: str, seconds: float) -> None:
    """Raises OSError where no Ray head answers at HOST:PORT; so do others that speak HTTP/2."""
    with _greeted(address, seconds) as (connection, frames):
        connection.sendall(bytes(Frame(HEADERS, END_HEADERS, 1, _packed(REQUEST))))
        connection.sendall(bytes(Frame(DATA, END_STREAM, 1, bytes(5))))  # a message of no bytes
        status = STATUS.search(_headers(frames, time.monotonic() + seconds))
        if status is None or status[1] == UNKNOWN_METHOD:
            raise OSError(NO_RAY)


@contextmanager
def _greeted(address: str, seconds: float) -> Iterator[tuple[socket.socket, Iterator[Frame]]]:
    """A connection after the greetings, and the frames that come by it."""
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host.strip("[]"), int(port)), seconds) as connection,
        connection.makefile("rb") as received,
    ):
        connection.sendall(PREFACE + bytes(Frame(SETTINGS, 0, 0, b"")))
        frames = _frames(received)
        first = next(frames, None)
        if first is None or first.kind != SETTINGS:
            raise OSError(NO_RAY)
        yield connection, frames


def _frames(received: BinaryIO) -> Iterator[Frame]:
    """The frames that come, until the other side hangs up."""
    while len(head := received.read(9)) == 9:
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind > 9:  # a Ray head sends no others: this is another language
            raise OSError(NO_RAY)
        yield Frame(kind, flags, stream, received.read(int.from_bytes(head[:3], "big")))


def _headers(frames: Iterator[Frame], end: float) -> bytes:
    """The headers of the answer, first and last; none where it does not end in time."""
    headers = b""
    for frame in frames:
        if frame.stream == 1 and frame.kind == HEADERS:
            headers += frame.payload
        if (frame.stream == 1 and frame.flags & END_STREAM) or time.monotonic() > end:
            break
    return headers


def _packed(headers: dict[str, str]) -> bytes:
    """Headers as literals that nobody is to remember (RFC 7541, 6.2.2)."""
    texts = (text.encode() for pair in headers.items() for text in pair)
    parts = [bytes((len(text),)) + text for text in texts]
    return b"".join(
        b"\0" + name + value for name, value in zip(parts[::2], parts[1::2], strict=True)
    )
