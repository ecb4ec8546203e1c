"""A TCP proxy between a coordinator and a node that understands ZMTP 3 frames: it drops messages of
a node, delays both directions and cuts connections, when it is told to."""

import contextlib
import random
import select
import socket
import struct
import threading
import time

GREETING = 64  # bytes; ZMTP 3 frames follow (https://rfc.zeromq.org/spec/23/)
LONG, COMMAND = 2, 4  # flags of a frame


class LossyProxy:
    """Listens on `port`, forwards to `target`. Thread-safe; close() ends its threads."""

    def __init__(self, port, target, seed):
        self.target, self.random = target, random.Random(seed)
        self.drops = self.cuts = 0
        self._drop_next = self._cut = self._closed = False
        self._delay_until = 0.0
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(0.1)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def drop_one_batch(self):
        """The next message of tokens from the node does not arrive."""
        self._drop_next = True

    def cut(self):
        """Breaks the connection that is open now."""
        self._cut = True

    def delay(self, seconds):
        """Forwards nothing for this long."""
        self._delay_until = time.monotonic() + seconds

    def close(self):
        self._closed = True
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self):
        while not self._closed:
            try:
                client = self._listener.accept()[0]
            except socket.timeout:
                continue
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client):
        with contextlib.suppress(OSError), client:
            with socket.create_connection(("127.0.0.1", self.target)) as node:
                self._cut = False
                self._forward(client, node)

    def _forward(self, client, node):
        from_node = _Frames()
        while not self._closed:
            if self._cut:
                self._cut, self.cuts = False, self.cuts + 1
                return
            for source in select.select([client, node], [], [], 0.02)[0]:
                data = source.recv(65536)
                if not data:
                    return
                while time.monotonic() < self._delay_until and not (self._cut or self._closed):
                    time.sleep(0.01)
                if source is client:
                    node.sendall(data)
                    continue
                for frame in from_node.take(data):
                    if self._drop_next and b"tokens_batch" in frame[:64]:
                        self._drop_next, self.drops = False, self.drops + 1
                    else:
                        client.sendall(frame)


class _Frames:
    """Cuts the bytes of one direction into whole frames. The greeting goes through as it comes,
    because each side waits for parts of the other's."""

    def __init__(self):
        self._bytes, self._greeting_left = b"", GREETING

    def take(self, data):
        if self._greeting_left:
            greeting, data = data[:self._greeting_left], data[self._greeting_left:]
            self._greeting_left -= len(greeting)
            yield greeting
        self._bytes += data
        while (size := self._size()) is not None and size <= len(self._bytes):
            frame, self._bytes = self._bytes[:size], self._bytes[size:]
            yield frame

    def _size(self):
        if len(self._bytes) < 2:
            return None
        if not self._bytes[0] & LONG:
            return 2 + self._bytes[1]
        return 9 + struct.unpack(">Q", self._bytes[1:9])[0] if len(self._bytes) >= 9 else None
