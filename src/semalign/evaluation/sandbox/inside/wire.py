"""Messages between the host, the servers, the judge and the candidate: a length, then JSON, over a socket."""

import json
import socket
import struct
from typing import Any

LENGTH = struct.Struct("!I")
MAX_BYTES = 16 << 20  # decoded, this still fits the judge's address space


def send(connection: socket.socket, message: Any) -> None:
    body = json.dumps(message, separators=(",", ":")).encode()
    connection.sendall(LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket) -> Any:
    """The next message; EOFError when the other side is gone, ValueError when it is too long or no JSON."""
    (n_bytes,) = LENGTH.unpack(_exactly(connection, LENGTH.size))
    if n_bytes > MAX_BYTES:
        raise ValueError(f"a message of {n_bytes} bytes, at most {MAX_BYTES} are taken")
    return json.loads(_exactly(connection, n_bytes))


def _exactly(connection: socket.socket, n_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < n_bytes:
        piece = connection.recv(min(n_bytes - len(data), 1 << 16))
        if not piece:
            raise EOFError("the other side is gone")
        data += piece
    return bytes(data)
