#include "tile/decode_tile.h"

#include "engine/nets_cpu.h"
#include "rans/coder_cpu.h"

namespace aec {

Fault decode_tile(const std::shared_ptr<const Nets>& nets, const std::shared_ptr<const Tables>& tables,
                  const Qualities& qualities, TileSize size, Span payload, bool is_prefix,
                  const std::vector<bool>& first, int threads, int16_t* latents) {
    Decoder decoder(tables, payload.data, payload.size, is_prefix);
    if (decoder.fault()) return decoder.fault();
    Walk walk(nets, qualities, size.rows, size.columns, threads, first);
    Vector<uint8_t> indexes;
    Vector<int16_t> symbols;
    for (int k = 0; k < walk.segments(); ++k) {
        indexes.resize(walk.segment_size(k));
        symbols.resize(walk.segment_size(k));
        walk.predict(k, indexes.data());
        if (const Fault fault = decoder.decode(indexes.data(), indexes.size(), threads, symbols.data())) return fault;
        walk.accept(k, symbols.data());
    }
    if (!is_prefix)
        if (const Fault fault = decoder.finish()) return fault;
    walk.latents(latents);
    return {};
}

}  // namespace aec
