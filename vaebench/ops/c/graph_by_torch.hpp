/* What a compiled graph says of tensors, for one that calls operations of PyTorch: there, a tensor is
   a handle of PyTorch. Otherwise as graph_by_memory.hpp. */

#include <array>
#include <torch/csrc/inductor/aoti_runtime/utils.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>

extern "C" void vaebench_products(int64_t, int64_t, int64_t, int64_t, const int64_t *, const float *,
                                  const float *, float *);

namespace graph {

using namespace torch::aot_inductor;
using DeviceStreamType = void *;

struct Shape {
    int64_t dims;
    const int64_t *sizes, *strides;
    int64_t item;
    int32_t type; /* PyTorch's number for it */
};

inline AtenTensorHandle tensor_at(const void *at, const Shape &shape) {
    AtenTensorHandle h = nullptr;
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_create_tensor_from_blob(
        const_cast<void *>(at), shape.dims, shape.sizes, shape.strides, 0, shape.type, 0, 0, &h));
    return h;
}
inline void *numbers_of(AtenTensorHandle h) { return get_data_ptr_wrapper(h); }
inline void *kept_of(AtenTensorHandle h) { return h; }
inline void let_go(void *handle) { aoti_torch_delete_tensor_object(static_cast<AtenTensorHandle>(handle)); }

/* Operations of PyTorch record no gradients within it. */
struct Guard {
    bool before = aoti_torch_grad_mode_is_enabled();
    Guard() { aoti_torch_grad_mode_set_enabled(false); }
    ~Guard() { aoti_torch_grad_mode_set_enabled(before); }
};

inline AOTITorchError aoti_torch_cpu_product(AtenTensorHandle a, AtenTensorHandle b, AtenTensorHandle *result) {
    int64_t *of_a, *of_b, *from_a, *from_b;
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_get_sizes(a, &of_a));
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_get_sizes(b, &of_b));
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_get_strides(a, &from_a));
    AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_get_strides(b, &from_b));
    int64_t S = of_a[0], M = of_a[1], K = of_a[2], N = of_b[2];
    int64_t sizes[] = {S, M, N}, strides[] = {M * N, N, 1};
    AOTI_TORCH_ERROR_CODE_CHECK(
        aoti_torch_empty_strided(3, sizes, strides, aoti_torch_dtype_float32(), 0, 0, result));
    int64_t steps[6] = {from_a[0], from_a[1], from_a[2], from_b[0], from_b[1], from_b[2]};
    vaebench_products(S, M, N, K, steps, (const float *)numbers_of(a), (const float *)numbers_of(b),
                      (float *)numbers_of(*result));
    return AOTI_TORCH_SUCCESS;
}

} // namespace graph
