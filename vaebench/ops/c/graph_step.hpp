/* What is around the step of a compiled graph, and what its library exports: see graph.py.

   Before it come graph_by_memory.hpp or graph_by_torch.hpp, and what is said of the one graph: the
   numbers and SHAPES of its inputs, the number of its outputs, its CONSTANTS with their shapes. After it
   comes the step itself, AOTInductorModel::run_impl, as PyTorch's compiler has written it. */

#include <cstring>
#include <exception>
#include <vector>

namespace graph {

struct AOTInductorModelKernels {}; /* for kernels of a GPU */

struct Constants {
    std::vector<ConstantHandle> all;
    Constants() {
        for (int64_t i = 0; i < NUM_CONSTANTS; i++) all.emplace_back(tensor_at(CONSTANTS[i], CONSTANT_SHAPES[i]));
    }
    ConstantHandle &at(size_t i) { return all[i]; }
};

struct AOTInductorModel {
    static constexpr int32_t device_idx_ = 0;
    Constants *constants_;
    struct {
        AOTInductorModelKernels none;
        AOTInductorModelKernels *get() { return &none; }
    } kernels_;
    void run_impl(AtenTensorHandle *, AtenTensorHandle *, DeviceStreamType, AOTIProxyExecutorHandle);
};

/* What comes in has the right shapes: graph.py sees to it. */
inline void __check_inputs_outputs(AtenTensorHandle *, AtenTensorHandle *) {}
constexpr bool _check_aoti_runtime_check_inputs_env() { return false; }

static thread_local char problem[512];

/* What went wrong in the last step of this thread that failed. */
extern "C" const char *graph_problem() { return problem; }

/* One step: where the inputs lie -> where the outputs lie, until graph_done gets what is `kept`. */
extern "C" int graph_step(void *const *inputs, void **outputs, void **kept) {
    try {
        static Constants constants;
        [[maybe_unused]] Guard guard;
        AtenTensorHandle given[NUM_INPUTS], results[NUM_OUTPUTS] = {};
        for (int64_t i = 0; i < NUM_INPUTS; i++) given[i] = tensor_at(inputs[i], SHAPES[i]);
        AOTInductorModel{&constants, {}}.run_impl(given, results, nullptr, nullptr);
        for (int64_t i = 0; i < NUM_OUTPUTS; i++) {
            outputs[i] = numbers_of(results[i]);
            kept[i] = kept_of(results[i]);
        }
        return 0;
    } catch (const std::exception &error) {
        std::strncpy(problem, error.what(), sizeof problem - 1);
    } catch (...) {
        std::strncpy(problem, "it does not say why", sizeof problem - 1);
    }
    return 1;
}

/* Frees what the outputs of a step lie in. */
extern "C" void graph_done(void **kept) {
    for (int64_t i = 0; i < NUM_OUTPUTS; i++) let_go(kept[i]);
}

} // namespace graph
