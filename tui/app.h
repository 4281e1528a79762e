/* app.h - the explorer without a terminal: state, events in, frames and requests out.
 *
 * Keys, mouse and snapshots change the state; app_want says what to ask the session for; app_draw
 * draws the state. Whoever drives it (explorer.c with a terminal, play.c with a script, tests) owns
 * the session and the clock. Knows no terminal, never waits.  One thread.  Tested in tests/tui/. */
#ifndef APP_H
#define APP_H

#include "beside.h"
#include "save/command_log.h"
#include "list/edit_list.h"
#include "list/effects.h"
#include "list/pins.h"
#include "edit/edit_reach.h"
#include "frame.h"
#include "generation.h"
#include "input/keymap.h"
#include "input/line.h"
#include "lesson/present.h"
#include "model/model.h"
#include "save/saved.h"
#include "session/session.h"
#include "view.h"
#include "tensor_sum.h"
#include "token/token_align.h"

enum { /* what an event asks of the driver */
       REACT_QUIT = 1,
       REACT_SUSPEND = 2,
       REACT_REPAINT = 4,
       REACT_COPY = 8 /* app.copied */
};

/* A command that reads files: its work is done on the worker.  finish: it is done, work.err says
 * how it went. */
struct task {
    struct session_task work;
    void (*finish)(struct app *a, struct task *t);
    void (*free)(struct task *t);
    bool for_guests; /* reads no file: a watcher who has the keyboard may begin it */
};

enum show { SHOW_BASE, SHOW_EDITED, SHOW_DIFFERENCE, SHOW_COUNT };
enum line_mode {
    LINE_NONE,
    LINE_COMMAND,
    LINE_SEARCH,
    LINE_PROMPT,
    LINE_OTHER,
    LINE_PAIR,
    LINE_HELP,
    LINE_ANSWER,
    LINE_MODE_COUNT
};
enum quantity {
#define QUANTITY(id, name, kind, site, decimals, legend, title) QUANTITY_##id,
#include "quantity.def"
    QUANTITY_COUNT
};
enum mask {
    MASK_RAW,
    MASK_NO_FIRST,
    MASK_RENORMALISED,
    MASK_LOG,
    MASK_ROW_MAX,
    MASK_VALUE,
    MASK_COUNT
};
enum heads_sort {
    HEADS_BY_PLACE,
    HEADS_BY_PREVIOUS,
    HEADS_BY_DUPLICATE,
    HEADS_BY_INDUCTION,
    HEADS_BY_FIRST,
    HEADS_BY_SELF,
    HEADS_BY_ENTROPY,
    HEADS_BY_COPYING,
    HEADS_BY_ATTRIBUTED,
    HEADS_BY_ABLATED, /* by a sweep over heads */
    HEADS_SORT_COUNT
};
enum map_face { MAP_ROWS, MAP_WHOLE, MAP_TEXT, MAP_COUNT };
enum {
    JUMP_MAX = 100,
    SIDE_MIN_COLUMNS = 100,
    SMALL_COLUMNS = 60,
    SMALL_ROWS = 12,
    COMPLETE_MAX = 64
};

extern const char *const quantity_names[QUANTITY_COUNT];
/* Does this model have it? */
bool quantity_is_there(const struct app *a, int q);
/* Does it read logits? */
bool quantity_is_lens(enum quantity q);
extern const char *const mask_names[MASK_COUNT];
extern const char *const map_face_names[MAP_COUNT];
extern const char *const show_names[SHOW_COUNT];

/* Where the cursor stands; what the jump list remembers. */
struct place {
    enum view_id view;
    int32_t row;    /* position; destination in attention */
    int32_t column; /* of the lens: 0 the embedding, l + 1 the end of block l */
    int32_t head, src;
    bool map;             /* attention: in the large map, not among the heads */
    struct site_ref site; /* tensor */
    int32_t expert;  /* tensor: 1 + the expert whose positions are shown, 0: the site as it is */
    int32_t element; /* tensor: column of the slice */
    int32_t hook;    /* hooks: index into app.sites */
    int32_t edit, log, check;
    int32_t cell;     /* of the sweep */
    int part;         /* attribution: by layer, head, neuron, position */
    int32_t share[4]; /* the entry of each */
};

struct completion {
    char *item[COMPLETE_MAX];
    int n, at;        /* at -1: none taken yet */
    size_t begin;     /* of the word in the line */
    char *stem;       /* the line as typed */
    int top;          /* the first one on show */
    struct rect rows; /* of the screen, where they were drawn last; empty: nowhere */
};

struct app_options {
    struct model *model;
    const char *model_name;   /* as it was named, NULL: by its own name */
    const char *state_folder; /* of sessions and the history (state_files.h); NULL, "": none */
    const char *prompt;       /* text; ignored if tokens is set */
    const int32_t *tokens;
    int32_t n;
    const struct image_input *image; /* of a model that takes images, in place of both */
    int bos;                         /* as model_tokens */
    const char *const *edits;
    int n_edits;
    const char *const *refs; /* reference sets, NAME=FILE */
    int n_refs;
    int32_t pair[2];             /* -1 = the two likeliest at the end of the base run */
    const char *other;           /* the other prompt, NULL = none */
    const struct model *against; /* another model to compare with (compare_models), NULL = none */
    const char *against_name;    /* what opened it; NULL: its own name */
    const char *no_against;      /* why the one that the session has is not open; NULL = it is */
    struct keymap *keymap;       /* borrowed */
    bool present, locked;        /* begin before a class (present.h), with edits locked */
    const char
        *share; /* open a room under this name (share/share.h); "": the model's; NULL: none */
    const char *const *allow; /* users who may watch beside this one */
    int n_allow;
    struct lesson *lesson; /* to begin with, taken over; NULL = none */
    const char *notice;    /* shown first of all, lines; NULL = none */
    bool fixed;            /* times are not shown: screens to compare */
};

struct app {
    struct app_options opt;
    struct model *m;        /* the worker's, but for what never changes */
    char device[128];       /* that the last answer was computed on */
    struct site_ref *sites; /* all of the model in firing order */
    bool *observed;         /* [n_sites] on-request ones that were switched on */
    int32_t n_sites;
    int w, h;
    struct place cur;
    struct place jump[JUMP_MAX];
    int n_jump, at_jump;
    /* scrolling, kept by the layout functions */
    int32_t share_top[4], row_top, column_left, head_left, hook_top, tensor_top, tensor_left,
        edit_top, log_top, check_top, map_top, hook_left, heads_top, neurons_top, neuron_at;
    struct rect body;
    int column_width, page;       /* of the view on show: for the mouse and PgUp/PgDn */
    struct frame_place map_place; /* of the whole map that was drawn last */
    int rows_y, columns_x;        /* screen position of the first shown row and column */
    /* what is shown */
    enum quantity quantity;
    enum show show;
    enum mask mask;
    enum map_face map_face;
    bool no_color, pixels, ascii; /* of the frame that was drawn last */
    bool wide;                    /* grid: columns with room for words, though layers are hidden */
    bool side_off;
    bool linear, attn_log, scores, keybar_off, side_open;
    char filter[128];      /* of the hooks view */
    char head_filter[128]; /* of the heads view */
    enum heads_sort heads_sort;
    bool heads_ascending, heads_wall, neurons_all;
    float *copying;       /* [n_layers][n_heads], NULL: not computed */
    char listed_for[128]; /* the filter that `listed` is for */
    int hook_name_max;    /* columns of the longest name of a hook; 0: not known yet */
    int32_t *listed;      /* [n_listed] hooks that it shows, best first: indices into sites */
    int32_t n_listed;
    bool listed_elsewhere; /* found by their names in other libraries */
    bool tensor_heads;     /* tensor: rows are the heads at one position */
    bool tensor_full;      /* tensor: colours reach to the largest value, not to most of them */
    struct tensor_order tensor_order[SLICE_AXES];
    struct tensor_kept *tensor_kept; /* drawn last; all copies of this state share it */
    char search[128];
    bool selecting, dragging; /* a rectangle; the mouse's button is down on its corner */
    int32_t select_row, select_column;
    /* the question */
    char *prompt, *other;
    int32_t *tokens, n; /* of an image: its rows */
    bool by_ids;        /* the prompt as a text would make other tokens */
    struct image_input *image;
    int32_t *other_tokens, n_other;
    enum token_align align;
    int32_t
        *partner; /* [n] where each position is in the other prompt, -1: nowhere; NULL: no other */
    struct image_input *other_image;
    struct reference_set **sets;
    int n_sets;
    struct edit_list edits;
    bool comparing;        /* the other prompt is the other face, or */
    bool comparing_models; /* the same prompt in the other model */
    int32_t *same, n_same; /* 0, 1, 2, …: its positions are these */
    struct beside beside;  /* questions beside the main one, of the newest request */
    struct effects effects;
    struct generation generation_of; /* the continuations */
    struct command_log log;
    int log_seen; /* commands in it when its view was drawn */
    struct pins pins;
    struct saved states; /* named ones */
    char *session;       /* the name that the session was saved under, or opened by */
    int trial[2]; /* edits [from, to) that no answer has accepted yet: a refusal takes them back */
    struct task *task;        /* under way on the worker, NULL = none */
    struct task *spent;       /* the one before, done, which a request that waits may still name */
    struct edit_reach *reach; /* [n_reach] where all edits act */
    int32_t n_reach;
    int32_t pair[2], target; /* target -1: pair[0] */
    int32_t pair_given[2];   /* as set by hand, -1: not */
    bool pair_seen,
        pair_wanted; /* either of those stood in a prompt; the likeliest are asked for */
    char *last_verb; /* " = 0": for again */
    bool last_everywhere;
    int replacing; /* the line becomes this edit (from 1); 0 = a new one */
    /* the sweep (sweeps.h) */
    struct session_sweep sweep;        /* id 0: none was asked for */
    uint64_t n_sweeps, sweep_question; /* how many there were; what it is of (sweeps_question) */
    int32_t *sweep_tokens, n_sweep_tokens; /* its prompt */
    int32_t *sweep_sorted;                 /* cells of sweep_sorted_of, the largest change first */
    const struct sweep_map *sweep_sorted_of; /* held */
    int32_t sweep_top, sweep_left;
    int sweep_high; /* rows of the screen for a row of its map */
    bool sweep_list, sweep_log;
    bool sweep_new;   /* the cursor goes to the cell of the noun that it began on */
    bool sweep_enter; /* Enter waits for the cell's edits */
    char *sweep_soon; /* a sweep that waits for its metric's pair: what stood behind the command */
    char *candidate;  /* the edit that Enter made; Backspace takes it back */
    /* the answer */
    uint64_t generation;               /* of the newest request */
    uint64_t values_generation;        /* the first request of the present values */
    bool asking_changed;               /* the values change with the next request */
    const struct snapshot *snap, *old; /* newest; the newest that was complete */
    struct want_list wants;            /* the last ones asked for */
    bool late;                         /* it is long in coming: what stands for it is dim */
    bool panel_waits; /* the cursor moves faster than the panel is brought up to date */
    /* typing */
    enum line_mode mode;
    struct line line;
    struct line_history history[LINE_MODE_COUNT];
    struct completion complete;
    char *line_before; /* what Esc brings back */
    char *typed;       /* the command line that was just run, until the next key */
    char *notice;      /* lines in a popup, until the next key; NULL = none */
    bool paste_cr;     /* the last byte of a paste was a carriage return */
    int help_at, help_top;
    struct rect help_rows; /* of the screen, where they were drawn last */
    uint32_t pending[KEYMAP_SEQ_MAX];
    int n_pending, count;
    bool which_key;
    char message[512];
    bool message_bad;
    struct bytes copied;
    struct frame *frame; /* the last one drawn: for `write` */
    struct present present;
    struct share *share;        /* the room, NULL = none */
    bool guest;                 /* what comes in now is typed by a watcher */
    struct lesson_play *lesson; /* under way (lesson_play.h), NULL = none */
};

/* 0 or negative with *e; freed with app_free, once the session is closed. */
int app_open(struct app *a, const struct app_options *o, struct err *e);
void app_free(struct app *a);

void app_resize(struct app *a, int w, int h);
unsigned app_input(struct app *a, const struct input *in);
/* Milliseconds until app_timeout should be called if nothing comes; -1 = never. */
int app_wait_ms(const struct app *a);
unsigned app_timeout(struct app *a);
/* One command as typed after `:`. */
unsigned app_command(struct app *a, const char *command);
/* Takes over the reference. */
void app_take(struct app *a, const struct snapshot *snap);

/* What to ask for now.  Pointers are good until the next event. */
void app_want(struct app *a, struct session_want *w);
/* The driver asked; `generation` is the session's. */
void app_asked(struct app *a, uint64_t generation);

/* Nothing is left to ask: all answers to the question of now are in. */
bool app_is_settled(const struct app *a);

/* Draw all of it.  False when out of memory. */
bool app_draw(struct app *a, struct frame *f);

/* ---- for actions and views ---- */

void app_say(struct app *a, const char *fmt, ...) ERR_PRINTF(2, 3);
void app_complain(struct app *a, const char *fmt, ...) ERR_PRINTF(2, 3);
void app_values_changed(struct app *a);
void app_show_view(struct app *a, enum view_id view); /* with an entry in the jump list */
void app_jump_push(struct app *a);
bool app_jump_step(struct app *a, int step);
/* The layer of the cursor, 0..n_layers-1. */
int32_t app_layer(const struct app *a);
int32_t app_target(const struct app *a);
/* Column and width of a view's tab in the second row. */
void app_tab(const struct app *a, int view, int *x, int *width);
struct rect app_body(const struct app *a, bool *side);
const struct view *app_view(const struct app *a);
/* Edits.  What is added is on trial: where it does not fit the model and the prompt, the worker
 * says so, and it is taken back with the reason. */
int app_edit_add(struct app *a, const char *text);
void app_edits_changed(struct app *a);
void app_edits_try(struct app *a, int from, int to); /* edits [from, to) are new */
/* The worker refused the question: true if that was for an edit.  One on trial is gone now, and the
 * line that it was typed in is open again; another is out of force, with the reason. */
bool app_edits_refused(struct app *a, const struct err *why);
/* A hook, or what an expert has of it: "blocks.0.mlp.experts.3.hook_pre"; `expert`: place.expert.
 */
char *app_hook_name(struct site_ref s, int32_t expert, char buf[LIMIT_NAME]);
bool app_noun_text(const struct app *a, bool everywhere, char buf[256]);
/* The verb (" = 0") on the noun under the cursor, and on the rectangle. */
unsigned app_apply(struct app *a, const char *verb, bool everywhere);
/* Corners of the rectangle, or of the cell under the cursor: columns are those of the lens. */
struct corners {
    int32_t row[2], column[2]; /* both ends included */
};
struct corners app_corners(const struct app *a);
/* Prompts.  Bytes beyond the model's context are refused with a message. */
bool app_set_prompt(struct app *a, const char *text);
/* The prompt as ids, "1,2,3". */
bool app_set_ids(struct app *a, const char *ids);
bool app_set_other(struct app *a, const char *text);
/* Arguments that are one text in quotes (saved.h), without them, malloc'ed; NULL: they are not. */
char *app_quoted(const char *args);
/* What is run. */
static inline struct run_input app_run_input(const struct app *a)
{
    return a->image ? run_of_image(a->image) : run_ids(a->tokens, a->n);
}
/* A copy of the ids of an image's rows; NULL: memory is out. */
int32_t *app_image_ids(const struct image_input *im);
/* The image, or the one to patch from; false with a message. */
bool app_set_image(struct app *a, const struct image_input *im, const char *path, bool other);
/* The same from a file that the worker reads. */
void app_begin_image(struct app *a, const char *path, bool other);
/* A reference set, taken over: new, or instead of the one of that name.  *at (may be NULL): its
 * place. */
int app_set_reference(struct app *a, struct reference_set *set, int *at, struct err *e);
/* The prompt is another one: is the pair that was given still of it? */
void app_pair_look(struct app *a);
/* A token as typed (token_word.h).  -1 with a message. */
int32_t app_token(struct app *a, const char *text, size_t len);
/* Begin a task, taken over.  One at a time: a second one is refused with a message. */
void app_begin(struct app *a, struct task *t);
/* Typing. */
void app_line_open(struct app *a, enum line_mode mode, const char *text);
void app_line_changed(struct app *a);
unsigned app_line_accept(struct app *a);
void app_line_cancel(struct app *a);
/* The command line that was just run failed, perhaps on the worker: it is open again, with the
 * message beside it; if no key came since. */
void app_line_again(struct app *a);

/* Is it a place as `go` takes it, and nothing else: "14", "-1", "#512"?  action/go.c. */
bool go_is_place(const char *text);

/* What a view draws from: a snapshot, and the want in it that says what was asked. */
struct answer {
    const struct snapshot *s;
    const struct want *w;
    bool stale; /* it belongs to an older question */
    enum show show;
};
/* The newest snapshot that answers its first want of this kind (and site, if not SITE_COUNT) in
 * full; false if there is none. */
bool app_answer(const struct app *a, enum want_kind kind, enum site_id id, struct answer *out);
/* The newest snapshot, NULL before the first. */
const struct snapshot *app_newest(const struct app *a, bool *stale);
/* The face to show of it. */
enum show app_show(const struct app *a, const struct snapshot *s);
/* What the status line wants (status.c): logits of the pair, the divergence of the edited run, the
 * first NaN. */
struct want app_pair_want(const struct app *a);
struct want app_kl_want(const struct app *a);
struct want app_nonfinite_want(const struct app *a); /* of what all edits act on */
/* The first NaN or infinity of the face on show; NULL: none, or not known yet. */
const struct lens_nonfinite *app_nonfinite(const struct app *a);
/* base, edited, or edited - base. */
float show_value(enum show show, float base, float edited);

#endif
