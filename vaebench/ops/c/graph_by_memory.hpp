/* What a compiled graph says of tensors, for one whose operations are its own loops and products.

   The graph is text of PyTorch's compiler, so the names are PyTorch's (aoti_runtime/utils.h there).
   Here a tensor is an address with sizes and strides, and memory is counted and kept for the next
   tensor of its size, as every step makes the same ones: no part of PyTorch is called.
   graph_by_torch.hpp is for graphs that call operations of PyTorch. */

#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <new>
#include <utility>

extern "C" void vaebench_products(int64_t, int64_t, int64_t, int64_t, const int64_t *, const float *,
                                  const float *, float *);

namespace graph {

/* What is before the numbers of a tensor that the graph has made. */
struct alignas(64) Memory {
    int64_t users;
    union {
        struct {
            int64_t sizes[3], strides[3]; /* of a product */
        };
        Memory *next; /* of its size that is free */
    };
    int64_t bytes; /* of its numbers, whole lines of the cache */
};

/* Memory that is free, by its size. What is freed and asked for anew would be joined to its
   neighbours and split from them at every step. */
inline Memory *&first_free(int64_t bytes) {
    static thread_local Memory *lists[61];
    return lists[bytes / 64 % 61];
}

struct AtenTensorHandle {
    char *at;
    const int64_t *sizes, *strides;
    int64_t item; /* bytes of a number */
    Memory *memory; /* null for what is not the graph's */
};

inline AtenTensorHandle used_once_more(AtenTensorHandle h) {
    if (h.memory) h.memory->users++;
    return h;
}

inline void let_go(void *memory) {
    Memory *of = static_cast<Memory *>(memory);
    if (!of || --of->users) return;
    of->next = std::exchange(first_free(of->bytes), of);
}

inline Memory *memory_of(int64_t bytes) {
    for (Memory **at = &first_free(bytes); *at; at = &(*at)->next)
        if ((*at)->bytes == bytes) return std::exchange(*at, (*at)->next);
    void *room = std::aligned_alloc(64, sizeof(Memory) + (size_t)bytes);
    if (!room) throw std::bad_alloc();
    Memory *memory = new (room) Memory;
    memory->bytes = bytes;
    return memory;
}

class RAIIAtenTensorHandle {
    AtenTensorHandle held{};

  public:
    RAIIAtenTensorHandle() = default;
    RAIIAtenTensorHandle(AtenTensorHandle h) : held(h) {}
    RAIIAtenTensorHandle(RAIIAtenTensorHandle &&other) : held(other.release()) {}
    RAIIAtenTensorHandle &operator=(RAIIAtenTensorHandle &&other) {
        std::swap(held, other.held);
        return *this;
    }
    ~RAIIAtenTensorHandle() { reset(); }
    operator AtenTensorHandle() const { return held; }
    AtenTensorHandle get() const { return held; }
    AtenTensorHandle release() { return std::exchange(held, {}); }
    void reset() { let_go(release().memory); }
    void *data_ptr() const { return held.at; }
};

struct Shape {
    int64_t dims;
    const int64_t *sizes, *strides;
    int64_t item;
    int32_t type;
};

inline AtenTensorHandle tensor_at(const void *at, const Shape &shape) {
    return {const_cast<char *>(static_cast<const char *>(at)), shape.sizes, shape.strides, shape.item, nullptr};
}
inline void *numbers_of(AtenTensorHandle h) { return h.at; }
inline void *kept_of(AtenTensorHandle h) { return h.memory; }
struct Guard {};

struct Stolen {
    AtenTensorHandle *handles;
    RAIIAtenTensorHandle operator[](size_t i) const { return handles[i]; }
    void clear() {}
};
inline Stolen steal_from_raw_handles_to_raii_handles(AtenTensorHandle *handles, size_t) { return {handles}; }

/* The bytes between the first number of a tensor and the end of the last. */
inline int64_t bytes_of(int64_t dims, const int64_t *sizes, const int64_t *strides, int64_t item) {
    int64_t last = 0;
    for (int64_t i = 0; i < dims; i++) {
        if (sizes[i] == 0) return 0;
        last += (sizes[i] - 1) * strides[i];
    }
    return (last + 1) * item;
}

inline AtenTensorHandle made(int64_t bytes, const int64_t *sizes, const int64_t *strides, int64_t item) {
    Memory *memory = memory_of((bytes + 63) / 64 * 64);
    memory->users = 1;
    return {reinterpret_cast<char *>(memory + 1), sizes, strides, item, memory};
}

/* `item` takes the place of a type, see CACHE_TORCH_DTYPE. */
inline int aoti_torch_empty_strided(int64_t dims, const int64_t *sizes, const int64_t *strides, int64_t item,
                                    int, int, AtenTensorHandle *result) {
    *result = made(bytes_of(dims, sizes, strides, item), sizes, strides, item);
    return 0;
}

inline int aoti_torch_new_tensor_handle(AtenTensorHandle h, AtenTensorHandle *result) {
    *result = used_once_more(h);
    return 0;
}

inline AtenTensorHandle reinterpret_tensor_wrapper(AtenTensorHandle h, int64_t, const int64_t *sizes,
                                                   const int64_t *strides, int64_t offset) {
    used_once_more(h);
    return {h.at + offset * h.item, sizes, strides, h.item, h.memory};
}
inline RAIIAtenTensorHandle wrap_with_raii_handle_if_needed(AtenTensorHandle h) { return h; }

inline int aoti_torch_cpu_product(AtenTensorHandle a, AtenTensorHandle b, AtenTensorHandle *result) {
    int64_t S = a.sizes[0], M = a.sizes[1], K = a.sizes[2], N = b.sizes[2];
    AtenTensorHandle c = made(S * M * N * 4, nullptr, nullptr, 4);
    Memory *of = c.memory;
    of->sizes[0] = S, of->sizes[1] = M, of->sizes[2] = N;
    of->strides[0] = M * N, of->strides[1] = N, of->strides[2] = 1;
    c.sizes = of->sizes, c.strides = of->strides;
    int64_t steps[6] = {a.strides[0], a.strides[1], a.strides[2], b.strides[0], b.strides[1], b.strides[2]};
    vaebench_products(S, M, N, K, steps, (const float *)a.at, (const float *)b.at, (float *)c.at);
    *result = c;
    return 0;
}

inline void assert_size_stride(const RAIIAtenTensorHandle &, std::initializer_list<int64_t>,
                               std::initializer_list<int64_t>, const char *) {}

using DeviceStreamType = void *;
using AOTIProxyExecutorHandle = void *;
using ConstantHandle = RAIIAtenTensorHandle;
constexpr int cached_torch_device_type_cpu = 0;
constexpr int64_t item_of_bool = 1, item_of_uint8 = 1, item_of_int8 = 1, item_of_int16 = 2, item_of_int32 = 4,
                  item_of_int64 = 8, item_of_float16 = 2, item_of_bfloat16 = 2, item_of_float32 = 4,
                  item_of_float64 = 8;

} // namespace graph

#define AOTI_TORCH_ERROR_CODE_CHECK(call) (void)(call)
#define CACHE_TORCH_DTYPE(name) constexpr int64_t cached_torch_dtype_##name = item_of_##name
#define CACHE_TORCH_DEVICE(name)
#define CACHE_TORCH_LAYOUT(name)
