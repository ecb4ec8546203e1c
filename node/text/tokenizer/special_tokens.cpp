#include "node/text/tokenizer/special_tokens.h"

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

}  // namespace

SpecialTokens::SpecialTokens() : nodes_(1) {}

bool SpecialTokens::Rule::allows(const Candidate& candidate, std::string_view place) const {
  if (candidate.always) return true;
  if (!parse_special) return false;
  if (marks == nullptr) return true;
  const auto at = static_cast<size_t>(place.data() - begin);
  return !marks->has_input(at, at + place.size());
}

void SpecialTokens::settle(std::string_view text, const Rule& rule,
                           const std::vector<Candidate>& candidates, size_t rank,
                           std::vector<Fragment>& out) {
  if (rank == candidates.size()) return add_plain(text, out);
  const Candidate& candidate = candidates[rank];
  const size_t n = candidate.text.size();
  size_t begin = 0;
  for (;;) {
    size_t at = text.find(candidate.text, begin);
    while (at != text.npos && !rule.allows(candidate, text.substr(at, n))) {
      at = text.find(candidate.text, at + 1);
    }
    settle(text.substr(begin, at == text.npos ? text.npos : at - begin), rule, candidates, rank + 1,
           out);
    if (at == text.npos) return;
    out.push_back({text.substr(at, n), candidate.id});
    begin = at + n;
  }
}

// Keeps the candidates ordered: longest first, then lower id. Each token is in the list once,
// however often it occurs.
void SpecialTokens::insert_ranked(const Candidate& candidate, std::vector<Candidate>& candidates) {
  const auto ahead = [](const Candidate& a, const Candidate& b) {
    return a.text.size() != b.text.size() ? a.text.size() > b.text.size() : a.id < b.id;
  };
  const auto at = std::lower_bound(candidates.begin(), candidates.end(), candidate, ahead);
  if (at == candidates.end() || at->id != candidate.id) candidates.insert(at, candidate);
}

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
  if (node == 0 || nodes_[node].id >= 0) return;  // empty text, or a lower id has it
  nodes_[node].id = id;
  nodes_[node].always = always;
}

size_t SpecialTokens::find_at(std::string_view text, size_t at, const Rule& rule,
                              std::vector<Candidate>& candidates) const {
  size_t longest_end = at;
  uint32_t node = roots_[static_cast<uint8_t>(text[at])];
  for (size_t end = at + 1; node != 0; ++end) {
    const Node& here = nodes_[node];
    const Candidate candidate{text.substr(at, end - at), here.id, here.always};
    if (here.id >= 0 && rule.allows(candidate, candidate.text)) {
      insert_ranked(candidate, candidates);
      longest_end = end;
    }
    if (end == text.size()) break;
    node = child(node, static_cast<uint8_t>(text[end]));
  }
  return longest_end;
}

size_t SpecialTokens::find_stretch(std::string_view text, size_t at, const Rule& rule,
                                   std::vector<Candidate>& candidates) const {
  size_t end = at;
  do {
    end = std::max(end, find_at(text, at, rule, candidates));
  } while (++at < end);
  return end;
}

void SpecialTokens::split(std::string_view text, const Rule& rule,
                          std::vector<Fragment>& out) const {
  std::vector<Candidate> candidates;
  size_t plain_begin = 0;
  for (size_t at = 0; at < text.size();) {
    candidates.clear();
    const size_t end = find_stretch(text, at, rule, candidates);
    if (candidates.empty()) {
      ++at;
      continue;
    }
    add_plain(text.substr(plain_begin, at - plain_begin), out);
    settle(text.substr(at, end - at), rule, candidates, 0, out);
    plain_begin = at = end;
  }
  add_plain(text.substr(plain_begin), out);
}

void SpecialTokens::split(std::string_view text, bool parse_special,
                          std::vector<Fragment>& out) const {
  split(text, Rule{text.data(), parse_special, nullptr}, out);
}

void SpecialTokens::split(const MarkedText& text, std::vector<Fragment>& out) const {
  split(text.bytes(), Rule{text.bytes().data(), true, &text}, out);
}

}  // namespace lockstep
