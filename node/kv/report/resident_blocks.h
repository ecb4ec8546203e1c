// ResidentBlocks: a snapshot of the prefix cache's blocks. The engine thread makes the flat copy,
// so that another thread can order and publish it.
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
  BlockEventState state;  // the event log's state at the moment of the copy
  int32_t block_size = 0;
  std::vector<Block> blocks;    // in no order
  std::vector<int32_t> tokens;  // [n_blocks, block_size]
  std::vector<std::string> salts;
};

// Engine thread, between turns.
ResidentBlocks copy_resident_blocks(const PrefixIndex& index, const BlockEventState& state);

// The blocks as kStored events, parents first, in pieces of at most n_blocks blocks. Any thread.
std::vector<std::vector<BlockEvent>> stored_events(const ResidentBlocks& resident, size_t n_blocks);

}  // namespace lockstep
