"""What the load scripts share: a server as a child process, and streamed completions whose tokens have
the time they came. Works on any OpenAI-compatible server. Standard library only.
"""
import contextlib
import dataclasses
import http.client
import json
import random
import re
import socket
import subprocess
import time


def free_port():
    """One that nobody listens on, below the system's ephemeral ports: no client takes it meanwhile."""
    for port in _ports:
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("no free port")


_ports = iter(random.sample(range(27000, 32700), 5700))  # each once


@contextlib.contextmanager
def child(command, port, ready_path, seconds=120):
    """Runs the server until the block ends; the block begins when ready_path answers 200."""
    with subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + seconds
            while not is_ready(port, ready_path):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} did not get ready")
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()


def is_ready(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def page(port, path, body=None):
    """The answer's text: GET, or POST if there is a body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST" if body else "GET", path, body and json.dumps(body),
                       {"Content-Type": "application/json"})
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def metric(port, name, **labels):
    """Sum of the metric's values that have these labels, at an admin port."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    return sum(float(line.rsplit(" ", 1)[1]) for line in page(port, "/metrics").splitlines()
               if re.match(name + r"[{ ]", line) and all(label in line for label in wanted))


@contextlib.contextmanager
def lockstep(binary, model, *flags):
    """`lockstep serve`; the port of its HTTP server."""
    port, admin = free_port(), free_port()
    command = [binary, "serve", model, "--served-model-name", "m", "--http", f"127.0.0.1:{port}",
               "--zmq", "", "--admin", f"127.0.0.1:{admin}", "--verbosity", "0", *flags]
    with child(command, admin, "/readyz"):
        yield port


@dataclasses.dataclass
class Answer:
    sent: float         # time.monotonic() when the request was sent
    times: list[float]  # of each event with text or tokens
    n_cached: int       # prompt tokens read from the cache, as the server says
    text: str = ""
    ids: list[int] = dataclasses.field(default_factory=list)  # if return_token_ids was asked for
    request_id: str = ""

    @property
    def ttft(self):
        return self.times[0] - self.sent


def complete(port, body, on_token=lambda: None, over=None):
    """One streamed completion to its end, or until the event `over` is set."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.connect()
    sent = time.monotonic()
    connection.request("POST", "/v1/completions", json.dumps(
        dict(body, stream=True, stream_options={"include_usage": True})),
        {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(f"{response.status}: {response.read().decode()}")
    answer = Answer(sent, [], 0, request_id=response.getheader("X-Request-Id", ""))
    for line in response:
        if not line.startswith(b"data:") or line[5:].strip() == b"[DONE]":
            continue
        event = json.loads(line[5:])
        for choice in event.get("choices") or []:
            answer.text += choice["text"]
            answer.ids += choice.get("token_ids") or []
        # The event with the finish_reason has no tokens.
        if any(choice["finish_reason"] is None for choice in event.get("choices") or []):
            answer.times.append(time.monotonic())
            on_token()
        if over is not None and over.is_set():
            break
        details = (event.get("usage") or {}).get("prompt_tokens_details") or {}
        answer.n_cached = details.get("cached_tokens", answer.n_cached)
    connection.close()
    return answer
