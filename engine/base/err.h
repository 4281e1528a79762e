/* err.h - how the engine reports failure.
 *
 * Engine functions return 0 or a negative code and, on failure, fill a `struct err` with one line:
 * what went wrong, where, the numbers that disagree, what would work.  Outputs stay untouched.
 * The text may quote file content; it is sanitized when shown, not here.
 * Tested by the tests of those functions, which compare messages. */
#ifndef ERR_H
#define ERR_H

#ifdef __GNUC__
#define ERR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define ERR_PRINTF(fmt, args)
#endif

enum err_code {
    ERR_NONE = 0,
    ERR_BAD_INPUT = -1, /* file, prompt, edit, name: the user can mend it */
    ERR_SYSTEM = -2,    /* i/o, memory */
    ERR_CANCELLED = -3, /* a newer request took over */
    ERR_USAGE = -4,     /* wrong command line: exit status 2 */
    /* -5 is a code of callbacks: BORE_HOOK_FAILED */
    ERR_DEVICE = -6 /* a device was lost, or has no memory left: the host could do the same */
};

struct err {
    int code;
    char text[480]; /* one line, no newline, NUL-terminated */
};

/* Fill *e (may be NULL) and return `code`, so that a function can `return err_set(...)`. */
int err_set(struct err *e, int code, const char *fmt, ...) ERR_PRINTF(3, 4);
/* The same for memory that ran out: "out of memory · " and what it was for; returns ERR_SYSTEM. */
int err_memory(struct err *e, const char *fmt, ...) ERR_PRINTF(2, 3);
/* What to return when a callee failed by giving NULL: its code, or ERR_BAD_INPUT where e is NULL.
 */
int err_code(const struct err *e);
/* Put "prefix · " in front of a message on its way up. */
void err_prefix(struct err *e, const char *fmt, ...) ERR_PRINTF(2, 3);

#endif
