/* digest.c - SHA-256 and git's SHA-1 by libcrypto (see digest.h). */
#include "pull/digest.h"

#include <stdio.h>
#include <string.h>

#include "pull/late.h"

struct digest; /* libcrypto's EVP_MD_CTX under another name */

static EVP_MD_CTX *context(struct digest *d)
{
    return (EVP_MD_CTX *)(void *)d;
}

enum digest_kind digest_kind(const char *name)
{
    size_t n = strlen(name);
    if (strspn(name, "0123456789abcdef") != n)
        return DIGEST_NONE;
    return n == 40 ? DIGEST_GIT_SHA1 : n == 64 ? DIGEST_SHA256 : DIGEST_NONE;
}

struct digest *digest_new(enum digest_kind kind, uint64_t size)
{
    char head[32];
    const struct late *c = late_open(NULL);
    EVP_MD_CTX *ctx = c ? c->EVP_MD_CTX_new() : NULL;
    if (!ctx ||
        !c->EVP_DigestInit_ex(ctx, kind == DIGEST_SHA256 ? c->EVP_sha256() : c->EVP_sha1(), NULL)) {
        if (ctx)
            c->EVP_MD_CTX_free(ctx);
        return NULL;
    }
    struct digest *d = (struct digest *)(void *)ctx;
    if (kind == DIGEST_GIT_SHA1) {
        int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)size);
        digest_add(d, head, (size_t)n + 1);
    }
    return d;
}

void digest_add(struct digest *d, const void *data, size_t n)
{
    late_open(NULL)->EVP_DigestUpdate(context(d), data, n);
}

void digest_end(struct digest *d, char hex[DIGEST_HEX])
{
    const struct late *c = late_open(NULL);
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    c->EVP_DigestFinal_ex(context(d), sum, &n);
    c->EVP_MD_CTX_free(context(d));
    hex[0] = '\0';
    for (unsigned i = 0; i < n && i < (DIGEST_HEX - 1) / 2; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
}
