// ops.h: the only API of kernels/. One argument struct and one function per op; the shapes are
// checked here, at the door, and the Stream's back end does the work. Ops return nothing to the
// host: results, sampled tokens included, are written to device Views.
//
// Every floating-point order is fixed by docs/numerics.md; back ends differ in speed, not in bits.
// Symbols: n_tokens rows of one step, hidden_dim, n_heads, n_kv_heads, head_dim, vocab_size.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "common/threads/progress.h"
#include "kernels/layout/leaves.h"
#include "kernels/layout/packed_weights.h"
#include "kernels/view.h"

namespace lockstep {

class MemoryLedger;

// Activations quantised per 32 values: x ~ scale * q.
struct QuantizedActs {
  View q;      // [n_tokens, k] u8 storage of int8, -127..127
  View scale;  // [n_tokens, k / 32] f32
  View sum;    // [n_tokens, k / 32] f32: scale * (sum of q), what a weight's minimum multiplies
  View q_sum;  // [n_tokens, k / 32] i32: sum of q
};

// What a linear op reads: exactly one of the two is set, by the weight's type.
struct Acts {
  View f32{};  // [n_tokens, k]
  QuantizedActs quantized{};
};

// out[t] = rows of `table` named by ids[t]; ids outside [first_row, first_row + table.n_rows) give
// a zero row. Dequantised values times `scale`, plus +0.0 (so that adding the zero rows of the
// other ranks changes no bit).
struct EmbedArgs {
  View ids;             // [n_tokens] i32
  PackedWeights table;  // this rank's rows of the vocabulary, k = hidden_dim
  int64_t first_row = 0;
  float scale = 1.0f;
  View out;  // [n_tokens, hidden_dim] f32
};

// y = x / sqrt(mean(x^2) + eps) * weight, to f32 and/or quantised (whichever outputs are set).
struct RmsNormArgs {
  View x;       // [n_tokens, dim] f32
  View weight;  // [dim] f32
  float eps = 1e-5f;
  Acts out;
};

// Quantises x per 32 values.
struct QuantizeArgs {
  View x;  // [n_tokens, k] f32
  QuantizedActs out;
};

// y = x W^T (+ bias), one partial sum per subtree this rank owns (one subtree: the whole sum).
struct LinearArgs {
  Acts x;
  PackedWeights weights;
  View bias{};  // [n_rows] f32, optional; only with one subtree that is the whole tree
  View out;     // [n_subtrees, n_tokens, n_rows] f32; row_stride may exceed n_tokens * n_rows
  int64_t out_token_stride = 0;  // elements from token to token; 0 = n_rows
};

// What add_rms_norm begins with: residual[t] += the tree over every rank's partials. Partial (rank
// r, subtree s) lies at index r * max_subtrees + s, as the all-gather laid them out.
struct AddPartialsArgs {
  View partials;                    // [n_ranks * max_subtrees, n_tokens, dim] f32
  std::span<const Subtree> layout;  // [n_ranks * max_subtrees], n == 0 marks padding
  int n_leaves = 1;                 // of the whole tree
  View bias{};                      // [dim] f32, optional; added to the sum, before the residual
  View residual;                    // [n_tokens, dim] f32, in and out
};

// The end of one matrix of the residual stream and the beginning of the next, in one pass over a
// row: the partials join the residual, and out = rms_norm of what it has become.
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

// The paged KV cache of one layer on one rank. Blocks are `block_bytes` apart in every layer.
// Inside a block the layout belongs to the back end (kv_layout.h has the one in use).
struct KvPages {
  std::byte* data = nullptr;  // of this layer
  DType dtype = DType::kF16;
  int64_t n_blocks = 0;
  int64_t block_bytes = 0;  // of this layer's K and V of one block
  int block_size = 16;      // tokens
  int n_kv_heads = 1;       // of this rank
  int head_dim = 0;
};

// Rotates q in place; rotates k, rounds k and v to the KV dtype and writes both to their pages.
struct RopeStoreArgs {
  View q;          // [n_tokens, n_heads, head_dim] f32, rows may be strided
  View k;          // [n_tokens, n_kv_heads, head_dim] f32, rows may be strided
  View v;          // [n_tokens, n_kv_heads, head_dim] f32, rows may be strided
  View positions;  // [n_tokens] i32, absolute
  View slots;      // [n_tokens] i32: block id * block_size + offset in block
  View cos_sin;    // [max_positions, n_rot / 2, 2] f32; n_rot <= head_dim, the rest passes through
  RopeStyle style = RopeStyle::kNeighbours;
  KvPages kv;
};

// Causal attention of each row over positions [0, positions[t]] of its sequence.
struct AttentionArgs {
  View q;  // [n_tokens, n_heads, head_dim] f32, rows may be strided
  KvPages kv;
  View positions;     // [n_tokens] i32
  View seq_of_token;  // [n_tokens] i32: row of block_tables; tokens of one sequence are adjacent
  View block_tables;  // [n_seqs, max_blocks_per_seq] i32
  float scale = 1.0f;
  int64_t window = 0;  // 0 = all; else keys with position > positions[t] - window
  View out;            // [n_tokens, n_heads * head_dim] f32
};

// out = silu(gate) * up, to f32 and/or quantised.
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

// Puts the ranks' slices of the logits side by side: out[t] = parts[0][t][:n_cols[0]] |
// parts[1][t]…
struct ConcatColumnsArgs {
  View parts;                       // [n_ranks, n_rows, max_cols] f32
  std::span<const int64_t> n_cols;  // [n_ranks]
  View out;                         // [n_rows, sum of n_cols] f32
};

// tokens[i] = ids[i] if >= 0, else token_ids[slot[i], position[i]] (a token sampled by an earlier
// step that the host has not seen yet). Known ids are written to the token_ids.
struct ResolveTokensArgs {
  View ids;        // [n_tokens] i32, -1 = from the token_ids
  View slots;      // [n_tokens] i32, rows of token_ids
  View positions;  // [n_tokens] i32
  View token_ids;  // [n_slots, max_model_len + 1] i32, in and out
  View tokens;     // [n_tokens] i32
};

// Copies whole KV blocks of one layer: block to[i] becomes what block from[i] is, in order of i.
struct CopyBlocksArgs {
  KvPages kv;
  View from;  // [n] i32
  View to;    // [n] i32
};

// finite[t] = 0 where row t holds a NaN, an Inf, or a value whose magnitude is not below `limit`;
// elsewhere finite[t] stays what it is. So one flag can be asked of several ops.
struct FiniteRowsArgs {
  View x;              // [n_rows, dim] f32, rows may be strided
  float limit = 0.0f;  // above 0
  View finite;         // [n_rows] u8, in and out
};

// How one row is sampled. Plain data: it travels inside a StepPlan.
struct SamplingRow {
  float temperature = 1.0f;  // 0 = greedy
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;  // over prompt and output
  float presence_penalty = 0.0f;    // over output
  float frequency_penalty = 0.0f;   // over output
  int32_t top_k = 0;                // 0 = off
  int32_t n_logprobs = -1;          // top log-probabilities wanted; -1 = none at all
  uint64_t seed = 0;
  uint32_t output_idx = 0;      // index of this output token, keys the random numbers
  uint32_t choice = 0;          // of the request's n, keys the random numbers
  int32_t slot = 0;             // row of token_ids
  int32_t n_prompt = 0;         // tokens of token_ids that are the prompt
  int32_t n_known = 0;          // tokens of token_ids in all, before this one
  int32_t min_tokens_left = 0;  // > 0 bans the ids in `banned`
  int32_t banned_first = 0;     // into SampleArgs::banned
  int32_t n_banned = 0;
};
inline constexpr int kMaxTopLogprobs = 20;

// One token per row: penalties, temperature, min-p, top-k, top-p, draw; ties to the lowest id.
// The new token is written to token_ids[slot, n_known]. Log-probabilities are of the raw logits.
struct SampleArgs {
  View logits;                        // [n_rows, vocab_size] f32; scratch afterwards
  std::span<const SamplingRow> rows;  // [n_rows]
  std::span<const int32_t> banned;    // stop ids not allowed before min_tokens
  View token_ids;                     // [n_slots, max_model_len + 1] i32
  View ids;                           // [n_rows] i32, out
  View logprobs;                      // [n_rows] f32, out: of the sampled id
  View top_ids;                       // [n_rows, kMaxTopLogprobs] i32, out
  View top_logprobs;                  // [n_rows, kMaxTopLogprobs] f32, out
  View finite;                        // [n_rows] u8, out: 0 = a logit was NaN or Inf
  std::span<std::byte> scratch;       // sample_scratch_bytes(vocab_size)
};
int64_t sample_scratch_bytes(int64_t vocab_size);

// The instruction sets a CPU stream can run with. kReference is the contract in scalar code.
enum class Isa : uint8_t { kReference, kPortable, kAvx2, kAvx512Vnni };
const char* to_string(Isa isa);
// Those this machine has, slowest first; kReference and kPortable always.
std::span<const Isa> available_isas();
Isa best_isa();

// Stream: an in-order queue of ops on one device, and the only way to run them. Owned and used by
// one rank thread. A CPU stream runs each op before it returns, over its own team of threads.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual const char* name() const = 0;  // "cpu/avx2"
  virtual void wait() = 0;               // until all launched ops are done

  virtual void launch(const EmbedArgs&) = 0;
  virtual void launch(const RmsNormArgs&) = 0;
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

// The largest ops a stream will be given; its scratch is sized for them once.
struct StreamLimits {
  int64_t max_tokens = 0;  // rows of attention
  int64_t max_dim = 0;     // values in a row of rms_norm and silu_mul
  int head_dim = 0;        // of attention
};

struct CpuStreamOptions {
  Isa isa = best_isa();
  int n_threads = 1;             // of this stream, the calling thread included
  int n_threads_in_process = 1;  // of all streams; threads spin while there are processors for them
  StreamLimits limits;
  // [n_threads], the calling thread's first; bumped at every op and every band of work inside one.
  // Must outlive the stream. Empty: nobody asks.
  std::span<ProgressCounter> progress = {};
};

// CHECKs that the machine has the instruction set. Throws std::bad_alloc; ledger must outlive it.
std::unique_ptr<Stream> make_cpu_stream(const CpuStreamOptions& options, MemoryLedger& ledger);

void embed(const EmbedArgs& args, Stream& stream);
void rms_norm(const RmsNormArgs& args, Stream& stream);
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
