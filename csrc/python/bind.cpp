// The Python module codec._C, and its binding of the entropy coder for the CPU. codec/_C.pyi describes its functions.
#include <deque>

#include "python/bind.h"
#include "base/isa.h"
#include "rans/coder_cpu.h"
#include "rans/parts.h"
#include "rans/tables.h"

namespace aec {
namespace {

std::shared_ptr<Tables> tables_from(const Array<uint16_t>& freqs, const Array<uint8_t>& limits,
                                    const Array<uint8_t>& raw_bits) {
    if (freqs.ndim() != 2 || freqs.shape(0) != kIndexCount || freqs.shape(1) != kMaxAlphabet ||
        !(freqs.flags() & py::array::c_style))
        throw std::invalid_argument("freqs must be [64, 64] and contiguous");
    return make_tables(freqs.data(), vector_of(limits, "limits", kIndexCount),
                       vector_of(raw_bits, "raw_bits", kIndexCount));
}

void check_threads(int threads) {
    if (threads < 1) throw std::invalid_argument("threads is " + std::to_string(threads) + ", at least 1");
}

// Returns the parts of the payload.
py::list encode(const Tables& tables, const Array<int16_t>& symbols, const Array<uint8_t>& indexes,
                 const Vector<uint64_t>& segments, int lanes_log2, int threads) {
    check_threads(threads);
    const int16_t* symbols_data = vector_of(symbols, "symbols", symbols.size());
    const uint8_t* indexes_data = vector_of(indexes, "indexes", symbols.size());
    uint64_t left = symbols.size();
    for (const uint64_t length : segments) {
        if (length > left) throw std::invalid_argument("segments sum to more than the number of symbols");
        left -= length;
    }
    if (left != 0) throw std::invalid_argument("segments leave " + std::to_string(left) + " symbols out");
    if (lanes_log2 < kAutoLanes || lanes_log2 > kMaxLanesLog2)
        throw std::invalid_argument("lanes_log2 is " + std::to_string(lanes_log2) +
                                    ", allowed are -1 (automatic) to 12");

    Payload payload;
    Fault fault;
    {
        const WithoutGil released;
        fault = encode_cpu(tables, symbols_data, indexes_data, segments, lanes_log2, threads, payload);
    }
    if (fault.status == Status::kTooLong) throw std::invalid_argument(describe(fault.status));
    raise(fault);
    py::list parts;
    for (const ByteString& part : cut_payload(payload)) parts.append(py::bytes(part.data(), part.size()));
    return parts;
}

py::bytes join(const std::vector<py::object>& parts, bool ends_early) {
    std::deque<Bytes> held;  // a deque, because Bytes cannot be moved
    Vector<Span> spans;
    for (const py::object& part : parts) {
        held.emplace_back(part);
        spans.push_back({held.back().data(), held.back().size()});
    }
    ByteString payload;
    raise(join_parts(spans, ends_early, payload));
    return py::bytes(payload.data(), payload.size());
}

std::unique_ptr<Decoder> decoder_from(std::shared_ptr<Tables> tables, const py::object& payload, bool is_prefix) {
    const Bytes bytes(payload);
    auto decoder = std::make_unique<Decoder>(std::move(tables), bytes.data(), bytes.size(), is_prefix);
    raise(decoder->fault());
    return decoder;
}

void decode(Decoder& decoder, const Array<uint8_t>& indexes, Array<int16_t>& out, int threads) {
    check_threads(threads);
    const uint8_t* indexes_data = vector_of(indexes, "indexes", indexes.size());
    int16_t* out_data = writable_vector_of(out, "out", indexes.size());
    Fault fault;
    {
        const WithoutGil released;
        fault = decoder.decode(indexes_data, indexes.size(), threads, out_data);
    }
    raise(fault);
}

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
        .def("__init__", made_by(&tables_from), kConstructor, py::arg("freqs").noconvert(),
             py::arg("limits").noconvert(),
             py::arg("raw_bits").noconvert());
    m.def("encode", &encode, py::arg("tables"), py::arg("symbols").noconvert(), py::arg("indexes").noconvert(),
          py::arg("segments"), py::arg("lanes_log2") = kAutoLanes, py::arg("threads") = 1);
    m.def("join", &join, py::arg("parts"), py::arg("ends_early"));
    py::class_<Decoder>(m, "Decoder")
        .def("__init__", made_by(&decoder_from), kConstructor, py::arg("tables").none(false), py::arg("payload"),
             py::arg("is_prefix") = false)
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
        throw std::invalid_argument("no instruction set is called " + name);
    });

    bind_stop(m);
    bind_nets(m);
    bind_analysis(m);
    bind_synthesis(m);
    bind_encode(m);
    bind_lossless(m);
    bind_model(m);
    bind_decode_tile(m);

#ifdef AEC_WITH_CUDA
    m.def("cuda_built", [] { return true; });
    m.def("cuda_archs", [] { return AEC_CUDA_ARCHS; });
    bind_cuda(m);
    bind_nets_cuda(m);
    bind_synthesis_cuda(m);
    bind_analysis_cuda(m);
#else
    m.def("cuda_built", [] { return false; });
    m.def("cuda_archs", [] { return ""; });
#endif
}

}  // namespace
}  // namespace aec
