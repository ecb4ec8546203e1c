// Deals the leaves of a model to the ranks of a tensor-parallel group.
#include "parallel/shard_plan.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "common/log.h"
#include "common/units.h"
#include "kernels/layout/packed_weights.h"

namespace lockstep {

namespace {

using Cut = std::vector<int>;  // leaves per rank, in rank order

// Whether a run of query heads shares its KV heads evenly, as the ops require (they take one group
// size). The run must lie inside one KV group, or take equally many heads of each group it touches.
bool shares_kv_evenly(const ModelShape& shape, int first_head, int n_heads) {
  const int group = shape.n_heads / shape.n_kv_heads;
  const int n_kv = (first_head + n_heads - 1) / group - first_head / group + 1;
  if (n_heads % n_kv != 0) return false;
  const int heads_per_kv = n_heads / n_kv;
  for (int h = 0; h < n_heads; ++h) {
    if ((first_head + h) / group != first_head / group + h / heads_per_kv) return false;
  }
  return true;
}

// Calls visit(cut) for every way to cut n_leaves into n_ranks runs, at most C(7, 3) = 35 of them.
// Cuts with larger runs for the first ranks come first.
void for_each_cut(int n_leaves, int n_ranks, Cut& cut,
                  const std::function<void(const Cut&)>& visit) {
  if (n_ranks == 1) {
    cut.push_back(n_leaves);
    visit(cut);
    cut.pop_back();
    return;
  }
  for (int n = n_leaves - n_ranks + 1; n >= 1; --n) {
    cut.push_back(n);
    for_each_cut(n_leaves - n, n_ranks - 1, cut, visit);
    cut.pop_back();
  }
}

// The legal cut whose largest run is smallest; of those, the one that gives the first ranks most.
template <class IsLegal>
Cut best_cut(int n_leaves, int n_ranks, IsLegal is_legal) {
  Cut best;
  Cut scratch;
  for_each_cut(n_leaves, n_ranks, scratch, [&](const Cut& cut) {
    if (!is_legal(cut)) return;
    if (best.empty() ||
        *std::max_element(cut.begin(), cut.end()) < *std::max_element(best.begin(), best.end())) {
      best = cut;
    }
  });
  CHECK(!best.empty());  // whole KV groups, or runs inside one, are always legal
  return best;
}

Cut attention_cut(const ModelShape& shape, int n_leaves, int n_ranks) {
  const int heads_per_leaf = shape.n_heads / n_leaves;
  return best_cut(n_leaves, n_ranks, [&](const Cut& cut) {
    int first = 0;
    for (int n : cut) {
      if (!shares_kv_evenly(shape, first * heads_per_leaf, n * heads_per_leaf)) return false;
      first += n;
    }
    return true;
  });
}

Cut ffn_cut(int n_leaves, int n_ranks) {
  return best_cut(n_leaves, n_ranks, [](const Cut&) { return true; });
}

int max_subtrees(const std::vector<RankShard>& ranks, LeafRange RankShard::*part) {
  size_t n = 1;
  for (const RankShard& rank : ranks) n = std::max(n, owned_subtrees(rank.*part).size());
  return static_cast<int>(n);
}

std::vector<Subtree> layout(const std::vector<RankShard>& ranks, LeafRange RankShard::*part,
                            int n_padded) {
  std::vector<Subtree> all;
  for (const RankShard& rank : ranks) {
    std::vector<Subtree> mine = owned_subtrees(rank.*part);
    mine.resize(static_cast<size_t>(n_padded));
    all.insert(all.end(), mine.begin(), mine.end());
  }
  return all;
}

std::optional<Error> find_fault(const ModelShape& shape, int n_ranks) {
  const auto fault = [](std::string message) {
    return Error{ErrorCode::kModelLoadFailed, std::move(message), ""};
  };
  if (n_ranks < 1) return fault(str("a group needs at least 1 rank, not ", n_ranks));
  if (shape.hidden_dim < 1 || shape.n_heads < 1 || shape.n_kv_heads < 1 || shape.head_dim < 1 ||
      shape.ffn_dim < 1 || shape.vocab_size < 1) {
    return fault("the model's shape has a dimension below 1");
  }
  if (shape.n_heads % shape.n_kv_heads != 0) {
    return fault(str(shape.n_heads, " query heads cannot share ", shape.n_kv_heads, " KV heads"));
  }
  const int n_leaves = std::min(n_attention_leaves(shape), n_ffn_leaves(shape));
  if (n_ranks > n_leaves) {
    return fault(str("tensor parallel over ", n_ranks, " ranks: this model has ",
                     n_attention_leaves(shape), " attention and ", n_ffn_leaves(shape),
                     " FFN leaves, so at most ", n_leaves, " ranks"));
  }
  const int64_t n_panels = ceil_div(shape.vocab_size, kPanelRows);
  if (n_ranks > n_panels) {
    return fault(str("tensor parallel over ", n_ranks, " ranks: a vocabulary of ", shape.vocab_size,
                     " has only ", n_panels, " tiles of ", kPanelRows, " rows"));
  }
  return std::nullopt;
}

}  // namespace

int n_attention_leaves(const ModelShape& shape) {
  const int group = shape.n_heads / shape.n_kv_heads;
  for (int n = kMaxLeaves; n > 1; --n) {
    if (shape.n_heads % n != 0) continue;
    const int run = shape.n_heads / n;
    if (run * shape.head_dim % kBlockLen != 0) continue;
    if (group % run == 0 || run % group == 0) return n;
  }
  return 1;
}

int n_ffn_leaves(const ModelShape& shape) {
  if (shape.ffn_dim % kBlockLen != 0) return 1;
  const int64_t n_blocks = shape.ffn_dim / kBlockLen;
  for (int n = kMaxLeaves; n > 1; --n) {
    if (n_blocks % n == 0) return n;
  }
  return 1;
}

std::vector<Subtree> ShardPlan::attention_layout() const {
  return layout(ranks, &RankShard::attention, max_attention_subtrees);
}

std::vector<Subtree> ShardPlan::ffn_layout() const {
  return layout(ranks, &RankShard::ffn, max_ffn_subtrees);
}

Result<ShardPlan> make_shard_plan(const ModelShape& shape, int n_ranks) {
  if (auto fault = find_fault(shape, n_ranks)) return *fault;
  const int n_attention = n_attention_leaves(shape);
  const int n_ffn = n_ffn_leaves(shape);
  const int heads_per_leaf = shape.n_heads / n_attention;
  const int group = shape.n_heads / shape.n_kv_heads;
  const int64_t ffn_per_leaf = shape.ffn_dim / n_ffn;
  const int64_t n_panels = ceil_div(shape.vocab_size, kPanelRows);
  const Cut attention = attention_cut(shape, n_attention, n_ranks);
  const Cut ffn = ffn_cut(n_ffn, n_ranks);

  ShardPlan plan;
  plan.shape = shape;
  RankShard next;  // its `first` fields are those of the next rank
  for (int r = 0; r < n_ranks; ++r) {
    RankShard rank = next;
    rank.attention = {n_attention, next.attention.first, attention[static_cast<size_t>(r)]};
    rank.first_head = rank.attention.first * heads_per_leaf;
    rank.n_heads = rank.attention.n * heads_per_leaf;
    rank.first_kv_head = rank.first_head / group;
    rank.n_kv_heads = (rank.first_head + rank.n_heads - 1) / group - rank.first_kv_head + 1;
    rank.ffn = {n_ffn, next.ffn.first, ffn[static_cast<size_t>(r)]};
    rank.first_ffn = rank.ffn.first * ffn_per_leaf;
    rank.n_ffn = rank.ffn.n * ffn_per_leaf;
    // Whole panels of rows, so that the packed rows of a rank are whole panels too.
    rank.first_vocab = r * n_panels / n_ranks * kPanelRows;
    rank.n_vocab =
        std::min((r + 1) * n_panels / n_ranks * kPanelRows, shape.vocab_size) - rank.first_vocab;
    plan.max_vocab = std::max(plan.max_vocab, rank.n_vocab);
    next.attention.first += rank.attention.n;
    next.ffn.first += rank.ffn.n;
    plan.ranks.push_back(rank);
  }
  plan.max_attention_subtrees = max_subtrees(plan.ranks, &RankShard::attention);
  plan.max_ffn_subtrees = max_subtrees(plan.ranks, &RankShard::ffn);
  return plan;
}

}  // namespace lockstep
