// Numbers as printf-like formats write them, and the padding of what is written. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "node/text/jinja/values/value.h"
#include "node/text/marked_text.h"

namespace lockstep::jinja {

constexpr int kMaxPrecision = 1000;

// Digits of |value|, without a sign. type: d, b, o, x, X; alternate: with 0x and its like in front.
std::string integer_digits(int64_t value, char type, bool alternate);
// Of |value|. type: e, E, f, F, g, G; inf and nan as Python writes them.
std::string real_digits(double value, char type, int precision, bool alternate);
// "1234567.5" → "1,234,567.5"
std::string group_digits(std::string_view digits, char separator);

// The number's sign, or what stands for it: always '+' or ' ' before a positive one if asked for.
std::string_view sign_of(bool negative, char wanted);

// align: '<', '>', '^' or '=' (after `n_head` bytes: a sign). fill is one character.
MarkedText pad(const MarkedText& text, size_t width, const MarkedText& fill, char align,
               size_t n_head = 0);

}  // namespace lockstep::jinja
