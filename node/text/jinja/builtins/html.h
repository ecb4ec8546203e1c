// Escapes for HTML, as MarkupSafe writes them. Pure, except for the runtime's counts; any thread.
#pragma once

#include "node/text/jinja/builtins/runtime.h"

namespace lockstep::jinja {

MarkedText escape_text(const MarkedText& text);
// str() of a value, escaped and marked safe. A string that is safe already stays as it is.
Result<Value> escape(Runtime& runtime, const Value& value);

}  // namespace lockstep::jinja
