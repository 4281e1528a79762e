/* image.c - the kernels as PTX, which the build made and packed (CMakeLists.txt).  Tested in
 * tests/kernels/test_cuda.c. */
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

char *cuda_image(enum cuda_image which)
{
    enum { GZIP = 16 + MAX_WBITS };
    bool mma = which == CUDA_IMAGE_MMA;
    const unsigned char *from = mma ? cuda_image_mma_begin : cuda_image_all_begin;
    size_t packed = (size_t)((mma ? cuda_image_mma_end : cuda_image_all_end) - from);
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
