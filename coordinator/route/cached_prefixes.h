// CachedPrefixes: the interface to what is known of the nodes' prefix caches. KvLinks implements
// it; tests have implementations of their own. I/O thread only.
#pragma once

#include <cstdint>
#include <span>

#include "common/ids.h"

namespace lockstep {

class CachedPrefixes {
 public:
  virtual ~CachedPrefixes() = default;
  // Raises n_blocks[node] ([n_nodes], by NodeId) to the number of blocks of `chain` that the node
  // has cached, from the first on without a gap. Numbers may be too small by less than 8.
  virtual void match(std::span<const uint64_t> chain, std::span<uint32_t> n_blocks) const = 0;
  // False: what the node has cached is not known, so match() leaves its number as it is.
  virtual bool knows(NodeId node) const = 0;
};

}  // namespace lockstep
