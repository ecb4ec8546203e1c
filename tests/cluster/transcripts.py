"""Requests whose answers are compared: what one client sends, and everything that it got back."""

import http.client
import json

LENGTH = 300  # outputs of most cases: long enough that a node dies in between

# Greedy and sampled, one choice and three, with everything that a resume has to reproduce. The
# text-level ends (stop strings) depend on the model, so a case may end early or not at all.
CASES = [
    ("/v1/completions", {"prompt": "Once upon a time", "temperature": 0, "ignore_eos": True}),
    ("/v1/completions", {"prompt": "The sea", "temperature": 1.0, "seed": 11, "n": 3,
                         "ignore_eos": True}),
    ("/v1/completions", {"prompt": "Numbers: 1 2 3", "temperature": 0.8, "top_p": 0.9, "seed": 5,
                         "frequency_penalty": 0.6, "presence_penalty": 0.4,
                         "repetition_penalty": 1.1, "ignore_eos": True}),
    ("/v1/completions", {"prompt": "😀😀 emoji", "temperature": 1.3, "seed": 3, "logprobs": 2,
                         "ignore_eos": True}),
    ("/v1/completions", {"prompt": "Stop at", "temperature": 1.0, "seed": 8, "stop": ["ab", " e"],
                         "min_tokens": 60, "ignore_eos": True}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Tell me"}],
                              "temperature": 0.9, "top_k": 20, "seed": 21, "n": 3,
                              "logprobs": True, "top_logprobs": 2, "ignore_eos": True}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "émigré 日本"}],
                              "temperature": 0, "ignore_eos": True}),
]


class Refused(Exception):
    pass


def ask(port, path, body, stream, timeout=120):
    """{choice: transcript} of one request. Raises Refused for every answer that is not whole."""
    body = dict({"model": "m", "max_tokens": LENGTH, "return_token_ids": True}, **body,
                stream=stream)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", path, json.dumps(body).encode(),
                           {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise Refused(response.status, response.read())
        if not stream:
            return _of_whole(json.loads(response.read()))
        return _of_chunks(_events(response))
    finally:
        connection.close()


def _events(response):
    for line in response:
        if line.startswith(b"data: [DONE]"):
            return
        if line.startswith(b"data:"):
            yield json.loads(line[5:])
    raise Refused("the stream ended without [DONE]")


def _of_whole(answer):
    return {choice["index"]: {
        "text": choice["text"] if "text" in choice else choice["message"]["content"],
        "ids": choice["token_ids"], "logprobs": _logprobs(choice),
        "finish": choice["finish_reason"], "stop": choice["stop_reason"],
    } for choice in answer["choices"]}


def _of_chunks(events):
    out = {}
    for event in events:
        if "error" in event:
            raise Refused(event)
        for choice in event["choices"]:
            into = out.setdefault(choice["index"], {"text": "", "ids": [], "logprobs": [],
                                                    "finish": None, "stop": None})
            assert into["finish"] is None, "output behind the end"
            into["text"] += choice.get("text") or choice.get("delta", {}).get("content") or ""
            into["ids"] += choice.get("token_ids", [])
            into["logprobs"] += _logprobs(choice)
            into["finish"] = choice["finish_reason"]
            into["stop"] = choice.get("stop_reason")
    return out


def _logprobs(choice):
    """One entry per token; the offsets of completions' tokens are in it too."""
    found = choice.get("logprobs")
    if not found:
        return []
    if "content" in found:
        return found["content"]
    return [list(entry) for entry in zip(found["tokens"], found["token_logprobs"],
                                         found["top_logprobs"], found["text_offset"])]


def n_tokens(transcript):
    return sum(len(choice["ids"]) for choice in transcript.values())
