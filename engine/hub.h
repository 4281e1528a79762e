/* hub.h - from what the user typed as MODEL to the files that make the model.
 *
 * In this order:
 *   1. a folder with config.json;
 *   2. a *.safetensors or *.safetensors.index.json file beside its config.json;
 *   3. `teach`, the built-in model: $BORESCOPE_DATA/models/teach, share/borescope/models/teach beside the
 *      program's bin folder, or models/teach of the source tree it was built from;
 *   4. `org/name`, `name`, `org/name@revision` in the local Hugging Face cache ($HF_HUB_CACHE, else
 *      $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub).
 * Nothing is downloaded.  The error says where was looked and names what is near.
 * Nothing is opened here except the cache's refs files; contents are checked by their parsers. */
#ifndef HUB_H
#define HUB_H

#include "err.h"

struct hub_model {
    char *name;      /* for the title: folder name, file name or hub name */
    char *folder;    /* where it all lies */
    char *config;    /* config.json; always there */
    char *weights;   /* model.safetensors, *.safetensors.index.json or the file given; NULL if none */
    char *tokenizer; /* tokenizer.json; NULL if none */
};

/* Fill *out (untouched on failure); free it with hub_model_free. */
int hub_resolve(const char *arg, struct hub_model *out, struct err *e);
void hub_model_free(struct hub_model *m);

/* ERR_BAD_INPUT when m->weights is NULL: what was looked for, and what lies there instead. */
int hub_need_weights(const struct hub_model *m, struct err *e);

/* For commands that need a tokenizer only: `arg` is a tokenizer.json file or anything hub_resolve takes.
 * *path is malloc'ed. */
int hub_resolve_tokenizer(const char *arg, char **path, struct err *e);

#endif
