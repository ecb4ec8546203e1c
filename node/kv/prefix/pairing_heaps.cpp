#include "node/kv/prefix/pairing_heaps.h"

#include <utility>

#include "common/check.h"

namespace lockstep {

PairingHeaps::PairingHeaps(int32_t n_ids, int32_t n_heaps)
    : nodes_(static_cast<size_t>(n_ids)), tops_(static_cast<size_t>(n_heaps), -1) {}

// Melds two tops without siblings, either of which may be -1. Returns the new top.
int32_t PairingHeaps::meld(int32_t a, int32_t b) {
  if (a < 0) return b;
  if (b < 0) return a;
  if (node(b).key < node(a).key) std::swap(a, b);
  Node& parent = node(a);
  node(b).prev = a;
  node(b).next = parent.child;
  if (parent.child >= 0) node(parent.child).prev = b;
  parent.child = b;
  return a;
}

// Melds siblings in pairs from the left, then the pairs from the right. The two passes give removal
// its O(log n) amortised cost. Returns the new top.
int32_t PairingHeaps::meld_siblings(int32_t first) {
  int32_t pairs = -1;  // linked by next, the last one first
  while (first >= 0) {
    const int32_t second = node(first).next;
    const int32_t rest = second < 0 ? -1 : node(second).next;
    for (int32_t id : {first, second}) {
      if (id >= 0) node(id).next = node(id).prev = -1;
    }
    const int32_t pair = meld(first, second);
    node(pair).next = std::exchange(pairs, pair);
    first = rest;
  }
  int32_t top = -1;
  while (pairs >= 0) {
    const int32_t pair = std::exchange(pairs, node(pairs).next);
    node(pair).next = -1;
    top = meld(top, pair);
  }
  return top;
}

void PairingHeaps::push(int32_t heap, int32_t id, Key key) {
  CHECK(!contains(id));
  node(id) = {.key = key, .is_in = true};
  int32_t& top = tops_[static_cast<size_t>(heap)];
  top = meld(top, id);
}

void PairingHeaps::remove(int32_t heap, int32_t id) {
  CHECK(contains(id));
  Node& removed = node(id);
  int32_t& top = tops_[static_cast<size_t>(heap)];
  if (top == id) {
    top = meld_siblings(removed.child);
  } else {
    Node& before = node(removed.prev);
    (before.child == id ? before.child : before.next) = removed.next;
    if (removed.next >= 0) node(removed.next).prev = removed.prev;
    top = meld(top, meld_siblings(removed.child));
  }
  removed = Node();
}

}  // namespace lockstep
