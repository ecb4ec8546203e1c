// MarkedText: text with marks on the bytes that came with a request (input). A chat template
// copies, cuts and joins the users' text; the marks follow the bytes, so the tokenizer can
// distinguish the template's control tokens from a user's spelling of them. A value; any thread.
//
// Invariant: input() is sorted, within the text, without empty or touching spans.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lockstep {

struct ByteSpan {
  size_t begin = 0, end = 0;  // [begin, end)
  friend bool operator==(const ByteSpan&, const ByteSpan&) = default;
};

class MarkedText {
 public:
  MarkedText() = default;
  // Text of the template, the model or the program.
  static MarkedText own(std::string bytes);
  // Text that came with a request.
  static MarkedText from_request(std::string bytes);

  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  const std::vector<ByteSpan>& input() const { return input_; }
  bool is_input(size_t at) const { return has_input(at, at + 1); }
  bool has_input(size_t begin, size_t end) const;  // any byte of [begin, end)
  // Its approximate size in memory.
  size_t held_bytes() const { return bytes_.size() + input_.size() * sizeof(ByteSpan); }

  MarkedText substr(size_t begin, size_t n = std::string::npos) const;
  // The given part of this text, with its marks. `part` must be a view into bytes(), or empty.
  MarkedText part(std::string_view part) const;

  void append_own(std::string_view bytes) { bytes_ += bytes; }
  void append_input(std::string_view bytes) { append(bytes, true); }
  void append(std::string_view bytes, bool is_input);
  void append(const MarkedText& text) { append_range(text, 0, text.size()); }
  void append_part(const MarkedText& text, std::string_view part);
  void append_range(const MarkedText& text, size_t begin, size_t n);

  // Equal bytes and equal marks.
  friend bool operator==(const MarkedText&, const MarkedText&) = default;

 private:
  std::vector<ByteSpan>::const_iterator first_ending_after(size_t at) const;
  void mark(size_t begin, size_t end);

  std::string bytes_;
  std::vector<ByteSpan> input_;
};

}  // namespace lockstep
