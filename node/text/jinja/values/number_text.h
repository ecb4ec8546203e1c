// Numbers as Python's repr() and its formats write them, and padding. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "node/text/jinja/values/value.h"
#include "node/text/marked_text.h"

namespace lockstep::jinja {

constexpr int kMaxPrecision = 1000;

// Digits of |value|, without a sign. type: d, b, o, x, X. alternate: with the prefix 0b, 0o or 0x.
std::string integer_digits(int64_t value, char type, bool alternate);
// Digits of |value|, without a sign. type: e, E, f, F, g, G. inf and nan as Python writes them.
std::string real_digits(double value, char type, int precision, bool alternate);
// A number as Python's repr() writes it: the shortest digits that give the same number, with an
// exponent from 1e16 and 1e-5 on.
std::string real_to_text(double value);
// "1234567.5" → "1,234,567.5"
std::string group_digits(std::string_view digits, char separator);

// The sign of a number: '-' if negative, else '+' or ' ' if that is `wanted`, else empty.
std::string_view sign_of(bool negative, char wanted);

// Pads `text` to `width` characters. align: '<', '>', '^' or '=' (pads after the first `n_head`
// bytes, which are the sign). fill is one character.
MarkedText pad(const MarkedText& text, size_t width, const MarkedText& fill, char align,
               size_t n_head = 0);

}  // namespace lockstep::jinja
