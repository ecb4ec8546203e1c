"""The reuse figure of docs/performance.md: 16 clients with 32 requests each share a system prompt of
512 tokens.
"""

from processes import SMOLLM2
from test_prefix_reuse import prefix_reuse


def test_nearly_all_that_can_be_reused_is():
    found = prefix_reuse(SMOLLM2)
    assert found["requests"] == 512 and 0.95 <= found["ratio"] <= 1.02, found
