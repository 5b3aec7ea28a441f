/* Decodes an .aec file to a PPM or PGM file of 8 bits a sample: example IN.aec MODEL.safetensors OUT.ppm */
#include <aec.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const aec_error *error) {
    fprintf(stderr, "%s: %s\n", aec_status_name(error->status), error->message);
    return 1;
}

int main(int argc, char **argv) {
    aec_error error;
    aec_file *file = NULL;
    aec_model *model = NULL;
    aec_info info;
    aec_decode_options options;
    aec_pixels pixels;
    if (argc != 4) return fprintf(stderr, "usage: example IN.aec MODEL.safetensors OUT.ppm\n"), 2;

    if (aec_open_path(argv[1], NULL, &file, &error) != AEC_OK) return fail(&error);
    aec_info_init(&info, sizeof info);
    aec_get_info(file, &info, NULL);
    if (info.needs_model && aec_model_open_path(argv[2], 0, &model, &error) != AEC_OK) return fail(&error);

    aec_decode_options_init(&options, sizeof options);
    options.depth = 8;
    options.channels = info.gray ? AEC_CHANNELS_GRAY : AEC_CHANNELS_RGB;
    aec_pixels_init(&pixels, sizeof pixels);
    if (aec_get_pixels(file, &options, &pixels, &error) != AEC_OK) return fail(&error);
    unsigned char *samples = malloc(pixels.bytes);
    if (samples == NULL) return fprintf(stderr, "out of memory\n"), 1;
    if (aec_decode_picture(file, model, &options, samples, pixels.row_bytes, pixels.bytes, &error) != AEC_OK) return fail(&error);

    FILE *out = fopen(argv[3], "wb");
    if (out == NULL) return perror(argv[3]), 1;
    fprintf(out, "P%d %u %u 255\n", info.gray ? 5 : 6, pixels.width, pixels.height);
    fwrite(samples, 1, pixels.bytes, out);
    if (fclose(out) != 0) return perror(argv[3]), 1;
    free(samples);
    aec_model_close(model);
    aec_close(file);
    return 0;
}
