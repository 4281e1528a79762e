/* gguf_parts.h - a GGUF file as a model: the tables and documents that gguf_*.c make of it.
 *
 * Files of this format have names of their own for families, tensors and keys; here they become
 * what a folder of Hugging Face has, so that nobody else knows the difference.  Tests:
 * tests/engine/test_gguf_model.c. */
#ifndef GGUF_PARTS_H
#define GGUF_PARTS_H

#include "model/arch.h"
#include "model/gguf.h"

struct js_doc;
struct strmap;
struct tokenizer;
struct tokenizer_stream;

/* What general.architecture says. */
struct gguf_arch {
    const char *name, *model_type;
    const char *windowed; /* model_type of those with a sliding window; NULL: the same */
    const char *mixture;  /* and of those with experts */
    const char *more;     /* what its config.json has besides, as JSON; NULL: nothing */
    int64_t wide_layers;  /* the model of so many layers scales queries by hidden size / heads, as
                             no key says (the 27B of Gemma 2 and 3); 0: none does */
    bool neighbours;      /* rows of queries and keys lie so that neighbours are rotated together */
    bool clips;           /* attention.clamp_kqv bounds queries, keys and values */
    bool norm_plus_one;   /* norms hold 1 + w where Hugging Face's hold w */
    bool encoder;         /* attention looks both ways */
    bool by_place;        /* tokens are merged in the order of their ids, not of their scores */
};

/* NULL and *e: it says nothing or something that is not supported. */
const struct gguf_arch *gguf_arch_of(const struct gguf *g, struct err *e);

/* Where files of this format hold weights, of all families: rows of which the first that the file
 * has holds a weight; none has a prefix.  Ends with a NULL name. */
extern const struct arch_tensor gguf_tensors[];

/* config.json as Hugging Face has it for this model, and what its tokenizer.json would make; NULL
 * and *e on failure. */
struct js_doc *gguf_config(const struct checkpoint *st, struct err *e);
struct tokenizer *gguf_tokenizer(const struct gguf *g, struct err *e);
bool gguf_has_tokenizer(const struct gguf *g);
/* Into s, which has the tokens, the merges that make them, as transformers' conversion finds them
 * (generate_merges): those of higher scores first, NULL: of lower ids.  by_text: token -> id. */
int gguf_scored_merges(struct tokenizer_stream *s, const struct strmap *by_text,
                       const struct gguf_value *scores, const char *file, struct err *e);

#endif
