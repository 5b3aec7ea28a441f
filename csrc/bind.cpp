// codec._C: the module and the coder.
#include "bind.h"
#include "coder_cpu.h"
#include "isa.h"
#include "tables.h"
#ifdef AEC_WITH_CUDA
#include "coder_cuda.h"
#endif

namespace aec {
namespace {

struct CorruptPayload : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void raise(const Fault& fault) {
    if (!fault) return;
    const bool corrupt = is_corruption(fault.status);
    const std::string where = (corrupt ? "stream " : "position ") + std::to_string(fault.at);
    const std::string message = where + ": " + describe(fault.status) + " (found " + std::to_string(fault.found) + ")";
    if (corrupt) throw CorruptPayload(message);
    throw py::value_error(message);
}

// Any contiguous bytes-like object, for as long as this lives.
class Bytes {
public:
    explicit Bytes(const py::object& object) {
        if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw py::error_already_set();
    }
    ~Bytes() { PyBuffer_Release(&view_); }
    Bytes(const Bytes&) = delete;
    Bytes& operator=(const Bytes&) = delete;
    const uint8_t* data() const { return static_cast<const uint8_t*>(view_.buf); }
    size_t size() const { return view_.len; }

private:
    Py_buffer view_;
};

std::shared_ptr<Tables> tables_from(const Array<uint16_t>& freqs, const Array<uint8_t>& limits,
                                    const Array<uint8_t>& raw_bits) {
    if (freqs.ndim() != 2 || freqs.shape(0) != kIndexCount || freqs.shape(1) != kMaxAlphabet ||
        !(freqs.flags() & py::array::c_style))
        throw py::value_error("freqs must be [64, 64] and contiguous");
    return make_tables(freqs.data(), vector_of(limits, "limits", kIndexCount),
                       vector_of(raw_bits, "raw_bits", kIndexCount));
}

void check_threads(int threads) {
    if (threads < 1) throw py::value_error("threads is " + std::to_string(threads) + ", at least 1");
}

py::bytes encode(const Tables& tables, const Array<int16_t>& symbols, const Array<uint8_t>& indexes,
                 const std::vector<uint64_t>& segments, int lanes_log2, int threads) {
    check_threads(threads);
    const int16_t* symbols_data = vector_of(symbols, "symbols", symbols.size());
    const uint8_t* indexes_data = vector_of(indexes, "indexes", symbols.size());
    uint64_t left = symbols.size();
    for (const uint64_t length : segments) {
        if (length > left) throw py::value_error("segments sum to more than the number of symbols");
        left -= length;
    }
    if (left != 0) throw py::value_error("segments leave " + std::to_string(left) + " symbols out");
    if (lanes_log2 < kAutoLanes || lanes_log2 > kMaxLanesLog2)
        throw py::value_error("lanes_log2 is " + std::to_string(lanes_log2) + ", allowed are -1 (automatic) to 12");

    Payload payload;
    Fault fault;
    {
        const py::gil_scoped_release release;
        fault = encode_cpu(tables, symbols_data, indexes_data, segments, lanes_log2, threads, payload);
    }
    raise(fault);
    return py::bytes(reinterpret_cast<const char*>(payload.data), payload.size);
}

std::unique_ptr<Decoder> decoder_from(std::shared_ptr<Tables> tables, const py::object& payload) {
    const Bytes bytes(payload);
    auto decoder = std::make_unique<Decoder>(std::move(tables), bytes.data(), bytes.size());
    raise(decoder->fault());
    return decoder;
}

void decode(Decoder& decoder, const Array<uint8_t>& indexes, Array<int16_t>& out, int threads) {
    check_threads(threads);
    const uint8_t* indexes_data = vector_of(indexes, "indexes", indexes.size());
    int16_t* out_data = writable_vector_of(out, "out", indexes.size());
    Fault fault;
    {
        const py::gil_scoped_release release;
        fault = decoder.decode(indexes_data, indexes.size(), threads, out_data);
    }
    raise(fault);
}

#ifdef AEC_WITH_CUDA
// Pointers travel as integers (tensor.data_ptr()); the caller has checked what they point to.
template <class T>
T* pointer(uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

void check_lanes(int lanes_log2) {
    if (lanes_log2 < 0 || lanes_log2 > kMaxLanesLog2) throw py::value_error("lanes_log2 must be 0 to 12");
}

template <class T>
Array<T> array_from(const std::vector<T>& values) {
    return Array<T>(values.size(), values.data());
}

void bind_cuda(py::module_& m) {
    m.def("tables_data", [](const Tables& tables) {
        return py::bytes(reinterpret_cast<const char*>(&tables), sizeof tables);
    });
    m.def("open_payload", [](const py::object& payload) {
        const Bytes bytes(payload);
        Lanes lanes;
        raise(open_payload(bytes.data(), bytes.size(), lanes));
        return py::make_tuple(lanes.lanes_log2, array_from(lanes.states), array_from(lanes.next),
                              array_from(lanes.end));
    });
    m.def("check_finished", [](int lanes_log2, const std::vector<State>& states, const std::vector<uint64_t>& next,
                               const std::vector<uint64_t>& end) {
        check_lanes(lanes_log2);
        if (states.size() != lane_count(lanes_log2) || next.size() != stream_count(lanes_log2) ||
            end.size() != next.size())
            throw py::value_error("states, next or end do not fit lanes_log2");
        raise(check_finished({lanes_log2, states, next, end}));
    });
    m.def("check_status", [](const std::vector<uint32_t>& status) {
        for (size_t stream = 0; stream < status.size(); ++stream)
            raise({static_cast<Status>(status[stream]), stream, status[stream]});
    });
    m.def("max_payload_bytes", [](uint64_t n_symbols, int lanes_log2) {
        check_lanes(lanes_log2);
        return max_payload_bytes(n_symbols, lanes_log2);
    });
    m.def("encode_scratch_bytes", [](const std::vector<uint64_t>& segments, int lanes_log2) {
        check_lanes(lanes_log2);
        uint64_t n_rows = 0;
        for (const uint64_t length : segments) n_rows += row_count(length, lanes_log2);
        return stream_count(lanes_log2) * max_stream_bytes(n_rows, lanes_log2);
    });
    m.def(
        "decode_cuda",
        [](uintptr_t tables, uintptr_t payload, int lanes_log2, uintptr_t states, uintptr_t next, uintptr_t end,
           uintptr_t indexes, uint64_t n, uintptr_t symbols, uintptr_t status, int device, uintptr_t stream) {
            check_lanes(lanes_log2);
            decode_cuda(pointer<Tables>(tables), pointer<uint8_t>(payload), lanes_log2, pointer<State>(states),
                        pointer<uint64_t>(next), pointer<uint64_t>(end), pointer<uint8_t>(indexes), n,
                        pointer<int16_t>(symbols), pointer<Status>(status), {device, stream});
        },
        py::call_guard<py::gil_scoped_release>());
    m.def(
        "encode_cuda",
        [](uintptr_t tables, uintptr_t symbols, uintptr_t indexes, uintptr_t segments, int n_segments, int lanes_log2,
           uintptr_t scratch, uint64_t scratch_bytes, uintptr_t lengths, uintptr_t payload, uint64_t payload_capacity,
           uintptr_t payload_bytes, uintptr_t status, int device, uintptr_t stream) {
            check_lanes(lanes_log2);
            encode_cuda(pointer<Tables>(tables), pointer<int16_t>(symbols), pointer<uint8_t>(indexes),
                        pointer<uint64_t>(segments), n_segments, lanes_log2, pointer<uint8_t>(scratch), scratch_bytes,
                        pointer<uint64_t>(lengths), pointer<uint8_t>(payload), payload_capacity,
                        pointer<uint64_t>(payload_bytes), pointer<Status>(status), {device, stream});
        },
        py::call_guard<py::gil_scoped_release>());
}
#endif

PYBIND11_MODULE(_C, m) {
    py::register_exception<CorruptPayload>(m, "CorruptError", PyExc_ValueError);

    m.attr("SCALE_BITS") = kScaleBits;
    m.attr("LOWER_BOUND") = kLowerBound;
    m.attr("INDEX_COUNT") = kIndexCount;
    m.attr("MAX_LIMIT") = kMaxLimit;
    m.attr("MAX_ALPHABET") = kMaxAlphabet;
    m.attr("MAX_RAW_BITS") = kMaxRawBits;
    m.attr("ESCAPE_HEAD_BITS") = kEscapeHeadBits;
    m.attr("MAX_ESCAPE_CLASS") = kMaxEscapeClass;
    m.attr("MAX_SYMBOL") = kMaxSymbol;
    m.attr("MAX_LANES_LOG2") = kMaxLanesLog2;

    py::class_<Tables, std::shared_ptr<Tables>>(m, "Tables")
        .def(py::init(&tables_from), py::arg("freqs").noconvert(), py::arg("limits").noconvert(),
             py::arg("raw_bits").noconvert());
    m.def("encode", &encode, py::arg("tables"), py::arg("symbols").noconvert(), py::arg("indexes").noconvert(),
          py::arg("segments"), py::arg("lanes_log2") = kAutoLanes, py::arg("threads") = 1);
    py::class_<Decoder>(m, "Decoder")
        .def(py::init(&decoder_from), py::arg("tables"), py::arg("payload"))
        .def("decode", &decode, py::arg("indexes").noconvert(), py::arg("out").noconvert(), py::arg("threads") = 1)
        .def("finish", [](const Decoder& decoder) { raise(decoder.finish()); });

    m.def("isas", [] {
        std::vector<std::string> names;
        for (int i = 0; i < kIsaCount; ++i)
            if (has(static_cast<Isa>(i))) names.push_back(name_of(static_cast<Isa>(i)));
        return names;
    });
    m.def("isa", [] { return name_of(current_isa()); });
    m.def("set_isa", [](const std::string& name) {
        for (int i = 0; i < kIsaCount; ++i)
            if (name == name_of(static_cast<Isa>(i))) return set_isa(static_cast<Isa>(i));
        throw py::value_error("no instruction set is called " + name);
    });

    bind_nets(m);

#ifdef AEC_WITH_CUDA
    m.def("cuda_built", [] { return true; });
    m.def("cuda_archs", [] { return AEC_CUDA_ARCHS; });
    bind_cuda(m);
    bind_nets_cuda(m);
#else
    m.def("cuda_built", [] { return false; });
    m.def("cuda_archs", [] { return ""; });
#endif
}

}  // namespace
}  // namespace aec
