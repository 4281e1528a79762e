/* test_texts.c - sets of texts: formats, folders, windows, samples, places, and what is refused. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/limit.h"
#include "lab/texts.h"

static char top[] = "/tmp/bore-texts-XXXXXX";
static struct model bytes = {.name = "bytes",
                             .cfg = {.d_vocab = 256, .n_ctx = 64, .pos = POS_LEARNED, .bos_id = 1}};

static int set_up(void **state)
{
    (void)state;
    bytes.tok = tokenizer_bytes(NULL);
    assert_non_null(bytes.tok);
    assert_non_null(mkdtemp(top));
    return 0;
}

static int tear_down(void **state)
{
    char command[200];
    (void)state;
    tokenizer_close(bytes.tok);
    snprintf(command, sizeof command, "rm -r %s", top);
    return system(command);
}

static const char *in_top(const char *name)
{
    static char path[4][200];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", top, name);
    return path[turn];
}

static const char *file_of(const char *name, const char *text)
{
    const char *path = in_top(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

/* All pieces as "text.start+fresh=STRING:label|". */
static const char *pieces(struct texts *t)
{
    static char out[4096];
    struct text_piece p;
    struct err e = {0};
    size_t n = 0;
    int more;
    out[0] = '\0';
    while ((more = texts_next(t, &p, &e)) > 0) {
        n += (size_t)snprintf(out + n, sizeof out - n, "%d.%d+%d=", (int)p.text, (int)p.start,
                              (int)p.fresh);
        for (int32_t i = 0; i < p.n && n < sizeof out; i++)
            out[n++] = (char)p.tokens[i];
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%s|", p.label ? ":" : "",
                              p.label ? p.label : "");
        assert_true(p.n > p.fresh && p.start + p.n <= p.length);
        assert_int_equal(p.next,
                         p.start + p.n < p.length ? (unsigned char)p.string[p.start + p.n] : -1);
    }
    if (more < 0)
        snprintf(out, sizeof out, "%s", e.text);
    return out;
}

static const char *read_all(const char *path, struct texts_options opt)
{
    struct texts *t = NULL;
    struct err e = {0};
    static char why[512];
    if (texts_open(&t, &bytes, path, &opt, &e)) {
        snprintf(why, sizeof why, "%s", e.text);
        return why;
    }
    const char *out = pieces(t);
    texts_close(t);
    return out;
}

static void lines_and_paragraphs(void **state)
{
    (void)state;
    const char *path = file_of("a.txt", "\xef\xbb\xbfone\r\n\n two \nthree");
    assert_string_equal(read_all(path, (struct texts_options){0}),
                        "0.0+0=one|1.0+0= two |2.0+0=three|");
    path = file_of("b.txt", "\n\none\ntwo\n \n\t\nthree\n\n\nfour");
    assert_string_equal(read_all(path, (struct texts_options){.form = {.format = TEXT_PARAGRAPHS}}),
                        "0.0+0=one\ntwo\n|1.0+0=three\n|2.0+0=four|");
    assert_string_equal(read_all(file_of("empty.txt", ""), (struct texts_options){0}), "");
}

static void objects(void **state)
{
    (void)state;
    const char *path = file_of(
        "a.jsonl", "{\"text\": \"one\\ntwo\", \"id\": 123456789012345678901}\n \n{\"text\": \"\"}\n"
                   "{\"y\": 1, \"text\": \"x\"}\n{\"y\": \"z\", \"text\": \"t\"}");
    assert_string_equal(read_all(path, (struct texts_options){0}),
                        "0.0+0=one\ntwo|1.0+0=x|2.0+0=t|");
    assert_string_equal(read_all(path, (struct texts_options){.form = {.label = "y"}}),
                        "0.0+0=one\ntwo:|1.0+0=x:1|2.0+0=t:z|");
    assert_non_null(strstr(read_all(path, (struct texts_options){.form = {.field = "q"}}),
                           "line 1 · key \"q\" · expected a string"));
    assert_non_null(
        strstr(read_all(file_of("c.jsonl", "\n{\"text\": \"a\"}\n{\n"), (struct texts_options){0}),
               "c.jsonl · line 3"));
}

static void tables(void **state)
{
    (void)state;
    const struct texts_options labelled = {.form = {.label = "y"}};
    const char *path = file_of("a.csv", "y,text\r\npos,\"a \"\"b\"\", c\nd\"\r\nneg,e\"f\n,\nx,\n");
    assert_string_equal(read_all(path, labelled), "0.0+0=a \"b\", c\nd:pos|1.0+0=e\"f:neg|");
    path = file_of("a.tsv", "text\ty\n\"a\tpos\nb\t\n");
    assert_string_equal(read_all(path, labelled), "0.0+0=\"a:pos|1.0+0=b:|");
    assert_non_null(strstr(read_all(file_of("c.csv", "text,y\na\n"), labelled),
                           "line 2 · 1 columns, the heading has 2"));
    assert_non_null(strstr(read_all(path, (struct texts_options){.form = {.field = "q"}}),
                           "the heading has no \"q\""));
    assert_non_null(strstr(read_all(file_of("d.txt", "a"), labelled), "--label is of .jsonl"));
}

static void compressed(void **state)
{
    (void)state;
    char text[20000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i * i % 23);
    gzFile f = gzopen(in_top("a.jsonl.gz"), "wb");
    assert_true(gzprintf(f, "{\"text\": \"%.6000s\"}\n{\"text\": \"b\"}\n", text) > 0);
    gzclose(f);
    const char *out = read_all(in_top("a.jsonl.gz"), (struct texts_options){.skip = 1});
    assert_string_equal(out, "1.0+0=b|");
    assert_int_equal(truncate(in_top("a.jsonl.gz"), 40), 0);
    assert_non_null(
        strstr(read_all(in_top("a.jsonl.gz"), (struct texts_options){.skip = 1}), "end too early"));
}

static void folders(void **state)
{
    (void)state;
    mkdir(in_top("f"), 0700), mkdir(in_top("f/m"), 0700), mkdir(in_top("none"), 0700);
    file_of("f/z.txt", "one\ntwo\n"),
        file_of("f/m/x.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}"), file_of("f/.hidden", "no"),
        file_of("f/a", "first");
    assert_string_equal(read_all(in_top("f"), (struct texts_options){0}),
                        "0.0+0=first|1.0+0=a|2.0+0=b|3.0+0=one\ntwo\n|");
    assert_non_null(
        strstr(read_all(in_top("none"), (struct texts_options){0}), "a folder without files"));
    assert_non_null(strstr(read_all(in_top("nothing"), (struct texts_options){0}), "cannot open"));
}

static void windows(void **state)
{
    (void)state;
    const char *path = file_of("w.txt", "abcdefg\nxy\n");
    assert_string_equal(read_all(path, (struct texts_options){.window = 3}),
                        "0.0+0=abc|0.3+0=def|0.6+0=g|1.0+0=xy|");
    assert_string_equal(read_all(path, (struct texts_options){.window = 4, .stride = 2}),
                        "0.0+0=abcd|0.2+2=cdef|0.4+2=efg|1.0+0=xy|");
    assert_string_equal(
        read_all(path, (struct texts_options){.window = 4, .stride = 2, .limit_tokens = 5}),
        "0.0+0=abcd|0.2+2=cde|");
    assert_string_equal(read_all(path, (struct texts_options){.limit = 1}), "0.0+0=abcdefg|");
    assert_string_equal(read_all(path, (struct texts_options){.window = 3, .bos = 1, .skip = 1}),
                        "1.0+0=\001xy|");
    assert_non_null(strstr(read_all(path, (struct texts_options){.window = 65}), "takes 1..64"));
    assert_non_null(strstr(read_all(path, (struct texts_options){.window = 3, .stride = 4}),
                           "would be left out"));
}

/* Windows that nobody asked for are the trained context, or shorter than a very long one. */
static void usual_windows(void **state)
{
    (void)state;
    struct model wide = bytes;
    struct texts *t;
    struct text_piece p;
    char line[3001];
    const struct texts_options o = {0};
    memset(line, 'a', 3000), line[3000] = 0;
    const char *path = file_of("u.txt", line);
    const int32_t contexts[][2] = {{64, 64}, {1024, 1024}, {4096, 2048}};
    wide.cfg.pos = POS_ROTARY;
    for (size_t i = 0; i < sizeof contexts / sizeof *contexts; i++) {
        wide.cfg.n_ctx = contexts[i][0];
        assert_int_equal(texts_open(&t, &wide, path, &o, NULL), 0);
        assert_int_equal(texts_next(t, &p, NULL), 1);
        assert_int_equal(p.n, contexts[i][1]);
        texts_close(t);
    }
}

/* Each text is drawn by its number and the seed alone. */
static void samples(void **state)
{
    (void)state;
    char all[400];
    size_t n = 0;
    for (int i = 0; i < 100; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%02d\n", i);
    const char *path = file_of("s.txt", all);
    char first[4096], *other;
    snprintf(first, sizeof first, "%s",
             read_all(path, (struct texts_options){.sample = 0.3, .seed = 5}));
    size_t drawn = strlen(first) / 8;
    assert_in_range(drawn, 15, 45);
    assert_string_equal(read_all(path, (struct texts_options){.sample = 0.3, .seed = 5}), first);
    assert_string_not_equal(read_all(path, (struct texts_options){.sample = 0.3, .seed = 6}),
                            first);
    other = strstr(first, "|");
    const char *skipped = read_all(
        path,
        (struct texts_options){.sample = 0.3, .seed = 5, .skip = strtol(first, NULL, 10) + 1});
    assert_string_equal(skipped, other + 1);
}

/* From every place on the rest is what it was; other texts before it are refused. */
static void places(void **state)
{
    (void)state;
    const struct texts_options opt = {
        .window = 4, .stride = 3, .sample = 0.8, .seed = 3, .limit_tokens = 40};
    const char *path = file_of("p.txt", "abcdefghij\nk\nlmnopqrs\ntuvw\nxyz\n0123456789\nend\n");
    struct texts *t, *again;
    struct texts_place at;
    struct text_piece p;
    char rest[4096];
    int n = 0, count = 1000;
    for (; n < count; n++) {
        assert_int_equal(texts_open(&t, &bytes, path, &opt, NULL), 0);
        for (int i = 0; i < n; i++)
            assert_int_equal(texts_next(t, &p, NULL), 1);
        texts_place(t, &at);
        snprintf(rest, sizeof rest, "%s", pieces(t));
        assert_int_equal(texts_open(&again, &bytes, path, &opt, NULL), 0);
        assert_int_equal(texts_seek(again, &at, NULL), 0);
        assert_string_equal(pieces(again), rest);
        texts_close(t), texts_close(again);
        if (!*rest)
            break;
    }
    assert_in_range(n, 8, 20);
    struct err e = {0};
    file_of("p.txt", "abcdefghiJ\nk\nlmnopqrs\ntuvw\nxyz\n0123456789\nend\n");
    assert_int_equal(texts_open(&t, &bytes, path, &opt, NULL), 0);
    assert_int_equal(texts_seek(t, &at, &e), ERR_BAD_INPUT);
    assert_non_null(strstr(e.text, "not the texts that were read before"));
    texts_close(t);
}

static void refused(void **state)
{
    (void)state;
    const struct texts_options o = {0};
    assert_non_null(strstr(read_all(file_of("r.txt", "ab\nc\xff"), o), "line 2 · byte 2 is not"));
    assert_non_null(strstr(read_all(file_of("r.txt", "PAR1\x15"), o), "is a parquet file"));
    FILE *f = fopen(in_top("zero.txt"), "wb");
    fwrite("a\0b", 1, 3, f);
    fclose(f);
    assert_non_null(strstr(read_all(in_top("zero.txt"), o), "byte 2 is a zero"));
    f = fopen(in_top("long.txt"), "wb"); /* one line, at the bound and past it */
    assert_int_equal(ftruncate(fileno(f), LIMIT_TEXT_BYTES + (1 << 17)), 0);
    fclose(f);
    assert_non_null(strstr(read_all(in_top("long.txt"), o), "a text of more than"));
    assert_non_null(strstr(read_all("/dev/null/x", o), "cannot open"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines_and_paragraphs),
                                       cmocka_unit_test(objects),
                                       cmocka_unit_test(tables),
                                       cmocka_unit_test(compressed),
                                       cmocka_unit_test(folders),
                                       cmocka_unit_test(windows),
                                       cmocka_unit_test(usual_windows),
                                       cmocka_unit_test(samples),
                                       cmocka_unit_test(places),
                                       cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
