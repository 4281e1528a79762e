/* safetensors_parts.h - the inside of an opened checkpoint, shared by safetensors*.c only. */
#ifndef SAFETENSORS_PARTS_H
#define SAFETENSORS_PARTS_H

#include <sys/stat.h>

#include "base/mapping.h"
#include "model/safetensors.h"
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

struct safetensors {
    struct shard *shard;
    size_t n_shards;
    struct st_tensor *tensor;
    size_t n_tensors;
    struct strmap by_name;
    struct meta *meta;
    size_t n_meta;
    uint64_t nbytes;
};

/* Check the file whose bytes are sh->base[0 .. sh->len) and append its tensors to st; on failure st
 * may hold some of them and is only good for closing. */
int shard_read(struct safetensors *st, struct shard *sh, struct err *e);

#endif
