// PairingHeaps: several priority queues over the ids 0 … n_ids - 1, each id in at most one of them.
// All links are in one array, so nothing is allocated after construction. push() is O(1), remove()
// is O(log n) amortised (Fredman, Sedgewick, Sleator, Tarjan, "The pairing heap", 1986).
// Engine thread only.
//
//   top ── child ─ next ─ next        `prev` of a first child is its parent,
//            └ child ─ next           `prev` of any other child is the sibling before it
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lockstep {

class PairingHeaps {
 public:
  // The smallest key is at the top of its heap.
  struct Key {
    double worth = 0;
    uint64_t stamp = 0;  // decides between equals
    friend bool operator<(const Key& a, const Key& b) {
      return a.worth != b.worth ? a.worth < b.worth : a.stamp < b.stamp;
    }
  };

  PairingHeaps(int32_t n_ids, int32_t n_heaps);

  void push(int32_t heap, int32_t id, Key key);
  void remove(int32_t heap, int32_t id);
  bool contains(int32_t id) const { return node(id).is_in; }
  int32_t top(int32_t heap) const { return tops_[static_cast<size_t>(heap)]; }  // or -1
  const Key& key(int32_t id) const { return node(id).key; }

 private:
  struct Node {
    Key key;
    int32_t child = -1, next = -1, prev = -1;
    bool is_in = false;
  };

  Node& node(int32_t id) { return nodes_[static_cast<size_t>(id)]; }
  const Node& node(int32_t id) const { return nodes_[static_cast<size_t>(id)]; }
  int32_t meld(int32_t a, int32_t b);
  int32_t meld_siblings(int32_t first);

  std::vector<Node> nodes_;    // [n_ids]
  std::vector<int32_t> tops_;  // [n_heaps]
};

}  // namespace lockstep
