/* fake.h - a CUDA driver without a device, as tests see and steer it.
 *
 * libcuda.so.1 of this folder has the functions of kernels/cuda/driver.def.  It is as asynchronous
 * as a device may be: nothing happens before somebody waits, copies included, and only what is
 * waited for; a device's memory cannot be touched in between, and holds NaN until something is
 * written there.  Kernels are their plain-C form, so that results are real; the image is read for
 * the names, lanes and parameters of its entries.  Graphs are chains of kernels.  What breaks a
 * rule of the driver stops the program with a message.
 *
 * By the environment: FAKE_CUDA_DEVICES (1), FAKE_CUDA_MB, of each (4096), FAKE_CUDA_APART (set: no
 * device gives another access to its memory), FAKE_CUDA_NO_COMPILER (set: no kernel can be
 * compiled), FAKE_CUDA_FAIL="N CODE" as fake_cuda_fail. */
#ifndef FAKE_H
#define FAKE_H

/* The n-th call from now on fails with `code`, once if it is 2 (out of memory), else with all that
 * follow; n 0: none. */
void fake_cuda_fail(long n, int code);
/* Calls since then. */
long fake_cuda_calls(void);
/* Launches so far, of kernels one by one and of graphs; nodes of graphs whose parameters were
 * changed. */
struct fake_launches {
    long kernels, graphs, changed;
};
struct fake_launches fake_cuda_launches(void);
/* Memory, streams, events, modules, graphs, contexts and pools with something in them that were not
 * given back (memory of a device that failed is the driver's own to free). */
long fake_cuda_left(void);

/* ---- for libcublas.c ---- */

struct cu_stream_s;
/* `fn` in the order of the stream, with the device's memory open. */
void fake_cuda_queue(struct cu_stream_s *s, void (*fn)(void *arg), void *arg);
/* One more call: 0, or the code that it fails with. */
int fake_cuda_enter(void);

#endif
