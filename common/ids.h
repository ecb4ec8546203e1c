// Strong ids: passing a SeqSlot as a BlockId does not compile.
#pragma once

#include <cstdint>
#include <type_traits>

namespace lockstep {

enum class BlockId : int32_t {};      // a KV block; the same id on every rank of a node
enum class HostBlockId : int32_t {};  // a block in host memory; the same id on every rank
enum class RequestId : uint64_t {};   // one request inside an engine; ids on the wire are strings
enum class SeqSlot : int32_t {};      // a row of per-sequence device state, 0 .. max_num_seqs-1
enum class NodeId : uint32_t {};      // a node's index within one coordinator

// The integer inside an id, for indexing and printing.
template <class Id>
constexpr auto raw(Id id) {
  return static_cast<std::underlying_type_t<Id>>(id);
}

}  // namespace lockstep
