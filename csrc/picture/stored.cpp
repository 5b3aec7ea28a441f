// Pictures inside .aec files: whole ones, and the alpha channels of tiles (FORMAT §2.8, §2.9).
#include <cstdint>
#include <limits>
#include <new>

#include "picture/decode.h"

namespace aec {
namespace {

// Red, green, blue and alpha of a decoded picture.
template <class T>
Vector<T> decoded(const Still& still, Span file, const EmbeddedDecoder& embedded) {
    const uint64_t samples = uint64_t{still.width} * still.height * 4;
    if (samples > SIZE_MAX / sizeof(T)) throw std::bad_alloc();  // where addresses have 32 bits
    Vector<T> pixels(static_cast<size_t>(samples), 0);
    embedded({still, file, pixels.data(), size_t{still.width} * 4 * sizeof(T)});
    return pixels;
}

template <class T>
bool is_opaque(const Vector<T>& pixels) {
    for (size_t i = 3; i < pixels.size(); i += 4)
        if (pixels[i] != std::numeric_limits<T>::max()) return false;
    return true;
}

std::string size_text(uint32_t width, uint32_t height) { return std::to_string(width) + "x" + std::to_string(height); }

template <class T>
void place_tile_alpha(const Canvas& canvas, const Header& header, const Area& area, const Still& still, Span file,
                      const EmbeddedDecoder& embedded) {
    const Vector<T> pixels = decoded<T>(still, file, embedded);
    const Area shown = area.common(canvas.area(header.width, header.height));
    const ptrdiff_t stride = ptrdiff_t{area.width} * 4, channel = sizeof(T) == 1 ? 3 : 0;  // of a gray PNG, the gray
    const T* first = pixels.data() + (shown.y - area.y) * stride + ptrdiff_t{shown.x - area.x} * 4 + channel;
    place_alpha(canvas, Samples<T>{first, stride, 4, shown, 1, -1});
}

void decode_tile_alpha(const Layout& layout, uint64_t tile, const Canvas& canvas, const EmbeddedDecoder& embedded) {
    const Header& header = layout.header();
    const Area area = header.area_of(tile);
    const Span file = layout.alpha(tile);
    if (file.size == 0 || layout.alpha_state(tile) != Presence::kWhole) return;  // opaque, as the canvas is already
    const Still still = still_of_alpha(file, area, header.depth);
    if (header.depth == 8)
        place_tile_alpha<uint8_t>(canvas, header, area, still, file, embedded);
    else
        place_tile_alpha<uint16_t>(canvas, header, area, still, file, embedded);
}

template <class T>
void place_stored(const Header& header, const Still& still, Span file, int orientation, const Canvas& canvas,
                  const EmbeddedDecoder& embedded) {
    const Vector<T> pixels = decoded<T>(still, file, embedded);
    const bool opaque = is_opaque(pixels);
    if (opaque == header.alpha)
        throw Error(ErrorKind::kCorrupt, std::string("a picture ") + (opaque ? "without" : "with") +
                                             " an alpha channel: the header says otherwise");
    // The upright picture: 5 to 8 swap the axes, before axes are flipped.
    Samples<T> upright = {pixels.data(), ptrdiff_t{still.width} * 4, 4, {}, header.gray ? 1 : 3, header.alpha ? 3 : -1};
    if (orientation >= 5) std::swap(upright.stride, upright.step);
    const auto flip = [](const T*& data, ptrdiff_t& step, uint32_t n) {
        data += step * (ptrdiff_t{n} - 1);
        step = -step;
    };
    if (orientation == 3 || orientation == 4 || orientation >= 7) flip(upright.data, upright.stride, header.height);
    if (orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7)
        flip(upright.data, upright.step, header.width);
    upright.area = canvas.area(header.width, header.height);
    upright.data += upright.stride * ptrdiff_t{upright.area.y} + upright.step * ptrdiff_t{upright.area.x};
    place(canvas, upright);
}

}  // namespace

Still still_of_alpha(Span file, const Area& area, int depth) {
    const StillKind wanted = depth == 8 ? StillKind::kWebp : StillKind::kPng;
    if (kind_of(file) != wanted)
        throw Error(ErrorKind::kCorrupt, std::string("a payload that is no ") + name_of(wanted) + " picture");
    const Still still = still_of(file);
    if (still.width != area.width || still.height != area.height)
        throw Error(ErrorKind::kCorrupt, "a picture of " + size_text(still.width, still.height) + " pixels: expected " +
                                             size_text(area.width, area.height));
    if (depth == 16 && (!still.gray || still.depth != 16))
        throw Error(ErrorKind::kCorrupt, "a picture that is no gray one of 16 bits");
    return still;
}

void decode_alpha(const Layout& layout, const Canvas& canvas, const EmbeddedDecoder& embedded,
                  const Progress& progress) {
    const Header& header = layout.header();
    const Area shown = canvas.area(header.width, header.height);
    Vector<uint64_t> touched;
    for (uint64_t tile = 0; tile < header.n_tiles(); ++tile)
        if (header.area_of(tile).touches(shown)) touched.push_back(tile);
    size_t done = 0;
    for (const uint64_t tile : touched) {
        try {
            decode_tile_alpha(layout, tile, canvas, embedded);
        } catch (const Error& error) {
            throw Error(error.kind, "the alpha of tile " + std::to_string(tile) + ": " + error.what());
        }
        ++done;
        if (progress) progress(static_cast<double>(done) / static_cast<double>(touched.size()));
    }
}

bool is_opaque(const Still& still, Span file, const EmbeddedDecoder& embedded) {
    return still.depth == 8 ? is_opaque(decoded<uint8_t>(still, file, embedded))
                            : is_opaque(decoded<uint16_t>(still, file, embedded));
}

void decode_stored(const Layout& layout, const Canvas& canvas, const EmbeddedDecoder& embedded) try {
    const Header& header = layout.header();
    const Span file = layout.payload(0);
    const Still still = still_of(file);
    // Where the metadata of the file inside counts, its orientation may swap the sides.
    const int orientation = layout.own_metadata_counts() ? orientation_of(file) : 1;
    const uint32_t width = orientation >= 5 ? still.height : still.width;
    const uint32_t height = orientation >= 5 ? still.width : still.height;
    if (width != header.width || height != header.height)
        throw Error(ErrorKind::kCorrupt, "a picture of " + size_text(width, height) + " pixels: expected " +
                                             size_text(header.width, header.height));
    if (still.depth != header.depth || (still.kind != StillKind::kWebp && still.gray != header.gray))
        throw Error(ErrorKind::kCorrupt, "it is not gray or of the depth as the header says");
    if (header.depth == 8)
        place_stored<uint8_t>(header, still, file, orientation, canvas, embedded);
    else
        place_stored<uint16_t>(header, still, file, orientation, canvas, embedded);
} catch (const Error& error) {
    throw Error(error.kind, std::string("the stored picture: ") + error.what());
}

}  // namespace aec
