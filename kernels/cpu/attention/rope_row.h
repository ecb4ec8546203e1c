// Inner loops of rope_store over one head, by instruction set (docs/numerics.md section 3).
#pragma once

#include <cstdint>

#include "kernels/cpu/attention/kv_type.h"

namespace lockstep {

struct RopeRow {
  // Rotates the pairs (x[2i], x[2i + 1]); cos_sin [n_pairs, 2].
  void (*rotate_neighbours)(float* x, const float* cos_sin, int64_t n_pairs);
  // Rotates the pairs (x[i], x[i + n_pairs]).
  void (*rotate_halves)(float* x, const float* cos, const float* sin, int64_t n_pairs);
  // Rounds n values to whole numbers of magnitude <= q_max and returns their scale.
  float (*quantize_row)(const float* x, int n, float q_max, int16_t* q);
  // Rounds n values to f16 or bf16.
  void (*round_row)(const float* x, int64_t n, KvType type, uint16_t* rounded);
};

void rotate_neighbours_portable(float* x, const float* cos_sin, int64_t n_pairs);
void rotate_neighbours_avx2(float* x, const float* cos_sin, int64_t n_pairs);
void rotate_neighbours_avx512(float* x, const float* cos_sin, int64_t n_pairs);

void rotate_halves_portable(float* x, const float* cos, const float* sin, int64_t n_pairs);
void rotate_halves_avx2(float* x, const float* cos, const float* sin, int64_t n_pairs);
void rotate_halves_avx512(float* x, const float* cos, const float* sin, int64_t n_pairs);

float quantize_whole_portable(const float* x, int n, float q_max, int16_t* q);
float quantize_whole_avx2(const float* x, int n, float q_max, int16_t* q);
float quantize_whole_avx512(const float* x, int n, float q_max, int16_t* q);

void round_row_portable(const float* x, int64_t n, KvType type, uint16_t* rounded);
void round_row_avx2(const float* x, int64_t n, KvType type, uint16_t* rounded);
void round_row_avx512(const float* x, int64_t n, KvType type, uint16_t* rounded);

}  // namespace lockstep
