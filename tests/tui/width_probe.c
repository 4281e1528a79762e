/* width_probe.c - asks the terminal that it runs in how wide it draws what the sanitizer lets
 * through: every code point that may stand alone, with a mark behind it, and every token of the
 * vocabularies given.
 *
 * width_probe REPORT [TOKENIZER...]: a line for each text whose columns are not those of
 * text_width, then "N texts, M differ". Run by test_width.sh in real terminals.  Exit status: 0
 * nothing differs, 1 something does, 2 the terminal does not answer. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "text.h"
#include "token/tokenizer.h"

enum { BATCH = 64, COLUMNS_MAX = 60, BYTES_MAX = 512, ANSWER_MS = 10000 };

static struct {
    FILE *report;
    char text[BATCH][BYTES_MAX]; /* cleaned, as it was sent */
    int width[BATCH], n;
    long asked, differ;
} probe;

/* The column of one answer, "ESC [ row ; column R", from 1 on; 0: none came. */
static int answer(void)
{
    char buf[32];
    size_t n = 0;
    for (struct pollfd p = {STDIN_FILENO, POLLIN, 0};
         n < sizeof buf - 1 && poll(&p, 1, ANSWER_MS) == 1; n++) {
        if (read(STDIN_FILENO, &buf[n], 1) != 1)
            return 0;
        if (buf[n] == 'R') {
            int row, column;
            buf[n] = '\0';
            const char *at = strchr(buf, '\x1b');
            return at && sscanf(at, "\x1b[%d;%d", &row, &column) == 2 ? column : 0;
        }
    }
    return 0;
}

static void settle(void)
{
    fflush(stdout);
    for (int i = 0; i < probe.n; i++) {
        int column = answer();
        if (!column) {
            fprintf(probe.report, "no answer after %ld texts\n", probe.asked);
            exit(2);
        }
        probe.asked++;
        if (column - 1 == probe.width[i])
            continue;
        probe.differ++;
        fprintf(probe.report, "\"%s\" %d columns, drawn in %d:", probe.text[i], probe.width[i],
                column - 1);
        for (const char *s = probe.text[i]; *s;) {
            int32_t cp;
            s += text_decode(s, strlen(s), &cp);
            fprintf(probe.report, " U+%04X", (unsigned)cp);
        }
        fprintf(probe.report, "\n");
    }
    probe.n = 0;
}

static void ask(const char *s, size_t n)
{
    int width = text_width(s, n, TEXT_TOKEN);
    if (width == 0 || width > COLUMNS_MAX)
        return;
    struct bytes clean = {0};
    text_add(&clean, s, n, TEXT_TOKEN);
    if (clean.len < BYTES_MAX) {
        memcpy(probe.text[probe.n], clean.data, clean.len);
        probe.text[probe.n][clean.len] = '\0';
        probe.width[probe.n++] = width;
        printf("\r\x1b[K%.*s\x1b[6n", (int)clean.len, clean.data);
    }
    bytes_free(&clean);
    if (probe.n == BATCH)
        settle();
}

static void ask_code_points(void)
{
    for (int32_t cp = 0x20; cp <= 0x10FFFF; cp++) {
        if (text_classify(cp, 0) != TEXT_CLASS_BASE)
            continue;
        char s[8];
        size_t n = text_encode(cp, s);
        ask(s, n);
        n += text_encode(0x301, s + n); /* COMBINING ACUTE ACCENT */
        ask(s, n);
    }
}

static void ask_tokens(const char *path)
{
    struct err e;
    struct tokenizer *t = tokenizer_open(path, &e);
    if (!t) {
        fprintf(probe.report, "%s\n", e.text);
        exit(2);
    }
    for (int32_t id = 0; id < tokenizer_count(t); id++) {
        size_t n;
        const char *s = tokenizer_text(t, id, &n);
        ask(s, n);
    }
    tokenizer_close(t);
}

int main(int argc, char **argv)
{
    struct termios before, raw;
    if (argc < 2 || !(probe.report = fopen(argv[1], "w")) || tcgetattr(STDIN_FILENO, &before))
        return 2;
    raw = before;
    cfmakeraw(&raw);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    ask_code_points();
    for (int i = 2; i < argc; i++)
        ask_tokens(argv[i]);
    settle();
    fprintf(probe.report, "%ld texts, %ld differ\n", probe.asked, probe.differ);
    fclose(probe.report);
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return probe.differ > 0;
}
