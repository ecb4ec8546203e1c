"""One connection (a DEALER socket) to a coordinator or a node, as docs/wire-protocol.md specifies.

One thread at a time may use a client; give each thread its own client.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import msgpack
import zmq

PROTOCOL_VERSION = 1
Message = dict[str, Any]


class LockstepError(Exception):
    """The cluster refused or failed a request. `code` is one of the wire's error codes."""

    def __init__(self, code: str, message: str, param: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.param = param


class Timeout(LockstepError):
    """No answer came within the timeout; a running request has been cancelled."""

    def __init__(self, what: str) -> None:
        super().__init__("deadline_exceeded", f"no answer in time: {what}")


class Unreachable(Timeout):
    """No connection was made within the timeout; nothing was sent."""


class Disconnected(LockstepError):
    """The connection broke before the answer was complete. The server cancels what it ran for it."""

    def __init__(self, what: str) -> None:
        super().__init__("no_node_ready", f"the connection broke: {what}")


@dataclass(frozen=True)
class Piece:
    """New output of one choice. `finish_reason` is set on the choice's last piece."""

    choice: int
    first_index: int
    ids: list[int]
    text: str
    logprobs: list[Message] = field(default_factory=list)
    finish_reason: str | None = None


@dataclass
class Result:
    """A finished request. `texts`, `ids` and `finish_reasons` have one entry per choice."""

    request_id: str
    texts: list[str]
    ids: list[list[int]]
    finish_reasons: list[str | None]
    seed: int = 0
    resume_token: str = ""  # goes on with the request at another coordinator, see Client.attach
    prompt_token_ids: list[int] = field(default_factory=list)
    reason: str = ""
    usage: dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.texts[0]


def _ms_until(deadline: float) -> int:
    return int(max(0.0, deadline - time.monotonic()) * 1000)


class Client:
    """A client of one coordinator or node.

    `timeout` is the maximum time of a call in seconds; a call's own `timeout` overrides it.
    """

    def __init__(self, endpoint: str, timeout: float = 60.0) -> None:
        self.timeout = timeout
        self.last: Result | None = None  # result of the latest stream() that ran to its end
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        # RCVHWM 0: see "Slow readers" in docs/wire-protocol.md, section 3.
        # The pings find a server that hangs, or a network that drops everything, within 2 s.
        for option, value in ((zmq.LINGER, 0), (zmq.IMMEDIATE, 1), (zmq.RCVHWM, 0),
                              (zmq.HEARTBEAT_IVL, 500), (zmq.HEARTBEAT_TIMEOUT, 2000)):
            self._socket.setsockopt(option, value)
        self._has_broken = False  # the connection over which the latest message was sent
        self._breaks = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._prefix = uuid.uuid4().hex[:12]
        self._ids = itertools.count(1)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise LockstepError("invalid_request", f"cannot connect to {endpoint}: {error}") from error

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.disable_monitor()
        self._breaks.close(0)
        self._socket.close()
        self._context.term()

    def generate(self, *, timeout: float | None = None, **fields: Any) -> Result:
        """Runs a request to its end. `fields` are the arguments of `stream`."""
        for _ in self.stream(timeout=timeout, **fields):
            pass
        assert self.last is not None
        return self.last

    def stream(self, *, model: str, prompt: str | Sequence[int] | None = None,
               messages: Sequence[Mapping[str, str]] | None = None, request_id: str | None = None,
               timeout: float | None = None, **sampling: Any) -> Iterator[Piece]:
        """Yields pieces as they arrive. `sampling` takes the names of the HTTP fields: max_tokens,
        seed, n, stop, logprobs, ... Leaving the loop early cancels the request."""
        request = self._request(model=model, prompt=prompt, messages=messages,
                                request_id=request_id, **sampling)
        deadline = self._deadline(timeout)
        yield from self._run("generate", request, self._empty_result(request), deadline, deadline)

    def attach(self, *, resume_token: str, index: Sequence[int], timeout: float | None = None,
               **fields: Any) -> Iterator[Piece]:
        """Goes on with a request that another coordinator began. `resume_token` is that of its
        Result, `index` the number of ids of each choice that the caller has, and `fields` are the
        arguments of `stream` as they were. Yields what follows; `last` has only that."""
        request = self._request(**fields) | {"resume_token": resume_token, "index": list(index)}
        deadline = self._deadline(timeout)
        yield from self._run("attach", request, self._empty_result(request), deadline, deadline)

    def _request(self, **fields: Any) -> Message:
        fields["request_id"] = fields.get("request_id") or self._new_id()
        return {name: value for name, value in fields.items() if value is not None}

    @staticmethod
    def _empty_result(request: Message) -> Result:
        n = int(request.get("n", 1))
        return Result(request["request_id"], [""] * n, [[] for _ in range(n)], [None] * n)

    def _run(self, kind: str, request: Message, result: Result, send_by: float,
             deadline: float) -> Iterator[Piece]:
        """Sends a request, yields its pieces and adds them to `result`."""
        request_id = request["request_id"]
        self._send(kind, send_by, **request)
        try:
            while (message := self._receive(request_id, deadline))["type"] != "done":
                if message["type"] == "accepted":
                    result.seed = message["seed"]
                    result.resume_token = message.get("resume_token", "")
                    result.prompt_token_ids = message.get("prompt_token_ids", [])
                elif message["type"] == "tokens":
                    yield self._take(result, message)
        except BaseException as error:
            if isinstance(error, Timeout) or not isinstance(error, LockstepError):
                with suppress(Timeout, zmq.ZMQError):
                    self.cancel(request_id)
            raise  # another LockstepError ended the request
        result.reason, result.usage = message["reason"], message["usage"]
        self.last = result

    def cancel(self, request_id: str) -> None:
        """Cancels a request, which still gets its final message. Unknown ids are ignored."""
        self._send("cancel", time.monotonic() + 1.0, request_id=request_id)

    def status(self, timeout: float | None = None) -> Message:
        """Returns a coordinator's `cluster_status`, or a node's `heartbeat`."""
        return self._ask("status", timeout)

    def models(self, timeout: float | None = None) -> list[Message]:
        return list(self._ask("list_models", timeout)["models"])

    def tokenize(self, *, timeout: float | None = None, **fields: Any) -> list[int]:
        return list(self._ask("tokenize", timeout, **fields)["tokens"])

    def detokenize(self, *, timeout: float | None = None, **fields: Any) -> str:
        return str(self._ask("detokenize", timeout, **fields)["prompt"])

    @staticmethod
    def _take(result: Result, message: Message) -> Piece:
        piece = Piece(message["choice"], message["first_index"], message["ids"], message["text"],
                      message.get("logprobs", []), message.get("finish_reason"))
        result.texts[piece.choice] += piece.text
        result.ids[piece.choice] += piece.ids
        result.finish_reasons[piece.choice] = piece.finish_reason
        return piece

    def _ask(self, kind: str, timeout: float | None, **fields: Any) -> Message:
        request_id, deadline = self._new_id(), self._deadline(timeout)
        self._send(kind, deadline, request_id=request_id, **fields)
        return self._receive(request_id, deadline)

    def _new_id(self) -> str:
        return f"{self._prefix}-{next(self._ids)}"

    def _deadline(self, timeout: float | None) -> float:
        return time.monotonic() + (self.timeout if timeout is None else timeout)

    def _send(self, kind: str, deadline: float, **fields: Any) -> None:
        if not self._socket.poll(_ms_until(deadline), zmq.POLLOUT):
            raise Unreachable(f"cannot send {kind}")
        self._drop_breaks()  # of earlier connections
        self._has_broken = False
        self._socket.send(msgpack.packb({"v": PROTOCOL_VERSION, "type": kind, **fields}))

    def _drop_breaks(self) -> bool:
        """Whether the connection broke since the last call."""
        broke = False
        while self._breaks.poll(0):
            self._breaks.recv_multipart()
            broke = True
        return broke

    def _wait_message(self, deadline: float, what: str) -> None:
        """Messages that arrived before the connection broke come first."""
        poller = zmq.Poller()
        for socket in (self._socket, self._breaks):
            poller.register(socket, zmq.POLLIN)
        while not self._socket.poll(0):
            if self._has_broken:
                raise Disconnected(what)
            if not poller.poll(_ms_until(deadline)):
                raise Timeout(what)
            self._has_broken = self._drop_breaks()

    def _receive(self, request_id: str, deadline: float) -> Message:
        """Returns this request's next message; messages of abandoned requests are skipped."""
        while True:
            self._wait_message(deadline, f"request {request_id}")
            message: Message = msgpack.unpackb(self._socket.recv())
            if message.get("request_id", request_id) != request_id:
                continue
            if message["type"] == "error":
                raise LockstepError(message["code"], message["message"], message.get("param", ""))
            return message
