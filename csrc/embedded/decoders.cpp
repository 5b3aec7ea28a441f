#include "embedded/decoders.h"

namespace aec {
namespace {

using Function = bool (*)(const EmbeddedPicture&);

Function decoder_of(StillKind kind) {
    switch (kind) {
#ifdef AEC_WITH_PNG
        case StillKind::kPng: return &decode_png;
#endif
#ifdef AEC_WITH_WEBP
        case StillKind::kWebp: return &decode_webp;
#endif
#ifdef AEC_WITH_JPEG
        case StillKind::kJpeg: return &decode_jpeg;
#endif
        default: return nullptr;
    }
}

}  // namespace

bool has_decoder(StillKind kind) { return decoder_of(kind) != nullptr; }

void decode_embedded(const EmbeddedPicture& picture) {
    const std::string name = name_of(picture.still.kind);
    const Function decode = decoder_of(picture.still.kind);
    if (decode == nullptr)
        throw Error(ErrorKind::kEmbedded, "it needs a " + name + " decoder, which this build does not have");
    if (picture.still.cmyk) throw Error(ErrorKind::kEmbedded, "a JPEG picture of CMYK, which is not converted here");
    if (!decode(picture)) throw Error(ErrorKind::kCorrupt, "a damaged " + name + " picture");
}

}  // namespace aec
