#include "kernels/cpu/cpu_stream.h"

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

void CpuStream::launch(const EmbedArgs& args) { run(ops_.embed, args); }
void CpuStream::launch(const RmsNormArgs& args) { run(ops_.rms_norm, args); }
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
