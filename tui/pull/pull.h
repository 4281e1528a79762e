/* pull.h - fetching a model into the local Hugging Face cache, as the hub's own client lays it out:
 *
 *     models--org--name/blobs/CHECKSUM                the files
 *                       snapshots/COMMIT/config.json  links to them: ../../blobs/CHECKSUM
 *                       refs/BRANCH                   the commit that a branch was when fetched
 *     .locks/models--org--name/CHECKSUM.lock          held while a file is fetched
 *
 * Only what opens the model is fetched.  Every file is checked against its checksum before it gets
 * its name; a snapshot appears when all of its files are there; what a break leaves behind is
 * CHECKSUM.incomplete, from which the next try goes on.  The token is sent to the hub alone.
 *
 * Environment: HF_ENDPOINT, HF_TOKEN (else the file $HF_TOKEN_PATH or $HF_HOME/token),
 * HF_HUB_OFFLINE, HF_HUB_DOWNLOAD_TIMEOUT, proxy variables.  Tested in tests/tui/test_pull.c
 * against a server of its own. */
#ifndef PULL_H
#define PULL_H

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct pull_progress {
    const char *file;            /* the one under way; bytes of the server, not cleaned */
    int at, n;                   /* which of how many */
    uint64_t done, size;         /* of this file; size 0: not known yet */
    uint64_t all_done, all_size; /* of all files that were not there */
    bool finished;               /* this file has its place */
};

struct pull_options {
    const char *name, *revision; /* revision NULL: main */
    const char *gguf;            /* this .gguf file alone; NULL: the safetensors */
    const volatile sig_atomic_t *cancel;
    int wait_ms; /* before the second try of what broke; doubles with each */
    void (*progress)(void *user, const struct pull_progress *p);
    void *user;
};

/* Fetch it.  *path is the snapshot's folder, or the .gguf file.  ERR_CANCELLED after *cancel;
 * ERR_USAGE where the program was built without libcurl. */
int pull_run(const struct pull_options *o, char path[PATH_MAX], struct err *e);

#endif
