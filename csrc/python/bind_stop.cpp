// What ends a computation early: Ctrl-C in Python's main thread, and in the others a flag that the main thread sets.
#include <atomic>
#include <chrono>
#include <memory>

#include "python/bind.h"

namespace aec {
namespace {

struct Stopped : std::exception {
    const char* what() const noexcept override { return "stopped"; }
};

class StopFlag {
public:
    explicit StopFlag(std::shared_ptr<const StopFlag> above) : above_(std::move(above)) {}
    void set() { set_ = true; }
    bool is_set() const { return set_ || (above_ && above_->is_set()); }

private:
    std::atomic<bool> set_{false};
    const std::shared_ptr<const StopFlag> above_;
};

thread_local std::shared_ptr<const StopFlag> obeyed;

// The thread in which Python runs the handlers of signals.
unsigned long main_thread;
using Clock = std::chrono::steady_clock;
thread_local Clock::time_point next_look;
constexpr std::chrono::milliseconds kBetweenLooks(50);  // because each look at signals waits for the GIL

std::shared_ptr<StopFlag> below_the_obeyed() { return std::make_shared<StopFlag>(obeyed); }

}  // namespace

void check_python() {
    if (obeyed && obeyed->is_set()) throw Stopped();
    // Only the main thread asks for the GIL: another one may be computing when Python ends, and must not ask then.
    if (PyThread_get_thread_ident() != main_thread) return;
    const Clock::time_point now = Clock::now();
    if (now < next_look) return;
    next_look = now + kBetweenLooks;
    const py::gil_scoped_acquire held;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

void bind_stop(py::module_& m) {
    main_thread = py::module_::import("threading").attr("main_thread")().attr("ident").cast<unsigned long>();
    py::register_exception<Stopped>(m, "Stopped");
    py::class_<StopFlag, std::shared_ptr<StopFlag>>(m, "StopFlag")
        .def("__init__", made_by(&below_the_obeyed), kConstructor)
        .def("set", &StopFlag::set)
        .def("obey", [](const std::shared_ptr<StopFlag>& self) { obeyed = self; });
}

}  // namespace aec
