/* effects.h - what each edit does: the answer with all the others on, and this one off.
 * Tested in tests/tui/test_generate_view.c. */
#ifndef EFFECTS_H
#define EFFECTS_H

#include "beside.h"

/* Without one edit: how far the pair is apart, and KL(base || this) in nats, at the answer. */
struct effect {
    bool there;
    double delta, kl;
};

struct effects {
    struct effect *effect; /* [n]; NULL: memory was out */
    int n;
    uint64_t of; /* the values they belong to: generation of their first request */
    int32_t pair[2];
};

/* Of edit i in the present; NULL: not there, or it is not in force. */
const struct effect *effects_at(const struct app *a, int i);
/* Is one still to be asked for? */
bool effects_wait(const struct app *a);
void effects_free(struct effects *e);
void effects_ask(struct app *a, struct beside *b, const struct session_want *w);
void effects_take(struct app *a, int i, const struct snapshot *s);

#endif
