// A shared library that looks like a CUDA module of another build.
extern "C" const char* lockstep_cuda_abi() { return "foreign"; }
