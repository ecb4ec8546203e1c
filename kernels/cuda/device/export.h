// LOCKSTEP_EXPORT marks the symbols that liblockstep_cuda.so exports; all others are hidden.
#pragma once

#define LOCKSTEP_EXPORT extern "C" __attribute__((visibility("default")))
