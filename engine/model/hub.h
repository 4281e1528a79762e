/* hub.h - from what the user typed as MODEL to the files that make the model.
 *
 * In this order:
 *   1. a folder with config.json, or with one *.gguf file;
 *   2. a *.safetensors or *.safetensors.index.json file beside its config.json, a *.gguf file,
 * which needs nothing else (of a set -00001-of-00003.gguf any);
 *   3. `teach`, the built-in model: $BORESCOPE_DATA/models/teach, share/borescope/models/teach
 * beside the program's bin folder, or models/teach of the source tree it was built from;
 *   4. `org/name`, `name`, `org/name@revision` in the local Hugging Face cache ($HF_HUB_CACHE, else
 *      $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub).
 * Nothing is fetched.  The error says where was looked, names what is near and the command that
 * would fetch it.
 * Nothing is opened here except the cache's refs files; contents are checked by their parsers. */
#ifndef HUB_H
#define HUB_H

#include <limits.h>
#include <stdbool.h>

#include "base/err.h"

struct hub_model {
    char name[PATH_MAX];   /* for the title: folder name, file name or hub name */
    char folder[PATH_MAX]; /* where it all lies */
    char config[PATH_MAX]; /* config.json; "": the weights' file says it */
    char
        weights[PATH_MAX]; /* model.safetensors, *.safetensors.index.json, *.gguf or the file given;
                              "" if none */
    char tokenizer[PATH_MAX]; /* tokenizer.json; "" if none */
};

/* Fill *out (untouched on failure). */
int hub_resolve(const char *arg, struct hub_model *out, struct err *e);

/* ERR_BAD_INPUT when m->weights is "": what was looked for, and what lies there instead. */
int hub_need_weights(const struct hub_model *m, struct err *e);

/* The name of the built-in model. */
extern const char hub_builtin[];
/* A file of $HF_HOME, which is ~/.cache/huggingface where nothing says otherwise. */
void hub_home(const char *name, char path[PATH_MAX]);
/* The folder of the local cache, and that of one model in it ("org/name"). */
void hub_cache(char path[PATH_MAX]);
void hub_repo(const char *root, const char *name, char path[PATH_MAX]);
/* A folder of the cache, "models--org--name", as "org/name"; false: it is not a model's. */
bool hub_cached_name(const char *folder, char name[NAME_MAX + 1]);
/* "org/name@revision" taken apart; *revision points into name, NULL where there is none.  False: a
 * name or a revision that a hub cannot have, or one that could lead out of the cache. */
bool hub_split(const char *arg, char name[PATH_MAX], char **revision);

#endif
