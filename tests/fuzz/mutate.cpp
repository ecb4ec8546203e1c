#include "tests/fuzz/mutate.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "tests/support/hard_numbers.h"

namespace lockstep::testing {
namespace {

constexpr size_t kMaxBytes = 64 << 10;
constexpr size_t kMaxPiece = 32;
constexpr size_t kMaxEdits = 6;

// Not a std distribution: those differ between standard libraries.
size_t below(size_t n, std::mt19937_64& random) { return n == 0 ? 0 : random() % n; }

std::string piece_of(const std::string& text, std::mt19937_64& random) {
  return text.substr(below(text.size() + 1, random), 1 + below(kMaxPiece, random));
}

void overwrite_number(std::string& input, size_t at, std::mt19937_64& random) {
  const uint64_t number = kHardNumbers[below(std::size(kHardNumbers), random)];
  const size_t n_bytes = size_t{1} << below(4, random);
  std::memcpy(input.data() + at, &number, std::min(n_bytes, input.size() - at));
}

void edit(std::string& input, const std::vector<std::string>& others, std::mt19937_64& random) {
  const size_t at = below(input.size(), random);
  if (input.empty()) return input.push_back(static_cast<char>(random()));
  switch (below(8, random)) {
    case 0:
      input[at] = static_cast<char>(random());
      break;
    case 1:
      input[at] = static_cast<char>(input[at] ^ (1 << below(8, random)));
      break;
    case 2:
      overwrite_number(input, at, random);
      break;
    case 3:
      input.erase(at, 1 + below(kMaxPiece, random));
      break;
    case 4:
      input.insert(at, 1 + below(kMaxPiece, random), static_cast<char>(random()));
      break;
    case 5:
      input.insert(at, piece_of(input, random));
      break;
    case 6:
      input.insert(at, piece_of(others[below(others.size(), random)], random));
      break;
    default:  // rarer than the rest: it throws most of the input away
      if (below(4, random) == 0) input.resize(at);
      break;
  }
}

}  // namespace

void mutate(std::string& input, const std::vector<std::string>& others, std::mt19937_64& random) {
  for (size_t n_edits = 1 + below(kMaxEdits, random); n_edits > 0; --n_edits) {
    edit(input, others, random);
  }
  if (input.size() > kMaxBytes) input.resize(kMaxBytes);
}

}  // namespace lockstep::testing
