/* test_keys.c - bytes to events: keys, mouse, paste, replies that are late, cut or broken; names of
 * keys. */
#include <stdlib.h>
#include <string.h>

#include "input/keys.h"
#include "unit.h"

/* Feed bytes; collect events (texts are copied). */
struct got {
    struct input in[64];
    char text[64][64];
    int n;
};

static void feed(struct keys *k, struct got *g, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct input in[2];
        int got = keys_push(k, (uint8_t)bytes[i], in);
        for (int j = 0; j < got && g->n < 64; j++) {
            if (in[j].text) {
                assert_true(in[j].len <= KEYS_PASTE_MAX);
                size_t len = in[j].len < 63 ? in[j].len : 63;
                memcpy(g->text[g->n], in[j].text, len);
                g->text[g->n][len] = 0;
            }
            g->in[g->n++] = in[j];
        }
    }
}

static struct got feed_all(const char *bytes, size_t n)
{
    struct keys k = {0};
    struct got g = {0};
    feed(&k, &g, bytes, n);
    return g;
}
#define FEED(s) feed_all(s, sizeof s - 1)

static void check_key(const char *bytes, size_t n, uint32_t key)
{
    struct got g = feed_all(bytes, n);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.in[0].kind, INPUT_KEY);
    assert_int_equal(g.in[0].key, key);
}

static void test_plain(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        uint32_t key;
    } cases[] = {
#define K(s, key) {s, sizeof s - 1, key}
        K("a", 'a'),
        K(" ", ' '),
        K("\r", KEYS_ENTER),
        K("\n", KEYS_ENTER),
        K("\t", KEYS_TAB),
        K("\x7f", KEYS_BACKSPACE),
        K("\x08", KEYS_BACKSPACE),
        K("\x12", 'r' | KEYS_CTRL),
        K("\0", ' ' | KEYS_CTRL),
        K("\x1f", '_' | KEYS_CTRL),
        K("\xc3\xa9", 0xe9),
        K("\xe4\xb8\xad", 0x4e2d),
        K("\xf0\x9f\x99\x82", 0x1f642),
        K("\x1bx", 'x' | KEYS_ALT),
        K("\x1b[A", KEYS_UP),
        K("\x1bOB", KEYS_DOWN),
        K("\x1b[1;5C", KEYS_RIGHT | KEYS_CTRL),
        K("\x1b[Z", KEYS_TAB | KEYS_SHIFT),
        K("\x1b[5~", KEYS_PGUP),
        K("\x1b[6;2~", KEYS_PGDN | KEYS_SHIFT),
        K("\x1b[3~", KEYS_DELETE),
        K("\x1b[15~", KEYS_F1 + 4),
        K("\x1bOP", KEYS_F1),
        K("\x1b[24~", KEYS_F12),
        K("\x1b[105;5u", 'i' | KEYS_CTRL),
        K("\x1b[9u", KEYS_TAB),
        K("\x1b[27;5;105~", 'i' | KEYS_CTRL),
        K("\x1b[97;2u", 'A'),
        K("\x1b\x1b[A", KEYS_UP)};
    for (size_t i = 0; i + 1 < sizeof cases / sizeof cases[0]; i++)
        check_key(cases[i].bytes, cases[i].n, cases[i].key);
    struct got g = FEED("\x1b\x1b[A"); /* Esc, then Up */
    assert_int_equal(g.n, 2);
    assert_int_equal(g.in[0].key, KEYS_ESC);
    assert_int_equal(g.in[1].key, KEYS_UP);
}

static void test_escape_waits(void **state)
{
    (void)state;
    struct keys k = {0};
    struct got g = {0};
    struct input in;
    feed(&k, &g, "\x1b", 1);
    assert_int_equal(g.n, 0);
    assert_true(keys_wait_ms(&k) > 0);
    assert_int_equal(keys_timeout(&k, &in), 1);
    assert_int_equal(in.key, KEYS_ESC);
    assert_int_equal(keys_wait_ms(&k), -1);
    feed(&k, &g, "\x1b[1", 3); /* a sequence that never ends is dropped, not typed */
    assert_int_equal(keys_timeout(&k, &in), 0);
    feed(&k, &g, "a", 1);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.in[0].key, 'a');
}

static void test_replies_are_no_keys(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        const char *text;
    } replies[] = {{"\x1b[?62;4;22c", "?62;4;22c"},
                   {"\x1b[6;18;9t", "6;18;9t"},
                   {"\x1b[?2026;2$y", "?2026;2$y"},
                   {"\x1b]11;rgb:0000/0000/0000\x1b\\", "]11;rgb:0000/0000/0000"},
                   {"\x1b]11;rgb:ff/ff/ff\a", "]11;rgb:ff/ff/ff"},
                   {"\x1bP>|XTerm(379)\x1b\\", "P>|XTerm(379)"},
                   {"\x1b_Gi=31;OK\x1b\\", "_Gi=31;OK"},
                   {"\x1b[24;80R", "24;80R"},
                   {"\x1b[?1;0;256S", "?1;0;256S"},
                   {"\x1b[I", "I"}};
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct got g = feed_all(replies[i].bytes, strlen(replies[i].bytes));
        assert_int_equal(g.n, 1);
        assert_int_equal(g.in[0].kind, INPUT_REPLY);
        assert_string_equal(g.text[0], replies[i].text);
    }
}

/* However a reply is cut into pieces, and whatever is lost of it, none of it is typed. */
static void test_replies_in_pieces(void **state)
{
    (void)state;
    static const char
        reply[] = "\x1bP>|XTerm(379)\x1b\\\x1b]11;rgb:0000/0000/0000\x1b\\\x1b[6;18;9t\x1b[?62;4c";
    for (size_t from = 0; from < sizeof reply - 1; from++) {
        if (reply[from] != '\x1b')
            continue;
        struct got g = feed_all(reply + from, sizeof reply - 1 - from);
        for (int i = 0; i < g.n; i++)
            assert_int_equal(g.in[i].kind, INPUT_REPLY);
    }
    struct keys k = {0};
    struct got g = {0};
    for (size_t i = 0; i < sizeof reply - 1; i++) { /* silence after every byte but a lone ESC */
        feed(&k, &g, reply + i, 1);
        assert_true(k.state == KEYS_GROUND || keys_wait_ms(&k) > 0);
    }
    for (int i = 0; i < g.n; i++)
        assert_int_equal(g.in[i].kind, INPUT_REPLY);
    char endless[4000];
    memset(endless, 'x', sizeof endless);
    memcpy(endless, "\x1b]52;c;", 7);
    g = feed_all(endless, sizeof endless);
    assert_int_equal(g.n, 0);
}

static void test_mouse(void **state)
{
    (void)state;
    struct got g = FEED(
        "\x1b[<0;300;20M\x1b[<0;300;20m\x1b[<64;1;1M\x1b[<65;2;3M\x1b[<35;5;5M\x1b[M !!");
    assert_int_equal(g.n, 6);
    assert_int_equal(g.in[0].act, MOUSE_PRESS);
    assert_int_equal(g.in[0].x, 299);
    assert_int_equal(g.in[0].y, 19);
    assert_int_equal(g.in[1].act, MOUSE_RELEASE);
    assert_int_equal(g.in[2].act, MOUSE_WHEEL_UP);
    assert_int_equal(g.in[3].act, MOUSE_WHEEL_DOWN);
    assert_int_equal(g.in[4].act, MOUSE_MOVE);
    assert_int_equal(g.in[5].act, MOUSE_PRESS);
    assert_int_equal(g.in[5].x, 0);
    g = FEED("\x1b[<0;0;0M\x1b[<0M");
    assert_int_equal(g.n, 0);
}

static void test_paste(void **state)
{
    (void)state;
    struct got g = FEED("\x1b[200~a\x1b[Ab\r\x1b[201~c");
    assert_int_equal(g.n, 2);
    assert_int_equal(g.in[0].kind, INPUT_PASTE);
    assert_string_equal(g.text[0], "a\x1b[Ab\r");
    assert_int_equal(g.in[1].key, 'c');
    static char big[5000];
    memset(big, 'y', sizeof big);
    memcpy(big, "\x1b[200~", 6);
    memcpy(big + sizeof big - 6, "\x1b[201~", 6);
    struct keys k = {0};
    size_t total = 0;
    for (size_t i = 0; i < sizeof big; i++) {
        struct input in[2];
        int n = keys_push(&k, (uint8_t)big[i], in);
        for (int j = 0; j < n; j++) {
            assert_int_equal(in[j].kind, INPUT_PASTE);
            total += in[j].len;
        }
    }
    assert_int_equal(total, sizeof big - 12);
}

static void test_bad_utf8(void **state)
{
    (void)state;
    struct got g = FEED("\xff"
                        "a\xc0\x80"
                        "b\xed\xa0\x80"
                        "c\xe4\xb8"
                        "d\xc2\x9b"
                        "e");
    assert_int_equal(g.n, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(g.in[i].key, (uint32_t)('a' + i));
}

static void test_names(void **state)
{
    (void)state;
    static const uint32_t keys[] = {'x',
                                    'r' | KEYS_CTRL,
                                    KEYS_UP,
                                    KEYS_TAB | KEYS_SHIFT,
                                    KEYS_F12,
                                    ' ' | KEYS_CTRL,
                                    0x4e2d,
                                    'x' | KEYS_ALT,
                                    '-' | KEYS_CTRL,
                                    '>' | KEYS_ALT,
                                    KEYS_LEFT | KEYS_CTRL | KEYS_ALT | KEYS_SHIFT};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char name[KEYS_NAME_MAX];
        const char *s = keys_name(keys[i], name);
        uint32_t back = 0;
        assert_true(keys_read_name(&s, &back));
        assert_int_equal(back, keys[i]);
        assert_int_equal(*s, 0);
    }
    static const char *const bad[] = {"<",    "<>", "<C->", "<Nope>", "<F13>",
                                      "<F0>", "",   " ",    "\xff",   "<C-xy>"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *s = bad[i];
        uint32_t key;
        assert_false(keys_read_name(&s, &key));
        assert_ptr_equal(s, bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain),
                                       cmocka_unit_test(test_escape_waits),
                                       cmocka_unit_test(test_replies_are_no_keys),
                                       cmocka_unit_test(test_replies_in_pieces),
                                       cmocka_unit_test(test_mouse),
                                       cmocka_unit_test(test_paste),
                                       cmocka_unit_test(test_bad_utf8),
                                       cmocka_unit_test(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
