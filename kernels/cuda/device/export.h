// LOCKSTEP_EXPORT: what liblockstep_cuda.so shows; everything else in it is hidden.
#pragma once

#define LOCKSTEP_EXPORT extern "C" __attribute__((visibility("default")))
