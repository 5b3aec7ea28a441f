#include "picture/decode.h"

#include "picture/exact.h"

namespace aec {

void decode_picture(const Layout& layout, const Model* model, const Area& region, const Canvas& canvas, int threads,
                    const EmbeddedDecoder& embedded, const Progress& progress) {
    const Header& header = layout.header();
    if (header.stored) return decode_stored(layout, canvas, embedded);
    if (header.exact) return decode_exact_picture(layout, canvas, threads, progress);
    if (model == nullptr) throw Error(ErrorKind::kModel, "the file needs model " + text_of(header.model_id));
    if (model->id != header.model_id)
        throw Error(ErrorKind::kModel,
                    "the file was written with model " + text_of(header.model_id) + ", not " + text_of(model->id));
    decode_colours(layout, *model, region, canvas, threads, progress);
    if (header.alpha && canvas.has_alpha()) decode_alpha(layout, canvas, embedded);
}

}  // namespace aec
