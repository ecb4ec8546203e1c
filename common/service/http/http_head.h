// head_of: converts Beast's header fields to an HttpHead, for the two files that read HTTP with
// Beast.
#pragma once

#include <boost/beast/http/message.hpp>

#include "common/service/http/http_guard.h"

namespace lockstep {

// The result holds views into `head`.
template <class Fields>
HttpHead head_of(const boost::beast::http::header<true, Fields>& head) {
  using boost::beast::http::field;
  const auto view = [](const auto& text) { return std::string_view(text.data(), text.size()); };
  const std::string_view length = view(head[field::content_length]);
  return {
      .method = view(head.method_string()),
      .n_hosts = static_cast<int>(head.count(field::host)),
      .host = view(head[field::host]),
      .origin = view(head[field::origin]),
      .content_type = view(head[field::content_type]),
      .has_body = head.count(field::transfer_encoding) > 0 || (!length.empty() && length != "0")};
}

}  // namespace lockstep
