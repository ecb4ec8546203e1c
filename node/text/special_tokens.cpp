#include "node/text/special_tokens.h"

#include <algorithm>

namespace lockstep {
namespace {

using Fragment = SpecialTokens::Fragment;

void add_plain(std::string_view text, std::vector<Fragment>& out) {
  if (text.empty()) return;
  const bool joins = !out.empty() && out.back().id < 0 &&
                     out.back().text.data() + out.back().text.size() == text.data();
  if (joins) {
    out.back().text = {out.back().text.data(), out.back().text.size() + text.size()};
  } else {
    out.push_back({text, -1});
  }
}

// Settles a stretch in which tokens overlap: candidates[rank] takes every place it can get, the
// later ones share what is left.
void settle(std::string_view text, const std::vector<Fragment>& candidates, size_t rank,
            std::vector<Fragment>& out) {
  if (rank == candidates.size()) return add_plain(text, out);
  const Fragment& candidate = candidates[rank];
  size_t begin = 0;
  for (;;) {
    const size_t at = text.find(candidate.text, begin);
    settle(text.substr(begin, at == text.npos ? text.npos : at - begin), candidates, rank + 1, out);
    if (at == text.npos) return;
    out.push_back({text.substr(at, candidate.text.size()), candidate.id});
    begin = at + candidate.text.size();
  }
}

// Longest first, then lower id; each token once, however often it occurs.
void insert_ranked(const Fragment& candidate, std::vector<Fragment>& candidates) {
  const auto ahead = [](const Fragment& a, const Fragment& b) {
    return a.text.size() != b.text.size() ? a.text.size() > b.text.size() : a.id < b.id;
  };
  const auto at = std::lower_bound(candidates.begin(), candidates.end(), candidate, ahead);
  if (at == candidates.end() || at->id != candidate.id) candidates.insert(at, candidate);
}

}  // namespace

SpecialTokens::SpecialTokens() : nodes_(1) {}

uint32_t SpecialTokens::child(uint32_t node, uint8_t byte) const {
  for (const auto& [label, next] : nodes_[node].children) {
    if (label == byte) return next;
  }
  return 0;
}

void SpecialTokens::add(std::string_view text, int32_t id, bool always) {
  uint32_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    uint32_t next = i == 0 ? roots_[byte] : child(node, byte);
    if (next == 0) {
      next = static_cast<uint32_t>(nodes_.size());
      nodes_.emplace_back();
      if (i == 0) {
        roots_[byte] = next;
      } else {
        nodes_[node].children.emplace_back(byte, next);
      }
    }
    node = next;
  }
  if (node == 0 || nodes_[node].id >= 0) return;  // empty, or the lower id has it
  nodes_[node].id = id;
  nodes_[node].always = always;
}

size_t SpecialTokens::find_at(std::string_view text, size_t at, bool parse_special,
                              std::vector<Fragment>& candidates) const {
  size_t longest_end = at;
  uint32_t node = roots_[static_cast<uint8_t>(text[at])];
  for (size_t end = at + 1; node != 0; ++end) {
    const Node& here = nodes_[node];
    if (here.id >= 0 && (parse_special || here.always)) {
      insert_ranked({text.substr(at, end - at), here.id}, candidates);
      longest_end = end;
    }
    if (end == text.size()) break;
    node = child(node, static_cast<uint8_t>(text[end]));
  }
  return longest_end;
}

size_t SpecialTokens::find_stretch(std::string_view text, size_t at, bool parse_special,
                                   std::vector<Fragment>& candidates) const {
  size_t end = at;
  do {
    end = std::max(end, find_at(text, at, parse_special, candidates));
  } while (++at < end);
  return end;
}

void SpecialTokens::split(std::string_view text, bool parse_special,
                          std::vector<Fragment>& out) const {
  std::vector<Fragment> candidates;
  size_t plain_begin = 0;
  for (size_t at = 0; at < text.size();) {
    candidates.clear();
    const size_t end = find_stretch(text, at, parse_special, candidates);
    if (candidates.empty()) {
      ++at;
      continue;
    }
    add_plain(text.substr(plain_begin, at - plain_begin), out);
    settle(text.substr(at, end - at), candidates, 0, out);
    plain_begin = at = end;
  }
  add_plain(text.substr(plain_begin), out);
}

}  // namespace lockstep
