// The byte-level alphabet of GPT-2: a vocabulary spells each of the 256 bytes as one printable
// character, so that every token is text. Bytes that are printable in Latin-1 stand for themselves;
// the other 68 are U+0100, U+0101, … in byte order. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep {

// The character that spells `byte`.
char32_t byte_to_letter(uint8_t byte);

// The bytes that a token spells. Characters outside the alphabet stay as they are.
std::string spelled_bytes(std::string_view token);

}  // namespace lockstep
