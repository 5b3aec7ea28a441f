/* The C interface of aec, for decoding and encoding .aec files.
 *
 * A short tour: aec_open_memory parses a file and compares all its checksums; aec_get_info says what is in it; a model
 * comes from aec_model_open_path, aec_model_open_memory or aec_model_find; aec_decode_picture writes pixels to the
 * caller's memory. csrc/capi/example.c does all of this in 40 lines. aec_encode_picture, aec_encode_exact and
 * aec_store_picture make files. docs/c-api.md describes building and linking.
 *
 * Errors. Functions that can fail return an aec_status, which is AEC_OK (0) if they succeeded. They also take an
 * aec_error, which may be NULL, and write the status and a message to it, also AEC_OK and an empty message. When a call
 * fails, its results are not touched, except pixels: what aec_decode_picture has written by then is not a picture. No
 * C++ exception ever leaves the library, and it never prints, exits or aborts.
 *
 * Threads. Calls with different objects are independent. An aec_model never changes: any number of threads may decode
 * with it. An aec_file may also be used by several threads at once. Closing an object must come after all other calls
 * that use it. Calls that take a number of threads start so many at most, and they have ended when the call returns;
 * with 1 they start none. No other call starts a thread.
 *
 * Memory. The library allocates with malloc, or with what the program has replaced operator new by, or with an
 * aec_allocator that an object is made with. It never hands out memory that the caller must free, other than the
 * objects with a close function, and never keeps a pointer to the caller's memory beyond what aec_open_memory says. A
 * file allocates in proportion to its real size before aec_decode_picture, never to a size that it claims. If there is
 * no memory, calls return AEC_ERROR_MEMORY.
 *
 * Versions. Structs begin with their size, so that later versions can add fields at their end: set them by the _init
 * functions, which are given the size that the program was compiled with. A program that was compiled with a newer
 * header than the library's may pass its larger structs, as long as it leaves the fields that the library does not know
 * at 0: a call that finds another value there returns AEC_ERROR_ARGUMENT, because it could not do what is asked.
 * Statuses and kinds are int32_t, so that later versions can add values: a status that is unknown is an error.
 */
#ifndef AEC_H
#define AEC_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && defined(AEC_BUILDING) /* set while the library is compiled */
#define AEC_API __declspec(dllexport)
#elif defined(_WIN32)
#define AEC_API
#else
#define AEC_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------- versions */

/* Rises when a program that was compiled with an older header would no longer work. The shared library's SOVERSION. */
#define AEC_ABI_VERSION 1

/* The ABI version of the library that is linked, to be compared with AEC_ABI_VERSION. */
AEC_API uint32_t aec_abi_version(void);
/* The version of the library, such as "0.9.0". */
AEC_API const char *aec_version(void);

/* --------------------------------------------------------------------------------------------------------- errors */

typedef int32_t aec_status;
enum {
    AEC_OK = 0,
    /* Of the file; csrc's and Python's names of them are in FORMAT.md. */
    AEC_ERROR_NOT_AEC = 1,     /* NotAecError: the data does not begin as an .aec file does */
    AEC_ERROR_VERSION = 2,     /* UnsupportedVersionError: the file needs a newer library */
    AEC_ERROR_TRUNCATED = 3,   /* TruncatedError: the file is shorter than its header says */
    AEC_ERROR_CORRUPT = 4,     /* CorruptError: the file contradicts the format */
    AEC_ERROR_LIMIT = 5,       /* LimitError: the picture is larger than the format, or the caller, allows */
    AEC_ERROR_MODEL = 6,       /* ModelError: the model is missing, damaged, or not the one that wrote the file */
    AEC_ERROR_EMBEDDED = 7,    /* the picture inside needs a PNG, WebP or JPEG decoder, or alpha a WebP encoder, that
                                  this build does not have */
    /* Of the call. */
    AEC_ERROR_ARGUMENT = 8,    /* an argument is not as described here */
    AEC_ERROR_MEMORY = 9,      /* there is not enough memory */
    AEC_ERROR_IO = 10,         /* a file cannot be read */
    AEC_ERROR_CANCELLED = 11,  /* the progress callback has asked to stop */
    AEC_ERROR_INTERNAL = 12    /* a bug of the library; please report it with its message */
};

#define AEC_MESSAGE_BYTES 508
typedef struct aec_error {
    int32_t status;                  /* an aec_status */
    char message[AEC_MESSAGE_BYTES]; /* UTF-8, ends with a zero byte; what was found, and what is allowed. A longer
                                        message has "..." in its middle, and bytes of names that are no UTF-8 are '?' */
} aec_error;

/* A short name of a status, such as "truncated file". */
AEC_API const char *aec_status_name(int32_t status);

/* --------------------------------------------------------------------------------------------------------- memory */

/* Functions of the caller for memory, which are copied from here to the object that is made with them, and used for
 * it until it is closed, by the threads that work for it, also at once. All that grows with a picture, a file or a
 * model comes from them: copies of files, weights, samples, latents, symbols, coded data, and what the work needs.
 * Still from malloc come objects and texts of some hundred bytes; the lists of what a model file, or a layout of
 * windows, holds; threads; and what zlib, libpng, libwebp and libjpeg take, while they work for a call. */
typedef struct aec_allocator {
    void *(*allocate)(void *user, size_t size); /* size: at least 1. Returns memory that is aligned as that of malloc,
                                                   or NULL: then the call returns AEC_ERROR_MEMORY, and keeps nothing */
    void (*release)(void *user, void *memory);  /* memory: what allocate has returned, once */
    void *user;
} aec_allocator;

/* ---------------------------------------------------------------------------------------------------------- files */

typedef struct aec_file aec_file; /* an .aec file, parsed and verified */

typedef struct aec_open_options {
    size_t struct_size;
    uint64_t max_pixels; /* refuse pictures with more pixels; the default is 2^28; UINT64_MAX: the format's own limit */
    uint32_t max_side;   /* refuse pictures with a longer side; the default is 65535, the format's own limit */
    int32_t allow_partial; /* not 0: also take a file that ends early, is too long or is damaged, as long as its head,
                              its table and its map of qualities are whole (FORMAT.md, 2.4). aec_get_missing says what
                              is not there. The default is 0. */
    const aec_allocator *allocator; /* the memory of the file, and of all work on it; NULL (default): malloc */
} aec_open_options;

AEC_API void aec_open_options_init(aec_open_options *options, size_t struct_size);

/* What the header of a file says. */
typedef struct aec_info {
    size_t struct_size;
    uint32_t width, height; /* in pixels, 1..65535 each */
    uint32_t depth;         /* bits a sample: 8 or 16 */
    uint32_t gray;          /* 1: one colour channel; 0: three, red, green and blue */
    uint32_t alpha;         /* 1: there is an alpha channel, not premultiplied */
    uint32_t quality;       /* 1..100; stored: 0; exact: the largest error of a colour sample, in levels, 0..255 */
    uint32_t needs_model;   /* 1: aec_decode_picture needs the model with model_id; 0: the picture is stored or exact */
    uint32_t stored;        /* 1: the file holds a whole PNG, WebP or JPEG file, see aec_get_embedded */
    uint32_t exact;         /* 1: the picture is lossless, or has a guaranteed largest error */
    uint32_t mapped;        /* 1: blocks of the picture have qualities of their own */
    uint32_t tile;          /* side of the tiles in pixels; stored: 0 */
    uint32_t tiles;         /* number of tiles; stored: 1 */
    uint32_t parts;         /* parts of each tile's data, 1..16; with more than 1, the beginning of the file is a
                               coarser picture */
    uint32_t first;         /* channels of latents in the first of two passes; 0: one pass */
    uint8_t model_id[4];    /* zeros if needs_model is 0 */
    uint32_t reserved;      /* 0 */
} aec_info;

AEC_API void aec_info_init(aec_info *info, size_t struct_size);

/* Reads only the header; of a file of any size its first 64 bytes are enough. No checksum is compared, and no limit
 * holds but the format's own. */
AEC_API aec_status aec_read_info(const void *data, size_t size, aec_info *info, aec_error *error);

/* Parses a file in memory and compares all its checksums. The data must stay as it is until aec_close.
 * options: NULL for the defaults. On success *file is set, and must be closed. */
AEC_API aec_status aec_open_memory(const void *data, size_t size, const aec_open_options *options, aec_file **file,
                                   aec_error *error);
/* The same for a file on disk, which is read at once, and may be removed afterwards. path: as fopen takes it, here and
 * everywhere: bytes on most systems, on Windows in the encoding of the active code page. */
AEC_API aec_status aec_open_path(const char *path, const aec_open_options *options, aec_file **file, aec_error *error);
/* NULL is allowed. */
AEC_API void aec_close(aec_file *file);

AEC_API aec_status aec_get_info(const aec_file *file, aec_info *info, aec_error *error);

/* The number of bytes at the beginning of the whole file that hold the parts 0..part of every tile; with
 * part = parts - 1 it is the size of the whole file. For readers that fetch a file step by step. */
AEC_API aec_status aec_get_stage(const aec_file *file, uint32_t part, uint64_t *bytes, aec_error *error);

/* ------------------------------------------------------------------------------------------------------- metadata */

typedef int32_t aec_metadata_kind;
enum {
    AEC_METADATA_ICC = 0,             /* ICC profile */
    AEC_METADATA_EXIF = 1,            /* the TIFF block of EXIF, without "Exif\0\0" before it */
    AEC_METADATA_XMP = 2,             /* XMP packet */
    AEC_METADATA_CICP = 3,            /* 4 bytes: code points of H.273: primaries, transfer, matrix (0), full range.
                                         They count more than an ICC profile beside them. */
    AEC_METADATA_SIGNIFICANT_BITS = 4, /* 1 byte, less than depth: the source had so many bits a sample */
    AEC_METADATA_EXTRA = 5            /* all extra blocks, as FORMAT.md, 2.5, says; aec_get_extra gives one of them */
};

/* Gives a block of metadata as the file has it, inflated when it is asked for first. *data is valid until aec_close;
 * NULL, with *size = 0, if the file has no such block, or a partial file has lost it. Without ICC and CICP samples are
 * sRGB. AEC_ERROR_CORRUPT: the block cannot be inflated, or is not such as FORMAT.md allows.
 *
 * A stored picture without ICC, EXIF, XMP and CICP here has the metadata of the PNG, WebP or JPEG file inside, which
 * aec_get_embedded gives; its orientation is then applied by aec_decode_picture. All other pictures are upright
 * already. */
AEC_API aec_status aec_get_metadata(const aec_file *file, aec_metadata_kind kind, const uint8_t **data,
                                    size_t *size, aec_error *error);

/* Gives the extra block of a type, four ASCII letters and digits, which means something to the programs that know it.
 * NULL, with *size = 0, if there is none; an empty block has a *data that is not NULL. Valid until aec_close. */
AEC_API aec_status aec_get_extra(const aec_file *file, const char *type, const uint8_t **data, size_t *size,
                                 aec_error *error);

/* -------------------------------------------------------------------------------------------------- partial files */

typedef enum aec_missing_what {
    AEC_MISSING_COLOURS = 0, /* of the area `parts` of `of` parts are whole; the rest is predicted from these */
    AEC_MISSING_ALPHA = 1,   /* the area is opaque instead */
    AEC_MISSING_METADATA = 2 /* a block of metadata, whose kind is in `kind`; the area is the whole picture */
} aec_missing_what;

typedef struct aec_missing {
    size_t struct_size;
    uint32_t what;                /* an aec_missing_what */
    uint32_t x, y, width, height; /* in pixels. Around it colours may differ a little too. */
    uint32_t parts, of;
    uint32_t kind; /* an aec_metadata_kind */
} aec_missing;

AEC_API void aec_missing_init(aec_missing *missing, size_t struct_size);
/* How many things a file that was opened with allow_partial does not have; 0 if it is whole. */
AEC_API uint64_t aec_missing_count(const aec_file *file);
AEC_API aec_status aec_get_missing(const aec_file *file, uint64_t i, aec_missing *missing, aec_error *error);

/* --------------------------------------------------------------------------------------------------------- models */

typedef struct aec_model aec_model; /* a model, verified and ready to decode */

/* Where a model comes from: the file at a path; a file in memory, which may be freed afterwards; or the first whole
 * file with an id, in folders of model files. What belongs to the other two is NULL. */
typedef struct aec_model_options {
    size_t struct_size;
    const char *path;
    const void *data;
    size_t size;
    const uint8_t *id;   /* 4 bytes */
    const char *folders; /* separated as in PATH; NULL: those of the environment variable AEC_MODELS, and then the
                            folder share/aec that the library was installed with */
    uint32_t threads;    /* the most threads to use while loading; 0 (default): one for each processor */
    const aec_allocator *allocator; /* the memory of the model; NULL (default): malloc */
} aec_model_options;

AEC_API void aec_model_options_init(aec_model_options *options, size_t struct_size);

/* Loads a model file (*.safetensors) and compares its hash. A file without the encoder's half is enough. Beside the
 * file itself, loading needs about as much memory as the file has bytes, and twice as much if the data is not aligned
 * to 8 bytes. */
AEC_API aec_status aec_model_open(const aec_model_options *options, aec_model **model, aec_error *error);
/* The same with the options that most need. */
AEC_API aec_status aec_model_open_memory(const void *data, size_t size, uint32_t threads, aec_model **model,
                                         aec_error *error);
AEC_API aec_status aec_model_open_path(const char *path, uint32_t threads, aec_model **model, aec_error *error);
AEC_API aec_status aec_model_find(const uint8_t *id, const char *folders, uint32_t threads, aec_model **model,
                                  aec_error *error);
/* NULL is allowed. */
AEC_API void aec_model_close(aec_model *model);
/* Writes the model's id, 4 bytes, which is to be compared with aec_info.model_id. */
AEC_API void aec_model_get_id(const aec_model *model, uint8_t *id);

/* ---------------------------------------------------------------------------------------------- embedded pictures */

typedef int32_t aec_embedded_kind;
enum {
    AEC_EMBEDDED_NONE = 0,
    AEC_EMBEDDED_PNG = 1,
    AEC_EMBEDDED_WEBP = 2,
    AEC_EMBEDDED_JPEG = 3
};

/* Gives the PNG, WebP or JPEG file inside a stored picture; NULL, 0 and AEC_EMBEDDED_NONE if the picture is not stored.
 * *data is valid until aec_close. */
AEC_API aec_status aec_get_embedded(const aec_file *file, const uint8_t **data, size_t *size, aec_embedded_kind *kind,
                                    aec_error *error);

/* A picture inside an .aec file that is to be decoded: a stored picture, or the alpha channel of a tile, which is a
 * WebP (8 bits) or a gray PNG (16 bits). */
typedef struct aec_embedded_picture {
    size_t struct_size;
    int32_t kind;           /* an aec_embedded_kind */
    const uint8_t *data;
    size_t size;
    uint32_t width, height; /* its size, as its own header says, which the library has compared with the .aec file's */
    uint32_t depth;         /* 8: samples are uint8_t; 16: uint16_t of the machine's byte order */
    uint32_t cmyk;          /* 1: a JPEG of four colour channels, CMYK or YCCK, which are to become sRGB */
    void *pixels;           /* to be filled: [height][width][4]: red, green, blue (gray: all the same), alpha */
    size_t stride;          /* bytes between rows of pixels: width * 4 * depth / 8 */
} aec_embedded_picture;

/* Decodes a picture: fills `pixels`, of which everything is 0 before, and returns AEC_OK; or returns another
 * aec_status, which becomes that of aec_decode_picture: AEC_ERROR_CORRUPT for a damaged picture, AEC_ERROR_EMBEDDED for
 * a kind that it does not decode. A value that is no aec_status becomes AEC_ERROR_ARGUMENT. Colours are to be as they
 * are in the file: no conversion by a profile, no orientation applied, alpha not premultiplied. Only CMYK is to be
 * converted to sRGB, by the profile in the JPEG file (FORMAT.md, 2.9), or refused with AEC_ERROR_EMBEDDED. It is called
 * by the thread that called aec_decode_picture. It must not let an exception out. */
typedef int32_t (*aec_embedded_decoder)(void *user, const aec_embedded_picture *picture);

/* Whether this library itself decodes pictures of a kind, with libpng, libwebp or libjpeg: 1 or 0. JPEG pictures in
 * CMYK are refused even where this is 1. */
AEC_API int32_t aec_has_embedded_decoder(aec_embedded_kind kind);

/* -------------------------------------------------------------------------------------------------------- decoding */

typedef enum aec_channels {
    AEC_CHANNELS_OF_FILE = 0, /* gray or RGB, with alpha last if there is an alpha channel */
    AEC_CHANNELS_GRAY = 1,    /* only of gray pictures */
    AEC_CHANNELS_GRAY_ALPHA = 2,
    AEC_CHANNELS_RGB = 3, /* a gray picture's three channels are the same */
    AEC_CHANNELS_RGBA = 4 /* without an alpha channel: opaque */
} aec_channels;

/* Called with the share that is done, rising to 1, by the thread that called aec_decode_picture. Returns 0 to go on;
 * anything else stops decoding with AEC_ERROR_CANCELLED. It is called after each window of 1024x1024 pixels and each
 * tile of an alpha channel; after every `threads` tiles of an exact picture; and before and after a stored picture is
 * decoded, which cannot be stopped on the way. */
typedef int32_t (*aec_progress)(void *user, double share);

typedef struct aec_decode_options {
    size_t struct_size;
    uint32_t x, y, width, height; /* the region in pixels of the whole picture; all four 0, the default: all of it.
                                     Only what it needs is decoded, except of stored pictures, which are decoded as a
                                     whole, to four samples a pixel. Its pixels equal those of the whole picture. */
    uint32_t shrink;   /* 1 (default), 2, 4 or 8: each pixel of the result is the mean of a square of so many pixels a
                          side. Squares are counted from the picture's origin; all that the region touches are made. */
    uint32_t depth;    /* 8 or 16 bits a sample; 0 (default): as the file has */
    uint32_t channels; /* an aec_channels; a channel of alpha that is not asked for is dropped */
    uint32_t threads;  /* the most threads to use; 0 (default): one for each processor. The pixels are the same. */
    aec_progress progress; /* NULL (default): none */
    void *progress_user;
    aec_embedded_decoder embedded; /* decodes pictures inside; NULL (default): the library's own, as far as it has */
    void *embedded_user;
} aec_decode_options;

AEC_API void aec_decode_options_init(aec_decode_options *options, size_t struct_size);

/* What aec_decode_picture writes. */
typedef struct aec_pixels {
    size_t struct_size;
    uint32_t width, height;
    uint32_t channels;  /* 1 to 4: an aec_channels */
    uint32_t depth;     /* 8 or 16 */
    uint64_t row_bytes; /* width * channels * depth / 8: the least stride */
    uint64_t bytes;     /* row_bytes * height: the least size, for this stride */
} aec_pixels;

AEC_API void aec_pixels_init(aec_pixels *pixels, size_t struct_size);
/* options: NULL for the defaults. */
AEC_API aec_status aec_get_pixels(const aec_file *file, const aec_decode_options *options, aec_pixels *pixels,
                                  aec_error *error);

/* Decodes a picture, or a part of it, into rows of interleaved samples: uint8_t, or uint16_t of the machine's byte
 * order. model: the one with the file's model_id; it may be NULL if the file needs none. options: NULL for the
 * defaults. out: has `size` bytes; for 16 bits it and the stride must be even. stride: bytes between rows, at least
 * row_bytes. The bytes between rows are not touched. */
AEC_API aec_status aec_decode_picture(const aec_file *file, const aec_model *model,
                                      const aec_decode_options *options, void *out, size_t stride, size_t size,
                                      aec_error *error);

/* -------------------------------------------------------------------------------------------------------- encoding */

typedef struct aec_encoder aec_encoder; /* a model, verified and ready to encode */

/* Loads a whole model file and compares its hashes: as aec_model_open, but by a path or from memory only. The allocator
 * serves encoding too. A file with the decoder's half only is refused, and loading needs about twice as much memory as
 * the file has bytes, beside the file itself, and three times as much if the data is not aligned to 8 bytes. An
 * aec_encoder never changes: any number of threads may encode with it. */
AEC_API aec_status aec_encoder_open(const aec_model_options *options, aec_encoder **encoder, aec_error *error);
/* The same with the options that most need. */
AEC_API aec_status aec_encoder_open_memory(const void *data, size_t size, uint32_t threads, aec_encoder **encoder,
                                           aec_error *error);
AEC_API aec_status aec_encoder_open_path(const char *path, uint32_t threads, aec_encoder **encoder, aec_error *error);
/* NULL is allowed. */
AEC_API void aec_encoder_close(aec_encoder *encoder);
/* Writes the model's id, 4 bytes, which will be aec_info.model_id of the files. */
AEC_API void aec_encoder_get_id(const aec_encoder *encoder, uint8_t *id);

/* Takes bytes that the library has made. Returns AEC_OK, or another aec_status, which becomes that of the call; a value
 * that is no aec_status becomes AEC_ERROR_ARGUMENT. */
typedef int32_t (*aec_write)(void *user, const void *data, size_t size);

/* The alpha channel of a tile that is not opaque everywhere, and is to be coded as FORMAT.md, 2.8, says: a WebP of 8
 * bits or a gray PNG of 16. */
typedef struct aec_alpha_tile {
    size_t struct_size;
    uint32_t width, height, depth; /* depth: 8: samples are uint8_t; 16: uint16_t of the machine's byte order */
    const void *samples;           /* [height][width] */
    size_t stride;                 /* bytes between rows */
    aec_write write;               /* to be called with write_user, once, with the coded tile; its size and its depth
                                      must be those of this tile */
    void *write_user;
} aec_alpha_tile;

/* Whether this library itself codes the alpha of pictures of a depth, 8 or 16, exactly: 1 or 0. For 8 bits it needs
 * libwebp. Where it does not, and the caller has no function that does, pictures that are not opaque are refused with
 * AEC_ERROR_EMBEDDED. */
AEC_API int32_t aec_has_alpha_encoder(uint32_t depth);

/* Codes the alpha of a tile. Returns AEC_OK, or another aec_status, which becomes that of aec_encode_picture; a value
 * that is no aec_status becomes AEC_ERROR_ARGUMENT. It is called by the thread that called aec_encode_picture, and must
 * not let an exception out. */
typedef int32_t (*aec_alpha_encoder)(void *user, const aec_alpha_tile *tile);

typedef struct aec_bytes {
    const void *data;
    size_t size; /* 0: there are none */
} aec_bytes;

typedef struct aec_encode_options {
    size_t struct_size;
    uint32_t quality;     /* 1..100; the default is 75 */
    uint32_t effort;      /* 1..9: how carefully symbols are chosen; the default is 2 */
    uint32_t progressive; /* not 0: half of the file is to be a coarse picture; the default is 0 */
    uint32_t tile;        /* side of the tiles: 64, 128, .. 4096; the default is 1024 */
    uint32_t threads;     /* the most threads to use; 0 (default): one for each processor. The file is the same. */
    aec_bytes map;        /* a quality for each block of 64x64 pixels, 1..100, rows of ceil(width / 64) bytes; none
                             (default): the quality is the same everywhere */
    aec_bytes metadata[8]; /* by aec_metadata_kind; none by default. The last ones are for kinds to come. The picture
                              must be upright: EXIF or XMP that name an orientation other than 1 are refused. */
    aec_progress progress; /* as of aec_decode_picture, but called by the threads that do the work, one at a time, after
                              each tile, or each attempt at one for higher efforts */
    void *progress_user;
    aec_alpha_encoder alpha; /* codes alpha that is not opaque; NULL (default): the library does, if it can */
    void *alpha_user;
    uint32_t alpha_quality; /* 0 (default) and 100 keep alpha exactly; 1..99 reduce the number of its levels, unless it
                               has 16 bits. Where `alpha` is a function, that chooses, and this must be 0 or 100. */
} aec_encode_options;

AEC_API void aec_encode_options_init(aec_encode_options *options, size_t struct_size);

/* Rows of interleaved samples: uint8_t, or uint16_t of the machine's byte order. They are not premultiplied. Without
 * metadata of their colours they are sRGB. */
typedef struct aec_picture {
    size_t struct_size;
    uint32_t width, height; /* 1..65535 each, 2^28 pixels at most */
    uint32_t channels;      /* an aec_channels other than 0: 1 to 4, alpha last. Alpha that is opaque is left out. */
    uint32_t depth;         /* 8 or 16 */
    const void *pixels;
    size_t stride;          /* bytes between rows */
    size_t size;            /* bytes of `pixels` in all */
} aec_picture;

AEC_API void aec_picture_init(aec_picture *picture, size_t struct_size);

/* Encodes a picture with the network, and calls `write` once with the whole file, by the thread that called. The same
 * picture and options give the same file on all the machines that we test, and the one that Python's codec.encode
 * makes, if that does not find that storing the picture takes less. A picture that is too large is AEC_ERROR_LIMIT. */
AEC_API aec_status aec_encode_picture(const aec_encoder *encoder, const aec_picture *picture,
                                      const aec_encode_options *options, aec_write write, void *write_user,
                                      aec_error *error);

/* ----------------------------------------------------------------------------------------- encoding without a model */

typedef struct aec_exact_options {
    size_t struct_size;
    uint32_t max_error; /* 0 (default): each sample is kept, also colours where alpha is 0; 1..255: each colour sample
                           differs by at most this many levels of the picture's depth, and alpha is kept */
    uint32_t tile;      /* side of the tiles: 64, 128, .. 4096; the default is 1024 */
    uint32_t threads;   /* the most threads to use; 0 (default): one for each processor. The file is the same. */
    aec_bytes metadata[8]; /* as in aec_encode_options */
    aec_progress progress; /* the same, after each tile */
    void *progress_user;
    const aec_allocator *allocator; /* the memory of the call; NULL (default): malloc */
} aec_exact_options;

AEC_API void aec_exact_options_init(aec_exact_options *options, size_t struct_size);

/* Encodes a picture exactly, or with a guaranteed largest error, by the coder of FORMAT.md, 9, which needs no model; it
 * codes alpha too. Calls `write` once with the whole file. The file is the one that Python's codec.encode makes with
 * lossless or max_error, if that does not find that storing the picture as WebP or PNG takes less. options: NULL for
 * the defaults. */
AEC_API aec_status aec_encode_exact(const aec_picture *picture, const aec_exact_options *options, aec_write write,
                                    void *write_user, aec_error *error);

typedef struct aec_store_options {
    size_t struct_size;
    uint64_t max_pixels; /* refuse pictures with more pixels; the default, and the most that is written, is 2^28 */
    aec_embedded_decoder embedded; /* as in aec_decode_options */
    void *embedded_user;
    const aec_allocator *allocator; /* the memory of the call; NULL (default): malloc */
} aec_store_options;

AEC_API void aec_store_options_init(aec_store_options *options, size_t struct_size);

/* Stores a PNG, WebP or JPEG file in an .aec file, unchanged, so that aec_get_embedded gives it back to the byte; its
 * metadata and its orientation count as they are inside. Calls `write` once with the whole file, which is the one that
 * Python's codec.encode makes where it stores its source. The picture is decoded once, to see that it is whole, and
 * whether it is opaque: AEC_ERROR_CORRUPT if it is damaged, an animation, or no such picture; AEC_ERROR_EMBEDDED if
 * this build has no decoder for it, and options have none. options: NULL for the defaults. */
AEC_API aec_status aec_store_picture(const void *data, size_t size, const aec_store_options *options, aec_write write,
                                     void *write_user, aec_error *error);

#ifdef __cplusplus
}
#endif

#endif
