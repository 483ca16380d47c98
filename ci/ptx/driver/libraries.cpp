// What candle's binaries link besides the driver, one library at a time: matrix products, random numbers, and nothing of the CUDA
// runtime, whose kernels candle links in and neither this crate's tests nor its examples launch.

#include <cstdint>
#include <random>
#include <vector>

#include "half.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

// The driver's: these bytes of device memory, or null after a report.
extern "C" uint8_t *emulated_bytes(uint64_t address, uint64_t bytes, bool write);

static int succeed() { return 0; }
static int unsupported() { return 15; }
#define SUCCEEDS(name) EXPORT int name() { return succeed(); }
#define UNSUPPORTED(name) EXPORT int name() { return unsupported(); }

#if defined(CUBLAS)
#include <library_types.h>

SUCCEEDS(cublasCreate_v2)
SUCCEEDS(cublasDestroy_v2)
SUCCEEDS(cublasSetStream_v2)

namespace {

struct Matrix {
    uint64_t address;
    cudaDataType type;
    int leading;
    long long stride;
};

uint64_t size_of(cudaDataType type) { return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2; }

double value(const uint8_t *at, cudaDataType type) {
    uint16_t half;
    float single;
    double twice;
    switch (type) {
        case CUDA_R_16F: std::memcpy(&half, at, 2); return float_of_f16(half);
        case CUDA_R_16BF: std::memcpy(&half, at, 2); return float_of_bf16(half);
        case CUDA_R_32F: std::memcpy(&single, at, 4); return single;
        default: std::memcpy(&twice, at, 8); return twice;
    }
}

void set(uint8_t *at, cudaDataType type, double v) {
    float single = float(v);
    uint16_t half = type == CUDA_R_16F ? f16_of(single) : bf16_of(single);
    switch (type) {
        case CUDA_R_16F:
        case CUDA_R_16BF: std::memcpy(at, &half, 2); return;
        case CUDA_R_32F: std::memcpy(at, &single, 4); return;
        default: std::memcpy(at, &v, 8);
    }
}

// rows × columns in column-major order, of matrix number `batch`; transposed, from columns × rows.
bool read(const Matrix &m, int batch, bool transposed, int rows, int columns, std::vector<double> &to) {
    uint64_t size = size_of(m.type);
    uint64_t elements = transposed ? uint64_t(m.leading) * (rows - 1) + columns : uint64_t(m.leading) * (columns - 1) + rows;
    const uint8_t *bytes = emulated_bytes(m.address + batch * m.stride * size, elements * size, false);
    if (!bytes) return false;
    to.resize(uint64_t(rows) * columns);
    for (int column = 0; column < columns; ++column) {
        for (int row = 0; row < rows; ++row) {
            uint64_t at = transposed ? column + uint64_t(m.leading) * row : row + uint64_t(m.leading) * column;
            to[row + uint64_t(rows) * column] = value(bytes + at * size, m.type);
        }
    }
    return true;
}

// C = alpha·A·B in f64, of what is rounded to the type of C; beta has to be 0, as candle has it.
int multiply(bool transpose_a, bool transpose_b, int m, int n, int k, double alpha, Matrix a, Matrix b, double beta,
             Matrix c, int batches) {
    if (beta != 0.0) return unsupported();
    std::vector<double> left, right, out(m);
    uint64_t size = size_of(c.type);
    for (int batch = 0; batch < batches; ++batch) {
        uint64_t elements = uint64_t(c.leading) * (n - 1) + m;
        uint8_t *to = emulated_bytes(c.address + batch * c.stride * size, elements * size, true);
        if (!to || !read(a, batch, transpose_a, m, k, left) || !read(b, batch, transpose_b, k, n, right)) return unsupported();
        for (int column = 0; column < n; ++column) {
            std::fill(out.begin(), out.end(), 0.0);
            for (int i = 0; i < k; ++i) {
                double factor = right[i + uint64_t(k) * column];
                for (int row = 0; row < m; ++row) out[row] += left[row + uint64_t(m) * i] * factor;
            }
            for (int row = 0; row < m; ++row) set(to + (row + uint64_t(c.leading) * column) * size, c.type, alpha * out[row]);
        }
    }
    return 0;
}

}  // namespace

EXPORT int cublasGemmStridedBatchedEx(void *, int transpose_a, int transpose_b, int m, int n, int k, const void *alpha,
                                      uint64_t a, cudaDataType a_type, int lda, long long stride_a, uint64_t b,
                                      cudaDataType b_type, int ldb, long long stride_b, const void *beta, uint64_t c,
                                      cudaDataType c_type, int ldc, long long stride_c, int batches, int compute, int) {
    // CUBLAS_COMPUTE_16F takes its factors in f16, CUBLAS_COMPUTE_64F in f64, all others in f32.
    cudaDataType type = compute == 64 ? CUDA_R_16F : compute == 70 ? CUDA_R_64F : CUDA_R_32F;
    auto factor = [&](const void *at) { return value(static_cast<const uint8_t *>(at), type); };
    return multiply(transpose_a, transpose_b, m, n, k, factor(alpha), {a, a_type, lda, stride_a},
                    {b, b_type, ldb, stride_b}, factor(beta), {c, c_type, ldc, stride_c}, batches);
}
EXPORT int cublasDgemmStridedBatched(void *, int transpose_a, int transpose_b, int m, int n, int k, const double *alpha,
                                     uint64_t a, int lda, long long stride_a, uint64_t b, int ldb, long long stride_b,
                                     const double *beta, uint64_t c, int ldc, long long stride_c, int batches) {
    return multiply(transpose_a, transpose_b, m, n, k, *alpha, {a, CUDA_R_64F, lda, stride_a},
                    {b, CUDA_R_64F, ldb, stride_b}, *beta, {c, CUDA_R_64F, ldc, stride_c}, batches);
}

#elif defined(CURAND)
SUCCEEDS(curandCreateGenerator)
SUCCEEDS(curandDestroyGenerator)
SUCCEEDS(curandSetPseudoRandomGeneratorSeed)
SUCCEEDS(curandSetStream)

template <typename T, typename Distribution> static int generate(uint64_t to, size_t n, Distribution distribution) {
    static std::mt19937_64 random;
    uint8_t *bytes = emulated_bytes(to, n * sizeof(T), true);
    if (!bytes) return unsupported();
    for (size_t i = 0; i < n; ++i) {
        T value = T(distribution(random));
        std::memcpy(bytes + i * sizeof(T), &value, sizeof(T));
    }
    return 0;
}

#define GENERATES(T, name)                                                                                    \
    EXPORT int curandGenerateNormal##name(void *, uint64_t to, size_t n, T mean, T deviation) {               \
        return generate<T>(to, n, std::normal_distribution<T>(mean, deviation));                              \
    }                                                                                                         \
    EXPORT int curandGenerateUniform##name(void *, uint64_t to, size_t n) {                                   \
        return generate<T>(to, n, std::uniform_real_distribution<T>(0, 1));                                   \
    }
GENERATES(float, )
GENERATES(double, Double)

#elif defined(CUDART)
SUCCEEDS(__cudaRegisterFatBinary)
SUCCEEDS(__cudaRegisterFatBinaryEnd)
SUCCEEDS(__cudaRegisterFunction)
SUCCEEDS(__cudaRegisterVar)
SUCCEEDS(__cudaUnregisterFatBinary)
UNSUPPORTED(__cudaGetKernel)
UNSUPPORTED(__cudaLaunchKernel_ptsz)
UNSUPPORTED(__cudaPopCallConfiguration)
UNSUPPORTED(__cudaPushCallConfiguration)
UNSUPPORTED(cudaDeviceGetAttribute)
UNSUPPORTED(cudaFree)
UNSUPPORTED(cudaFreeAsync_ptsz)
UNSUPPORTED(cudaFuncGetAttributes)
UNSUPPORTED(cudaFuncSetAttribute)
UNSUPPORTED(cudaGetDevice)
UNSUPPORTED(cudaGetDeviceCount)
UNSUPPORTED(cudaGetErrorName)
UNSUPPORTED(cudaGetErrorString)
UNSUPPORTED(cudaGetLastError)
UNSUPPORTED(cudaMalloc)
UNSUPPORTED(cudaMallocAsync_ptsz)
UNSUPPORTED(cudaMemsetAsync_ptsz)
UNSUPPORTED(cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags)
UNSUPPORTED(cudaPeekAtLastError)
UNSUPPORTED(cudaSetDevice)
UNSUPPORTED(cudaStreamSynchronize_ptsz)
#endif
