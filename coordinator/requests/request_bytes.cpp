#include "coordinator/requests/request_bytes.h"

#include <algorithm>

#include "common/log.h"
#include "wire/codec/sendable.h"
#include "wire/limits.h"

namespace lockstep {

Result<ByteHold> hold_request_bytes(const ClientRequest& request,
                                    const std::shared_ptr<ByteBudget>& budget) {
  wire::EncodedSize size = std::visit([](const auto& r) { return wire::encoded_size(r); }, request);
  size.n_bytes +=
      wire::kMaxRequestIdBytes - std::min(id_of(request).size(), wire::kMaxRequestIdBytes);
  TRY([[maybe_unused]] const Ok sendable, wire::check_sendable(size));
  if (budget == nullptr) return ByteHold();
  ByteHold hold(budget);
  if (hold.grow(size.n_bytes)) return hold;
  const bool ever_fits = size.n_bytes <= budget->n_bytes_max();
  return Error{ever_fits ? ErrorCode::kOverloaded : ErrorCode::kPayloadTooLarge,
               str("the requests in flight hold ", budget->n_bytes_held(), " bytes; with ",
                   size.n_bytes, " more they would exceed ", budget->n_bytes_max()),
               ""};
}

}  // namespace lockstep
