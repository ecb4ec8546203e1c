// SpecialTokens: finds the tokens that are written as text (<|im_start|>, …) and that merges never
// make. Where two overlap, the longer one wins wherever it stands, then the lower id; occurrences
// of the same token are taken from left to right (the order of llama.cpp). Immutable after the last
// add(); any thread.
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
  // A part of the text: a special token, or the plain text between two of them.
  struct Fragment {
    std::string_view text;
    int32_t id = -1;  // -1 = plain text
  };

  SpecialTokens();
  // `always`: the token is found even where the caller does not ask for special tokens
  // (user-defined tokens).
  void add(std::string_view text, int32_t id, bool always);

  // Appends the fragments, in order and without gaps. Plain fragments are as long as possible.
  void split(std::string_view text, bool parse_special, std::vector<Fragment>& out) const;
  // The same for a rendered chat. A token is found only where none of its bytes is input, unless it
  // was added with `always`.
  void split(const MarkedText& text, std::vector<Fragment>& out) const;

 private:
  struct Candidate {
    std::string_view text;
    int32_t id;
    bool always;
  };
  // The places where special tokens may be found: nowhere, or everywhere but in input.
  struct Rule {
    const char* begin;  // start of the text
    bool parse_special;
    const MarkedText* marks;  // null = nothing is input

    bool allows(const Candidate& candidate, std::string_view place) const;
  };
  // A node of a trie over bytes. The children of the root are in `roots_`, because most bytes of a
  // text begin no token.
  struct Node {
    std::vector<std::pair<uint8_t, uint32_t>> children;  // byte, node
    int32_t id = -1;                                     // the token that ends here
    bool always = false;
  };

  uint32_t child(uint32_t node, uint8_t byte) const;
  // Adds every token that begins at `text[at]` to the ordered candidates. Returns the end of the
  // longest one, or `at`.
  size_t find_at(std::string_view text, size_t at, const Rule& rule,
                 std::vector<Candidate>& candidates) const;
  // The same for the whole run of tokens that overlap one another from `at` on.
  size_t find_stretch(std::string_view text, size_t at, const Rule& rule,
                      std::vector<Candidate>& candidates) const;
  // Decides a run in which tokens overlap: candidates[rank] takes every place that it can, and the
  // later candidates take the rest.
  static void settle(std::string_view text, const Rule& rule,
                     const std::vector<Candidate>& candidates, size_t rank,
                     std::vector<Fragment>& out);
  static void insert_ranked(const Candidate& candidate, std::vector<Candidate>& candidates);
  void split(std::string_view text, const Rule& rule, std::vector<Fragment>& out) const;

  std::array<uint32_t, 256> roots_{};  // first byte → node; 0 = none
  std::vector<Node> nodes_;            // node 0 is not used
};

}  // namespace lockstep
