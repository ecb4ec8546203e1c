// TextData: everything that decides the token ids of a node's prompts, and its form as bytes. A
// node publishes these bytes (`text_description`), and a coordinator builds the same TextModel from
// them. Values; any thread.
//
//   data      "LSTEXT2\n" model pre tokens types merges scores bos eos unk pad eog rstrip
//             add_bos space_prefix remove_spaces control chat_template
//   model, pre, chat_template       string: u32 n, then n bytes; any bytes
//   tokens, merges                  u32 n, then n strings
//   types                           [n tokens] bytes, a TokenType each
//   scores                          u32 n, then n f32; "llama" only, otherwise n = 0
//   bos, eos, unk, pad              i32, -1 = none
//   eog, rstrip                     u32 n, then n i32
//   add_bos … control               a byte each, 0 or 1
//
// Integers are little endian. The same content always gives the same bytes.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"
#include "node/text/tokenizer/tokenizer.h"

namespace lockstep {

struct TextData {
  TokenizerData tokenizer;
  bool control_tokens_in_content = false;
};

std::string write_text_data(const TextData& data);
// Error: kInvalidRequest for bytes that write_text_data() does not write. Allocates at most a few
// times the size of `bytes`.
Result<TextData> read_text_data(std::string_view bytes);

// A hash of the bytes: 32 hexadecimal digits (XXH3-128), the same at every node.
std::string text_fingerprint(std::string_view bytes);

}  // namespace lockstep
