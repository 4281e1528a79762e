/* image_input.h - images as a model takes them: pixels, prepared as preprocessor_config.json says,
 * in one row for each patch.
 *
 * A picture (8-bit RGB) is resized, rescaled and normalized as Hugging Face's ViTImageProcessorPil
 * does it, whose resizing is Pillow's (image_resize.h); the processor of the same name for
 * torchvision resizes otherwise by a level here and there.  Values that are given as an array are
 * taken as they are.  Tested in tests/engine/test_image_input.c, tests/fuzz/fuzz_image_input.c. */
#ifndef IMAGE_INPUT_H
#define IMAGE_INPUT_H

#include <stdatomic.h>

#include "model/config.h"

struct js_doc;

/* preprocessor_config.json. */
struct image_prep {
    bool resize, crop, rescale, normalize;
    int32_t height, width;           /* what is resized to */
    int32_t crop_height, crop_width; /* what is cut out of its middle */
    int32_t resample; /* Pillow's number of a filter: 0 nearest, 1 lanczos, 2 bilinear, … */
    double rescale_factor;
    double mean[3], std[3];
};

/* Without a file: what the class does by default, for the images that the model takes. */
struct image_prep image_prep_usual(const struct config *cfg);
/* From a document, which is closed.  What is not supported (a size by its shortest
 * edge) is an error that says so; *out is untouched then. */
int image_prep_from(struct image_prep *out, const struct config *cfg, struct js_doc *doc,
                    struct err *e);

/* An image, shared and not changed: counted. */
struct image_input {
    atomic_int refs;
    int32_t rows;  /* of a model: the class token's, zeros, and one for each patch, row by row */
    int32_t patch; /* values of a row: [channel, row, column] */
    float *values; /* [rows, patch] */
    int32_t side;  /* of `rgb` */
    uint8_t *rgb;  /* [side, side, 3] what the model sees, to show it */
    int32_t *ids;  /* [rows] 0, 1, … : what stands at a position of a run (model_input_text) */
};

/* From pixels [height, width, 3]; from values [n_channels, image_size, image_size] as the model
 * takes them.  *out is the caller's reference.  Not changed on failure. */
int image_from_rgb(struct image_input **out, const struct config *cfg,
                   const struct image_prep *prep, const uint8_t *rgb, int32_t height, int32_t width,
                   struct err *e);
int image_from_values(struct image_input **out, const struct config *cfg,
                      const struct image_prep *prep, const float *values, struct err *e);
/* From the bytes of an .npy file: uint8 [height, width, 3] are pixels, float32 or float64
 * [n_channels, image_size, image_size], perhaps with a batch of 1 before, values. */
int image_from_npy(struct image_input **out, const struct config *cfg,
                   const struct image_prep *prep, const char *name, const void *bytes, size_t len,
                   struct err *e);
/* Values of a whole image, and those of one as the model takes them; a rest that no patch has is
 * left alone. */
size_t image_values_count(const struct config *cfg);
void image_values(const struct config *cfg, const struct image_input *im, float *out);
struct image_input *image_hold(const struct image_input *im);
void image_drop(const struct image_input *im);
/* The same values? */
bool image_same(const struct image_input *a, const struct image_input *b);

/* Patches along a side. */
int32_t image_grid(const struct config *cfg);

#endif
