/* eval_images.h - a classifier of images over a labelled set: loss, accuracy, and what edits do to
 * them, each image one observation.
 *
 * The classes' logits are those of the first row, the class token's, as Hugging Face's
 * ViTForImageClassification and DeiTForImageClassification have them.  Several images share
 * products (batch.h).  Tested in tests/tui/test_cli_eval_images.c. */
#ifndef EVAL_IMAGES_H
#define EVAL_IMAGES_H

#include "lab/eval.h"

struct labelled_image {
    struct image_input *image;  /* the taker's reference; NULL: it was not wanted */
    int32_t label;              /* a class of the model */
    const char *name;           /* of its file; good until the next call */
    struct fingerprint content; /* of its file, where the work may be gone on with; else zeros */
};

struct images_source {
    /* The next image: 1, 0 at the end, or negative.  Where it is not wanted it is not
     * decoded. */
    int (*next)(void *from, bool wanted, struct labelled_image *out, struct err *e);
    double (*share)(const void *from); /* of the set, that was read; negative: not known */
    void *from;
    int64_t skip, limit; /* images left out at the beginning; at most so many of the others; 0: all
                          */
};

/* As eval_run, over images.  ERR_BAD_INPUT where the model takes none. */
int eval_images_run(struct eval *v, const struct images_source *s, const struct eval_work *w,
                    struct err *e);

#endif
