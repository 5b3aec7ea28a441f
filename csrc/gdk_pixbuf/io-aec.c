/* A loader of gdk-pixbuf for .aec files: what GTK programs open pictures with.
 *
 * gdk-pixbuf gives a file in pieces. They are collected, because the checksums of a file are compared before anything
 * of it is decoded. The size is told as soon as the head is there, and the program may then ask for a smaller picture:
 * it is decoded at 1/2, 1/4 or 1/8, which takes less time, and scaled to the exact size.
 */
#define GDK_PIXBUF_ENABLE_BACKEND
#include <gdk-pixbuf/gdk-pixbuf.h>
#include <string.h>

#include "capi/aec.h"

#define HEAD_BYTES 64 /* of a file of any size, as aec_read_info says */
#define MODELS 4

typedef struct {
    GdkPixbufModuleSizeFunc size_func;
    GdkPixbufModulePreparedFunc prepared_func;
    GdkPixbufModuleUpdatedFunc updated_func;
    gpointer user_data;
    GByteArray *data;
    gboolean size_told;
    gint width, height; /* that the program asks for; 0: it wants no picture, only its size */
} Loading;

/* Models stay loaded, because a viewer that goes through a folder needs the same one for every file. */
static GMutex models_mutex;
static aec_model *models[MODELS];

static void set_error(GError **error, const aec_error *found) {
    gint code;
    switch (found->status) {
        case AEC_ERROR_NOT_AEC:
        case AEC_ERROR_VERSION: code = GDK_PIXBUF_ERROR_UNKNOWN_TYPE; break;
        case AEC_ERROR_TRUNCATED:
        case AEC_ERROR_CORRUPT: code = GDK_PIXBUF_ERROR_CORRUPT_IMAGE; break;
        case AEC_ERROR_LIMIT:
        case AEC_ERROR_MEMORY: code = GDK_PIXBUF_ERROR_INSUFFICIENT_MEMORY; break;
        default: code = GDK_PIXBUF_ERROR_FAILED;
    }
    g_set_error(error, GDK_PIXBUF_ERROR, code, "%s", found->message);
}

/* The model with this id; NULL: it was not found, and *error says why. One that is not kept, because there is no room
 * for it, is also put into *own, and is to be closed after its use. */
static const aec_model *model_of(const uint8_t *id, aec_model **own, aec_error *error) {
    aec_model *found = NULL;
    g_mutex_lock(&models_mutex);
    gsize i = 0;
    for (; i < MODELS && models[i] != NULL; i++) {
        uint8_t its[4];
        aec_model_get_id(models[i], its);
        if (memcmp(its, id, 4) == 0) {
            found = models[i];
            break;
        }
    }
    if (found == NULL && aec_model_find(id, NULL, 0, &found, error) == AEC_OK) {
        if (i < MODELS) {
            models[i] = found;
        } else {
            *own = found;
        }
    }
    g_mutex_unlock(&models_mutex);
    return found;
}

/* The largest shrink at which the picture is not smaller than what is asked for. */
static uint32_t shrink_for(const aec_info *info, gint width, gint height) {
    uint32_t shrink = 8;
    const uint32_t columns = (uint32_t)width, rows = (uint32_t)height;
    while (shrink > 1 && (info->width / shrink < columns || info->height / shrink < rows)) shrink /= 2;
    return shrink;
}

/* Decodes a file whose model is there, to a size not smaller than what is asked for; NULL, and *error is set. */
static GdkPixbuf *decoded(const aec_file *file, const aec_info *info, const aec_model *model, gint width, gint height,
                          GError **error) {
    aec_error why = {0};
    aec_decode_options options;
    aec_decode_options_init(&options, sizeof options);
    options.depth = 8;
    options.channels = info->alpha ? AEC_CHANNELS_RGBA : AEC_CHANNELS_RGB;
    options.shrink = shrink_for(info, width, height);
    aec_pixels size;
    aec_pixels_init(&size, sizeof size);
    if (aec_get_pixels(file, &options, &size, &why) != AEC_OK) {
        set_error(error, &why);
        return NULL;
    }
    GdkPixbuf *made = gdk_pixbuf_new(GDK_COLORSPACE_RGB, info->alpha != 0, 8, (int)size.width, (int)size.height);
    if (made == NULL) {
        g_set_error(error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_INSUFFICIENT_MEMORY,
                    "there is no memory for a picture of %ux%u pixels", size.width, size.height);
        return NULL;
    }
    if (aec_decode_picture(file, model, &options, gdk_pixbuf_get_pixels(made),
                           (size_t)gdk_pixbuf_get_rowstride(made), gdk_pixbuf_get_byte_length(made),
                           &why) != AEC_OK) {
        set_error(error, &why);
        g_object_unref(made);
        return NULL;
    }
    return made;
}

/* The pixels of an opened file, in the size that is asked for; NULL, and *error is set. */
static GdkPixbuf *pixels_of(const aec_file *file, gint width, gint height, GError **error) {
    aec_error why = {0};
    aec_info info;
    aec_info_init(&info, sizeof info);
    const aec_model *model = NULL;
    aec_model *own = NULL;
    if (aec_get_info(file, &info, &why) != AEC_OK ||
        (info.needs_model && (model = model_of(info.model_id, &own, &why)) == NULL)) {
        set_error(error, &why);
        return NULL;
    }
    GdkPixbuf *made = decoded(file, &info, model, width, height, error);
    aec_model_close(own);
    if (made == NULL) return NULL;
    if (width != gdk_pixbuf_get_width(made) || height != gdk_pixbuf_get_height(made)) {
        GdkPixbuf *scaled = gdk_pixbuf_scale_simple(made, width, height, GDK_INTERP_BILINEAR);
        g_object_unref(made);
        if (scaled == NULL) {
            g_set_error(error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_INSUFFICIENT_MEMORY,
                        "there is no memory for a picture of %dx%d pixels", width, height);
            return NULL;
        }
        made = scaled;
    }
    const uint8_t *icc = NULL;
    size_t icc_bytes = 0;
    /* A damaged profile is no reason to show nothing: without one the colours count as sRGB. */
    if (aec_get_metadata(file, AEC_METADATA_ICC, &icc, &icc_bytes, NULL) == AEC_OK && icc != NULL) {
        gchar *text = g_base64_encode(icc, icc_bytes);
        gdk_pixbuf_set_option(made, "icc-profile", text);
        g_free(text);
    }
    return made;
}

static gpointer begin_load(GdkPixbufModuleSizeFunc size_func, GdkPixbufModulePreparedFunc prepared_func,
                           GdkPixbufModuleUpdatedFunc updated_func, gpointer user_data, GError **error) {
    (void)error;
    Loading *loading = g_new0(Loading, 1);
    loading->size_func = size_func;
    loading->prepared_func = prepared_func;
    loading->updated_func = updated_func;
    loading->user_data = user_data;
    loading->data = g_byte_array_new();
    return loading;
}

/* Tells the size of the picture, which the program may change. FALSE: it is no .aec file, and *error is set. */
static gboolean tell_size(Loading *loading, GError **error) {
    aec_error why = {0};
    aec_info info;
    aec_info_init(&info, sizeof info);
    if (aec_read_info(loading->data->data, loading->data->len, &info, &why) != AEC_OK) {
        set_error(error, &why);
        return FALSE;
    }
    loading->width = (gint)info.width;
    loading->height = (gint)info.height;
    if (loading->size_func != NULL) loading->size_func(&loading->width, &loading->height, loading->user_data);
    loading->size_told = TRUE;
    return TRUE;
}

static gboolean load_increment(gpointer context, const guchar *buffer, guint size, GError **error) {
    Loading *loading = context;
    if (loading->size_told && (loading->width <= 0 || loading->height <= 0)) return TRUE; /* the rest is not wanted */
    if (size > G_MAXUINT - loading->data->len) {
        g_set_error(error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_INSUFFICIENT_MEMORY, "the file has more than 4 GB");
        return FALSE;
    }
    g_byte_array_append(loading->data, buffer, size);
    return loading->size_told || loading->data->len < HEAD_BYTES || tell_size(loading, error);
}

static gboolean stop_load(gpointer context, GError **error) {
    Loading *loading = context;
    aec_file *file = NULL;
    GdkPixbuf *made = NULL;
    aec_error why = {0};
    gboolean wanted = loading->size_told || tell_size(loading, error); /* a file of a few bytes has not told it yet */
    if (wanted && (loading->width <= 0 || loading->height <= 0)) {
        g_set_error(error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_FAILED, "a picture of %dx%d pixels was asked for",
                    loading->width, loading->height);
    } else if (wanted) {
        if (aec_open_memory(loading->data->data, loading->data->len, NULL, &file, &why) != AEC_OK) {
            set_error(error, &why);
        } else {
            made = pixels_of(file, loading->width, loading->height, error);
        }
    }
    if (made != NULL) {
        if (loading->prepared_func != NULL) loading->prepared_func(made, NULL, loading->user_data);
        if (loading->updated_func != NULL) {
            loading->updated_func(made, 0, 0, gdk_pixbuf_get_width(made), gdk_pixbuf_get_height(made),
                                  loading->user_data);
        }
        g_object_unref(made);
    }
    aec_close(file);
    g_byte_array_unref(loading->data);
    g_free(loading);
    return made != NULL;
}

G_MODULE_EXPORT void fill_vtable(GdkPixbufModule *module) {
    module->begin_load = begin_load;
    module->load_increment = load_increment;
    module->stop_load = stop_load;
}

G_MODULE_EXPORT void fill_info(GdkPixbufFormat *info) {
    static GdkPixbufModulePattern signature[] = {{"\xd7" "AEC", NULL, 100}, {NULL, NULL, 0}};
    static gchar *mime_types[] = {"image/x-aec", NULL};
    static gchar *extensions[] = {"aec", NULL};
    info->name = "aec";
    info->signature = signature;
    info->description = "aec picture";
    info->mime_types = mime_types;
    info->extensions = extensions;
    info->flags = GDK_PIXBUF_FORMAT_THREADSAFE;
    info->license = "Apache-2.0";
}
