// As much of cuBLAS as candle calls: handles, and products of matrices.

#include <library_types.h>

#include <vector>

#include "library.h"

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
    int others = transposed ? rows : columns, along = transposed ? columns : rows;
    uint64_t elements = uint64_t(m.leading) * (others - 1) + along;
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
    if (beta != 0.0) return UNSUPPORTED;
    std::vector<double> left, right, out(m);
    uint64_t size = size_of(c.type);
    for (int batch = 0; batch < batches; ++batch) {
        uint64_t elements = uint64_t(c.leading) * (n - 1) + m;
        uint8_t *to = emulated_bytes(c.address + batch * c.stride * size, elements * size, true);
        if (!to || !read(a, batch, transpose_a, m, k, left)) return UNSUPPORTED;
        if (!read(b, batch, transpose_b, k, n, right)) return UNSUPPORTED;
        for (int column = 0; column < n; ++column) {
            std::fill(out.begin(), out.end(), 0.0);
            for (int i = 0; i < k; ++i) {
                double factor = right[i + uint64_t(k) * column];
                for (int row = 0; row < m; ++row) out[row] += left[row + uint64_t(m) * i] * factor;
            }
            uint8_t *at = to + uint64_t(c.leading) * column * size;
            for (int row = 0; row < m; ++row) set(at + row * size, c.type, alpha * out[row]);
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
