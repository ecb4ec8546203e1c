// View: a non-owning window on device memory: pointer, element type, shape. Rows (indices of
// dimension 0) may be strided, as in a slice of a wider matrix; the elements of a row are
// contiguous.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "common/check.h"

namespace lockstep {

// kQ8_0, kK16V8 and kK16V16 are dtypes of the KV cache (docs/numerics.md section 4); no View has
// them.
enum class DType : uint8_t { kF32, kF16, kBF16, kI32, kU8, kQ8_0, kK16V8, kK16V16 };

struct View {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int n_dims = 0;
  std::array<int64_t, 4> shape{};
  int64_t row_stride = 0;  // elements from one index of dimension 0 to the next

  int64_t n_rows() const { return shape[0]; }
  // Elements in one index of dimension 0.
  int64_t row_size() const {
    int64_t n = 1;
    for (int i = 1; i < n_dims; ++i) n *= shape[i];
    return n;
  }
  template <class T>
  T* row(int64_t i) const {
    return static_cast<T*>(data) + i * row_stride;
  }
  explicit operator bool() const { return data != nullptr; }
};

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::kF32;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::kI32;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::kU8;
}

// view(p, {n_tokens, hidden_dim}) is a dense View. A View of const data must only be read.
template <class T>
View view(T* data, std::initializer_list<int64_t> shape) {
  View v;
  v.data = const_cast<std::remove_const_t<T>*>(data);
  v.dtype = dtype_of<std::remove_const_t<T>>();
  for (int64_t n : shape) v.shape[v.n_dims++] = n;
  v.row_stride = v.row_size();
  return v;
}

// CHECKs the number of dimensions and the size of each.
inline void expect(const View& v, std::initializer_list<int64_t> shape) {
  CHECK_EQ(v.n_dims, static_cast<int>(shape.size()));
  int i = 0;
  for (int64_t n : shape) CHECK_EQ(v.shape[i++], n);
}

}  // namespace lockstep
