#include "node/kv/index/block_events.h"

namespace lockstep {

void append_stored(std::vector<BlockEvent>& events, const StoredBlock& block) {
  const bool continues = !events.empty() && events.back().kind == BlockEvent::Kind::kStored &&
                         events.back().salt == block.salt &&
                         block.parent == events.back().hashes.back();
  if (!continues) {
    BlockEvent event;
    event.parent = block.parent;
    event.salt = block.salt;
    events.push_back(std::move(event));
  }
  BlockEvent& event = events.back();
  event.hashes.push_back(block.hash);
  event.tokens.insert(event.tokens.end(), block.tokens.begin(), block.tokens.end());
}

void append_removed(std::vector<BlockEvent>& events, uint64_t hash) {
  if (events.empty() || events.back().kind != BlockEvent::Kind::kRemoved) {
    BlockEvent event;
    event.kind = BlockEvent::Kind::kRemoved;
    events.push_back(std::move(event));
  }
  events.back().hashes.push_back(hash);
}

}  // namespace lockstep
