// The NCCL library that the CUDA module has opened, and the module's export for it.
#include <cstring>

#include "parallel/nccl/nccl_communicator.h"

namespace lockstep {
namespace {

class OpenNcclLibrary final : public NcclLibrary {
 public:
  explicit OpenNcclLibrary(const NcclApi& api) : api_(api) {}

  std::string version() const override { return nccl_version_text(api_.version); }

  Result<NcclGroupId> make_group_id() const override {
    ncclUniqueId id;
    if (const ncclResult_t result = api_.get_unique_id(&id); result != ncclSuccess) {
      return Error{ErrorCode::kInternal, "NCCL: no group id: " + api_.describe(result), ""};
    }
    NcclGroupId group_id;
    std::memcpy(group_id.bytes.data(), id.internal, sizeof id.internal);
    return group_id;
  }

  Result<std::unique_ptr<Communicator>> join(const NcclRank& rank) const override {
    return NcclCommunicator::join(api_, rank);
  }

 private:
  const NcclApi api_;
};

}  // namespace

extern "C" __attribute__((visibility("default"))) NcclOpenLibrary lockstep_open_nccl;

void lockstep_open_nccl(const std::string& path, std::unique_ptr<NcclLibrary>& library,
                        Error& error) {
  const std::string name = path.empty() ? "libnccl.so.2" : path;
  auto api = NcclApi::load({&name, 1});
  if (api) {
    library = std::make_unique<OpenNcclLibrary>(*api);
  } else {
    error = api.error();
  }
}

}  // namespace lockstep
