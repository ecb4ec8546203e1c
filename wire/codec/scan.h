// Scans MessagePack bytes and JSON text before a tree is built: one pass, no recursion, no
// allocation. The tree library recurses and trusts declared counts; after this scan both are
// bounded. Stateless; any thread.
#pragma once

#include <cstddef>
#include <string_view>

#include "common/result.h"
#include "wire/limits.h"

namespace lockstep::wire {

struct ScanLimits {
  int max_depth = kMaxDepth;
  size_t max_values = kMaxValues;  // a value costs up to about 100 bytes as a tree
};

// Returns Ok if `bytes` are exactly one complete MessagePack value within the limits: every
// declared length and count fits the remaining bytes, and nothing follows the value.
Status scan_msgpack(std::string_view bytes, const ScanLimits& limits);

// Returns Ok if the JSON text is within the limits. Values are counted as in MessagePack; whether
// the text is JSON is left to the parser.
Status scan_json(std::string_view text, const ScanLimits& limits);

// Returns the text under the key "request_id" of the map that the bytes begin with, regardless of
// the depth and length of the rest. Returns an empty text if there is no such key, if its text is
// too long for a request_id, or if the bytes end before it.
std::string_view find_request_id(std::string_view bytes);

}  // namespace lockstep::wire
