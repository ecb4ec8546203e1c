// ops.h: the API of kernels/: one argument struct and one function per op. The function checks
// shapes, types and strides; the Stream's back end then does the work. An op returns nothing to the
// host: every result, sampled tokens included, is written to Views of device memory
// (kernels/view.h).
//
// docs/numerics.md fixes the order of every floating-point operation: back ends differ in speed,
// not in bits. Symbols in the shapes: n_tokens (rows of one step), hidden_dim, n_heads, n_kv_heads,
// head_dim, vocab_size, k (the summed dimension of a matrix).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "common/threads/progress.h"
#include "kernels/copies.h"
#include "kernels/layout/leaves.h"
#include "kernels/layout/packed_weights.h"
#include "kernels/view.h"

namespace lockstep {

class MemoryLedger;

// Activations quantised to int8 per block of 32 values: x ~ scale * q (docs/numerics.md section 1).
struct QuantizedActs {
  View q;      // [n_tokens, k] int8 in u8 storage, -127..127
  View scale;  // [n_tokens, k / 32] f32
  View sum;    // [n_tokens, k / 32] f32: scale * (sum of q); a weight's minimum is multiplied by it
  View q_sum;  // [n_tokens, k / 32] i32: sum of q
};

// Activations as f32, int8, or both. linear() reads exactly one form, given by the type of its
// weights: int8 for quantised types, f32 for float types. Ops with an Acts output write each form
// that is set, at least one.
struct Acts {
  View f32{};  // [n_tokens, k]
  QuantizedActs quantized{};
};

// out[t] = the dequantised row ids[t] of `table`, times `scale`, plus +0.0. An id outside
// [first_row, first_row + table.n_rows) gives a zero row. Because of the +0.0, adding the zero rows
// of the other ranks changes no bit.
struct EmbedArgs {
  View ids;             // [n_tokens] i32
  PackedWeights table;  // this rank's rows of the vocabulary, k = hidden_dim
  int64_t first_row = 0;
  float scale = 1.0f;
  View out;  // [n_tokens, hidden_dim] f32
};

// RMSNorm: out = x / sqrt(mean(x^2) + eps) * weight.
struct RmsNormArgs {
  View x;       // [n_tokens, dim] f32
  View weight;  // [dim] f32
  float eps = 1e-5f;
  Acts out;
};

// RMSNorm of every head by itself, in place (the q and k norms of Qwen3): each x[t][h] becomes
// x[t][h] / sqrt(mean(x[t][h]^2) + eps) * weight.
struct HeadNormArgs {
  View x;       // [n_tokens, n_heads, head_dim] f32, rows may be strided, in and out
  View weight;  // [head_dim] f32
  float eps = 1e-5f;
};

// Quantises x to int8 per block of 32 values.
struct QuantizeArgs {
  View x;  // [n_tokens, k] f32
  QuantizedActs out;
};

// out = x W^T (+ bias): one partial sum per subtree of leaves that this rank owns (leaves.h). A
// rank that owns all leaves owns one subtree, whose partial is the whole sum.
struct LinearArgs {
  Acts x;
  PackedWeights weights;
  View bias{};  // [n_rows] f32, optional; allowed only if this rank owns all leaves
  View out;     // [n_subtrees, n_tokens, n_rows] f32; row_stride may exceed n_tokens * n_rows
  int64_t out_token_stride = 0;  // elements from one token to the next; 0 = n_rows
};

// The first part of add_rms_norm: residual[t] += the tree over the partials of all ranks. The
// partial of (rank r, subtree s) lies at index r * max_subtrees + s, where the all-gather put it.
struct AddPartialsArgs {
  View partials;                    // [n_ranks * max_subtrees, n_tokens, dim] f32
  std::span<const Subtree> layout;  // [n_ranks * max_subtrees]; n == 0 marks padding
  int n_leaves = 1;                 // leaves of the whole tree
  View bias{};                      // [dim] f32, optional; added to the sum, before the residual
  View residual;                    // [n_tokens, dim] f32, in and out
};

// Fused residual add and RMSNorm, in one pass over each row: the partials of the matrix before are
// added to the residual, then out = rms_norm(residual), the input of the matrix after.
struct AddRmsNormArgs {
  AddPartialsArgs add;
  View weight;  // [dim] f32
  float eps = 1e-5f;
  Acts out;
};

enum class RopeStyle : uint8_t {
  kNeighbours,  // rotates (2i, 2i + 1): GGUF `llama`
  kHalves,      // rotates (i, i + d/2): GGUF `qwen2`, `phi3`, Hugging Face
};

// The paged KV cache of one layer on one rank: KV block b lies at data + b * block_bytes. The
// layout inside a block belongs to the back end; kv_layout.h has the one that all of them use.
struct KvPages {
  std::byte* data = nullptr;  // block 0 of this layer
  DType dtype = DType::kF16;
  int64_t n_blocks = 0;
  int64_t block_bytes = 0;  // K and V of one block of this layer
  int block_size = 16;      // tokens per block
  int n_kv_heads = 1;       // KV heads of this rank
  int head_dim = 0;
};

// RoPE and the write to the KV cache: rotates q in place; rotates k, rounds k and v to the KV dtype
// and writes both to the slots of their tokens. k and v themselves are not changed.
struct RopeStoreArgs {
  View q;             // [n_tokens, n_heads, head_dim] f32, rows may be strided
  View k;             // [n_tokens, n_kv_heads, head_dim] f32, rows may be strided
  View v;             // [n_tokens, n_kv_heads, head_dim] f32, rows may be strided
  View positions;     // [n_tokens] i32, absolute
  View slot_mapping;  // [n_tokens] i32, block id * block_size + offset in the block
  View cos_sin;  // [max_positions, n_rot / 2, 2] f32; dims from n_rot to head_dim stay as they are
  RopeStyle style = RopeStyle::kNeighbours;
  KvPages kv;
};

// Paged causal attention, the same op for prefill and decode: row t attends to the keys at
// positions [0, positions[t]] of its sequence, limited by `window`.
struct AttentionArgs {
  View q;  // [n_tokens, n_heads, head_dim] f32, rows may be strided
  KvPages kv;
  View positions;     // [n_tokens] i32
  View seq_of_token;  // [n_tokens] i32, row of block_tables; tokens of one sequence are adjacent
  View block_tables;  // [n_seqs, max_blocks_per_seq] i32
  float scale = 1.0f;
  int64_t window = 0;  // 0 = all keys; else only keys at positions > positions[t] - window
  View out;            // [n_tokens, n_heads * head_dim] f32
};

// Gated SiLU: out = silu(gate) * up.
struct SiluMulArgs {
  View gate;  // [n_tokens, dim] f32, rows may be strided
  View up;    // [n_tokens, dim] f32, rows may be strided
  Acts out;
};

// out[i] = x[rows[i]].
struct GatherRowsArgs {
  View x;     // [n, dim] f32
  View rows;  // [n_out] i32
  View out;   // [n_out, dim] f32
};

// Puts the ranks' slices of the logits side by side:
//   out[t] = parts[0][t][:n_cols[0]] | parts[1][t][:n_cols[1]] | …
struct ConcatColumnsArgs {
  View parts;                       // [n_ranks, n_rows, max_cols] f32
  std::span<const int64_t> n_cols;  // [n_ranks], at most max_cols each
  View out;                         // [n_rows, sum of n_cols] f32
};

// tokens[i] = ids[i] if ids[i] >= 0, and ids[i] is written to token_ids[seq_slots[i],
// positions[i]]. Otherwise tokens[i] = token_ids[seq_slots[i], positions[i]]: a token that an
// earlier step sampled and that the host has not received yet.
struct ResolveTokensArgs {
  View ids;        // [n_tokens] i32; -1 = read the token from token_ids
  View seq_slots;  // [n_tokens] i32, rows of token_ids
  View positions;  // [n_tokens] i32
  View token_ids;  // [n_slots, max_model_len + 1] i32, in and out
  View tokens;     // [n_tokens] i32
};

// Copies whole KV blocks of one layer: block from[i] to block to[i], in ascending order of i.
struct CopyBlocksArgs {
  KvPages kv;
  View from;  // [n] i32
  View to;    // [n] i32
};

// Sets finite[t] = 0 where row t holds a NaN, an Inf, or a value whose magnitude is not below
// `limit`; other flags stay as they are, so several ops can add to the same flags.
struct FiniteRowsArgs {
  View x;              // [n_rows, dim] f32, rows may be strided
  float limit = 0.0f;  // above 0
  View finite;         // [n_rows] u8, in and out
};

// The sampling parameters of one row. Plain data, which is part of a StepPlan.
struct SamplingRow {
  float temperature = 1.0f;  // 0 = greedy
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;  // applies to ids in prompt or output
  float presence_penalty = 0.0f;    // applies to ids in the output
  float frequency_penalty = 0.0f;   // applies to ids in the output
  int32_t top_k = 0;                // 0 = off
  int32_t n_logprobs = -1;          // top log-probabilities; 0 = the sampled id's only, -1 = none
  uint64_t seed = 0;
  uint32_t output_idx = 0;      // index of this output token; part of the random number's counter
  uint32_t choice = 0;          // index among the request's n choices; part of the counter as well
  int32_t seq_slot = 0;         // row of token_ids
  int32_t n_prompt = 0;         // tokens of the prompt, at the start of that row
  int32_t n_known = 0;          // tokens in that row before this one: prompt and output
  int32_t min_tokens_left = 0;  // while > 0, the ids of this row in `banned` cannot be sampled
  int32_t banned_first = 0;     // index into SampleArgs::banned
  int32_t n_banned = 0;
};
inline constexpr int kMaxTopLogprobs = 20;

// What the rows of a sample() need, of all rows together. The rows are in device memory, so the
// host, which wrote them, passes it.
struct SampleNeeds {
  bool sorted_ids = false;  // a row has top-k or top-p
  bool logprobs = false;    // a row wants log-probabilities
  bool penalties = false;   // a row has penalties or banned ids
};

// Samples one token per row (docs/numerics.md section 5): penalties, temperature, min-p, top-k,
// top-p, draw; ties go to the lowest id. The token is written to ids[i] and to
// token_ids[seq_slot, n_known]. Log-probabilities are those of the raw logits.
struct SampleArgs {
  View logits;                        // [n_rows, vocab_size] f32; scratch afterwards
  const SamplingRow* rows = nullptr;  // [n_rows], in device memory
  View banned;        // [n_banned] i32: stop ids that are banned before min_tokens, of all rows
  SampleNeeds needs;  // of the rows
  View token_ids;     // [n_slots, max_model_len + 1] i32
  View ids;           // [n_rows] i32, out
  View logprobs;      // [n_rows] f32, out: log-probability of the sampled id
  View top_ids;       // [n_rows, kMaxTopLogprobs] i32, out
  View top_logprobs;  // [n_rows, kMaxTopLogprobs] f32, out
  View finite;        // [n_rows] u8, out: 0 = a logit of the row is NaN or Inf
};

// The instruction sets that a CPU stream can use. kReference runs kernels/reference/, the contract
// of docs/numerics.md in scalar code.
enum class Isa : uint8_t { kReference, kPortable, kAvx2, kAvx512Vnni };
const char* to_string(Isa isa);
// The instruction sets of this machine, slowest first. kReference and kPortable are always there.
std::span<const Isa> available_isas();
Isa best_isa();  // the last of available_isas()

// Stream: an in-order queue of ops and copies on one device, and the only way to run an op. One
// rank thread owns and uses it. A CPU stream runs each op on its own team of threads before
// launch() returns, and its copies are done when they return.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual const char* name() const = 0;  // "cpu/avx2"
  virtual void wait() = 0;               // blocks until all that is queued is done
  // The stream itself, for code that needs its type, where this one only decorates another.
  virtual Stream& innermost() { return *this; }

  virtual void copy_to_device(const CopyArgs& copy) = 0;
  virtual void copy_to_host(const CopyArgs& copy) = 0;
  virtual void fill(const FillArgs& args) = 0;
  virtual std::unique_ptr<Event> make_event() = 0;

  virtual void launch(const EmbedArgs&) = 0;
  virtual void launch(const RmsNormArgs&) = 0;
  virtual void launch(const HeadNormArgs&) = 0;
  virtual void launch(const QuantizeArgs&) = 0;
  virtual void launch(const LinearArgs&) = 0;
  virtual void launch(const AddRmsNormArgs&) = 0;
  virtual void launch(const RopeStoreArgs&) = 0;
  virtual void launch(const AttentionArgs&) = 0;
  virtual void launch(const SiluMulArgs&) = 0;
  virtual void launch(const GatherRowsArgs&) = 0;
  virtual void launch(const ConcatColumnsArgs&) = 0;
  virtual void launch(const ResolveTokensArgs&) = 0;
  virtual void launch(const CopyBlocksArgs&) = 0;
  virtual void launch(const FiniteRowsArgs&) = 0;
  virtual void launch(const SampleArgs&) = 0;
};

// The sizes of the largest ops that a stream will run. Its scratch is allocated for them once.
struct StreamLimits {
  int64_t max_tokens = 0;   // rows of attention
  int64_t max_dim = 0;      // values in a row of rms_norm, add_rms_norm and silu_mul
  int head_dim = 0;         // head_dim of attention
  int64_t max_samples = 0;  // rows of sample
  int64_t vocab_size = 0;   // values in a row of sample
};

struct CpuStreamOptions {
  Isa isa = best_isa();
  int n_threads = 1;  // threads of this stream, the calling thread included
  // Threads of all streams of the process. Idle threads spin if the machine has a processor for
  // each of them; otherwise they sleep.
  int n_threads_in_process = 1;
  StreamLimits limits;
  // [n_threads], the calling thread's first. A thread bumps its counter at every op and at every
  // band of work inside one. They must outlive the stream. Empty = progress is not reported.
  std::span<ProgressCounter> progress = {};
};

// CHECKs that the machine has the instruction set. Throws std::bad_alloc. The ledger must outlive
// the stream.
std::unique_ptr<Stream> make_cpu_stream(const CpuStreamOptions& options, MemoryLedger& ledger);

void embed(const EmbedArgs& args, Stream& stream);
void rms_norm(const RmsNormArgs& args, Stream& stream);
void head_norm(const HeadNormArgs& args, Stream& stream);
void quantize(const QuantizeArgs& args, Stream& stream);
void linear(const LinearArgs& args, Stream& stream);
void add_rms_norm(const AddRmsNormArgs& args, Stream& stream);
void rope_store(const RopeStoreArgs& args, Stream& stream);
void attention(const AttentionArgs& args, Stream& stream);
void silu_mul(const SiluMulArgs& args, Stream& stream);
void gather_rows(const GatherRowsArgs& args, Stream& stream);
void concat_columns(const ConcatColumnsArgs& args, Stream& stream);
void resolve_tokens(const ResolveTokensArgs& args, Stream& stream);
void copy_blocks(const CopyBlocksArgs& args, Stream& stream);
void finite_rows(const FiniteRowsArgs& args, Stream& stream);
void sample(const SampleArgs& args, Stream& stream);

}  // namespace lockstep
