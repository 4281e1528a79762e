/* figures.c - figures kept under their wants, dropped where they changed, computed where they are
 * missing (see figures.h).
 *
 * An entry holds elements of the rows asked for, and of rows asked for before while that is little
 * memory.  An element of the edited face that no edit reaches is the base's own: copied, so that
 * differences are exact zeros. */
#include "session/figures.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "session/figure_kinds.h"
#include "session/snapshot.h"

enum { ENTRY_BYTES = 1 << 20, PIECE_MAX = 256 };

/* One figure. */
struct entry {
    struct want key; /* its rows mean nothing */
    int32_t n;       /* length of the prompt */
    uint64_t asked;  /* the last request that wanted it */
    struct blob *face[FACE_COUNT];
};

struct figures {
    const struct model *m;
    struct entry **entry; /* sorted by key */
    int32_t n_entries;
    uint64_t request;
    bool edited;
};

/* A row of want.def. */
static const struct kind {
    int32_t piece;
    int (*compute)(const struct figure_ask *, struct err *);
} kinds[WANT_COUNT] = {
#define WANT(id, per, piece, function, bytes, fits, what) {piece, function},
#include "session/want.def"
};

int figures_open(struct figures **out, const struct model *m, struct err *e)
{
    struct figures *f = calloc(1, sizeof *f);
    if (!f)
        return err_memory(e, "views");
    f->m = m;
    *out = f;
    return 0;
}

static void entry_free(struct entry *x)
{
    for (int f = 0; f < FACE_COUNT; f++)
        blob_release(x->face[f]);
    free(x);
}

void figures_close(struct figures *f)
{
    if (!f)
        return;
    for (int32_t i = 0; i < f->n_entries; i++)
        entry_free(f->entry[i]);
    free(f->entry);
    free(f);
}

/* ---- the cache ---- */

/* Where a want's entry stands, or would stand. */
static int32_t place_of(const struct figures *f, const struct want *w)
{
    int32_t lo = 0, hi = f->n_entries;
    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        if (want_order(&f->entry[mid]->key, w) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct entry *entry_find(const struct figures *f, const struct want *w)
{
    int32_t i = place_of(f, w);
    return i < f->n_entries && want_same(&f->entry[i]->key, w) ? f->entry[i] : NULL;
}

static struct entry *entry_make(struct figures *f, const struct want *w)
{
    struct entry *x = entry_find(f, w);
    if (x)
        return x;
    if (!list_room(&f->entry, (size_t)f->n_entries, sizeof x) || !(x = calloc(1, sizeof *x)))
        return NULL;
    x->key = *w;
    int32_t at = place_of(f, w);
    memmove(f->entry + at + 1, f->entry + at, (size_t)(f->n_entries - at) * sizeof(struct entry *));
    f->entry[at] = x;
    f->n_entries++;
    return x;
}

static void drop(struct entry *x, int face)
{
    blob_release(x->face[face]);
    x->face[face] = NULL;
}

/* Make it the cache's alone, so that it may be written. */
static bool own(struct blob **b)
{
    if (!blob_is_shared(*b))
        return true;
    struct blob *copy = blob_copy(*b, (*b)->row0, (*b)->row1);
    if (copy) {
        blob_release(*b);
        *b = copy;
    }
    return copy != NULL;
}

/* Room for a want's rows. */
static bool cover(struct blob **b, const struct want *w, size_t bytes)
{
    int32_t row0 = w->row0, row1 = w->row1;
    if (*b) {
        int32_t lo = (*b)->row0 < row0 ? (*b)->row0 : row0,
                hi = (*b)->row1 > row1 ? (*b)->row1 : row1;
        if (lo == (*b)->row0 && hi == (*b)->row1)
            return true;
        if ((size_t)(hi - lo) <= ENTRY_BYTES / bytes)
            row0 = lo, row1 = hi;
    }
    struct blob *more = *b ? blob_copy(*b, row0, row1) : blob_new(row0, row1, bytes);
    if (more) {
        blob_release(*b);
        *b = more;
    }
    return more != NULL;
}

/* ---- what stays true ---- */

/* Drop what rows from `row` on of its site may have changed.  Without memory for a copy the rest
 * goes too. */
static void forget_rows(struct entry *x, int face, int32_t row)
{
    struct blob *b = x->face[face];
    if (row >= b->row1)
        return;
    if (row <= b->row0 || !own(&x->face[face])) {
        drop(x, face);
        return;
    }
    b = x->face[face];
    memset(b->there + (row - b->row0), 0, (size_t)(b->row1 - row) * sizeof *b->there);
}

/* The last stage that an element is made of: comparisons with the output read all of them. */
static int32_t stage_of(const struct figures *f, const struct want *w)
{
    bool output = w->kind == WANT_COSINE || w->kind == WANT_KL_FINAL;
    return output ? plan_stages(f->m->plan) - 1 : plan_stage_of(f->m->plan, w->site);
}

static void forget_changed(struct figures *f, const struct pair *p, int32_t n)
{
    for (int32_t i = 0; i < f->n_entries; i++) {
        struct entry *x = f->entry[i];
        bool as_long = x->n == n;
        x->n = n;
        for (int face = 0; face < FACE_COUNT; face++) {
            int32_t row = pair_changed(p, (enum face)face, stage_of(f, &x->key));
            if (!x->face[face])
                continue;
            if (want_is_whole(x->key.kind)
                    ? !as_long || row < n
                    : want_bytes(&f->m->cfg, &x->key, n) != x->face[face]->bytes)
                drop(x, face);
            else if (!want_is_whole(x->key.kind))
                forget_rows(x, face, row);
        }
    }
}

/* Let go of what is not wanted now when all of it together is more than LIMIT_FIGURES. */
static void trim(struct figures *f)
{
    size_t sum = 0;
    for (int32_t i = 0; i < f->n_entries; i++)
        for (int face = 0; face < FACE_COUNT; face++) {
            const struct blob *b = f->entry[i]->face[face];
            sum += b ? (size_t)(b->row1 - b->row0) * b->bytes : 0;
        }
    if (sum <= LIMIT_FIGURES)
        return;
    int32_t kept = 0;
    for (int32_t i = 0; i < f->n_entries; i++)
        if (f->entry[i]->asked == f->request)
            f->entry[kept++] = f->entry[i];
        else
            entry_free(f->entry[i]);
    f->n_entries = kept;
}

static int faces(const struct figures *f)
{
    return f->edited ? FACE_COUNT : 1;
}

int figures_settle(struct figures *f, struct pair *p, const struct session_want *want,
                   struct err *e)
{
    f->request++;
    f->edited = pair_run(p, FACE_EDITED) != NULL;
    forget_changed(f, p, want->target.input.n);
    pair_settle(p);
    bool ok = true;
    for (int32_t i = 0; i < want->n_wants && ok; i++) {
        const struct want *w = &want->wants[i];
        struct entry *x = entry_make(f, w);
        ok = x;
        for (int face = 0; face < faces(f) && ok; face++)
            ok = cover(&x->face[face], w, want_bytes(&f->m->cfg, w, want->target.input.n));
        if (x)
            x->asked = f->request, x->n = want->target.input.n;
    }
    trim(f);
    return ok ? 0 : err_memory(e, "views");
}

/* ---- computing ---- */

/* One call of figures_work, and the elements gathered for the next call of a function. */
struct work {
    struct figures *f;
    struct pair *p;
    int (*between)(void *user, struct err *e);
    void *user;
    struct err *e;
    const struct want *want[PIECE_MAX];
    int32_t row[PIECE_MAX];
    int32_t n;
};

/* Does an edit reach the element in this face? */
static bool is_reached(const struct work *w, int face, const struct want *want, int32_t row)
{
    int32_t last = run_length(pair_run(w->p, FACE_BASE)) - 1;
    return face == FACE_BASE || (want_is_whole(want->kind) ? last : row) >=
                                    pair_first_changed_row(w->p, stage_of(w->f, want));
}

static void mark(struct work *w, int face, const struct figure_unit *u, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        struct blob *b = entry_find(w->f, u[i].want)->face[face];
        b->there[u[i].row - b->row0] = true;
    }
}

/* The gathered elements that a face lacks: copied where no edit reaches, computed elsewhere. */
static int compute_face(struct work *w, int face, bool *computed)
{
    struct figure_unit units[PIECE_MAX];
    int32_t n = 0;
    for (int32_t i = 0; i < w->n; i++) {
        struct entry *x = entry_find(w->f, w->want[i]);
        struct blob *base = x->face[FACE_BASE];
        if (blob_has(x->face[face], w->row[i]))
            continue;
        if (!own(&x->face[face]))
            return err_memory(w->e, "views");
        struct figure_unit u = {.want = w->want[i],
                                .row = w->row[i],
                                .to = blob_at(x->face[face], w->row[i]),
                                .base = face != FACE_BASE && blob_has(base, w->row[i])
                                            ? blob_at(base, w->row[i])
                                            : NULL};
        if (u.base && !is_reached(w, face, u.want, u.row)) {
            memcpy(u.to, u.base, x->face[face]->bytes);
            mark(w, face, &u, 1);
        } else {
            units[n++] = u;
        }
    }
    const struct figure_ask ask = {w->p, pair_run(w->p, (enum face)face), (enum face)face, units,
                                   n};
    int rc = n ? kinds[units->want->kind].compute(&ask, w->e) : 0;
    if (!rc)
        mark(w, face, units, n);
    *computed = *computed || n;
    return rc;
}

/* Compute what is gathered. */
static int flush(struct work *w)
{
    bool computed = false;
    int rc = 0;
    for (int face = 0; face < faces(w->f) && w->n && !rc; face++)
        rc = compute_face(w, face, &computed);
    w->n = 0;
    return rc ? rc : computed ? w->between(w->user, w->e) : 0;
}

/* Elements of these wants are computed together.  Not those of other rows: the cell under the
 * cursor does not wait for a screen full of cells. */
static bool is_alike(const struct want *a, const struct want *b)
{
    struct want other = *b;
    other.site = a->site;
    return want_same(a, &other) && a->row0 == b->row0 && a->row1 == b->row1;
}

static bool is_missing(const struct figures *f, const struct want *w, int32_t row)
{
    const struct entry *x = entry_find(f, w);
    bool there = true;
    for (int face = 0; face < faces(f); face++)
        there = there && blob_has(x->face[face], row);
    return !there;
}

static int work_want(struct work *w, const struct want *want)
{
    int rc = w->n && !is_alike(w->want[0], want) ? flush(w) : 0;
    for (int32_t row = want->row0; row < want->row1 && !rc; row++) {
        if (!is_missing(w->f, want, row))
            continue;
        w->want[w->n] = want;
        w->row[w->n++] = row;
        if (w->n == kinds[want->kind].piece)
            rc = flush(w);
    }
    return rc;
}

int figures_work(struct figures *f, struct pair *p, const struct session_want *want, int32_t stages,
                 int (*between)(void *user, struct err *e), void *user, struct err *e)
{
    struct work w = {.f = f, .p = p, .between = between, .user = user, .e = e};
    int rc = 0;
    for (int kind = 0; kind < WANT_COUNT && !rc; kind++) {
        for (int32_t i = 0; i < want->n_wants && !rc; i++)
            if (want->wants[i].kind == (enum want_kind)kind &&
                stage_of(f, &want->wants[i]) < stages)
                rc = work_want(&w, &want->wants[i]);
        if (!rc)
            rc = flush(&w);
    }
    return rc;
}

/* ---- showing ---- */

struct snapshot *figures_snapshot(const struct figures *f, const struct pair *p,
                                  const struct session_want *want, struct err *e)
{
    struct snapshot *s = snapshot_new(want);
    if (!s) {
        err_memory(e, "views");
        return NULL;
    }
    s->edited = f->edited;
    s->program = pair_program(p);
    for (int32_t i = 0; i < f->n_entries; i++) {
        const struct entry *x = f->entry[i];
        struct blob *const face[FACE_COUNT] = {x->face[FACE_BASE],
                                               f->edited ? x->face[FACE_EDITED] : NULL};
        if (x->asked == f->request)
            snapshot_show(s, &x->key, face);
    }
    return s;
}
