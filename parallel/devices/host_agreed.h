// make_host_agreed: communicators of ranks that are threads of this process, each with a GPU. The
// values of Views go from GPU to GPU; those of agree(), all_true() and barrier() stay in host
// memory, so that none of them waits for a stream.
#pragma once

#include "parallel/communicator.h"

namespace lockstep {

// gpus, host: [n_ranks], by rank.
std::vector<std::unique_ptr<Communicator>> make_host_agreed(
    std::vector<std::unique_ptr<Communicator>> gpus,
    std::vector<std::unique_ptr<Communicator>> host);

}  // namespace lockstep
