// StreamPosition: how much of a streamed response a client has, as the `id` of a server-sent event
// and as the header Last-Event-ID say it. Values only; any thread.
//
//   POSITION = CHOICE *("," CHOICE) [",usage"]
//   CHOICE   = NUMBER ":" INDEX [":stop" / ":length"]
//
//   0:17                      choice 0 has 17 ids
//   0:17:stop,1:15,2:16       choice 0 has ended with 17 ids, the others have 15 and 16
//   0:17:stop,1:40:length,usage   the chunk with the usage was sent too; only [DONE] is left
//
// Every position names all choices of the response whose first chunk was sent. A browser, and any
// other reader of server-sent events, keeps the last id only, so an id that named the choice of its
// own event would lose where the other choices are. INDEX counts ids, those included whose text is
// held back until it is complete: the node holds the same text back when it runs the request again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace lockstep {

// A response with more choices, over all of its prompts, is not resumed: its positions would be
// longer than the tokens they are sent with.
inline constexpr size_t kMaxResumableChoices = 128;

struct ChoicePosition {
  bool begun = false;         // the choice's first chunk was sent
  uint32_t index = 0;         // number of the choice's ids that were sent
  std::string finish_reason;  // "stop" or "length" once the chunk with it was sent

  friend bool operator==(const ChoicePosition&, const ChoicePosition&) = default;
};

struct StreamPosition {
  std::vector<ChoicePosition> choices;  // [n_choices]
  bool has_usage = false;               // the chunk with the usage was sent

  friend bool operator==(const StreamPosition&, const StreamPosition&) = default;
};

std::string to_string(const StreamPosition& position);
// The Error names what is wrong with the text, in the field "last-event-id".
Result<StreamPosition> parse_position(std::string_view text, size_t n_choices);

}  // namespace lockstep
