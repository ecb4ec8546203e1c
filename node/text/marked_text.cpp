#include "node/text/marked_text.h"

#include <algorithm>

namespace lockstep {

MarkedText MarkedText::own(std::string bytes) {
  MarkedText text;
  text.bytes_ = std::move(bytes);
  return text;
}

MarkedText MarkedText::from_request(std::string bytes) {
  MarkedText text = own(std::move(bytes));
  text.mark(0, text.size());
  return text;
}

std::vector<ByteSpan>::const_iterator MarkedText::first_ending_after(size_t at) const {
  return std::upper_bound(input_.begin(), input_.end(), at,
                          [](size_t value, const ByteSpan& span) { return value < span.end; });
}

bool MarkedText::has_input(size_t begin, size_t end) const {
  const auto span = first_ending_after(begin);
  return span != input_.end() && span->begin < end;
}

// Adds a mark. No earlier mark may end behind `begin`.
void MarkedText::mark(size_t begin, size_t end) {
  if (begin == end) return;
  if (!input_.empty() && input_.back().end == begin) {
    input_.back().end = end;
  } else {
    input_.push_back({begin, end});
  }
}

void MarkedText::append(std::string_view bytes, bool is_input) {
  const size_t begin = bytes_.size();
  bytes_ += bytes;
  if (is_input) mark(begin, bytes_.size());
}

void MarkedText::append_range(const MarkedText& text, size_t begin, size_t n) {
  const size_t at = bytes_.size(), end = begin + n;
  bytes_.append(text.bytes_, begin, n);
  for (auto span = text.first_ending_after(begin); span != text.input_.end(); ++span) {
    if (span->begin >= end) break;
    mark(at + std::max(span->begin, begin) - begin, at + std::min(span->end, end) - begin);
  }
}

void MarkedText::append_part(const MarkedText& text, std::string_view part) {
  if (part.empty()) return;
  append_range(text, static_cast<size_t>(part.data() - text.bytes_.data()), part.size());
}

MarkedText MarkedText::substr(size_t begin, size_t n) const {
  MarkedText out;
  begin = std::min(begin, size());
  out.append_range(*this, begin, std::min(n, size() - begin));
  return out;
}

MarkedText MarkedText::part(std::string_view part) const {
  MarkedText out;
  out.append_part(*this, part);
  return out;
}

}  // namespace lockstep
