/* ranks_mpi.c - MPI behind the table of ranks_mpi.h: the whole of the plugin borescope-mpi.so, the
 * only file that includes mpi.h.  Tested in tests/tui/test_ranks.sh. */
#include "base/ranks_mpi.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>

static int ranks_begin(int *rank, int *size)
{
    int level, rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    if (!rc) /* errors come back, to be told in our words */
        rc = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (!rc)
        rc = MPI_Comm_rank(MPI_COMM_WORLD, rank);
    return rc ? rc : MPI_Comm_size(MPI_COMM_WORLD, size);
}

static void ranks_finish(void)
{
    MPI_Finalize();
}

static void ranks_stop(int code)
{
    MPI_Abort(MPI_COMM_WORLD, code);
}

/* The first words of the library's own line about itself. */
static const char *ranks_library(void)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int n;
    if (MPI_Get_library_version(text, &n))
        return "an MPI without a name";
    text[strcspn(text, ",\n")] = '\0';
    return text;
}

static int ranks_send(int to, int tag, const void *bytes, int n, void **request)
{
    MPI_Request *r = malloc(sizeof *r);
    int rc = r ? MPI_Isend(bytes, n, MPI_BYTE, to, tag, MPI_COMM_WORLD, r) : MPI_ERR_NO_MEM;
    if (rc)
        free(r);
    else
        *request = r;
    return rc;
}

static int ranks_sent(void **request, int *done)
{
    int rc = MPI_Test(*request, done, MPI_STATUS_IGNORE);
    if (rc || !*done)
        return rc;
    free(*request);
    *request = NULL;
    return 0;
}

static int ranks_probe(int from, int tag, int *there, int *n)
{
    MPI_Status status;
    int rc = MPI_Iprobe(from, tag, MPI_COMM_WORLD, there, &status);
    return rc || !*there ? rc : MPI_Get_count(&status, MPI_BYTE, n);
}

static int ranks_receive(int from, int tag, void *bytes, int n)
{
    return MPI_Recv(bytes, n, MPI_BYTE, from, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

const struct ranks_table *borescope_ranks(void)
{
    static const struct ranks_table table = {.version = RANKS_TABLE,
                                             .open = ranks_begin,
                                             .close = ranks_finish,
                                             .stop = ranks_stop,
                                             .name = ranks_library,
                                             .send = ranks_send,
                                             .sent = ranks_sent,
                                             .probe = ranks_probe,
                                             .receive = ranks_receive};
    return &table;
}
