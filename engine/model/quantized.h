/* quantized.h - checkpoints whose linear layers are several tensors: what config.json's
 * quantization_config says.
 *
 * bitsandbytes (int8, nf4, fp4), gptq, awq, hqq, fp8, compressed-tensors (fp8, int8, integers in
 * words), mxfp4.  What the kernels can decode themselves (int8, nf4, fp4, mxfp4) is laid out anew,
 * each block with its scale: no more bytes than the file has.  The others are widened to f32, once.
 * Either is memory of the checkpoint's own.  Tested in tests/engine/test_quantized.c,
 * tests/fuzz/fuzz_quantized.c.
 */
#ifndef QUANTIZED_H
#define QUANTIZED_H

#include "base/json.h"
#include "model/checkpoint.h"

struct quantized {
    const char *method; /* "gptq"; NULL: not quantized so */
    uint64_t widened;   /* bytes of what was widened */
    uint64_t laid_out;  /* bytes of what was laid out anew */
};

/* In the place of the tensors that make up a linear layer P put P.weight, [n, k].  `config` is the
 * root of config.json.  look: check and name them, but make no values; their data is NULL.  On
 * failure (one line: file, tensor, expected, found) st is only good for closing. */
int quantized_load(struct checkpoint *st, struct js_node config, bool look, struct quantized *out,
                   struct err *e);

#endif
