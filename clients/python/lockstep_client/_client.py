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
    prompt_token_ids: list[int] = field(default_factory=list)
    reason: str = ""
    usage: dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.texts[0]


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
        for option, value in ((zmq.LINGER, 0), (zmq.IMMEDIATE, 1), (zmq.RCVHWM, 0)):
            self._socket.setsockopt(option, value)
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
        request_id = request_id or self._new_id()
        deadline = self._deadline(timeout)
        n = int(sampling.get("n", 1))
        result = Result(request_id, [""] * n, [[] for _ in range(n)], [None] * n)
        request = {"request_id": request_id, "model": model, "prompt": prompt,
                   "messages": messages, **sampling}
        self._send("generate", deadline, **{k: v for k, v in request.items() if v is not None})
        try:
            while (message := self._receive(request_id, deadline))["type"] != "done":
                if message["type"] == "accepted":
                    result.seed = message["seed"]
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

    def _wait(self, event: int, deadline: float, what: str) -> None:
        left = max(0.0, deadline - time.monotonic())
        if not self._socket.poll(int(left * 1000), event):
            raise Timeout(what)

    def _send(self, kind: str, deadline: float, **fields: Any) -> None:
        self._wait(zmq.POLLOUT, deadline, f"cannot send {kind}")
        self._socket.send(msgpack.packb({"v": PROTOCOL_VERSION, "type": kind, **fields}))

    def _receive(self, request_id: str, deadline: float) -> Message:
        """Returns this request's next message; messages of abandoned requests are skipped."""
        while True:
            self._wait(zmq.POLLIN, deadline, f"request {request_id}")
            message: Message = msgpack.unpackb(self._socket.recv())
            if message.get("request_id", request_id) != request_id:
                continue
            if message["type"] == "error":
                raise LockstepError(message["code"], message["message"], message.get("param", ""))
            return message
