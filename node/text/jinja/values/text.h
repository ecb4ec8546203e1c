// Numbers as Python's repr() writes them. For strings and containers see value.h. Pure; any thread.
#pragma once

#include <string>

namespace lockstep::jinja {

// The shortest digits that give the same number, with an exponent from 1e16 and 1e-5 on.
std::string real_to_text(double value);

}  // namespace lockstep::jinja
