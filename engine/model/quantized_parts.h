/* quantized_parts.h - what the methods of quantization share (see quantized.h). */
#ifndef QUANTIZED_PARTS_H
#define QUANTIZED_PARTS_H

#include "base/limit.h"
#include "model/checkpoint_parts.h"
#include "model/quantized.h"

/* A linear layer that is being read. */
struct quant_layer {
    struct checkpoint *st;
    struct js_node config;        /* quantization_config */
    const struct st_tensor *mark; /* the tensor by which it was found */
    char name[256];               /* P, without a dot at the end */
    bool *used;                   /* per tensor of st: it is a part of a layer */
    struct st_tensor *made;
    bool look; /* nothing is made but the tensor's name and shape */
    struct quantized *out;
};

/* One method: a file and a row of the table in quantized.c.  `marks`: endings of a tensor of each
 * layer, with '|' between.  read: layer->made from the other tensors, which it marks as used. */
struct quant_method {
    const char *name, *marks;
    int (*read)(struct quant_layer *l, struct err *e);
};
extern const struct quant_method quant_bitsandbytes, quant_gptq, quant_awq, quant_hqq, quant_fp8,
    quant_compressed, quant_mxfp4;

/* The tensor P + ending: NULL if there is none; or an error. */
const struct st_tensor *quant_part(struct quant_layer *l, const char *ending);
int quant_need(struct quant_layer *l, const char *ending, const struct st_tensor **out,
               struct err *e);
/* Fails unless it is of this type and shape; a size of -1 may be any, of at least 1. */
int quant_expect(const struct st_tensor *t, enum st_dtype dtype, int rank, const int64_t *shape,
                 struct err *e);
/* The same, any type of floats, as f32; the caller frees them.  NULL: *e. */
float *quant_floats(struct quant_layer *l, const char *ending, int rank, const int64_t *shape,
                    struct err *e);
/* The only element of an integer tensor. */
int quant_number(struct quant_layer *l, const char *ending, int64_t min, int64_t max, int64_t *out,
                 struct err *e);
/* compressed-tensors' integers in words (quantized_gptq.c). */
int quant_read_packed(struct quant_layer *l, struct err *e);
/* How a method ends: `to` is what quant_make gave it. */
int quant_done(const struct quant_layer *l, const void *to, const struct err *e);
/* Memory for layer->made, called `ending` and [.., n, k] of `dtype`, which is F32 or in blocks that
 * divide k.  NULL: there is nothing to make, or *e. */
void *quant_make(struct quant_layer *l, const char *ending, enum st_dtype dtype, int rank,
                 const int64_t *shape, struct err *e);

#endif
