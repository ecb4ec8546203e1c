// StreamDecoder: token by token to text, never splitting a UTF-8 character, holding back what may
// be the start of a stop string. One per choice; engine thread. Concatenating every piece gives
// exactly what decoding all ids at once would give (up to a stop), with U+FFFD for what is not
// UTF-8. No allocation once warm, which includes the first watch_for_stops().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "node/text/stream/stop_matcher.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

struct StopSpec {
  std::vector<std::string> strings;  // at most 16, none empty, valid UTF-8
  bool include_in_output = false;
  bool skip_special_tokens = true;
};

class StreamDecoder {
 public:
  StreamDecoder() = default;
  // Begins a new text. `tokenizer` and `stops` must outlive it. Stop strings are looked for at
  // once, or not until watch_for_stops().
  void start(const Tokenizer& tokenizer, const StopSpec& stops, bool watches_for_stops = true);

  // Stop strings are looked for in what is pushed from here on. Not inside a character.
  void watch_for_stops() { watches_for_stops_ = true; }
  bool watches_for_stops() const { return watches_for_stops_; }
  // Whether all text is out: neither a character nor a stop string has begun.
  bool holds_nothing() const { return bytes_.empty() && held_.empty(); }

  // Takes one token and appends the text that is now certain to `out`. Returns the index of the
  // stop string that the text has reached, or -1: the one whose end comes first, of those the
  // longest. The text ends before it, or after it with include_in_output. After a stop nothing
  // more may be pushed.
  int push(int32_t id, std::string& out);
  // The text ended without a stop: appends what was held back (invalid UTF-8 as U+FFFD).
  void finish(std::string& out);

 private:
  int take(std::string_view character, std::string& out);

  const Tokenizer* tokenizer_ = nullptr;
  const StopSpec* stops_ = nullptr;
  StopMatcher matcher_;
  bool watches_for_stops_ = true;
  std::string bytes_;  // undelivered: an unfinished character
  std::string held_;   // undelivered: whole characters that may begin a stop string
};

}  // namespace lockstep
