// A CUDA module as it is built where there is no nccl.h, reduced to what tells it apart.
extern "C" const char* lockstep_cuda_abi() { return LOCKSTEP_CUDA_ABI; }
