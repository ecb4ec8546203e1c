// Continuing after cached tokens gives the logits of one pass over all tokens. The cached tokens
// end before, at and after the border of a block; the new ones are one and several blocks.
#include "tests/bits/tiny_models.h"
#include "tests/support/equal_bits.h"

namespace lockstep::testing {
namespace {

TEST(Continue, TheLastRowIsThatOfOnePassOverAll) {
  for (const NamedSpec& model : all_specs()) {
    const FakeModelFile file(model.spec);
    for (int n_ranks : {1, 2}) {
      for (int32_t block_size : {1, 16}) {
        ModelRunner runner(file, {.n_ranks = n_ranks, .block_size = block_size});
        for (int n_past : {1, 15, 16, 17, 33}) {
          for (int n_new : {2, 3, 16, 17}) {
            const Ids tokens = random_prompt(n_past + n_new, model.spec.shape.vocab_size, 12);
            EXPECT_TRUE(
                equal_bits(runner.last_logits(tokens, 0), runner.last_logits(tokens, n_past)))
                << model.name << ", ranks " << n_ranks << ", block " << block_size << ", past "
                << n_past << ", new " << n_new;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::testing
