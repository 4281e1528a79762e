/* texts.h - a set of texts as pieces for a model to run: what statistics and evaluations go over.
 *
 * A set is a file (text_file.h), standard input, or a folder: its files in the order of their
 * names, folders in it likewise, names that begin with a point left out; of a folder a file without
 * an ending that says otherwise is one text.  Each text is tokenized by itself and cut into windows
 * of at most `window` tokens, one every `stride` tokens, as they are: a beginning-of-text token is
 * in the first one alone.  Windows overlap where the stride is shorter; every token is `fresh` in
 * one of them, the first that holds it, so that nothing counts twice.  A stream: what is held is
 * the text at hand.  Tested in tests/engine/test_texts.c, tests/fuzz/fuzz_texts.c. */
#ifndef TEXTS_H
#define TEXTS_H

#include "base/json.h"
#include "lab/text_file.h"
#include "model/fingerprint.h"
#include "model/model.h"

/* Zero-initialised: all texts of a file of lines. */
struct texts_options {
    struct text_form form;       /* of files whose ending does not say; field NULL: "text" */
    int32_t window, stride;      /* tokens; 0: the trained context, at most 2048; the window */
    int64_t skip;                /* texts left out at the beginning */
    double sample;               /* of the others each with this probability; 0: all */
    uint64_t seed;               /* of that draw */
    int64_t limit, limit_tokens; /* texts; fresh tokens, the last window cut; 0: no limit */
    int bos;                     /* as model_tokens */
};

/* One window.  What it points to is good until the next call. */
struct text_piece {
    const int32_t *tokens;
    int32_t n;
    int32_t next;                    /* the token of the text that follows the window, -1: none */
    int32_t fresh;                   /* tokens[fresh..n) were in no window before */
    const struct image_input *image; /* of models that take images, whose ids are the tokens */
    int64_t unit;                    /* of work that it is part of (units.h) */
    int64_t text;       /* number of the text in the set, from 0, skipped ones counted */
    int64_t start;      /* where the window begins, in tokens of the text */
    int64_t length;     /* of the text, in tokens */
    const char *string; /* the text [bytes] */
    size_t bytes;
    const char *label; /* NULL: none is asked for */
};

/* How far it is. */
struct texts_place {
    int64_t text, start;     /* the next piece: its text (or a later one), and the window's start */
    int64_t texts, tokens;   /* handed out: texts begun, fresh tokens */
    struct fingerprint seen; /* of all texts before `text` that were taken */
};

struct texts;

/* `path` as text_file_open takes it, or a folder.  The model and the options' strings outlive it.
 * ERR_BAD_INPUT for what cannot be opened, for windows that the model cannot take, a stride longer
 * than its window, a model of images. */
int texts_open(struct texts **out, const struct model *m, const char *path,
               const struct texts_options *opt, struct err *e);
void texts_close(struct texts *t);
/* The next window: 1, 0 at the end, or negative. */
int texts_next(struct texts *t, struct text_piece *out, struct err *e);

void texts_place(const struct texts *t, struct texts_place *out);
/* Go on at a place, of a set that nothing was taken from: earlier texts are read again and must be
 * the ones that were there, else ERR_BAD_INPUT. */
int texts_seek(struct texts *t, const struct texts_place *place, struct err *e);
/* A place as members of a JSON object, and back. */
enum { PLACE_TEXT = 240 };
void texts_place_print(const struct texts_place *p, char text[PLACE_TEXT]);
int texts_place_read(struct texts_place *p, struct js_node object, struct err *e);
/* The share of the work that is done, by bytes, texts or tokens; negative: not known. */
double texts_share(const struct texts *t);

#endif
