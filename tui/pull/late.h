/* late.h - libcurl and libcrypto, loaded when something is fetched.
 *
 * Linked, they bring thirty libraries into every start of the program, which takes longer than all
 * else that it does before its first frame.  Once loaded they stay.  Any thread.  Tested in
 * tests/tui/test_cli_pull.c. */
#ifndef LATE_H
#define LATE_H

#include <curl/curl.h>
#include <openssl/evp.h>

#include "base/err.h"

struct late {
#define LATE(library, returns, name, takes) returns(*name) takes;
#include "pull/late.def"
};

/* The functions, until the program ends; NULL and *e (may be NULL): a library or one of them is not
 * there. */
const struct late *late_open(struct err *e);

#endif
