// A look over raw bytes before any tree is built of them: one pass, no recursion, no allocation.
// The tree library recurses and trusts counts; after this scan both are bounded. Stateless; any
// thread.
#pragma once

#include <cstddef>
#include <string_view>

#include "common/result.h"
#include "wire/codec/codec.h"

namespace lockstep::wire {

struct ScanLimits {
  int max_depth = kMaxDepth;
  size_t max_values = kMaxValues;  // a value costs up to about 100 bytes as a tree
};

// Exactly one complete MessagePack value: every declared length and count fits the bytes that are
// there, nothing is nested deeper and nothing follows it.
Status scan_msgpack(std::string_view bytes, const ScanLimits& limits);

// The text under the key "request_id" of the map that the bytes begin with, however deep or long
// the rest is; empty if there is none, if it is too long for one, or if the bytes break off before.
std::string_view find_request_id(std::string_view bytes);

}  // namespace lockstep::wire
