// Stands in for common/text/utf8.cpp where lockstep-gpu-check is built without libutfcpp: ASCII,
// which is all that the stage of whole models has.
#include "common/text/utf8.h"

namespace lockstep::utf8 {

Step next(std::string_view text) { return {State::kChar, 1, static_cast<unsigned char>(text[0])}; }

}  // namespace lockstep::utf8
