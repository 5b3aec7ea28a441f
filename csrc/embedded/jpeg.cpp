// libjpeg's errors leave it by longjmp, so nothing here has a destructor between setjmp and the calls of libjpeg.
#include <csetjmp>
#include <cstdio>

#include <jerror.h>
#include <jpeglib.h>


#include "base/memory.h"
#include "embedded/decoders.h"

namespace aec {
namespace {

struct Errors {
    jpeg_error_mgr manager;
    std::jmp_buf jump;
    bool blocks_missing;
};

void on_error(j_common_ptr jpeg) { std::longjmp(reinterpret_cast<Errors*>(jpeg->err)->jump, 1); }

// libjpeg only warns if a scan ends early, and fills the missing blocks with gray.
void on_message(j_common_ptr jpeg, int level) {
    const int code = jpeg->err->msg_code;
    if (level < 0 && (code == JWRN_HIT_MARKER || code == JWRN_JPEG_EOF))
        reinterpret_cast<Errors*>(jpeg->err)->blocks_missing = true;
}

void on_output(j_common_ptr) {}

bool decode(jpeg_decompress_struct& jpeg, Errors& errors, const EmbeddedPicture& picture, uint8_t* row) {
    if (setjmp(errors.jump)) return false;
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, picture.file.data, static_cast<unsigned long>(picture.file.size));
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_RGB;
    jpeg_start_decompress(&jpeg);
    if (jpeg.output_width != picture.still.width || jpeg.output_height != picture.still.height) return false;
    while (jpeg.output_scanline < jpeg.output_height) {
        auto* to = static_cast<uint8_t*>(picture.pixels) + jpeg.output_scanline * picture.stride;
        jpeg_read_scanlines(&jpeg, &row, 1);
        for (uint32_t x = 0; x < picture.still.width; ++x) {
            for (int c = 0; c < 3; ++c) to[4 * x + c] = row[3 * x + c];
            to[4 * x + 3] = 255;
        }
    }
    jpeg_finish_decompress(&jpeg);
    return !errors.blocks_missing;
}

}  // namespace

bool decode_jpeg(const EmbeddedPicture& picture) {
    Vector<uint8_t> row(size_t{picture.still.width} * 3);
    jpeg_decompress_struct jpeg = {};
    Errors errors = {};
    jpeg.err = jpeg_std_error(&errors.manager);
    errors.manager.error_exit = &on_error;
    errors.manager.emit_message = &on_message;
    errors.manager.output_message = &on_output;
    const bool is_sound = decode(jpeg, errors, picture, row.data());
    jpeg_destroy_decompress(&jpeg);
    return is_sound;
}

}  // namespace aec
