#include "coordinator/http/http_error.h"

#include "coordinator/http/error_body.h"

namespace lockstep {

HttpResponse error_response(const Error& error) {
  HttpResponse response;
  response.status = http_status(error.code);
  response.body = error_body(error);
  const bool is_temporary = response.status == 429 || response.status == 503;
  if (is_temporary) response.headers.emplace_back("Retry-After", "1");
  return response;
}

}  // namespace lockstep
