// The entropy coder on the GPU. The host makes a plan for a batch of tiles as bytes, and Python copies these to the
// device. Device pointers are passed as integers, from tensor.data_ptr(). Only codec/coding/rans_cuda.py uses this
// binding, and it checks the types, sizes and devices of the tensors that the pointers belong to.
#ifdef AEC_WITH_CUDA
#include <algorithm>
#include <cstring>

#include "python/bind.h"
#include "rans/coder_cpu.h"
#include "rans/coder_cuda.h"
#include "rans/compact.h"

namespace aec {
namespace {

py::bytes as_bytes(const std::vector<uint8_t>& data) {
    return py::bytes(reinterpret_cast<const char*>(data.data()), data.size());
}

void check_lanes(int lanes_log2) {
    if (lanes_log2 < 0 || lanes_log2 > kMaxLanesLog2)
        throw std::invalid_argument("lanes_log2 is " + std::to_string(lanes_log2) + ", allowed are 0 to 12");
}

void check_count(uint64_t n) {
    if (n >= kMaxBatchSymbols) throw std::invalid_argument("a batch has at most 2^31 - 1 symbols");
}

void check_argument(ArgumentFault fault, int symbol) {
    if (fault == ~ArgumentFault{0}) return;
    const int16_t symbols[] = {static_cast<int16_t>(symbol)};
    const uint8_t indexes[] = {static_cast<uint8_t>(fault)};
    Fault found = Compact().take(symbols, indexes, {1}, 1);
    found.at = fault << 8 >> 16;
    raise(found);
}

// ------------------------------------------------------------------------------------------------------------- decode

// A batch of payloads to decode. Its state in device memory is one ArgumentFault, 8 unused bytes for alignment, and a
// DecodeStream for each stream.
class DecodePlan {
public:
    static constexpr size_t kStreams = 16;

    explicit DecodePlan(const std::vector<py::object>& payloads) : n_tiles_(payloads.size()) {
        std::vector<DecodeStream> streams;
        uint64_t start = 0;
        for (const py::object& object : payloads) {
            const Bytes payload(object);
            Lanes lanes;
            raise(open_payload(payload.data(), payload.size(), lanes));
            const uint32_t width = stream_width(lanes.lanes_log2), tile = first_streams_.size();
            first_streams_.push_back(streams.size());
            for (uint32_t i = 0; i < lanes.next.size(); ++i) {
                DecodeStream stream = {};
                stream.next = start + lanes.next[i];
                stream.end = start + lanes.end[i];
                stream.limit = start + payload.size();
                stream.tile = tile;
                stream.number = i;
                stream.lanes_log2 = lanes.lanes_log2;
                std::copy_n(lanes.states.begin() + i * width, width, stream.states);
                streams.push_back(stream);
            }
            start += payload.size();
        }
        n_streams_ = streams.size();
        data_.assign(kStreams + n_streams_ * sizeof(DecodeStream), 0xFF);
        if (n_streams_ > 0) std::memcpy(data_.data() + kStreams, streams.data(), n_streams_ * sizeof(DecodeStream));
    }

    py::bytes data() const { return as_bytes(data_); }
    uint32_t n_tiles() const { return n_tiles_; }

    uint64_t scratch_bytes(uint64_t n) const {
        check_count(n);
        return decode_scratch_bytes(n, n_tiles_);
    }

    void run(uintptr_t tables, uintptr_t payloads, uintptr_t state, uint32_t segment, uintptr_t indexes,
             uintptr_t firsts, uint64_t n, uintptr_t symbols, uintptr_t scratch, bool tables_in_shared, int device,
             uintptr_t stream) const {
        check_count(n);
        const DecodeBatch batch = {pointer<Tables>(tables), pointer<uint8_t>(payloads),
                                   pointer<DecodeStream>(state + kStreams), n_streams_, n_tiles_,
                                   pointer<ArgumentFault>(state), tables_in_shared};
        decode_cuda(batch, segment, pointer<uint8_t>(indexes), pointer<uint32_t>(firsts), static_cast<uint32_t>(n),
                    pointer<int16_t>(symbols), pointer<uint8_t>(scratch), {device, stream});
    }

    // Raises the exception that the CPU's decoder would have raised for the first tile with a fault: the fault of the
    // earliest segment, and within it of the first stream; else what check_finished finds. state: a copy of the device
    // memory after the last segment.
    void check(const py::object& state) const {
        const Bytes bytes(state);
        if (bytes.size() != data_.size()) throw std::invalid_argument("this is not the plan's state");
        ArgumentFault argument;
        std::memcpy(&argument, bytes.data(), sizeof argument);
        check_argument(argument, 0);
        std::vector<DecodeStream> streams(n_streams_);
        if (n_streams_ > 0) std::memcpy(streams.data(), bytes.data() + kStreams, n_streams_ * sizeof(DecodeStream));
        for (uint32_t tile = 0; tile < n_tiles_; ++tile) check_tile(streams.data() + first_streams_[tile]);
    }

private:
    static void check_tile(const DecodeStream* streams) {
        const int lanes_log2 = streams->lanes_log2;
        const StreamFault* first = nullptr;
        uint32_t at = 0;
        Lanes lanes;
        lanes.lanes_log2 = lanes_log2;
        for (uint32_t i = 0; i < stream_count(lanes_log2); ++i) {
            const DecodeStream& stream = streams[i];
            lanes.states.insert(lanes.states.end(), stream.states, stream.states + stream_width(lanes_log2));
            lanes.next.push_back(stream.next);
            lanes.end.push_back(stream.end);
            if (stream.fault.status == Status::kOk || (first && first->segment <= stream.fault.segment)) continue;
            first = &stream.fault;
            at = i;
        }
        if (first) raise({first->status, at, first->found});
        raise(check_finished(lanes));
    }

    uint32_t n_tiles_, n_streams_;
    std::vector<uint32_t> first_streams_;
    std::vector<uint8_t> data_;
};

// ------------------------------------------------------------------------------------------------------------- encode

// A batch of tiles to encode. The plan in device memory is an EncodeTile for each tile, the tile number of each stream
// (uint32), and the first symbol of each segment (uint32). The result in device memory is one ArgumentFault, the ends
// of the payloads (uint64 [tiles + 1]), and a StreamFault for each stream.
class EncodePlan {
public:
    // segments: for each tile the lengths of its segments, in symbols; all tiles have the same number of segments.
    // lanes_log2: for each tile, 0 to 12.
    EncodePlan(const std::vector<std::vector<uint64_t>>& segments, const std::vector<int>& lanes_log2) {
        if (segments.empty() || segments.size() != lanes_log2.size())
            throw std::invalid_argument("segments and lanes_log2 must be given for each of one or more tiles");
        std::vector<EncodeTile> tiles;
        std::vector<uint32_t> tile_of, firsts = {0};
        n_segments_ = segments[0].size();
        for (size_t t = 0; t < segments.size(); ++t) {
            check_lanes(lanes_log2[t]);
            if (segments[t].size() != n_segments_) throw std::invalid_argument("tiles must have as many segments each");
            uint64_t n_rows = 0;
            for (const uint64_t length : segments[t]) {
                check_count(length);
                check_count(n_ += length);
                firsts.push_back(static_cast<uint32_t>(n_));
                n_rows += row_count(length, lanes_log2[t]);
            }
            const uint32_t n_streams = stream_count(lanes_log2[t]);
            tiles.push_back({words_bytes_, max_stream_bytes(n_rows, lanes_log2[t]),
                             static_cast<uint32_t>(tile_of.size()), lanes_log2[t]});
            words_bytes_ += n_streams * tiles.back().stride;
            max_stride_ = std::max(max_stride_, tiles.back().stride);
            capacity_ += max_header_bytes(lanes_log2[t]);
            tile_of.insert(tile_of.end(), n_streams, static_cast<uint32_t>(t));
        }
        capacity_ += words_bytes_;
        n_tiles_ = tiles.size();
        n_streams_ = tile_of.size();
        append(tiles);
        append(tile_of);
        append(firsts);
    }

    py::bytes data() const { return as_bytes(data_); }
    uint64_t n() const { return n_; }
    uint64_t words_bytes() const { return words_bytes_; }
    uint64_t capacity() const { return capacity_; }
    uint64_t scratch_bytes() const { return encode_scratch_bytes(n_, n_tiles_, n_segments_, n_streams_); }
    uint64_t result_bytes() const { return faults_at() + n_streams_ * sizeof(StreamFault); }

    void run(uintptr_t tables, uintptr_t plan, uintptr_t symbols, uintptr_t indexes, uintptr_t words,
             uint64_t words_bytes, uintptr_t scratch, uintptr_t payloads, uint64_t capacity, uintptr_t result,
             bool tables_in_shared, int device, uintptr_t stream) const {
        const uintptr_t tile_of = plan + n_tiles_ * sizeof(EncodeTile);
        const uintptr_t firsts = tile_of + n_streams_ * sizeof(uint32_t);
        const EncodeBatch batch = {pointer<Tables>(tables), pointer<EncodeTile>(plan), pointer<uint32_t>(tile_of),
                                   pointer<uint32_t>(firsts), n_tiles_, n_segments_, n_streams_, max_stride_,
                                   tables_in_shared};
        encode_cuda(batch, pointer<int16_t>(symbols), pointer<uint8_t>(indexes), static_cast<uint32_t>(n_),
                    pointer<uint8_t>(words), words_bytes, pointer<uint8_t>(scratch),
                    {pointer<uint8_t>(payloads), capacity, pointer<uint64_t>(result + sizeof(ArgumentFault)),
                     pointer<StreamFault>(result + faults_at()), pointer<ArgumentFault>(result)},
                    {device, stream});
    }

    // The position in the batch's arrays of the first symbol or index that is not allowed, or -1 if there is none.
    int64_t wrong_argument(const py::object& result) const {
        const ArgumentFault fault = at<ArgumentFault>(Bytes(result), 0);
        return fault == ~ArgumentFault{0} ? -1 : static_cast<int64_t>(fault << 8 >> 16);
    }

    std::vector<uint64_t> ends(const py::object& result) const {
        const Bytes bytes(result);
        for (uint32_t i = 0; i < n_streams_; ++i) {
            const auto fault = at<StreamFault>(bytes, faults_at() + i * sizeof(StreamFault));
            raise({fault.status, i, fault.found});
        }
        std::vector<uint64_t> ends(n_tiles_ + 1);
        for (uint32_t t = 0; t <= n_tiles_; ++t)
            ends[t] = at<uint64_t>(bytes, sizeof(ArgumentFault) + t * sizeof(uint64_t));
        return ends;
    }

private:
    uint64_t faults_at() const { return sizeof(ArgumentFault) + (n_tiles_ + 1) * sizeof(uint64_t); }

    template <class T>
    T at(const Bytes& result, uint64_t offset) const {
        if (result.size() != result_bytes()) throw std::invalid_argument("this is not the plan's result");
        T value;
        std::memcpy(&value, result.data() + offset, sizeof value);
        return value;
    }

    template <class T>
    void append(const std::vector<T>& values) {
        const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
        data_.insert(data_.end(), bytes, bytes + values.size() * sizeof(T));
    }

    uint64_t n_ = 0, words_bytes_ = 0, capacity_ = 0, max_stride_ = 0;
    uint32_t n_tiles_, n_segments_, n_streams_;
    std::vector<uint8_t> data_;
};

}  // namespace

void bind_cuda(py::module_& m) {
    using release = py::call_guard<WithoutGil>;
    m.def("tables_data", [](const Tables& tables) {
        return py::bytes(reinterpret_cast<const char*>(&tables), sizeof tables);
    });
    m.def("check_argument", [](int64_t position, int symbol, int index) {
        check_argument(argument_fault(0, position, index), symbol);
    });
    m.def("choose_lanes_log2", &choose_lanes_log2);
    m.def(
        "cost_cuda",
        [](uintptr_t tables, uintptr_t indexes, uint64_t n, uintptr_t cost, int device, uintptr_t stream) {
            check_count(n);
            cost_cuda(pointer<Tables>(tables), pointer<uint8_t>(indexes), static_cast<uint32_t>(n),
                      pointer<unsigned long long>(cost), {device, stream});
        },
        release());
    py::class_<DecodePlan>(m, "DecodePlan")
        .def(py::init<const std::vector<py::object>&>())
        .def_property_readonly("data", &DecodePlan::data)
        .def_property_readonly("n_tiles", &DecodePlan::n_tiles)
        .def("scratch_bytes", &DecodePlan::scratch_bytes)
        .def("run", &DecodePlan::run, release())
        .def("check", &DecodePlan::check);
    py::class_<EncodePlan>(m, "EncodePlan")
        .def(py::init<const std::vector<std::vector<uint64_t>>&, const std::vector<int>&>())
        .def_property_readonly("data", &EncodePlan::data)
        .def_property_readonly("n", &EncodePlan::n)
        .def_property_readonly("words_bytes", &EncodePlan::words_bytes)
        .def_property_readonly("capacity", &EncodePlan::capacity)
        .def_property_readonly("scratch_bytes", &EncodePlan::scratch_bytes)
        .def_property_readonly("result_bytes", &EncodePlan::result_bytes)
        .def("run", &EncodePlan::run, release())
        .def("wrong_argument", &EncodePlan::wrong_argument)
        .def("ends", &EncodePlan::ends);
}

}  // namespace aec
#endif
