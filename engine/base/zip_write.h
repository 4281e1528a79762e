/* zip_write.h - a zip archive of stored (uncompressed) members, as large as they come (zip64).
 *
 * Layout after APPNOTE.TXT 6.3.x, sections 4.3.7, 4.3.12 and 4.3.14 to 4.3.16.  A member's size is
 * known when it begins; its CRC is patched into its header when it ends. */
#ifndef ZIP_WRITE_H
#define ZIP_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/file_write.h"

struct zip_member {
    char *name;
    uint64_t at, size;
    uint32_t crc;
};

struct zip_write {
    struct file_write *file;
    struct zip_member *member;
    size_t count;
};

/* The name is copied, with bytes that could lead out of a folder or upset an unpacker as '_'. */
int zip_member_begin(struct zip_write *z, const char *name, uint64_t size, struct err *e);
int zip_member_bytes(struct zip_write *z, const void *bytes, size_t n, struct err *e);
int zip_member_end(struct zip_write *z, struct err *e);
/* The central directory. */
int zip_finish(struct zip_write *z, struct err *e);
void zip_free(struct zip_write *z);

#endif
