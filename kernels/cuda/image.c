/* image.c - the kernels as PTX, and as machine code of some devices, which the build made and
 * packed (CMakeLists.txt).  Tested in tests/kernels/test_cuda.c. */
#include "cuda.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* From the first byte to the last of a file. */
#define EMBED(name, file)                                                                        \
    __asm__(".section .rodata\n"                                                                 \
            ".hidden " #name "_begin\n.globl " #name "_begin\n" #name "_begin:\n.incbin \"" file \
            "\"\n.hidden " #name "_end\n.globl " #name "_end\n" #name                            \
            "_end:\n.byte 0\n.previous\n");                                                      \
    extern const unsigned char name##_begin[], name##_end[]

EMBED(cuda_image_all, CUDA_IMAGE_FILE_ALL);
EMBED(cuda_image_mma, CUDA_IMAGE_FILE_MMA);

#define CUBIN(which, arch, file) EMBED(cuda_cubin_##which##_##arch, file);
#include CUDA_CUBINS_FILE
#undef CUBIN

static const struct cubin {
    enum cuda_image which;
    int arch; /* 10 * major + minor */
    const unsigned char *begin, *end;
} CUBINS[] = {
#define CUBIN(which, arch, file)                                    \
    {CUDA_IMAGE_##which, arch, cuda_cubin_##which##_##arch##_begin, \
     cuda_cubin_##which##_##arch##_end},
#include CUDA_CUBINS_FILE
    {CUDA_IMAGES, 0, NULL, NULL}};

static char *unpacked(const unsigned char *from, const unsigned char *end)
{
    enum { GZIP = 16 + MAX_WBITS };
    size_t packed = (size_t)(end - from);
    const unsigned char *tail = from + packed - 4; /* how much it becomes */
    size_t bytes = (size_t)tail[0] | (size_t)tail[1] << 8 | (size_t)tail[2] << 16 |
                   (size_t)tail[3] << 24;
    char *text = malloc(bytes + 1);
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)from,
                  .avail_in = (unsigned)packed,
                  .next_out = (unsigned char *)text,
                  .avail_out = (unsigned)bytes};
    if (!text || inflateInit2(&z, GZIP) != Z_OK) {
        free(text);
        return NULL;
    }
    int rc = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    if (rc != Z_STREAM_END) {
        free(text);
        return NULL;
    }
    text[bytes] = '\0';
    return text;
}

char *cuda_image(enum cuda_image which)
{
    return which == CUDA_IMAGE_MMA ? unpacked(cuda_image_mma_begin, cuda_image_mma_end)
                                   : unpacked(cuda_image_all_begin, cuda_image_all_end);
}

/* The one that a device can run: of its major number, the greatest minor one up to its own. */
static const struct cubin *cubin_of(enum cuda_image which, int capability)
{
    const struct cubin *best = NULL;
    for (const struct cubin *c = CUBINS; c->begin; c++)
        if (c->which == which && c->arch / 10 == capability / 10 && c->arch <= capability &&
            (!best || c->arch > best->arch))
            best = c;
    return best;
}

bool cuda_has_code(enum cuda_image which, int capability)
{
    return cubin_of(which, capability) != NULL;
}

char *cuda_code(enum cuda_image which, int capability)
{
    const struct cubin *c = cubin_of(which, capability);
    return c ? unpacked(c->begin, c->end) : NULL;
}
