#include "rans/parts.h"

#include <algorithm>

#include "base/varint.h"
#include "rans/layout.h"

namespace aec {

Vector<ByteString> cut_payload(const Payload& payload) {
    const auto& piece_bytes = payload.piece_bytes;
    const size_t n_streams = piece_bytes.size(), n_segments = piece_bytes[0].size();
    Vector<const uint8_t*> next(n_streams);  // of each stream, the first byte that no part has yet
    const uint8_t* end = payload.data + payload.size;
    for (size_t stream = n_streams; stream-- > 0;) {
        for (const uint64_t bytes : piece_bytes[stream]) end -= bytes;
        next[stream] = end;
    }
    Vector<ByteString> parts(n_segments);
    parts[0].push_back(static_cast<char>(payload.data[0]));  // the lanes byte
    for (size_t segment = 0; segment < n_segments; ++segment) {
        for (size_t stream = 0; stream + 1 < n_streams; ++stream)
            append_varint(parts[segment], piece_bytes[stream][segment]);
        for (size_t stream = 0; stream < n_streams; ++stream) {
            const uint64_t bytes = piece_bytes[stream][segment];
            parts[segment].append(reinterpret_cast<const char*>(next[stream]), bytes);
            next[stream] += bytes;
        }
    }
    return parts;
}

Fault join_parts(const Vector<Span>& parts, bool ends_early, ByteString& payload) {
    payload.clear();
    if (parts.empty() || (ends_early && parts[0].size == 0)) return {};
    if (parts[0].size == 0 || parts[0].data[0] > kMaxLanesLog2)
        return {Status::kLanes, 0, parts[0].size == 0 ? -1 : parts[0].data[0]};
    const uint32_t n_streams = stream_count(parts[0].data[0]);
    Vector<ByteString> streams(n_streams);
    for (size_t i = 0; i < parts.size(); ++i) {
        const bool open_end = ends_early && i + 1 == parts.size();
        // Of several streams the last ones would be missing: runs of known and unknown latents would alternate, and the
        // networks make nonsense of that.
        if (open_end && n_streams > 1) break;
        const uint8_t *p = parts[i].data + (i == 0), *const end = parts[i].data + parts[i].size;
        Vector<uint32_t> lengths(n_streams, UINT32_MAX);
        for (uint32_t stream = 0; stream + 1 < n_streams && p != nullptr; ++stream)
            p = read_varint(p, end, lengths[stream]);
        if (p == nullptr) {
            if (open_end) break;
            return {Status::kVarint, i, 0};
        }
        for (uint32_t stream = 0; stream < n_streams; ++stream) {
            const uint64_t left = end - p;
            const bool is_last = stream + 1 == n_streams;
            if (!open_end && !is_last && lengths[stream] > left)
                return {Status::kStreamLength, stream, static_cast<int64_t>(lengths[stream])};
            const uint64_t bytes = std::min<uint64_t>(left, is_last ? left : lengths[stream]);
            streams[stream].append(reinterpret_cast<const char*>(p), bytes);
            p += bytes;
        }
    }
    payload.push_back(static_cast<char>(parts[0].data[0]));
    for (uint32_t stream = 0; stream + 1 < n_streams; ++stream) {
        if (streams[stream].size() > UINT32_MAX) return {Status::kTooLong, 0, 0};
        append_varint(payload, streams[stream].size());
    }
    for (const ByteString& stream : streams) payload += stream;
    return {};
}

}  // namespace aec
