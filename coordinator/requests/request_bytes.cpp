#include "coordinator/requests/request_bytes.h"

#include <algorithm>

#include "common/log.h"
#include "wire/codec/sendable.h"
#include "wire/limits.h"

namespace lockstep {

namespace {

Result<size_t> request_bytes(const ClientRequest& request) {
  wire::EncodedSize size = std::visit([](const auto& r) { return wire::encoded_size(r); }, request);
  size.n_bytes +=
      wire::kMaxRequestIdBytes - std::min(id_of(request).size(), wire::kMaxRequestIdBytes);
  TRY([[maybe_unused]] const Ok sendable, wire::check_sendable(size));
  return size.n_bytes;
}

}  // namespace

Result<ByteHold> hold_request_bytes(const ClientRequest& request,
                                    const std::shared_ptr<ByteBudget>& budget) {
  TRY(const size_t n_bytes, request_bytes(request));
  if (budget == nullptr) return ByteHold();
  ByteHold hold(budget);
  if (hold.grow(n_bytes)) return hold;
  const bool ever_fits = n_bytes <= budget->n_bytes_max();
  return Error{ever_fits ? ErrorCode::kOverloaded : ErrorCode::kPayloadTooLarge,
               str("the requests in flight hold ", budget->n_bytes_held(), " bytes; with ", n_bytes,
                   " more they would exceed ", budget->n_bytes_max()),
               ""};
}

Status resize_request_bytes(const ClientRequest& request, size_t n_more_bytes, ByteHold& hold) {
  TRY(const size_t n_bytes, request_bytes(request));
  if (hold.resize(n_bytes + n_more_bytes)) return Ok{};
  return Error{ErrorCode::kOverloaded, "the budget of bytes in flight has no room", ""};
}

}  // namespace lockstep
