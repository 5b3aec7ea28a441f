#include "picture/decode.h"

#include "picture/exact.h"

namespace aec {
namespace {

// Of the progress, if alpha follows. The real share depends on the decoder of alpha, which may be the caller's.
constexpr double kColoursShare = 0.75;

// Tells `progress` of a step that takes it from one share to another.
Progress part_of(const Progress& progress, double from, double to) {
    if (!progress) return nullptr;
    return [&progress, from, to](double share) { progress(from + share * (to - from)); };
}

}  // namespace

void decode_picture(const Layout& layout, const Model* model, const Area& region, const Canvas& canvas, int threads,
                    const EmbeddedDecoder& embedded, const Progress& progress) {
    const Header& header = layout.header();
    if (header.stored) {  // in one piece, so a caller can only stop it before it begins
        if (progress) progress(0);
        decode_stored(layout, canvas, embedded);
        if (progress) progress(1);
        return;
    }
    if (header.exact) return decode_exact_picture(layout, canvas, threads, progress);
    if (model == nullptr) throw Error(ErrorKind::kModel, "the file needs model " + text_of(header.model_id));
    if (model->id != header.model_id)
        throw Error(ErrorKind::kModel,
                    "the file was written with model " + text_of(header.model_id) + ", not " + text_of(model->id));
    if (!header.alpha || !canvas.has_alpha())
        return decode_colours(layout, *model, region, canvas, threads, progress);
    decode_colours(layout, *model, region, canvas, threads, part_of(progress, 0, kColoursShare));
    decode_alpha(layout, canvas, embedded, part_of(progress, kColoursShare, 1));
}

}  // namespace aec
