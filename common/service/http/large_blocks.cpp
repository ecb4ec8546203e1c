#include "common/service/http/large_blocks.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace lockstep {

void give_back_large_blocks() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, static_cast<int>(kLargeBlockBytes));
#endif
}

}  // namespace lockstep
