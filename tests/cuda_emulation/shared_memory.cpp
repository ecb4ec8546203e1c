#include "tests/cuda_emulation/shared_memory.h"

#include <link.h>

#include <cstdint>

// The bounds of the section, by the linker: of the image that each thread's variables are copied
// from. Absent in a program without such variables.
extern "C" __attribute__((weak, visibility("hidden"))) char __start_cuda_shared[];
extern "C" __attribute__((weak, visibility("hidden"))) char __stop_cuda_shared[];

namespace lockstep::cuda_emulation {
namespace {

struct Search {
  uintptr_t image = 0;         // what is looked for
  std::byte* found = nullptr;  // the calling thread's copy
};

// Called for each loaded program and library, until it returns other than 0.
int look_in(dl_phdr_info* loaded, size_t /*size*/, void* search_ptr) {
  auto& search = *static_cast<Search*>(search_ptr);
  for (int i = 0; i < loaded->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = loaded->dlpi_phdr[i];
    if (segment.p_type != PT_TLS) continue;
    const uintptr_t begin = loaded->dlpi_addr + segment.p_vaddr;
    if (search.image < begin || search.image >= begin + segment.p_memsz) continue;
    search.found = static_cast<std::byte*>(loaded->dlpi_tls_data) + (search.image - begin);
    return 1;
  }
  return 0;
}

// A library's thread-local variables exist once a thread has used one of them.
thread_local std::byte* of_this_thread = nullptr;

}  // namespace

std::span<std::byte> shared_memory() {
  if (of_this_thread == nullptr) {
    Search search{.image = reinterpret_cast<uintptr_t>(__start_cuda_shared)};
    if (search.image == 0) return {};
    dl_iterate_phdr(look_in, &search);
    of_this_thread = search.found;
  }
  return {of_this_thread, static_cast<size_t>(__stop_cuda_shared - __start_cuda_shared)};
}

}  // namespace lockstep::cuda_emulation
