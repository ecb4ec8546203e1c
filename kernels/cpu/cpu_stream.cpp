#include "kernels/cpu/cpu_stream.h"

#include <cstring>

#include "common/check.h"
#include "kernels/cpu/team/float_mode.h"

namespace lockstep {
namespace {

bool has(Isa isa) {
  for (Isa available : available_isas()) {
    if (available == isa) return true;
  }
  return false;
}

// All that a CPU stream queues is done at once.
class PastEvent final : public Event {
 public:
  void record() override {}
  bool is_done() const override { return true; }
  void wait() const override {}
};

}  // namespace

CpuStream::CpuStream(const CpuStreamOptions& options, MemoryLedger& ledger)
    : ops_(cpu_ops(options.isa)),
      name_(std::string("cpu/") + to_string(options.isa)),
      team_({.n_threads = options.n_threads,
             .n_threads_in_process = options.n_threads_in_process,
             .scratch = ops_.scratch_bytes(options.limits),
             .progress = options.progress},
            ledger) {
  CHECK(has(options.isa));
}

template <class Args>
void CpuStream::run(CpuOps::Op<Args> op, const Args& args) {
  const FloatMode float_mode;
  op(args, team_);
  team_.progress(0).bump();
}

void CpuStream::copy_to_device(const CopyArgs& copy) {
  for (int64_t row = 0; row < copy.n_rows; ++row) {
    std::memcpy(copy.device + row * copy.device_stride, copy.host + row * copy.host_stride,
                static_cast<size_t>(copy.row_bytes));
  }
}

void CpuStream::copy_to_host(const CopyArgs& copy) {
  for (int64_t row = 0; row < copy.n_rows; ++row) {
    std::memcpy(copy.host + row * copy.host_stride, copy.device + row * copy.device_stride,
                static_cast<size_t>(copy.row_bytes));
  }
}

void CpuStream::fill(const FillArgs& args) {
  for (int64_t row = 0; row < args.n_rows; ++row) {
    std::memset(args.data + row * args.stride, args.value, static_cast<size_t>(args.row_bytes));
  }
}

std::unique_ptr<Event> CpuStream::make_event() { return std::make_unique<PastEvent>(); }

void CpuStream::launch(const EmbedArgs& args) { run(ops_.embed, args); }
void CpuStream::launch(const RmsNormArgs& args) { run(ops_.rms_norm, args); }
void CpuStream::launch(const HeadNormArgs& args) { run(ops_.head_norm, args); }
void CpuStream::launch(const QuantizeArgs& args) { run(ops_.quantize, args); }
void CpuStream::launch(const LinearArgs& args) { run(ops_.linear, args); }
void CpuStream::launch(const AddRmsNormArgs& args) { run(ops_.add_rms_norm, args); }
void CpuStream::launch(const RopeStoreArgs& args) { run(ops_.rope_store, args); }
void CpuStream::launch(const AttentionArgs& args) { run(ops_.attention, args); }
void CpuStream::launch(const SiluMulArgs& args) { run(ops_.silu_mul, args); }
void CpuStream::launch(const GatherRowsArgs& args) { run(ops_.gather_rows, args); }
void CpuStream::launch(const ConcatColumnsArgs& args) { run(ops_.concat_columns, args); }
void CpuStream::launch(const ResolveTokensArgs& args) { run(ops_.resolve_tokens, args); }
void CpuStream::launch(const CopyBlocksArgs& args) { run(ops_.copy_blocks, args); }
void CpuStream::launch(const FiniteRowsArgs& args) { run(ops_.finite_rows, args); }
void CpuStream::launch(const SampleArgs& args) { run(ops_.sample, args); }

std::unique_ptr<Stream> make_cpu_stream(const CpuStreamOptions& options, MemoryLedger& ledger) {
  return std::make_unique<CpuStream>(options, ledger);
}

}  // namespace lockstep
