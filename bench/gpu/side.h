// Side: the place where a case of bit_cases.h runs: the reference on the host, another CPU back
// end, or a back end on a device. For each side, a case makes its data from its seed, places it,
// launches its ops and names its outputs. The outputs of the two sides are then compared bit for
// bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "kernels/device.h"
#include "kernels/ops.h"

namespace lockstep::gpu_check {

// Seeded data with the outliers of real activations.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int64_t integer(int64_t low, int64_t high) {  // inclusive
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  float normal(float sigma = 1.0f) { return std::normal_distribution<float>(0.0f, sigma)(engine_); }
  std::vector<float> activations(int64_t n) {
    std::vector<float> x(static_cast<size_t>(n));
    for (float& v : x) v = normal(integer(0, 99) == 0 ? 20.0f : 1.0f);
    return x;
  }
  std::mt19937_64& engine() { return engine_; }

 private:
  std::mt19937_64 engine_;
};

struct Output {
  std::string name;
  bool is_f32 = false;  // if true, all NaNs count as the same
  std::vector<std::byte> bytes;
};

class Side {
 public:
  virtual ~Side() = default;
  virtual Stream& stream() = 0;
  // The layout in which the ops of this side read quantised weights.
  virtual PackedLayout packed_layout() const = 0;
  // Puts `n_bytes` of host data where the ops of this side can read and write them, and returns the
  // address. `data` must live until outputs().
  virtual void* place(void* data, int64_t n_bytes) = 0;

  template <class T>
  T* place(std::vector<T>& data) {
    return static_cast<T*>(place(data.data(), static_cast<int64_t>(data.size() * sizeof(T))));
  }
  // Places data and returns it as a dense View.
  template <class T>
  View in(std::vector<T>& data, std::initializer_list<int64_t> shape) {
    return view(place(data), shape);
  }
  // The same, and makes it an output of the case.
  template <class T>
  View out(std::string name, std::vector<T>& data, std::initializer_list<int64_t> shape) {
    const View v = in(data, shape);
    wanted_.push_back({std::move(name), dtype_of<T>() == DType::kF32, v.data,
                       static_cast<int64_t>(data.size() * sizeof(T))});
    return v;
  }
  std::byte* out_bytes(std::string name, std::vector<std::byte>& data) {
    void* placed = place(data.data(), static_cast<int64_t>(data.size()));
    wanted_.push_back({std::move(name), false, placed, static_cast<int64_t>(data.size())});
    return static_cast<std::byte*>(placed);
  }

  // Waits for the ops and copies the outputs to the host.
  std::vector<Output> outputs();

 protected:
  virtual void fetch(void* to, const void* placed, int64_t n_bytes) = 0;

 private:
  struct Wanted {
    std::string name;
    bool is_f32;
    void* placed;
    int64_t n_bytes;
  };
  std::vector<Wanted> wanted_;
};

class CpuSide : public Side {
 public:
  CpuSide(Isa isa, int n_threads);
  using Side::place;
  Stream& stream() override { return *stream_; }
  PackedLayout packed_layout() const override { return PackedLayout::kRows; }
  void* place(void* data, int64_t /*n_bytes*/) override { return data; }

 protected:
  void fetch(void* to, const void* placed, int64_t n_bytes) override {
    std::memcpy(to, placed, static_cast<size_t>(n_bytes));
  }

 private:
  MemoryLedger ledger_;
  std::unique_ptr<Stream> stream_;
};

// The contract itself, in scalar code.
class ReferenceSide final : public CpuSide {
 public:
  ReferenceSide() : CpuSide(Isa::kReference, 1) {}
};

// A side on a device. Several sides may use the stream, one after another.
class DeviceSide final : public Side {
 public:
  DeviceSide(Device& device, Stream& stream) : device_(device), stream_(stream) {}
  using Side::place;
  Stream& stream() override { return stream_; }
  PackedLayout packed_layout() const override { return PackedLayout::kFragments; }
  void* place(void* data, int64_t n_bytes) override;

 protected:
  void fetch(void* to, const void* placed, int64_t n_bytes) override {
    device_.download(to, placed, n_bytes);
  }

 private:
  Device& device_;
  Stream& stream_;
  MemoryLedger ledger_;
  std::vector<DeviceBuffer> buffers_;
};

// The difference between the outputs of two sides.
struct Difference {
  int64_t n_values = 0;  // f32 values, or bytes
  int64_t n_different = 0;
  std::string first;  // "q at 17", empty if equal
};
Difference compare(const std::vector<Output>& expected, const std::vector<Output>& got);

}  // namespace lockstep::gpu_check
