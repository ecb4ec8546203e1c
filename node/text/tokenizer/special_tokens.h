// SpecialTokens: finds the tokens that are written as text (<|im_start|>, …) and that merges never
// make. Where two overlap the longer one wins wherever it stands, then the lower id; equal ones go
// from left to right (the order of llama.cpp). Immutable after the last add(); any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "node/text/marked_text.h"

namespace lockstep {

class SpecialTokens {
 public:
  // A stretch of the text: a special token, or plain text between two.
  struct Fragment {
    std::string_view text;
    int32_t id = -1;  // -1 = plain text
  };

  SpecialTokens();
  // `always`: also found where special tokens are not asked for (user-defined ones).
  void add(std::string_view text, int32_t id, bool always);

  // Appends the fragments, in order and without gaps; plain ones are as long as can be.
  void split(std::string_view text, bool parse_special, std::vector<Fragment>& out) const;
  // The same of a rendered chat: only what has no byte of input in it can be a special token, those
  // that are always found aside.
  void split(const MarkedText& text, std::vector<Fragment>& out) const;

 private:
  struct Candidate {
    std::string_view text;
    int32_t id;
    bool always;
  };
  // Where special tokens may be found: nowhere, or everywhere but in `input`.
  struct Rule {
    const char* begin;  // of the text
    bool parse_special;
    const MarkedText* marks;  // null = nothing is input

    bool allows(const Candidate& candidate, std::string_view place) const;
  };
  // A trie over bytes; the root's children are looked up directly, as most text stops there.
  struct Node {
    std::vector<std::pair<uint8_t, uint32_t>> children;  // byte, node
    int32_t id = -1;                                     // the token that ends here
    bool always = false;
  };

  uint32_t child(uint32_t node, uint8_t byte) const;
  // Notes every token that begins at `text[at]`, ranked; returns the end of the longest, or `at`.
  size_t find_at(std::string_view text, size_t at, const Rule& rule,
                 std::vector<Candidate>& candidates) const;
  // The same for the whole stretch of tokens that overlap one another from `at` on.
  size_t find_stretch(std::string_view text, size_t at, const Rule& rule,
                      std::vector<Candidate>& candidates) const;
  // Settles a stretch in which tokens overlap: candidates[rank] takes every place it can get, the
  // later ones share what is left.
  static void settle(std::string_view text, const Rule& rule,
                     const std::vector<Candidate>& candidates, size_t rank,
                     std::vector<Fragment>& out);
  static void insert_ranked(const Candidate& candidate, std::vector<Candidate>& candidates);
  void split(std::string_view text, const Rule& rule, std::vector<Fragment>& out) const;

  std::array<uint32_t, 256> roots_{};  // first byte → node; 0 = none
  std::vector<Node> nodes_;            // node 0 is not used
};

}  // namespace lockstep
