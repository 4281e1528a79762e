/* isa_table.h - all row kernels, for the instruction set that the including file is compiled for.
 */
#ifndef KN_CPU_ISA_TABLE_H
#define KN_CPU_ISA_TABLE_H

#include "isa.h"
#include "row_columns.h"
#include "row_gemm_quant.h"
#include "row_reduce.h"
#include "row_scores.h"

#define ISA_TABLE(the_name)                                                                     \
    {                                                                                           \
        .name = the_name, .gemm_nk = row_gemm_nk, .gemm_kn = row_gemm_kn,                       \
        .gemm_chain = row_gemm_chain, .scores = row_scores, .widen = row_widen, .act = row_act, \
        .act_slope = row_act_slope, .scale_cap = row_scale_cap, .softmax = row_softmax,         \
        .sum = row_sum, .sum_squares = row_sum_squares, .lse = row_lse, .topk = row_topk,       \
        .count_greater = row_count_greater, .columns = row_columns, .bins = row_bins,           \
    }

#endif
