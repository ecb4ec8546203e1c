"""Clients of the soak test. Each client holds conversations of its own: it asks, goes on from the
answer, hangs up, cancels, or begins anew. What a client does is drawn from its seed; where an
answer is interrupted depends on time.
"""

import dataclasses
import http.client
import json
import random
import threading

from lockstep_client import Client, LockstepError
from processes import request

MAX_MODEL_LEN = 512
MAX_USER, MAX_ANSWER = 32, 128
N_KEPT = 8  # transcripts a client keeps for the comparison


@dataclasses.dataclass
class Transcript:
    """What one request was and what came of it."""
    body: dict
    choices: list | None  # as the answer gave them; None if they were streamed
    ids: list             # [n] the token ids of each choice, as far as they came

    def differs_from(self, solo):
        """Where the answer differs from that of the same request alone, or None."""
        if self.choices is not None and self.choices != solo:
            return f"{self.choices} alone {solo}"
        for mine, choice in zip(self.ids, solo):
            if mine != choice["token_ids"][:len(mine)]:
                return f"{mine} alone {choice['token_ids']}"
        return None


class SoakClient(threading.Thread):
    """Asks until `stopping` is set. Afterwards: n_turns {way: count}, kept, error (or None)."""

    WAYS = {"plain": 45, "streamed": 25, "hung up": 15, "cancelled": 15}  # in a hundred

    def __init__(self, server, seed, vocabulary, stopping):
        super().__init__()
        self.server, self.vocabulary, self.stopping = server, vocabulary, stopping
        self.dice = random.Random(seed)
        self.token_ids = []
        self.n_turns = dict.fromkeys(self.WAYS, 0)
        self.kept = []
        self.error = None

    def run(self):
        try:
            with Client(self.server.zmq, timeout=300) as self.wire:
                while not self.stopping.is_set():
                    self.turn()
        except BaseException as error:  # reported by the test
            self.error = error
            self.stopping.set()

    def turn(self):
        body = self.next_body()
        way = self.dice.choices(list(self.WAYS), self.WAYS.values())[0]
        done = {"plain": self.plain, "streamed": self.streamed, "hung up": self.hung_up,
                "cancelled": self.cancelled}[way](body)
        self.token_ids = body["prompt"] + done.ids[0]
        self.n_turns[way] += 1
        self.keep(done)

    def next_body(self):
        dice = self.dice
        room = MAX_MODEL_LEN - MAX_USER - MAX_ANSWER
        if not self.token_ids or len(self.token_ids) > room or dice.random() < 0.1:
            system = random.Random(dice.randrange(3))  # one of three system prompts
            self.token_ids = [system.choice(self.vocabulary) for _ in range(50)]
        user = [dice.choice(self.vocabulary) for _ in range(dice.randint(1, MAX_USER))]
        body = dict(model="m", prompt=self.token_ids + user, max_tokens=dice.randint(1, MAX_ANSWER),
                    temperature=dice.choice([0, 0.8]), seed=dice.randrange(1000),
                    ignore_eos=dice.random() < 0.8, priority=dice.randrange(3))
        for chance, fields in ((0.1, {"n": 2}), (0.1, {"cache_salt": dice.choice("ab")}),
                               (0.05, {"cache_prompt": False}),
                               (0.1, {"cache_retention": {"priority": 90, "seconds": 5}})):
            if dice.random() < chance:
                body.update(fields)
        return body

    def keep(self, transcript):
        """A sample in which every turn has the same chance to be (reservoir)."""
        if len(self.kept) < N_KEPT:
            self.kept.append(transcript)
        elif (place := self.dice.randrange(sum(self.n_turns.values()))) < N_KEPT:
            self.kept[place] = transcript

    def plain(self, body):
        choices = ask_alone(self.server, body)
        return Transcript(body, choices, [choice["token_ids"] for choice in choices])

    def streamed(self, body):
        done = Transcript(body, None, read_stream(self.server, body, None))
        assert all(done.ids), f"a stream ended without a token: {done}"
        return done

    def hung_up(self, body):
        return Transcript(body, None, read_stream(self.server, body, self.dice.randrange(6)))

    def cancelled(self, body):
        """Over ZeroMQ, with a cancel behind the request or behind some of its tokens."""
        ids = [[] for _ in range(body.get("n", 1))]
        n_pieces = self.dice.randrange(6)
        request_id = f"soak-{id(self)}-{sum(self.n_turns.values())}"
        try:
            for i, piece in enumerate(self.wire.stream(request_id=request_id, **body)):
                ids[piece.choice] += piece.ids
                if i == n_pieces:
                    self.wire.cancel(request_id)
        except LockstepError as error:
            assert error.code == "cancelled", error
        return Transcript(body, None, ids)


def ask_alone(server, body, **fields):
    """The choices of the answer to a request that is not streamed."""
    status, answer = request(server.http, "POST", "/v1/completions", dict(
        body, logprobs=1, return_token_ids=True, **fields), timeout=300)
    assert status == 200, answer
    usage = answer["usage"]
    assert 0 <= usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]
    return answer["choices"]


def read_stream(server, body, n_events):
    """[n] ids of a streamed answer; after n_events (None: all) the client disconnects."""
    ids = [[] for _ in range(body.get("n", 1))]
    connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=300)
    connection.request("POST", "/v1/completions", json.dumps(
        dict(body, stream=True, return_token_ids=True)), {"Content-Type": "application/json"})
    done = False
    if n_events != 0:
        response = connection.getresponse()
        assert response.status == 200, response.read()
        done = read_events(response, ids, n_events)
    connection.close()
    assert done or n_events is not None, "the stream ended without [DONE]"
    return ids


def read_events(response, ids, n_events):
    """Whether the stream was read to its [DONE]."""
    n_seen = 0
    for line in response:
        if not line.startswith(b"data:"):
            continue
        if line[5:].strip() == b"[DONE]":
            return True
        event = json.loads(line[5:])
        assert "error" not in event, event
        for choice in event["choices"]:
            ids[choice["index"]] += choice.get("token_ids") or []
        n_seen += 1
        if n_seen == n_events:
            return False
    return False
