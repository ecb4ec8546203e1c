// CpuStream: a Stream that runs each op inside launch(), on the calling thread and its team of
// threads. The table of its instruction set decides which code runs; cpu_ops.h explains the tables
// and how to add to them.
#pragma once

#include <string>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/team/thread_team.h"
#include "kernels/ops.h"

namespace lockstep {

class CpuStream final : public Stream {
 public:
  CpuStream(const CpuStreamOptions& options, MemoryLedger& ledger);

  const char* name() const override { return name_.c_str(); }
  void wait() override {}

  void copy_to_device(const CopyArgs& copy) override;
  void copy_to_host(const CopyArgs& copy) override;
  void fill(const FillArgs& args) override;
  std::unique_ptr<Event> make_event() override;

  void launch(const EmbedArgs& args) override;
  void launch(const RmsNormArgs& args) override;
  void launch(const HeadNormArgs& args) override;
  void launch(const QuantizeArgs& args) override;
  void launch(const LinearArgs& args) override;
  void launch(const AddRmsNormArgs& args) override;
  void launch(const RopeStoreArgs& args) override;
  void launch(const AttentionArgs& args) override;
  void launch(const SiluMulArgs& args) override;
  void launch(const GatherRowsArgs& args) override;
  void launch(const ConcatColumnsArgs& args) override;
  void launch(const ResolveTokensArgs& args) override;
  void launch(const CopyBlocksArgs& args) override;
  void launch(const FiniteRowsArgs& args) override;
  void launch(const SampleArgs& args) override;

 private:
  template <class Args>
  void run(CpuOps::Op<Args> op, const Args& args);

  // constant after construction
  const CpuOps& ops_;
  const std::string name_;  // "cpu/avx2"

  ThreadTeam team_;
};

}  // namespace lockstep
