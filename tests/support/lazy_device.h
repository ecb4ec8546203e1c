// LazyDevice: a device in this process's memory that behaves like a GPU as far as the host can see.
// Its memory is filled with ones, copies move the bytes, and its stream runs nothing when it is
// queued: an op runs when the stream is waited for, or bit by bit while an event is polled. Host
// code that reads or writes too early therefore computes something else. While lazy_devices_hang,
// nothing runs.
#pragma once

#include <atomic>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "parallel/devices/device_provider.h"

namespace lockstep::testing {

inline std::atomic<bool> lazy_devices_hang{false};

class LazyStream final : public Stream {
 public:
  explicit LazyStream(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {}

  const char* name() const override { return "lazy"; }
  void wait() override {
    while (run_next()) {
    }
  }

  void copy_to_device(const CopyArgs& copy) override {
    put([=, this] { stream_->copy_to_device(copy); });
  }
  void copy_to_host(const CopyArgs& copy) override {
    put([=, this] { stream_->copy_to_host(copy); });
  }
  void fill(const FillArgs& args) override {
    put([=, this] { stream_->fill(args); });
  }
  std::unique_ptr<Event> make_event() override { return std::make_unique<LazyEvent>(*this); }

  void launch(const EmbedArgs& args) override { put_op(args); }
  void launch(const RmsNormArgs& args) override { put_op(args); }
  void launch(const HeadNormArgs& args) override { put_op(args); }
  void launch(const QuantizeArgs& args) override { put_op(args); }
  void launch(const LinearArgs& args) override { put_op(args); }
  void launch(const AddRmsNormArgs& args) override { put_op(args); }
  void launch(const RopeStoreArgs& args) override { put_op(args); }
  void launch(const AttentionArgs& args) override { put_op(args); }
  void launch(const SiluMulArgs& args) override { put_op(args); }
  void launch(const GatherRowsArgs& args) override { put_op(args); }
  void launch(const ConcatColumnsArgs& args) override { put_op(args); }
  void launch(const ResolveTokensArgs& args) override { put_op(args); }
  void launch(const CopyBlocksArgs& args) override { put_op(args); }
  void launch(const FiniteRowsArgs& args) override { put_op(args); }
  void launch(const SampleArgs& args) override { put_op(args); }

 private:
  class LazyEvent final : public Event {
   public:
    explicit LazyEvent(LazyStream& stream) : stream_(stream) {}
    void record() override {
      is_passed_ = std::make_shared<bool>(false);
      stream_.put([is_passed = is_passed_] { *is_passed = true; });
    }
    bool is_done() const override {
      if (!*is_passed_) stream_.run_next();
      return *is_passed_;
    }
    void wait() const override {
      while (!is_done()) {
      }
    }

   private:
    LazyStream& stream_;
    std::shared_ptr<bool> is_passed_ = std::make_shared<bool>(true);
  };

  template <class Args>
  void put_op(const Args& args) {
    put([=, this] { stream_->launch(args); });
  }
  void put(std::function<void()> work) { queue_.push_back(std::move(work)); }
  bool run_next() {
    if (queue_.empty() || lazy_devices_hang) return false;
    queue_.front()();
    queue_.pop_front();
    return true;
  }

  const std::unique_ptr<Stream> stream_;
  std::deque<std::function<void()>> queue_;
};

class LazyDevice final : public Device {
 public:
  explicit LazyDevice(const CpuStreamOptions& options) : cpu_(make_cpu_device(options)) {}

  const std::string& name() const override { return name_; }
  bool is_host() const override { return false; }
  PackedLayout weight_layout() const override { return cpu_->weight_layout(); }
  std::byte* allocate(int64_t n_bytes, MemoryTag tag) override {
    std::byte* data = cpu_->allocate(n_bytes, tag);
    std::memset(data, 0xFF, static_cast<size_t>(n_bytes));
    return data;
  }
  void release(std::byte* data, int64_t n_bytes) override { cpu_->release(data, n_bytes); }
  std::byte* allocate_host(int64_t n_bytes) override { return cpu_->allocate_host(n_bytes); }
  void release_host(std::byte* data, int64_t n_bytes) override {
    cpu_->release_host(data, n_bytes);
  }
  int64_t free_bytes() const override { return cpu_->free_bytes(); }
  void upload(void* device_data, const void* host_data, int64_t n_bytes) override {
    cpu_->upload(device_data, host_data, n_bytes);
  }
  void download(void* host_data, const void* device_data, int64_t n_bytes) override {
    cpu_->download(host_data, device_data, n_bytes);
  }
  std::unique_ptr<Stream> make_stream(const StreamLimits& limits, MemoryLedger& ledger) override {
    return std::make_unique<LazyStream>(cpu_->make_stream(limits, ledger));
  }

 private:
  const std::unique_ptr<Device> cpu_;
  const std::string name_ = "lazy";
};

class LazyDevices final : public DeviceProvider {
 public:
  const char* kind() const override { return "lazy"; }
  bool is_host() const override { return false; }
  std::unique_ptr<Device> open(int /*rank*/, const CpuStreamOptions& cpu) const override {
    return std::make_unique<LazyDevice>(cpu);
  }
  int64_t free_device_bytes(int /*n_ranks*/) const override { return 0; }
  Result<Group> make_group(int n_ranks, const StallTimeout& timeout,
                           int n_threads_in_process) const override {
    return make_local_group(n_ranks, timeout, n_threads_in_process);
  }
};

inline std::shared_ptr<const DeviceProvider> lazy_devices() {
  static const auto devices = std::make_shared<const LazyDevices>();
  return devices;
}

// Which kind of devices a test's ranks have.
enum class DeviceKind : uint8_t { kCpu, kLazy };
inline std::shared_ptr<const DeviceProvider> devices_of(DeviceKind kind) {
  return kind == DeviceKind::kCpu ? cpu_devices() : lazy_devices();
}

// The number of ranks and their devices, for tests that are run with each.
struct RankSetup {
  int n_ranks = 1;
  DeviceKind kind = DeviceKind::kCpu;
};
inline std::vector<RankSetup> rank_setups() {
  return {
      {1, DeviceKind::kCpu}, {2, DeviceKind::kCpu}, {1, DeviceKind::kLazy}, {2, DeviceKind::kLazy}};
}
inline std::string name_of(const RankSetup& setup) {
  return std::to_string(setup.n_ranks) + (setup.kind == DeviceKind::kCpu ? "" : "_lazy");
}

}  // namespace lockstep::testing
