/* state_files.h - files that outlive a run of the program: sessions and the history of lines.
 *
 * They lie in $XDG_STATE_HOME/borescope, else ~/.local/state/borescope, which is made at need.
 * Tested in tests/tui/test_sessions.c. */
#ifndef STATE_FILES_H
#define STATE_FILES_H

#include <limits.h>

#include "base/err.h"
#include "input/line.h"

/* The folder of the files, with its parents made; "" where none can be, with the reason in *e (may
 * be NULL). */
const char *state_folder(char buf[PATH_MAX], struct err *e);
/* A session's file: of a name in the folder; of a path (with a / or the ending .session) itself. 0,
 * or negative where the name is none. */
int state_session_path(const char *folder, const char *name, char buf[PATH_MAX], struct err *e);
/* Where this run of the program is saved as it goes: a name of its own. */
void state_auto_path(const char *folder, char buf[PATH_MAX]);
/* The newest of those, of this model (NULL: of any).  ERR_BAD_INPUT: there is none. */
int state_newest(const char *folder, const char *model, char buf[PATH_MAX], struct err *e);
/* Keep the newest STATE_AUTO_MAX of them, and no unfinished files. */
enum { STATE_AUTO_MAX = 50 };
void state_prune(const char *folder);

/* Lines typed in earlier runs, into h[n], by the index of their kind: the last of them where the
 * file has grown long, which cuts it; and one more. */
enum { STATE_HISTORY_BYTES_MAX = 1 << 20 };
void state_history_read(const char *folder, struct line_history *h, int n);
void state_history_add(const char *folder, int kind, const char *text);
/* Lines of a history file; pure. */
void state_history_parse(const char *text, size_t len, struct line_history *h, int n);

#endif
