"""The loads of bench/routing.py: clients that send requests, think, and send the next one. Prompts are
English sentences of this repository's documents. Standard library only.
"""
import concurrent.futures
import dataclasses
import json
import pathlib
import random
import re
import time

import http_load

ROOT = pathlib.Path(__file__).resolve().parents[1]


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a prompt, as text and as token ids."""
    text: str = ""
    ids: tuple[int, ...] = ()

    def __add__(self, other):
        return Piece(self.text + other.text, self.ids + other.ids)


@dataclasses.dataclass(frozen=True)
class Step:
    """A client's next request, `think` seconds after its last answer."""
    think: float
    piece: Piece
    continues: bool = False  # the prompt begins with the last prompt and its answer


class Writer:
    """Makes pieces of a given number of tokens, each with other sentences."""

    def __init__(self, port, seed):
        text = " ".join(page.read_text() for page in sorted((ROOT / "docs").glob("*.md")))
        self.sentences = re.findall(r"\b[A-Z][a-z]+ [A-Za-z ,'()-]{30,200}[.]", text)
        self.port, self.dice, self.n_pieces = port, random.Random(seed), 0

    def piece(self, n_tokens):
        self.n_pieces += 1  # a number, so that no two pieces begin alike
        text = f"\n{self.dice.randrange(10**6)}-{self.n_pieces}. " + " ".join(
            self.dice.choices(self.sentences, k=n_tokens // 8 + 1))
        ids = self.ask("/tokenize", model="m", prompt=text)["tokens"][:n_tokens]
        assert len(ids) == n_tokens, "sentences too short"
        return Piece(self.ask("/detokenize", model="m", tokens=ids)["prompt"], tuple(ids))

    def ask(self, path, **body):
        return json.loads(http_load.page(self.port, path, body))


def thinking(seed, seconds):
    """Exponential times; a client's own, so that they are the same whoever answers."""
    dice = random.Random(seed)
    return lambda: dice.expovariate(1 / seconds) if seconds else 0


def conversations(a, write):
    """Each client is a conversation; a turn has the whole of it before."""
    def one(i):
        think = thinking(i, a.think)
        first = Step(think(), write.piece(a.prefix_tokens))
        return [first] + [Step(think(), write.piece(a.turn_tokens), True) for _ in range(a.turns - 1)]
    return [one(i) for i in range(a.conversations)]


def shared_prefixes(a, write):
    """Requests of groups in random order; those of one group begin alike."""
    groups = [write.piece(a.prefix_tokens) for _ in range(a.groups)]
    prompts = [group + write.piece(a.tail_tokens) for group in groups for _ in range(a.group_requests)]
    return dealt(write, prompts, a.clients, a.think / 2)


def half_shared(a, write):
    """Half of the requests begin alike, the others share nothing. Nobody thinks: the nodes are never
    idle, so that their shares of the load matter."""
    shared = write.piece(a.prefix_tokens)
    n = a.half_requests // 2
    return dealt(write, [shared + write.piece(a.tail_tokens) for _ in range(n)] +
                 [write.piece(a.unique_tokens) for _ in range(n)], a.busy_clients, 0)


def dealt(write, prompts, n_clients, think):
    write.dice.shuffle(prompts)
    thinks = [thinking(i, think) for i in range(n_clients)]
    return [[Step(thinks[i](), prompt) for prompt in prompts[i::n_clients]] for i in range(n_clients)]


LOADS = {"conversations": conversations, "shared prefixes": shared_prefixes,
         "half shared": half_shared}


def run(port, clients, form, max_tokens):
    """([Answer], seconds) of all requests; `form` of the prompts: "ids" or "text"."""
    def one(steps):
        prompt, answers = Piece(), []
        for step in steps:
            time.sleep(step.think)
            prompt = prompt + step.piece if step.continues else step.piece
            sent = list(prompt.ids) if form == "ids" else prompt.text
            answer = http_load.complete(port, dict(
                model="m", prompt=sent, max_tokens=max_tokens, temperature=0, ignore_eos=True,
                return_token_ids=True))
            answers.append(answer)
            prompt = prompt + Piece(answer.text, tuple(answer.ids))
        return answers
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        answers = [answer for mine in pool.map(one, clients) for answer in mine]
    return answers, time.monotonic() - began
