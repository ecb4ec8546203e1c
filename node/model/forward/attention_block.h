// AttentionBlock: the first half of a layer on one rank. It reads ws.normed and ends with the
// residual and its norm for the second half:
//
//   qkv, norm of the heads of q and k (if the model has it), check of k and v, copies of blocks,
//   rope and store, attention | o, + norm
//
// "+" is RankPass::exchange(). A caller may choose rows between the two parts. Used on the
// rank's thread.
#pragma once

#include "node/model/forward/rank_pass.h"

namespace lockstep {

class AttentionBlock {
 public:
  // `pass` must outlive the object.
  explicit AttentionBlock(RankPass& pass);

  int64_t attended_dim() const { return attended_dim_; }  // this rank's query heads, side by side
  // Stores the keys and values of the step's tokens and writes ws.attended, unless `only_store`.
  void attend(int layer, bool only_store);
  // Adds the projection of `attended` [n, attended_dim()] to `residual` [n, hidden_dim].
  CommResult project(int layer, const View& attended, const View& residual);

 private:
  void norm_heads(const LayerWeights& weights, const View& q, const View& k);

  RankPass& pass_;
  // constant after construction
  const int64_t head_dim_;
  const int64_t attended_dim_;
  const int64_t kv_dim_;
  const int64_t row_stride_;  // of ws.qkv: q, k and v of a token side by side
  const float scale_;
  const View unrotated_;  // the rope table of a layer that rotates nothing
  const Tree tree_;
};

}  // namespace lockstep
