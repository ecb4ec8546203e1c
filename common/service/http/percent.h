// percent_decode: decodes URL paths and queries (RFC 3986). Pure.
#pragma once

#include <string>
#include <string_view>

namespace lockstep {

// "a%2Fb" becomes "a/b". A '%' without two hexadecimal digits stays unchanged.
std::string percent_decode(std::string_view text);

}  // namespace lockstep
