/* driver.h - the CUDA driver as it is called here: opened at run time, declared by hand, so that
 * neither building nor starting wants anything of NVIDIA's.
 *
 * Types and numbers are those of the CUDA Driver API reference.  Tested in
 * tests/kernels/test_cuda.c on a driver without a device (tests/fake). */
#ifndef KN_CUDA_DRIVER_H
#define KN_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

typedef int cu_result;
typedef int cu_device;
typedef uint64_t cu_address;
typedef struct cu_context_s *cu_context;
typedef struct cu_module_s *cu_module;
typedef struct cu_function_s *cu_function;
typedef struct cu_stream_s *cu_stream;
typedef struct cu_event_s *cu_event;
typedef struct cu_pool_s *cu_pool;
typedef struct cu_graph_s *cu_graph;
typedef struct cu_node_s *cu_node;
typedef struct cu_exec_s *cu_exec;

/* CUresult */
enum { CU_OK = 0, CU_OUT_OF_MEMORY = 2, CU_NO_DEVICE = 100, CU_NO_BINARY = 209 };
/* CUdevice_attribute */
enum { CU_ATTRIBUTE_MAJOR = 75, CU_ATTRIBUTE_MINOR = 76, CU_ATTRIBUTE_POOLS = 115 };
enum {
    CU_POOL_RELEASE_THRESHOLD = 4, /* CUmemPool_attribute */
    CU_POOL_RESERVED = 5,
    CU_POOL_USED = 7,
    CU_LOCATION_DEVICE = 1,   /* CUmemLocationType */
    CU_ACCESS_READ_WRITE = 3, /* CUmemAccess_flags */
    CU_STREAM_NON_BLOCKING = 1,
    CU_EVENT_NO_TIMING = 2
};

/* CUmemAccessDesc */
struct cu_access {
    int location_type, location, flags;
};

/* CUDA_KERNEL_NODE_PARAMS_v1 */
struct cu_node_launch {
    cu_function f;
    unsigned x, y, z, lanes_x, lanes_y, lanes_z, shared_bytes;
    void **params, **extra;
};

struct cuda_driver {
#define CU(name, symbol, arguments) cu_result(*name) arguments;
#include "driver.def"
};

/* The driver, loaded and initialised once and for good; any thread.  NULL where there is none or an
 * old one: one line in `why`. */
const struct cuda_driver *driver_load(char *why, size_t why_size);
/* The line of a call that failed, "cuda · cuInit · CUDA_ERROR_... (999)". */
void driver_fail(const struct cuda_driver *cu, const char *what, cu_result r, char *why,
                 size_t why_size);

#endif
