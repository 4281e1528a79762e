/* ranks_mpi.h - what ranks.c asks of MPI: the table that the plugin borescope-mpi.so has.
 *
 * Functions return 0 or MPI's error code.  Nothing of an MPI's own types stands here, so that one
 * program goes with a plugin of any MPI.  One thread. */
#ifndef RANKS_MPI_H
#define RANKS_MPI_H

#include <stddef.h>

enum { RANKS_TABLE = 1 }; /* changes with the table */

struct ranks_table {
    int version;
    int (*open)(int *rank, int *size);
    void (*close)(void);       /* waits for all */
    void (*stop)(int code);    /* ends all ranks at once; may return */
    const char *(*name)(void); /* "Open MPI v4.1.4" */
    /* Begin to send; the bytes stay until `sent` has set *done, which frees *request. */
    int (*send)(int to, int tag, const void *bytes, int n, void **request);
    int (*sent)(void **request, int *done);
    /* Is there a message, and of how many bytes? */
    int (*probe)(int from, int tag, int *there, int *n);
    int (*receive)(int from, int tag, void *bytes, int n);
};

/* The plugin's only symbol. */
#define RANKS_SYMBOL "borescope_ranks"
const struct ranks_table *borescope_ranks(void);

#endif
