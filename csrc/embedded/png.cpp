// libpng reports errors by longjmp, so nothing here has a destructor between setjmp and the calls of libpng.
#include <png.h>

#include <cstring>
#include <new>

#include "base/memory.h"
#include "embedded/decoders.h"

namespace aec {
namespace {

struct Source {
    const uint8_t* at;
    size_t left;
};

void read(png_structp png, png_bytep out, size_t n) {
    auto* source = static_cast<Source*>(png_get_io_ptr(png));
    if (n > source->left) png_error(png, "truncated");
    std::memcpy(out, source->at, n);
    source->at += n;
    source->left -= n;
}

void on_error(png_structp png, png_const_charp) { png_longjmp(png, 1); }
void on_warning(png_structp, png_const_charp) {}

// The rows are of the height that the header says, which was compared with that of the .aec file.
bool decode(png_structp png, png_infop info, const EmbeddedPicture& picture, png_bytep* rows) {
    if (setjmp(png_jmpbuf(png))) return false;
    png_read_info(png, info);
    png_set_expand(png);
    png_set_gray_to_rgb(png);
    png_set_filler(png, 0xFFFF, PNG_FILLER_AFTER);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (picture.still.depth == 16) png_set_swap(png);
#endif
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != picture.stride || png_get_image_height(png, info) != picture.still.height)
        return false;
    png_read_image(png, rows);
    return true;  // what comes behind the samples does not count
}

}  // namespace

bool decode_png(const EmbeddedPicture& picture) {
    Vector<png_bytep> rows(picture.still.height);
    for (uint32_t y = 0; y < picture.still.height; ++y)
        rows[y] = static_cast<png_bytep>(picture.pixels) + y * picture.stride;
    Source source = {picture.file.data, picture.file.size};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, &on_error, &on_warning);
    if (png == nullptr) throw std::bad_alloc();
    png_infop info = png_create_info_struct(png);
    if (info != nullptr) png_set_read_fn(png, &source, &read);
    const bool is_sound = info != nullptr && decode(png, info, picture, rows.data());
    png_destroy_read_struct(&png, &info, nullptr);
    return is_sound;
}

}  // namespace aec
