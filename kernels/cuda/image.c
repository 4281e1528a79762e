/* image.c - the kernels as PTX, which the build made and packed (CMakeLists.txt).  Tested in
 * tests/kernels/test_cuda.c. */
#include "cuda.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

__asm__(".section .rodata\n"
        ".hidden cuda_image_packed\n.hidden cuda_image_end\n"
        ".globl cuda_image_packed\ncuda_image_packed:\n.incbin \"" CUDA_IMAGE "\"\n"
        ".globl cuda_image_end\ncuda_image_end:\n.byte 0\n"
        ".previous\n");
extern const unsigned char cuda_image_packed[], cuda_image_end[];

char *cuda_image(void)
{
    enum { GZIP = 16 + MAX_WBITS };
    size_t packed = (size_t)(cuda_image_end - cuda_image_packed);
    const unsigned char *tail = cuda_image_packed + packed - 4; /* how much it becomes */
    size_t bytes = (size_t)tail[0] | (size_t)tail[1] << 8 | (size_t)tail[2] << 16 |
                   (size_t)tail[3] << 24;
    char *text = malloc(bytes + 1);
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)cuda_image_packed,
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
