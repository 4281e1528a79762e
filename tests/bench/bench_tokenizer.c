/* bench_tokenizer.c - a tokenizer.json of GPT-2's size (see bench.h). */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strmap.h"

enum { BYTES = 256, TOKENS = BENCH_VOCAB - 1, TOKEN_MAX = 32, LEFT_MAX = 8, RIGHT_MAX = 3 };

static struct {
    char text[TOKENS][TOKEN_MAX];
    int left[TOKENS], right[TOKENS]; /* of a merge */
    struct strmap seen;
    uint64_t state;
} * all;

static int below(int n)
{
    all->state = all->state * 6364136223846793005u + 1442695040888963407u;
    return (int)((all->state >> 33) % (uint64_t)n);
}

/* The byte-level alphabet: bytes that print stand for themselves, the rest for U+0100 on. */
static void alphabet(void)
{
    for (int b = 0, other = 0; b < BYTES; b++) {
        bool prints = (b > 32 && b < 127) || (b > 160 && b != 173);
        int c = prints ? b : 256 + other++;
        snprintf(all->text[b], TOKEN_MAX, c < 128 ? "%c" : "%c%c", c < 128 ? c : 0xc0 | c >> 6,
                 0x80 | (c & 63));
        strmap_put(&all->seen, all->text[b], strlen(all->text[b]), (uint32_t)b);
    }
}

/* An earlier token: merged ones, the bytes of ASCII, and the space, as English has them. */
static int earlier(int i)
{
    int n = below(i);
    while (n < BYTES && (n < 32 || n > 126))
        n = below(i);
    return n;
}

/* Token i as two earlier ones that make a new text, as long as GPT-2's are. */
static void merge(int i)
{
    char text[TOKEN_MAX];
    size_t left, right;
    do {
        all->left[i] = earlier(i), all->right[i] = earlier(i);
        left = strlen(all->text[all->left[i]]), right = strlen(all->text[all->right[i]]);
        left = left < LEFT_MAX ? left : 0;
        memcpy(text, all->text[all->left[i]], left);
        memcpy(text + left, all->text[all->right[i]], right);
    } while (!left || right > RIGHT_MAX ||
             strmap_get(&all->seen, text, left + right) != STRMAP_NONE);
    memcpy(all->text[i], text, left + right);
    strmap_put(&all->seen, all->text[i], left + right, (uint32_t)i);
}

static void put_text(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putc('\\', f);
        putc(*text, f);
    }
}

static void put_model(FILE *f)
{
    fputs("\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
          "\"continuing_subword_prefix\":\"\",\"end_of_word_suffix\":\"\",\"fuse_unk\":false,"
          "\"vocab\":{",
          f);
    for (int i = 0; i < TOKENS; i++) {
        fputs(i ? ",\"" : "\"", f);
        put_text(f, all->text[i]);
        fprintf(f, "\":%d", i);
    }
    fprintf(f, ",\"<|endoftext|>\":%d},\"merges\":[", TOKENS);
    for (int i = BYTES; i < TOKENS; i++) {
        fputs(i > BYTES ? ",\"" : "\"", f);
        put_text(f, all->text[all->left[i]]);
        putc(' ', f);
        put_text(f, all->text[all->right[i]]);
        putc('"', f);
    }
    fputs("]}", f);
}

bool bench_tokenizer(const char *path)
{
    FILE *f = fopen(path, "w");
    all = calloc(1, sizeof *all);
    if (!f || !all || strmap_init(&all->seen, TOKENS))
        return false;
    alphabet();
    for (int i = BYTES; i < TOKENS; i++)
        merge(i);
    fprintf(
        f,
        "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[{\"id\":%d,"
        "\"content\":\"<|endoftext|>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
        "\"normalized\":true,\"special\":true}],\"normalizer\":null,"
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
        "\"trim_offsets\":true},"
        "\"post_processor\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,"
        "\"trim_offsets\":false},"
        "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true},",
        TOKENS);
    put_model(f);
    fputs("}", f);
    strmap_free(&all->seen);
    free(all);
    return fclose(f) == 0;
}
