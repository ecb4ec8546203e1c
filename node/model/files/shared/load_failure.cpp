#include "node/model/files/shared/load_failure.h"

namespace lockstep {

std::string quoted(std::string_view text) {
  constexpr size_t kMaxShown = 64;
  std::string out = "'";
  for (const char c : text.substr(0, kMaxShown)) {
    const bool printable = static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
    out += printable ? c : '?';
  }
  return out + (text.size() > kMaxShown ? "…'" : "'");
}

}  // namespace lockstep
