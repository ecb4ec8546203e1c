// Numbers as Python's repr() writes them; strings and containers are in value.h. Pure; any thread.
#pragma once

#include <string>

namespace lockstep::jinja {

// The shortest digits that read back the same, an exponent from 1e16 and 1e-5 on.
std::string real_to_text(double value);

}  // namespace lockstep::jinja
