// KvEventStorm: several nodes whose events reach their mirrors through a network that drops and
// repeats batches, cuts answers short and lets the nodes' messages overtake each other, while nodes
// restart. After heal() every mirror must hold what its node holds.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/log.h"
#include "coordinator/index/node_kv_mirror.h"
#include "tests/support/fake_clock.h"
#include "tests/support/random.h"
#include "tests/unit/coordinator/index/event_node.h"

namespace lockstep::testing {

class KvEventStorm {
 public:
  KvEventStorm(uint64_t seed, size_t n_nodes, size_t max_blocks)
      : random_(seed), max_blocks_(max_blocks), index_(seed) {
    for (size_t i = 0; i < n_nodes; ++i) {
      links_.push_back(std::make_unique<Link>(index_, clock_));
      start(*links_.back());
    }
  }

  // Lets the nodes publish about `n_events` stored and removed blocks. `p_store` is how many of
  // them are stored.
  void run(size_t n_events, double p_store) {
    for (const size_t end = n_events_ + n_events; n_events_ < end;) {
      Link& link = *links_[below(links_.size())];
      turn(link, p_store);
      deliver(*links_[below(links_.size())]);
      step();
    }
  }

  // The network works again, and all that is under way arrives.
  void heal() {
    lossy_ = false;
    for (auto& link : links_) {
      if (!link->live.empty() && chance(500)) link->live.pop_back();  // the tail is lost
    }
    for (int i = 0; i < 40'000 && !is_healed(); ++i) {
      for (auto& link : links_) {
        deliver(*link);
        if (i % 100 == 0) link->mirror.on_heartbeat(link->node->seq(), link->node->digest());
      }
      step();
    }
    while (index_.needs_sweep()) index_.sweep(1);
    lossy_ = true;
  }

  // The first difference between a mirror and its node, or what is wrong with the index's memory at
  // any time so far; empty: nothing.
  std::string difference() {
    if (!was_always_small_) return "more than 32 bytes an entry";
    if (index_.n_entries() > n_resident()) return "more entries than blocks";
    for (size_t i = 0; i < links_.size(); ++i) {
      const Link& link = *links_[i];
      if (link.mirror.state() != KvMirrorState::kFollowing)
        return str("node ", i, " is not followed");
      if (link.mirror.n_blocks() != link.node->n_blocks()) {
        return str("node ", i, ": ", link.mirror.n_blocks(), " blocks, not ",
                   link.node->n_blocks());
      }
      for (uint64_t hash : link.node->hashes()) {
        if (!index_.contains(*link.mirror.slot(), hash)) return str("node ", i, " lacks ", hash);
      }
    }
    return wrong_match();
  }

  size_t n_resident() const {
    size_t n = 0;
    for (const auto& link : links_) n += link->node->n_blocks();
    return n;
  }
  uint64_t n_resyncs(KvResyncCause cause) const {
    uint64_t n = 0;
    for (const auto& link : links_) n += link->mirror.n_resyncs(cause);
    return n;
  }
  const KvBlockIndex& index() const { return index_; }
  size_t n_events() const { return n_events_; }

 private:
  struct Link {
    Link(KvBlockIndex& index, const Clock& clock) : mirror(index, clock) {}
    std::unique_ptr<EventNode> node;
    NodeKvMirror mirror;
    std::deque<EventNode::Message> live;
    std::deque<std::pair<uint64_t, EventNode::Message>> answers;  // with the request's id
  };

  size_t below(size_t n) { return random_.engine()() % n; }
  bool chance(uint64_t per_thousand) { return random_.engine()() % 1000 < per_thousand; }

  void start(Link& link) {
    link.node = std::make_unique<EventNode>(++n_lives_, max_blocks_, /*n_kept=*/8);
    link.mirror.start(link.node->epoch(), max_blocks_);
  }

  // One engine turn of a node.
  void turn(Link& link, double p_store) {
    if (lossy_ && chance(1) && chance(300)) {
      start(link);
      link.answers.clear();
      if (chance(500)) link.live.clear();
    }
    EventNode& node = *link.node;
    for (size_t n = 1 + below(12); n > 0; --n) {
      if (random_.chance(p_store)) {
        store(node);
      } else if (node.n_blocks() > 0) {
        node.evict(random_.engine()());
        ++n_events_;
      }
    }
    if (const auto message = node.end_turn()) send(link, *message);
  }
  // A prompt: after the prefix of another one or from the first block on, so that the nodes hold
  // blocks of their own and the same blocks.
  void store(EventNode& node) {
    std::optional<uint64_t> parent;
    if (chance(500)) parent = node.any_childless(random_.engine()());
    for (size_t n = 1 + below(parent ? 6 : 12); n > 0; --n) {
      if (node.n_blocks() == node.max_blocks()) {
        node.evict(random_.engine()());
        ++n_events_;
        if (parent && !node.contains(*parent)) return;
      }
      const uint64_t hash = child_hash(parent, static_cast<int64_t>(below(3)));
      if (node.store(parent, hash)) ++n_events_;
      parent = hash;
    }
  }
  void send(Link& link, const EventNode::Message& message) {
    if (lossy_ && chance(10)) return;
    link.live.push_back(message);
    if (lossy_ && chance(10)) link.live.push_back(message);
  }

  // Some of what is under way to a mirror, and what the mirror requests.
  void deliver(Link& link) {
    for (size_t n = below(4); n > 0 && !link.live.empty(); --n) {
      link.mirror.on_live(link.live.front().seq, link.live.front().bytes);
      link.live.pop_front();
    }
    for (size_t n = below(8); n > 0 && !link.answers.empty(); --n) {
      link.mirror.on_answer(link.answers.front().first, link.answers.front().second.view());
      link.answers.pop_front();
    }
    if (chance(50)) link.mirror.on_heartbeat(link.node->seq(), link.node->digest());
    if (const auto request = link.mirror.poll()) {
      for (auto& message : link.node->answer(*request)) {
        if (lossy_ && chance(2)) break;  // the rest does not fit into the peer's queue
        link.answers.emplace_back(request->id, std::move(message));
      }
    }
  }
  void step() {
    clock_.advance(std::chrono::milliseconds(1));
    index_.sweep(1);
    if (++n_steps_ % 64 != 0) return;
    if (index_.n_bytes() > 32 * index_.n_entries() + kFixedBytes) was_always_small_ = false;
  }
  bool is_healed() const {
    for (const auto& link : links_) {
      if (link->mirror.state() != KvMirrorState::kFollowing || !link->live.empty() ||
          link->mirror.n_batches_behind() > 0) {
        return false;
      }
    }
    return true;
  }

  // match() along the prefixes of some blocks of every node, compared with the nodes.
  std::string wrong_match() {
    for (const auto& from : links_) {
      for (int i = 0; i < 50 && from->node->n_blocks() > 0; ++i) {
        const auto chain = from->node->chain_to(*from->node->any_childless(random_.engine()()));
        const KvBlockIndex::Matches matches = index_.match(chain);
        for (const auto& link : links_) {
          uint32_t n = 0;
          while (n < chain.size() && link->node->contains(chain[n])) ++n;
          const uint32_t found = matches[static_cast<size_t>(*link->mirror.slot())];
          if (found != n) return str("match of ", found, " blocks, not ", n);
        }
      }
    }
    return "";
  }

  static constexpr size_t kFixedBytes = 48 << 10;  // of the tables, however few blocks they hold

  SeededRandom random_;
  const size_t max_blocks_;
  FakeClock clock_;
  KvBlockIndex index_;
  std::vector<std::unique_ptr<Link>> links_;
  bool lossy_ = true;
  bool was_always_small_ = true;
  uint64_t n_lives_ = 100;
  size_t n_events_ = 0, n_steps_ = 0;
};

}  // namespace lockstep::testing
