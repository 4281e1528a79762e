/* zip_write.c - stored zip archives (see zip_write.h).  Tested in tests/engine/test_tensor_write.c.
 */
#include "base/zip_write.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "base/list.h"

#define FULL32 UINT32_C(0xffffffff)

enum {
    LOCAL_LEN = 30,
    LOCAL_CRC_AT = 14,
    ZIP64_VERSION = 45,
    PLAIN_VERSION = 20,
    UTF8_NAMES = 1 << 11
};

/* A record being put together, little-endian. */
struct record {
    unsigned char at[128];
    size_t len;
};

static void put(struct record *r, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        r->at[r->len++] = (unsigned char)(value >> (8 * i));
}

static uint32_t low32(uint64_t v)
{
    return v >= FULL32 ? FULL32 : (uint32_t)v;
}

/* A record, the member's name, and what is too large for the record as zip64's extra field of n
 * numbers (0: none). */
static int write_named(struct zip_write *z, const struct record *r, const char *name,
                       const uint64_t *large, size_t n, struct err *e)
{
    struct record extra = {.len = 0};
    put(&extra, 1, 2);
    put(&extra, 8 * n, 2);
    for (size_t i = 0; i < n; i++)
        put(&extra, large[i], 8);
    int rc = file_write_bytes(z->file, r->at, r->len, e);
    if (!rc)
        rc = file_write_bytes(z->file, name, strlen(name), e);
    return rc || !n ? rc : file_write_bytes(z->file, extra.at, extra.len, e);
}

static char *safe_name(const char *name)
{
    char *copy = strdup(name);
    for (char *p = copy; p && *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || strchr("/\\:*?\"<>|", *p))
            *p = '_';
    return copy;
}

int zip_member_begin(struct zip_write *z, const char *name, uint64_t size, struct err *e)
{
    if (!list_room(&z->member, z->count, sizeof *z->member))
        return err_memory(e, "%s", z->file->path);
    struct zip_member *m = &z->member[z->count];
    *m = (struct zip_member){.name = safe_name(name),
                             .at = z->file->at,
                             .size = size,
                             .crc = (uint32_t)crc32(0, NULL, 0)};
    if (!m->name)
        return err_memory(e, "%s", z->file->path);
    z->count++;
    for (size_t i = 0; i + 1 < z->count; i++)
        if (strcmp(z->member[i].name, m->name) == 0)
            return err_set(e, ERR_BAD_INPUT, "%s · two members would be called %.100s",
                           z->file->path, m->name);
    bool wide = size >= FULL32;
    struct record r = {.len = 0};
    put(&r, 0x04034b50, 4);
    put(&r, wide ? ZIP64_VERSION : PLAIN_VERSION, 2);
    put(&r, UTF8_NAMES, 2);
    put(&r, 0, 2);          /* stored */
    put(&r, 0x00210000, 4); /* 1980-01-01 00:00: the same tensors make the same file */
    put(&r, 0, 4);          /* CRC: patched */
    put(&r, low32(size), 4);
    put(&r, low32(size), 4);
    put(&r, strlen(m->name), 2);
    put(&r, wide ? 20 : 0, 2);
    return write_named(z, &r, m->name, (const uint64_t[]){size, size}, wide ? 2 : 0, e);
}

int zip_member_bytes(struct zip_write *z, const void *bytes, size_t n, struct err *e)
{
    struct zip_member *m = &z->member[z->count - 1];
    m->crc = (uint32_t)crc32_z(m->crc, bytes, n);
    return file_write_bytes(z->file, bytes, n, e);
}

int zip_member_end(struct zip_write *z, struct err *e)
{
    const struct zip_member *m = &z->member[z->count - 1];
    struct record r = {.len = 0};
    put(&r, m->crc, 4);
    assert(z->file->at ==
           m->at + LOCAL_LEN + strlen(m->name) + (m->size >= FULL32 ? 20 : 0) + m->size);
    return file_write_patch(z->file, m->at + LOCAL_CRC_AT, r.at, r.len, e);
}

static int write_entry(struct zip_write *z, const struct zip_member *m, struct err *e)
{
    bool wide = m->size >= FULL32 || m->at >= FULL32;
    struct record r = {.len = 0};
    put(&r, 0x02014b50, 4);
    put(&r, wide ? ZIP64_VERSION : PLAIN_VERSION, 2);
    put(&r, wide ? ZIP64_VERSION : PLAIN_VERSION, 2);
    put(&r, UTF8_NAMES, 2);
    put(&r, 0, 2);
    put(&r, 0x00210000, 4);
    put(&r, m->crc, 4);
    put(&r, wide ? FULL32 : m->size, 4);
    put(&r, wide ? FULL32 : m->size, 4);
    put(&r, strlen(m->name), 2);
    put(&r, wide ? 28 : 0, 2);
    put(&r, 0, 2); /* comment */
    put(&r, 0, 2); /* disk */
    put(&r, 0, 2); /* internal attributes */
    put(&r, 0, 4); /* external attributes */
    put(&r, wide ? FULL32 : m->at, 4);
    return write_named(z, &r, m->name, (const uint64_t[]){m->size, m->size, m->at}, wide ? 3 : 0,
                       e);
}

int zip_finish(struct zip_write *z, struct err *e)
{
    uint64_t begin = z->file->at;
    int rc = 0;
    for (size_t i = 0; i < z->count && !rc; i++)
        rc = write_entry(z, &z->member[i], e);
    if (rc)
        return rc;
    uint64_t end = z->file->at;
    struct record r = {.len = 0};
    if (end >= FULL32 || z->count >= 0xffff) {
        put(&r, 0x06064b50, 4); /* zip64 end of central directory */
        put(&r, 44, 8);
        put(&r, ZIP64_VERSION, 2);
        put(&r, ZIP64_VERSION, 2);
        put(&r, 0, 8); /* disks */
        put(&r, z->count, 8);
        put(&r, z->count, 8);
        put(&r, end - begin, 8);
        put(&r, begin, 8);
        put(&r, 0x07064b50, 4); /* its locator */
        put(&r, 0, 4);
        put(&r, end, 8);
        put(&r, 1, 4);
    }
    uint64_t count = z->count >= 0xffff ? 0xffff : z->count;
    put(&r, 0x06054b50, 4);
    put(&r, 0, 4);
    put(&r, count, 2);
    put(&r, count, 2);
    put(&r, low32(end - begin), 4);
    put(&r, low32(begin), 4);
    put(&r, 0, 2);
    return file_write_bytes(z->file, r.at, r.len, e);
}

void zip_free(struct zip_write *z)
{
    for (size_t i = 0; i < z->count; i++)
        free(z->member[i].name);
    free(z->member);
    *z = (struct zip_write){0};
}
