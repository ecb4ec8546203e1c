"""Client of a Lockstep inference cluster over ZeroMQ.

    with Client("tcp://127.0.0.1:5555") as client:
        for piece in client.stream(model="SmolLM2", prompt="The capital of France is"):
            print(piece.text, end="")
"""

from ._client import Client, Disconnected, LockstepError, Piece, Result, Timeout, Unreachable
from ._resuming import ResumingClient

__all__ = ["Client", "Disconnected", "LockstepError", "Piece", "Result", "ResumingClient",
           "Timeout", "Unreachable"]
__version__ = "0.1.0"
