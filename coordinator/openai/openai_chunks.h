// ChunkWriter: writes the JSON texts of a stream's chunks without a tree. The chunks of a stream
// share their beginning and their end; only the choice in between differs, and of a choice's
// members most are constant. The texts are those that ordered_json::dump() gives. Pure; any thread.
//
//   {"id":…,"object":…,"created":…,"model":…,"choices":[ CHOICE ],"usage":null}
//   CHOICE = {"index":…,"delta":{"content":TEXT},"logprobs":…,"finish_reason":null,"token_ids":[…]}
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

namespace lockstep {

// Appends the text as a JSON string. Ill-formed UTF-8 becomes U+FFFD.
void append_json_string(std::string_view text, std::string& out);

class ChunkWriter {
 public:
  // `envelope`: the members before `choices`, at least one.
  ChunkWriter(const nlohmann::ordered_json& envelope, bool is_chat, bool has_usage);

  // Begin a chunk with one choice: begin() writes the choice up to its text, then come the members
  // in their order, then end() completes the chunk. Chat: an empty text gives an empty delta.
  std::string begin(size_t index, std::string_view text) const;
  static void member(std::string_view name, std::string_view json, std::string& out);
  static void member(std::string_view name, std::span<const int32_t> ids, std::string& out);
  std::string end(std::string chunk) const;

 private:
  const bool is_chat_;
  std::string head_;  // up to the choice
  std::string tail_;  // from the end of the choice on
};

}  // namespace lockstep
