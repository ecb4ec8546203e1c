#include "node/kv/report/resident_blocks.h"

#include <map>
#include <string_view>
#include <utility>

namespace lockstep {
namespace {

// The children of each block, as linked lists. The last list is of the blocks without a parent.
struct Family {
  explicit Family(const std::vector<ResidentBlocks::Block>& blocks)
      : first_child(blocks.size() + 1, -1), next_sibling(blocks.size(), -1) {
    for (size_t i = 0; i < blocks.size(); ++i) {
      int32_t& first = first_child[place(blocks[i].parent)];
      next_sibling[i] = std::exchange(first, static_cast<int32_t>(i));
    }
  }
  size_t place(int32_t parent) const {
    return parent < 0 ? first_child.size() - 1 : static_cast<size_t>(parent);
  }

  std::vector<int32_t> first_child, next_sibling;
};

// The blocks in depth-first order: a parent before its children, its first child right after it, so
// that stored events can be joined.
std::vector<int32_t> depth_first(const std::vector<ResidentBlocks::Block>& blocks) {
  const Family family(blocks);
  std::vector<int32_t> order, open{family.first_child.back()};
  order.reserve(blocks.size());
  while (!open.empty()) {
    const int32_t block = open.back();
    open.pop_back();
    if (block < 0) continue;
    order.push_back(block);
    open.push_back(family.next_sibling[static_cast<size_t>(block)]);
    open.push_back(family.first_child[static_cast<size_t>(block)]);
  }
  return order;
}

StoredBlock view(const ResidentBlocks& resident, int32_t i) {
  const ResidentBlocks::Block& block = resident.blocks[static_cast<size_t>(i)];
  const auto size = static_cast<size_t>(resident.block_size);
  StoredBlock out;
  out.hash = block.hash;
  if (block.parent >= 0) out.parent = resident.blocks[static_cast<size_t>(block.parent)].hash;
  out.tokens = std::span(resident.tokens).subspan(static_cast<size_t>(i) * size, size);
  if (block.salt >= 0) out.salt = resident.salts[static_cast<size_t>(block.salt)];
  return out;
}

}  // namespace

ResidentBlocks copy_resident_blocks(const PrefixIndex& index, const BlockEventState& state) {
  ResidentBlocks out;
  out.state = state;
  out.block_size = index.block_size();
  const auto n_entries = static_cast<size_t>(index.n_entries());
  out.blocks.reserve(n_entries);
  out.tokens.reserve(n_entries * static_cast<size_t>(out.block_size));
  std::vector<int32_t> place(static_cast<size_t>(index.n_blocks()), -1);  // an entry's, in `blocks`
  std::map<std::string_view, int32_t> salts;
  for (int32_t i = 0; i < index.n_blocks(); ++i) {
    const BlockId entry{i};
    if (!index.contains(entry)) continue;
    place[static_cast<size_t>(i)] = static_cast<int32_t>(out.blocks.size());
    ResidentBlocks::Block block;
    block.hash = index.hash(entry);
    block.parent = raw(index.parent(entry));
    if (const std::string& salt = index.key(entry).salt; !salt.empty()) {
      const auto [known, is_new] = salts.try_emplace(salt, static_cast<int32_t>(salts.size()));
      if (is_new) out.salts.push_back(salt);
      block.salt = known->second;
    }
    out.blocks.push_back(block);
    const std::span<const int32_t> tokens = index.tokens(entry);
    out.tokens.insert(out.tokens.end(), tokens.begin(), tokens.end());
  }
  for (ResidentBlocks::Block& block : out.blocks) {
    if (block.parent >= 0) block.parent = place[static_cast<size_t>(block.parent)];
  }
  return out;
}

std::vector<std::vector<BlockEvent>> stored_events(const ResidentBlocks& resident,
                                                   size_t n_blocks) {
  std::vector<std::vector<BlockEvent>> pieces;
  size_t n_in_piece = n_blocks;
  for (int32_t i : depth_first(resident.blocks)) {
    if (n_in_piece == n_blocks) {
      pieces.emplace_back();
      n_in_piece = 0;
    }
    append_stored(pieces.back(), view(resident, i));
    ++n_in_piece;
  }
  return pieces;
}

}  // namespace lockstep
