// Numbers that parsers of lengths and offsets often handle wrongly.
#pragma once

#include <cstdint>

namespace lockstep::testing {

inline constexpr uint64_t kHardNumbers[] = {0,
                                            1,
                                            0x7f,
                                            0xff,
                                            0x7fffffff,
                                            0x80000000,
                                            0xffffffff,
                                            uint64_t{1} << 32,
                                            uint64_t{1} << 61,
                                            uint64_t{1} << 63,
                                            ~uint64_t{0},
                                            ~uint64_t{0} - 31};

}  // namespace lockstep::testing
