/* digest.h - the two checksums by which a hub names what it stores.
 *
 * A file in large storage is named by the SHA-256 of its bytes, one in git by git's blob hash: the
 * SHA-1 of "blob SIZE", a NUL and its bytes.  Tested in tests/tui/test_pull_parts.c. */
#ifndef DIGEST_H
#define DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum digest_kind { DIGEST_NONE, DIGEST_GIT_SHA1, DIGEST_SHA256 };
enum { DIGEST_HEX = 65 };

struct digest;
/* Which one a name is of: 40 or 64 lower-case hexadecimal digits. */
enum digest_kind digest_kind(const char *name);
/* `size`: of all that will be added, part of git's hash.  NULL: memory, or no libcrypto. */
struct digest *digest_new(enum digest_kind kind, uint64_t size);
void digest_add(struct digest *d, const void *data, size_t n);
/* Its name in `hex`; the digest is freed. */
void digest_end(struct digest *d, char hex[DIGEST_HEX]);

#endif
