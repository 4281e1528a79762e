/* mapping.h - files that are read where they are mapped, and may be cut short or replaced
 * meanwhile.
 *
 * Reading past the new end of a mapped file raises SIGBUS.  A handler that asks mapping_repair gets
 * zero pages there and the range is marked lost, so that the run goes on to its end and whoever
 * asks (checkpoint_changed) learns that its figures mean nothing.  A library must not take its
 * host's signals: the program installs the handler (guard.h). Tested in
 * tests/engine/test_safetensors.c and tests/tui/test_pty.c. */
#ifndef MAPPING_H
#define MAPPING_H

#include <stdbool.h>
#include <stddef.h>

struct mapping;

/* Register the mapped bytes [base, base + len); base is page-aligned.  NULL if memory is out.  Any
 * thread. */
struct mapping *mapping_add(const void *base, size_t len);
/* Before they are unmapped.  NULL is allowed.  Any thread. */
void mapping_remove(struct mapping *m);
/* A read of it failed since it was registered. */
bool mapping_lost(const struct mapping *m);

/* Is `address` in a registered range?  Then zeros are there from its page to the end of the range,
 * and the read may be tried again.  Async-signal-safe; for handlers of SIGBUS. */
bool mapping_repair(const void *address);

#endif
