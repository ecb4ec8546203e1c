// StreamDecoder: turns tokens into text (incremental detokenization). It never splits a UTF-8
// character and holds back bytes that may begin a stop string. The pieces, put together, are
// exactly the text of all ids decoded at once (up to a stop), with U+FFFD for bytes that are not
// UTF-8. One per choice; engine thread. No allocation once warm, which includes the first
// watch_for_stops().
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
  struct Start {
    bool watches_for_stops = true;  // false: stop strings wait for watch_for_stops()
    int32_t previous = -1;          // the token before the text, such as a prompt's last; -1 = none
  };
  // Begins a new text. `tokenizer` and `stops` must outlive the text.
  void start(const Tokenizer& tokenizer, const StopSpec& stops, const Start& options);
  void start(const Tokenizer& tokenizer, const StopSpec& stops) {
    start(tokenizer, stops, Start());
  }

  // From the next push() on, stop strings are looked for. Must not be called inside a character.
  void watch_for_stops() { watches_for_stops_ = true; }
  bool watches_for_stops() const { return watches_for_stops_; }
  // Whether all text has been delivered: no character and no stop string has begun.
  bool holds_nothing() const { return bytes_.empty() && held_.empty(); }

  // Takes one token and appends to `out` the text that is now certain. Returns the index of the
  // stop string that the text has reached, or -1. Of several stop strings, the one whose end comes
  // first counts, then the longest. The text ends before the stop string, or after it with
  // include_in_output. After a stop, push() must not be called again.
  int push(int32_t id, std::string& out);
  // Ends a text without a stop: appends the text that was held back (invalid UTF-8 as U+FFFD).
  void finish(std::string& out);

 private:
  int take(std::string_view character, std::string& out);

  const Tokenizer* tokenizer_ = nullptr;
  const StopSpec* stops_ = nullptr;
  StopMatcher matcher_;
  bool watches_for_stops_ = true;
  int32_t previous_ = -1;  // the last token taken, or the one before the text
  std::string bytes_;      // undelivered: an unfinished character
  std::string held_;       // undelivered: whole characters that may begin a stop string
};

}  // namespace lockstep
