"""A client of several coordinators whose streams go on at the next one when theirs is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from ._client import Client, Disconnected, LockstepError, Message, Piece, Result, Timeout, Unreachable

# The coordinator cannot serve the request now, another one may.
_ELSEWHERE = ("no_node_ready", "overloaded")


class ResumingClient:
    """A client of coordinators that read the same `--resume-key-file` (docs/resume.md).

    A request whose coordinator is lost, shuts down or is full goes on at the next endpoint, and
    after the last one at the first. It is sent at most `tries` times. `timeout` is the maximum time
    of a call in seconds, over all of its tries, and `connect_timeout` that of one connection.
    """

    def __init__(self, endpoints: Sequence[str], timeout: float = 60.0, tries: int = 8,
                 connect_timeout: float = 2.0) -> None:
        if isinstance(endpoints, str) or not endpoints or tries < 1:
            raise ValueError("ResumingClient needs a list of endpoints and at least one try")
        self.timeout, self.tries, self.connect_timeout = timeout, tries, connect_timeout
        self.last: Result | None = None  # result of the latest stream() that ran to its end
        self.n_resumed = 0  # streams that went on at another connection
        self._endpoints = list(endpoints)
        self._current = 0
        self._client: Client | None = None

    def __enter__(self) -> ResumingClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None

    def generate(self, *, timeout: float | None = None, **fields: Any) -> Result:
        """Runs a request to its end. `fields` are the arguments of `Client.stream`."""
        for _ in self.stream(timeout=timeout, **fields):
            pass
        assert self.last is not None
        return self.last

    def stream(self, *, timeout: float | None = None, **fields: Any) -> Iterator[Piece]:
        """Yields pieces as they arrive, each once, whatever becomes of the coordinators. `fields`
        are the arguments of `Client.stream`. Leaving the loop early cancels the request."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        request = self._connected()._request(**fields)
        result = Client._empty_result(request)
        for n_left in reversed(range(self.tries)):
            try:
                yield from self._try(request, result, deadline)
            except LockstepError as error:
                if not n_left or not self._goes_elsewhere(error) or time.monotonic() >= deadline:
                    raise
                self._leave(deadline, waits=n_left % len(self._endpoints) == 0)
            else:
                self.last = result
                return

    def _try(self, request: Message, result: Result, deadline: float) -> Iterator[Piece]:
        kind, message = "generate", request
        if result.resume_token:
            self.n_resumed += 1
            index = [len(ids) for ids in result.ids]
            kind, message = "attach", request | {"resume_token": result.resume_token, "index": index}
        ended = [reason is not None for reason in result.finish_reasons]
        send_by = min(deadline, time.monotonic() + self.connect_timeout)
        for piece in self._connected()._run(kind, message, result, send_by, deadline):
            if not ended[piece.choice]:  # else its end comes once more
                yield piece

    @staticmethod
    def _goes_elsewhere(error: LockstepError) -> bool:
        if isinstance(error, Timeout):
            return isinstance(error, Unreachable)
        return isinstance(error, Disconnected) or error.code in _ELSEWHERE

    def _connected(self) -> Client:
        if self._client is None:
            self._client = Client(self._endpoints[self._current], self.timeout)
        return self._client

    def _leave(self, deadline: float, waits: bool) -> None:
        with suppress(LockstepError):
            self.close()
        self._current = (self._current + 1) % len(self._endpoints)
        if waits:  # every coordinator was tried
            time.sleep(max(0.0, min(0.2, deadline - time.monotonic())))
