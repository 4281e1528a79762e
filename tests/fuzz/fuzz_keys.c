/* fuzz_keys.c - any bytes from a terminal: no fault, bounded events, replies never longer than
 * promised. */
#include <stdlib.h>

#include "input/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct keys k = {0};
    struct input in[2];
    for (size_t i = 0; i < size; i++) {
        int n = keys_push(&k, data[i], in);
        if (n < 0 || n > 2)
            abort();
        for (int j = 0; j < n; j++) {
            if (in[j].kind == INPUT_KEY) {
                char name[KEYS_NAME_MAX];
                const char *s = keys_name(in[j].key, name);
                uint32_t back;
                uint32_t code = in[j].key & KEYS_CODE_MASK;
                /* what can be pressed can be written in a key map; a bare space and "<" have names
                 * there */
                if (in[j].key != ' ' && in[j].key != '<' &&
                    (code < 0x20 || !keys_read_name(&s, &back) || back != in[j].key || *s))
                    abort();
            }
            if (in[j].kind == INPUT_MOUSE && (in[j].x < 0 || in[j].y < 0))
                abort();
            if (in[j].kind == INPUT_PASTE && in[j].len > KEYS_PASTE_MAX)
                abort();
            if (in[j].kind == INPUT_REPLY && in[j].len > KEYS_REPLY_MAX + 1)
                abort();
        }
    }
    if (keys_timeout(&k, in) > 1 || keys_wait_ms(&k) != -1)
        abort();
    return 0;
}
