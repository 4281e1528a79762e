/* image_input.c - see image_input.h. */
#include "model/image_input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/npy_read.h"
#include "model/image_resize.h"
#include "model/site.h"

int32_t image_grid(const struct config *cfg)
{
    return cfg->image_size / cfg->patch_size;
}

/* ---- preprocessor_config.json ---- */

struct image_prep image_prep_usual(const struct config *cfg)
{
    return (struct image_prep){.resize = true,
                               .rescale = true,
                               .normalize = true,
                               .height = cfg->image_size,
                               .width = cfg->image_size,
                               .crop_height = cfg->image_size,
                               .crop_width = cfg->image_size,
                               .resample = FILTER_BILINEAR,
                               .rescale_factor = 1.0 / 255,
                               .mean = {0.5, 0.5, 0.5},
                               .std = {0.5, 0.5, 0.5}};
}

/* A number, {"height", "width"}, or null for what is there. */
static int size_read(struct js_node node, int32_t *to_height, int32_t *to_width, struct err *e)
{
    int64_t height = *to_height, width = *to_width;
    int rc = 0;
    if (!js_is_set(node))
        return 0;
    if (js_is_object(node)) {
        if (!js_is_set(js_get(node, "height")))
            return js_expected(node, "height and width (a size by an edge is not supported)", e);
        rc = js_int(js_get(node, "height"), 1, LIMIT_IMAGE_SIDE, &height, e);
        if (!rc)
            rc = js_int(js_get(node, "width"), 1, LIMIT_IMAGE_SIDE, &width, e);
    } else if (!(rc = js_int(node, 1, LIMIT_IMAGE_SIDE, &height, e))) {
        width = height;
    }
    *to_height = (int32_t)height, *to_width = (int32_t)width;
    return rc;
}

/* One number for each channel, or one for all. */
static int channels_read(struct js_node node, double min, double x[3], struct err *e)
{
    if (js_is_set(node) && js_is_array(node) && js_count(node) != 3)
        return js_expected(node, "three numbers, one for each channel", e);
    int rc = 0;
    for (size_t c = 0; !rc && js_is_set(node) && c < 3; c++)
        rc = js_number(js_is_array(node) ? js_at(node, c) : node, min, 1e6, &x[c], e);
    return rc;
}

static int prep_read(struct image_prep *p, struct js_node root, struct err *e)
{
    int64_t resample = p->resample;
    int rc = js_is_object(root) ? 0 : js_expected(root, "an object", e);
    if (!rc)
        rc = js_bool_or(js_get(root, "do_center_crop"), p->crop, &p->crop, e);
    if (!rc)
        rc = js_bool_or(js_get(root, "do_resize"), p->resize, &p->resize, e);
    if (!rc)
        rc = js_bool_or(js_get(root, "do_rescale"), p->rescale, &p->rescale, e);
    if (!rc)
        rc = js_bool_or(js_get(root, "do_normalize"), p->normalize, &p->normalize, e);
    if (!rc)
        rc = size_read(js_get(root, "size"), &p->height, &p->width, e);
    if (!rc)
        rc = size_read(js_get(root, "crop_size"), &p->crop_height, &p->crop_width, e);
    if (!rc)
        rc = js_int_or(js_get(root, "resample"), 0, FILTER_COUNT - 1, resample, &resample, e);
    p->resample = (int32_t)resample;
    struct js_node factor = js_get(root, "rescale_factor");
    if (!rc && js_is_set(factor))
        rc = js_number(factor, 1e-12, 1e12, &p->rescale_factor, e);
    if (!rc)
        rc = channels_read(js_get(root, "image_mean"), -1e6, p->mean, e);
    return rc ? rc : channels_read(js_get(root, "image_std"), 1e-12, p->std, e);
}

int image_prep_from(struct image_prep *out, const struct config *cfg, struct js_doc *doc,
                    struct err *e)
{
    if (!doc)
        return err_code(e);
    struct image_prep p = image_prep_usual(cfg);
    int rc = prep_read(&p, js_root(doc), e);
    js_close(doc);
    if (!rc)
        *out = p;
    return rc;
}

/* ---- images ---- */

static struct image_input *image_new(const struct config *cfg, struct err *e)
{
    struct image_input *im = calloc(1, sizeof *im);
    size_t side = (size_t)cfg->image_size;
    if (im) {
        atomic_init(&im->refs, 1);
        im->rows = cfg->n_ctx, im->side = cfg->image_size;
        im->patch = (int32_t)site_dim_size(cfg, DIM_PATCH, 0);
        im->values = calloc((size_t)im->rows * (size_t)im->patch, sizeof *im->values);
        im->rgb = calloc(side * side, 3);
        im->ids = calloc((size_t)im->rows, sizeof *im->ids);
        if (im->values && im->rgb && im->ids) {
            for (int32_t i = 0; i < im->rows; i++)
                im->ids[i] = i;
            return im;
        }
        image_drop(im);
    }
    err_memory(e, "an image of %d patches", cfg->n_ctx - 1);
    return NULL;
}

struct image_input *image_hold(const struct image_input *im)
{
    struct image_input *same = (struct image_input *)(uintptr_t)im; /* only the count changes */
    if (same)
        atomic_fetch_add(&same->refs, 1);
    return same;
}

void image_drop(const struct image_input *im)
{
    struct image_input *own = (struct image_input *)(uintptr_t)im;
    if (!own || atomic_fetch_sub(&own->refs, 1) != 1)
        return;
    free(own->values), free(own->rgb), free(own->ids);
    free(own);
}

bool image_same(const struct image_input *a, const struct image_input *b)
{
    if (!a || !b || a == b)
        return a == b;
    return a->rows == b->rows && a->patch == b->patch &&
           !memcmp(a->values, b->values, (size_t)a->rows * (size_t)a->patch * sizeof *a->values);
}

/* Where a value of the image stands among those of the rows; -1: in a rest that no patch has. */
static int64_t value_place(const struct config *cfg, int32_t patch, int32_t c, int32_t y, int32_t x)
{
    int32_t p = cfg->patch_size, grid = image_grid(cfg);
    if (y / p >= grid || x / p >= grid)
        return -1;
    int64_t row = cfg->n_prefix + (int64_t)(y / p) * grid + x / p;
    return row * patch + ((int64_t)c * p + y % p) * p + x % p;
}

static void value_put(const struct config *cfg, struct image_input *im, int32_t c, int32_t y,
                      int32_t x, float value)
{
    int64_t to = value_place(cfg, im->patch, c, y, x);
    if (to >= 0)
        im->values[to] = value;
}

/* A level as the model takes it, in the types that Hugging Face has on the way. */
static float prepared(const struct image_prep *p, int c, uint8_t level)
{
    float x = p->rescale ? (float)(level * p->rescale_factor) : (float)level;
    return p->normalize ? (x - (float)p->mean[c]) / (float)p->std[c] : x;
}

/* The level that a value comes from. */
static uint8_t level_of(const struct image_prep *p, int c, float value)
{
    double x = (double)value;
    if (p->normalize)
        x = x * p->std[c] + p->mean[c];
    if (p->rescale)
        x /= p->rescale_factor;
    return x >= 254.5 ? 255 : x > 0 ? (uint8_t)(x + 0.5) : 0; /* NaN: 0 */
}

/* A picture of the model's size: resized, and of that the middle. */
static int fit(struct image_input *im, const struct image_prep *p, const uint8_t *rgb,
               int32_t height, int32_t width, struct err *e)
{
    int32_t side = im->side, to_height = p->resize ? p->height : height,
            to_width = p->resize ? p->width : width;
    enum image_filter filter = (enum image_filter)p->resample;
    if (!p->crop)
        return image_resize(rgb, height, width, im->rgb, side, side, filter, e);
    uint8_t *whole = malloc(3 * (size_t)to_height * (size_t)to_width);
    if (!whole)
        return err_memory(e, "an image of %d x %d", to_width, to_height);
    int rc = image_resize(rgb, height, width, whole, to_height, to_width, filter, e);
    size_t top = (size_t)(to_height - side) / 2, left = (size_t)(to_width - side) / 2,
           row = 3 * (size_t)side;
    for (size_t y = 0; !rc && y < (size_t)side; y++)
        memcpy(im->rgb + y * row, whole + 3 * ((top + y) * (size_t)to_width + left), row);
    free(whole);
    return rc;
}

/* Does the preparation end with the model's size? */
static int fit_check(const struct config *cfg, const struct image_prep *p, int32_t height,
                     int32_t width, struct err *e)
{
    int32_t side = cfg->image_size;
    if (p->resize)
        height = p->height, width = p->width;
    if (p->crop && (p->crop_height > height || p->crop_width > width))
        return err_set(e, ERR_BAD_INPUT,
                       "image · %d x %d · a middle of %d x %d is wanted, padding is not supported",
                       width, height, p->crop_width, p->crop_height);
    if (p->crop && (int64_t)height * width > LIMIT_IMAGE_CUT)
        return err_set(e, ERR_BAD_INPUT,
                       "image · %d x %d · a middle is cut out of at most %d pixels", width, height,
                       LIMIT_IMAGE_CUT);
    if (p->crop)
        height = p->crop_height, width = p->crop_width;
    if (height == side && width == side)
        return 0;
    return err_set(e, ERR_BAD_INPUT,
                   "image · %d x %d%s · this model takes %d x %d, positions are not interpolated",
                   width, height, p->resize || p->crop ? " after resizing" : "", side, side);
}

int image_from_rgb(struct image_input **out, const struct config *cfg,
                   const struct image_prep *prep, const uint8_t *rgb, int32_t height, int32_t width,
                   struct err *e)
{
    int32_t side = cfg->image_size;
    if (cfg->n_channels != 3)
        return err_set(e, ERR_BAD_INPUT,
                       "image · a picture has 3 channels, this model takes %d · give an .npy array",
                       cfg->n_channels);
    int rc = fit_check(cfg, prep, height, width, e);
    struct image_input *im = rc ? NULL : image_new(cfg, e);
    if (!im)
        return err_code(e);
    rc = fit(im, prep, rgb, height, width, e);
    float table[3][256];
    for (int c = 0; c < 3; c++)
        for (int level = 0; level < 256; level++)
            table[c][level] = prepared(prep, c, (uint8_t)level);
    for (int32_t y = 0; !rc && y < side; y++)
        for (int32_t x = 0; x < side; x++)
            for (int c = 0; c < 3; c++)
                value_put(cfg, im, c, y, x, table[c][im->rgb[3 * ((int64_t)y * side + x) + c]]);
    if (rc)
        image_drop(im);
    else
        *out = im;
    return rc;
}

int image_from_values(struct image_input **out, const struct config *cfg,
                      const struct image_prep *prep, const float *values, struct err *e)
{
    struct image_input *im = image_new(cfg, e);
    if (!im)
        return err_code(e);
    int64_t side = cfg->image_size;
    for (int32_t c = 0; c < cfg->n_channels; c++)
        for (int32_t y = 0; y < side; y++)
            for (int32_t x = 0; x < side; x++) {
                float value = values[(c * side + y) * side + x];
                value_put(cfg, im, c, y, x, value);
                for (int k = 0; k < 3; k++) /* a single channel is shown in grey */
                    if (k == c || (cfg->n_channels < 3 && c == 0))
                        im->rgb[3 * (y * side + x) + k] = level_of(prep, k, value);
            }
    *out = im;
    return 0;
}

size_t image_values_count(const struct config *cfg)
{
    return (size_t)cfg->n_channels * (size_t)cfg->image_size * (size_t)cfg->image_size;
}

void image_values(const struct config *cfg, const struct image_input *im, float *out)
{
    int64_t side = cfg->image_size;
    for (int32_t c = 0; c < cfg->n_channels; c++)
        for (int32_t y = 0; y < side; y++)
            for (int32_t x = 0; x < side; x++) {
                int64_t from = value_place(cfg, im->patch, c, y, x);
                if (from >= 0)
                    out[(c * side + y) * side + x] = im->values[from];
            }
}

static int from_array(struct image_input **out, const struct config *cfg,
                      const struct image_prep *prep, const char *name, const struct npy *a,
                      struct err *e)
{
    const int64_t *shape = a->shape;
    int rank = a->rank;
    while (rank == 4 && shape[0] == 1)
        shape++, rank--;
    if (a->type == NPY_U8) {
        if (rank != 3 || shape[2] != 3 || shape[0] > LIMIT_IMAGE_SIDE ||
            shape[1] > LIMIT_IMAGE_SIDE)
            return err_set(e, ERR_BAD_INPUT,
                           "%s · uint8 · expected [height, width, 3], sides to %d", name,
                           LIMIT_IMAGE_SIDE);
        return image_from_rgb(out, cfg, prep, a->data, (int32_t)shape[0], (int32_t)shape[1], e);
    }
    if (rank != 3 || shape[0] != cfg->n_channels || shape[1] != cfg->image_size ||
        shape[2] != cfg->image_size)
        return err_set(e, ERR_BAD_INPUT,
                       "%s · expected pixel values [%d, %d, %d] as the model takes them, or uint8 "
                       "[height, width, 3]",
                       name, cfg->n_channels, cfg->image_size, cfg->image_size);
    int64_t count = shape[0] * shape[1] * shape[2];
    float *values = malloc((size_t)count * sizeof *values);
    if (!values)
        return err_memory(e, "an image");
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)npy_at(a, i);
    int rc = image_from_values(out, cfg, prep, values, e);
    free(values);
    return rc;
}

int image_from_npy(struct image_input **out, const struct config *cfg,
                   const struct image_prep *prep, const char *name, const void *bytes, size_t len,
                   struct err *e)
{
    struct npy a;
    int rc = npy_read(&a, name, bytes, len, e);
    return rc ? rc : from_array(out, cfg, prep, name, &a, e);
}
