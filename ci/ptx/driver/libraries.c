// What candle's binaries link besides the driver. Tensors need handles of cuBLAS and cuRAND to be made; kernels that are linked
// in are registered, and nothing launches them.
int succeed() { return 0; }
// CUBLAS_STATUS_NOT_SUPPORTED
int unsupported() { return 15; }
#define SUCCEEDS(name) int name() __attribute__((alias("succeed")));
#define UNSUPPORTED(name) int name() __attribute__((alias("unsupported")));
#if defined(CUBLAS)
SUCCEEDS(cublasCreate_v2) SUCCEEDS(cublasDestroy_v2) SUCCEEDS(cublasSetStream_v2)
UNSUPPORTED(cublasDgemmStridedBatched) UNSUPPORTED(cublasGemmStridedBatchedEx)
#elif defined(CURAND)
SUCCEEDS(curandCreateGenerator) SUCCEEDS(curandDestroyGenerator) SUCCEEDS(curandSetPseudoRandomGeneratorSeed)
SUCCEEDS(curandSetStream)
#elif defined(CUDART)
SUCCEEDS(__cudaRegisterFatBinary) SUCCEEDS(__cudaRegisterFatBinaryEnd) SUCCEEDS(__cudaRegisterFunction)
SUCCEEDS(__cudaRegisterVar) SUCCEEDS(__cudaUnregisterFatBinary)
UNSUPPORTED(__cudaGetKernel) UNSUPPORTED(__cudaLaunchKernel_ptsz) UNSUPPORTED(__cudaPopCallConfiguration)
UNSUPPORTED(__cudaPushCallConfiguration) UNSUPPORTED(cudaFuncSetAttribute) UNSUPPORTED(cudaGetDevice)
#endif
