#include "picture/windows.h"

namespace aec {

Rect rect_of(const Area& area) {
    return {static_cast<int>(area.y), static_cast<int>(area.bottom()), static_cast<int>(area.x),
            static_cast<int>(area.right())};
}

Vector<uint64_t> Window::tiles(const Header& header) const {
    const int side = static_cast<int>(header.tile) / kLatentStride;
    Vector<uint64_t> found;
    for (int row = latents.y0 / side; row < (latents.y1 + side - 1) / side; ++row)
        for (int column = latents.x0 / side; column < (latents.x1 + side - 1) / side; ++column)
            found.push_back(uint64_t{header.across()} * row + column);
    return found;
}

std::vector<Window> windows_of(const Header& header, const Area& region, int halo) {
    const Rect whole = in_latents(rect_of({0, 0, header.width, header.height}));
    std::vector<Window> windows;
    for (uint32_t y = region.y / kWindow * kWindow; y < region.bottom(); y += kWindow)
        for (uint32_t x = region.x / kWindow * kWindow; x < region.right(); x += kWindow) {
            const Area area = Area{x, y, kWindow, kWindow}.common(region);
            const Rect own = in_latents(rect_of(area));
            windows.push_back({area,
                               {std::max(own.y0 - halo, 0), std::min(own.y1 + halo, whole.y1),
                                std::max(own.x0 - halo, 0), std::min(own.x1 + halo, whole.x1)}});
        }
    return windows;
}

}  // namespace aec
