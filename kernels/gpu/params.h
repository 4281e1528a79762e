/* params.h - the parameters of every kernel, as the lowering fills them in and the texts read them.
 *
 * Strides are in elements; `units` is the work of the whole grid, of which one group takes one at a
 * time; `per_row` units of 256 elements make a row of `len`.  A type is an enum kn_dtype, -1 for an
 * operand that is absent.  No struct is larger than GPU_PARAM_BYTES, and none has gaps: wide fields
 * first. */
#ifndef KN_GPU_PARAMS_H
#define KN_GPU_PARAMS_H

/* clang-format off */
/* elem.k */
PARAMS(embed, addr y; addr ids; addr table; addr bad; i64 table_stride; i64 first; i32 units;
       i32 per_row; i32 len; i32 rows; i32 y_stride; i32 ids_stride; i32 type; f32 scale;)
PARAMS(copy, addr y; addr x; i64 y0; i64 x0; i32 n1; i32 n2; i32 n3; i32 y1; i32 y2; i32 y3;
       i32 x1; i32 x2; i32 x3; i32 units; i32 per_row;)
PARAMS(fill, addr y; i64 y0; i32 n1; i32 n2; i32 n3; i32 y1; i32 y2; i32 y3; i32 units;
       i32 per_row; f32 x;)
PARAMS(add, addr y; addr a; addr b; i32 units; i32 per_row; i32 len; i32 y_stride; i32 a_stride;
       i32 b_stride; f32 scale;)
PARAMS(affine, addr y; addr x; addr w; addr b; i32 units; i32 per_row; i32 len; i32 y_stride;
       i32 x_stride; i32 w_type; i32 b_type; f32 offset;)
PARAMS(act, addr y; addr x; addr gate; i32 units; i32 per_row; i32 len; i32 y_stride;
       i32 x_stride; i32 gate_stride; i32 kind; i32 gated; f32 limit; f32 offset;)
PARAMS(bound, addr y; addr x; i32 units; i32 per_row; i32 len; i32 y_stride; i32 x_stride;
       f32 limit;)
PARAMS(rope, addr y; addr x; addr c; addr s; i32 units; i32 heads; i32 dh; i32 n_rot; i32 pairs;
       i32 y0; i32 y1; i32 x0; i32 x1; i32 c_stride; i32 s_stride;)
/* join.k */
PARAMS(join, addr y; addr part; addr b; i32 units; i32 per_row; i32 len; i32 rows; i32 y_stride;
       i32 b_type;)
/* norm.k */
PARAMS(norm_scale, addr y; addr x; i32 rows; i32 len; i32 y_stride; i32 x_stride; i32 center;
       f32 eps;)
PARAMS(normalize, addr y; addr x; addr scale; i32 rows; i32 len; i32 y_stride; i32 x_stride;
       i32 scale_stride; i32 center;)
PARAMS(row_norm, addr y; addr x; i32 rows; i32 len; i32 y_stride; i32 x_stride;)
PARAMS(norm, addr y; addr x; addr w; addr b; i32 rows; i32 len; i32 y_stride; i32 x_stride;
       i32 center; i32 w_type; i32 b_type; f32 eps; f32 offset;)
/* linear.k, linear_kn.k: y[m,n] of each group = act(x . w^T + b) + add; w's element (n, k) is
 * first + n * w_stride + k, in linear_kn first + k * w_stride + n; add_stride -1: nothing added */
PARAMS(linear, addr y; addr x; addr w; addr b; addr add; i64 w_group; i64 first; i32 m; i32 n;
       i32 k; i32 y_stride; i32 x_stride; i32 w_stride; i32 add_stride; i32 y_group; i32 x_group;
       i32 b_group; i32 b_type; i32 type; i32 wide; i32 act;)
/* the same texts with JOIN, and mma.k, whose x is what terms.k makes: two products of the same
 * rows, or three (n2 = 0: two), each with its columns side by side and no groups */
PARAMS(linears, addr x; addr y0; addr y1; addr y2; addr w0; addr w1; addr w2; addr b0;
       addr b1; addr b2; i32 m; i32 n0; i32 n1; i32 n2; i32 k; i32 x_stride; i32 w_stride;
       i32 b_type; i32 type; i32 wide;)
/* terms.k, mma.k: rows of x as three rows of bf16, term after term; the product with them */
PARAMS(terms, addr y; addr x; i32 m; i32 len; i32 x_stride; i32 units; i32 per_row;)
PARAMS(mma, addr y; addr terms; addr w; addr b; addr add; i32 m; i32 n; i32 k; i32 y_stride;
       i32 w_stride; i32 add_stride; i32 b_type; i32 act;)
/* rows [0, rows) of len elements in blocks, from element `first` on, as f32 */
PARAMS(decode, addr y; addr w; i64 first; i32 units; i32 per_row; i32 len; i32 w_stride; i32 type;)
PARAMS(patch, addr y; addr result; addr product; i32 rows; i32 heads; i32 len; i32 y_stride;
       i32 r0; i32 r1; i32 p0; i32 p1;)
/* attn.k: groups (dest row, head); dest row d sees the sources from first0 + d up to end0 + d, as
 * far as there are */
PARAMS(attn_scores, addr y; addr q; addr k; i64 y0; i64 y1; i32 rows; i32 sources; i32 dh; i32 q0;
       i32 q1; i32 k0; i32 k1; i32 share; i32 first0; i32 end0; f32 scale; f32 cap;)
PARAMS(attn_bias, addr y; addr slopes; i64 y0; i64 y1; i32 rows; i32 sources; i32 first0;
       i32 end0; i32 dest0; i32 src0; i32 bf16; f32 alibi;)
PARAMS(softmax, addr y; addr x; addr sink; i64 y0; i64 y1; i64 x0; i64 x1; i32 rows; i32 sources;
       i32 end0; i32 sink_type;)
PARAMS(attn_mix, addr y; addr p; addr v; i64 p0; i64 p1; i32 rows; i32 sources; i32 dh; i32 y0;
       i32 y1; i32 v0; i32 v1; i32 share; i32 end0; i32 go_on;)
/* attention.k: the three in one, first0 and end0 as there */
PARAMS(attention, addr y; addr q; addr k; addr v; addr sink; i32 rows; i32 sources; i32 dh;
       i32 y0; i32 y1; i32 q0; i32 q1; i32 k0; i32 k1; i32 v0; i32 v1; i32 share; i32 first0;
       i32 end0; i32 sink_type; f32 scale; f32 cap;)
/* vocab.k */
PARAMS(topk, addr value; addr index; addr x; i64 x_stride; i32 rows; i32 len; i32 k;
       i32 value_stride; i32 index_stride;)
PARAMS(lse, addr y; addr x; i64 x_stride; i32 rows; i32 len; i32 y_stride;)
PARAMS(rank, addr y; addr x; addr ids; addr bad; i64 x_stride; i32 rows; i32 len; i32 y_stride;
       i32 ids_stride;)
PARAMS(pick, addr y; addr x; addr ids; addr bad; i64 x_stride; i32 units; i32 per_row; i32 len;
       i32 most; i32 y_stride; i32 ids_stride;)
PARAMS(softmax_grad, addr y; addr x; addr ids; addr b; addr bad; i64 x_stride; i64 b_stride;
       i32 rows; i32 len; i32 y_stride; i32 ids_stride; i32 to_base; f32 factor;)
PARAMS(stats, addr y; addr x; addr part; i64 x0; i32 n0; i32 n1; i32 n2; i32 n3; i32 x1; i32 x2;
       i32 x3; i32 masked; i32 parts;)
/* route.k */
PARAMS(route, addr y; addr x; i32 rows; i32 len; i32 y_stride; i32 x_stride; i32 top;)
PARAMS(top, addr y; addr x; i32 rows; i32 len; i32 k; i32 y_stride; i32 x_stride; i32 share;
       i32 want_index;)
PARAMS(place, addr y; addr ids; addr x; addr bad; i32 units; i32 per_row; i32 len; i32 rows;
       i32 y_stride; i32 ids_stride; i32 x_stride;)
PARAMS(blend, addr y; addr w; addr x; i32 units; i32 per_row; i32 len; i32 s; i32 y_stride;
       i32 w_stride; i32 x_stride;)
PARAMS(route_vjp, addr dx; addr dy; addr x; i32 rows; i32 len; i32 dx_stride; i32 dy_stride;
       i32 x_stride; i32 top;)
PARAMS(top_vjp, addr dx; addr dy; addr x; i32 rows; i32 len; i32 k; i32 dx_stride; i32 dy_stride;
       i32 x_stride; i32 share;)
PARAMS(blend_vjp, addr dw; addr dx; addr dy; addr w; addr x; i32 units; i32 len; i32 s;
       i32 dw_stride; i32 dx_stride; i32 dy_stride; i32 w_stride; i32 x_stride;)
/* edit.k: groups (axis 1, axis 0) of the selection.  Axis i's index j lies at list_i[j], or at j
 * where there is no list, in strides of y and v that are the ranges' own; step and limit say which
 * elements are the line's */
PARAMS(checked, addr to; addr ids; addr bad; i32 n; i32 size;)
PARAMS(edit, addr y; addr value; addr list0; addr list1; addr list2; i32 y0; i32 y1; i32 y2;
       i32 v0; i32 v1; i32 v2; i32 n1; i32 n2; i32 step1; i32 step2; i32 limit; i32 flags; f32 a;
       f32 b;)
PARAMS(line, addr y; addr value; addr list0; addr list1; i32 y0; i32 y1; i32 y2; i32 v0; i32 v1;
       i32 v2; i32 n1; i32 len; i32 step1; i32 limit; i32 flags;)
PARAMS(hide, addr y; i64 y0; i32 y1; i32 y2; i32 units; i32 rows; i32 len; i32 dest0; f32 number;)
/* vjp.k */
PARAMS(normalize_vjp, addr dx; addr ds; addr dy; addr x; addr scale; i32 rows; i32 len;
       i32 dx_stride; i32 ds_stride; i32 dy_stride; i32 x_stride; i32 scale_stride; i32 center;)
PARAMS(norm_scale_vjp, addr dx; addr ds; addr x; i32 rows; i32 len; i32 dx_stride; i32 ds_stride;
       i32 x_stride; i32 center; f32 eps;)
PARAMS(affine_vjp, addr dx; addr dy; addr w; i32 units; i32 per_row; i32 len; i32 dx_stride;
       i32 dy_stride; i32 w_type; f32 offset;)
PARAMS(act_vjp, addr dx; addr db; addr dy; addr x; addr b; i32 units; i32 per_row; i32 len;
       i32 dx_stride; i32 db_stride; i32 dy_stride; i32 x_stride; i32 b_stride; i32 kind;
       i32 gated; f32 limit; f32 offset;)
PARAMS(bound_vjp, addr dx; addr dy; addr x; i32 units; i32 per_row; i32 len; i32 dx_stride;
       i32 dy_stride; i32 x_stride; f32 limit;)
PARAMS(rope_vjp, addr dx; addr dy; addr c; addr s; i32 units; i32 heads; i32 dh; i32 n_rot;
       i32 pairs; i32 dx_stride; i32 dy_stride; i32 c_stride; i32 s_stride;)
PARAMS(rope_table_vjp, addr dc; addr ds; addr dy; addr x; i32 rows; i32 heads; i32 dh; i32 n_rot;
       i32 pairs; i32 dc_stride; i32 ds_stride; i32 dy_stride; i32 x_stride;)
PARAMS(softmax_vjp, addr dx; addr dy; addr x; addr sink; i64 dx0; i64 dx1; i64 dy0; i64 dy1;
       i64 x0; i64 x1; i32 rows; i32 sources; i32 end0; i32 sink_type;)
/* vjp_attn.k: scores_slope writes f[head, dest, source], the factor on q and k; scores_vjp_q and
 * scores_vjp_k read it */
PARAMS(scores_slope, addr y; addr ds; addr q; addr k; i64 ds0; i64 ds1; i32 rows; i32 sources;
       i32 dh; i32 q0; i32 q1; i32 k0; i32 k1; i32 share; i32 first0; i32 end0; f32 scale;
       f32 cap;)
PARAMS(scores_vjp, addr dx; addr f; addr other; i32 dx0; i32 dx1; i32 o0; i32 o1; i32 rows;
       i32 sources; i32 dh; i32 share; i32 first0; i32 end0;)
PARAMS(mix_vjp_p, addr dp; addr dz; addr v; i64 dp0; i64 dp1; i32 dz0; i32 dz1; i32 v0; i32 v1;
       i32 rows; i32 sources; i32 dh; i32 share;)
PARAMS(mix_vjp_v, addr dv; addr dz; addr p; i64 p0; i64 p1; i32 dv0; i32 dv1; i32 dz0; i32 dz1;
       i32 rows; i32 sources; i32 dh; i32 share; i32 end0;)
/* clang-format on */

#endif
