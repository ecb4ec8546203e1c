// ResidentBlocks: what the prefix cache holds at one moment, copied flat on the engine thread so
// that it can be put in order and sent by another. Parents are found by their place in the copy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "node/kv/index/prefix_index.h"
#include "node/kv/report/block_event_log.h"

namespace lockstep {

struct ResidentBlocks {
  struct Block {
    uint64_t hash = 0;
    int32_t parent = -1;  // its index in `blocks`, or -1
    int32_t salt = -1;    // its index in `salts`, or -1
  };
  BlockEventState state;  // what these blocks are the sum of
  int32_t block_size = 0;
  std::vector<Block> blocks;    // in no order
  std::vector<int32_t> tokens;  // [n_blocks, block_size]
  std::vector<std::string> salts;
};

// Engine thread, between turns.
ResidentBlocks copy_resident_blocks(const PrefixIndex& index, const BlockEventState& state);

// As stored events, parents first, in pieces of at most n_blocks blocks. Any thread.
std::vector<std::vector<BlockEvent>> stored_events(const ResidentBlocks& resident, size_t n_blocks);

}  // namespace lockstep
