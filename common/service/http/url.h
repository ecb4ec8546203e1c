// The parts of a URL that handlers read: percent-encoding (RFC 3986) and queries. Pure.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace lockstep {

// "a%2Fb" becomes "a/b". A '%' without two hexadecimal digits stays unchanged.
std::string percent_decode(std::string_view text);

// The reverse: all bytes but letters, digits and "-._~" are encoded.
std::string percent_encode(std::string_view text);

// "a=1&b=2", decoded. A name without '=' has an empty value; of equal names the last one counts.
using UrlQuery = std::map<std::string, std::string, std::less<>>;
UrlQuery parse_query(std::string_view text);

}  // namespace lockstep
