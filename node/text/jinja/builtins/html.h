// Escapes for HTML as MarkupSafe writes them. Pure but for what the runtime is paid; any thread.
#pragma once

#include "node/text/jinja/builtins/runtime.h"

namespace lockstep::jinja {

MarkedText escape_text(const MarkedText& text);
// str() of a value, escaped and safe; a string that is safe stays as it is.
Result<Value> escape(Runtime& runtime, const Value& value);

}  // namespace lockstep::jinja
