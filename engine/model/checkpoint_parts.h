/* checkpoint_parts.h - the inside of an opened checkpoint, for checkpoint.c and the formats. */
#ifndef CHECKPOINT_PARTS_H
#define CHECKPOINT_PARTS_H

#include <sys/stat.h>

#include "base/mapping.h"
#include "model/checkpoint.h"
#include "model/gguf.h"
#include "base/strmap.h"

struct shard {
    char *path, *file; /* file: the base name, inside path */
    char *names;       /* the tensors' names, one after the other */
    void *copy;        /* of the tensors that are not aligned in the file; NULL if all are */
    size_t copy_len;
    const unsigned char *base;
    size_t len;
    struct stat id;          /* as it was when opened; st_size decides */
    struct mapping *mapping; /* NULL: not mapped, the bytes are somebody else's */
};

struct meta {
    char *key, *value;
};

struct checkpoint {
    struct shard *shard;
    size_t n_shards;
    struct st_tensor *tensor;
    size_t n_tensors;
    struct strmap by_name;
    struct gguf *gguf;      /* the keys of the first file; NULL: of another format */
    struct st_tensor *made; /* those that no file holds; their names and data are ours */
    size_t n_made;
    struct meta *meta;
    size_t n_meta;
    uint64_t nbytes;
};

/* A further file, not opened yet; takes path.  NULL (memory): path is freed. */
struct shard *checkpoint_add(struct checkpoint *st, char *path);
/* Map the files that are not yet, read them all, and index their tensors by name. */
int checkpoint_load(struct checkpoint *st, struct err *e);

/* Formats.  Check the file whose bytes are sh->base[0 .. sh->len) and append its tensors to st; on
 * failure st may hold some of them and is only good for closing. */
int safetensors_read(struct checkpoint *st, struct shard *sh, struct err *e);
int gguf_read(struct checkpoint *st, struct shard *sh, struct err *e);
/* The file, or all that its name says to belong together: NAME-00001-of-00003.gguf. */
int gguf_add_parts(struct checkpoint *st, const char *path, struct err *e);
void gguf_free(struct gguf *g);
/* The files that an index names, loaded, and compared with it. */
int safetensors_open_index(struct checkpoint *st, const char *path, struct err *e);

#endif
