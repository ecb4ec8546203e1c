// FfnBlock: the second half of a layer on one rank, a gated feed-forward network. It reads
// ws.normed and ends with the residual and its norm for the next layer or the output head:
//
//   gate and up, silu, down, + norm
//
// "+" is RankPass::exchange(). Used on the rank's thread.
#pragma once

#include "node/model/forward/rank_pass.h"

namespace lockstep {

class FfnBlock {
 public:
  // `pass` must outlive the object.
  explicit FfnBlock(RankPass& pass);

  // residual: [n, hidden_dim]. next_norm: [hidden_dim], the weights of the norm behind this layer.
  CommResult run(int layer, const View& residual, const View& next_norm);

 private:
  RankPass& pass_;
  const Tree tree_;  // constant after construction
};

}  // namespace lockstep
