/* factored.c - see factored.h.  Tested in tests/engine/test_process.c. */
#include "factored.h"

#include <gsl/gsl_blas.h>
#include <gsl/gsl_eigen.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_linalg.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* x = u diag(s) v^T, u thin; all freshly allocated. */
struct svd { gsl_matrix *u, *v; gsl_vector *s; };

static void svd_free(struct svd *d)
{
    gsl_matrix_free(d->u), gsl_matrix_free(d->v), gsl_vector_free(d->s);
}

static bool svd_make(struct svd *d, const double *x, int64_t m, int64_t r)
{
    *d = (struct svd){ gsl_matrix_alloc((size_t)m, (size_t)r), gsl_matrix_alloc((size_t)r, (size_t)r), gsl_vector_alloc((size_t)r) };
    if (!d->u || !d->v || !d->s)
        return false;
    gsl_matrix_const_view view = gsl_matrix_const_view_array(x, (size_t)m, (size_t)r);
    gsl_matrix_memcpy(d->u, &view.matrix);
    return gsl_linalg_SV_decomp_jacobi(d->u, d->v, d->s) == GSL_SUCCESS;
}

/* core = diag(sa) va^T vb diag(sb) */
static void core_make(double *core, const struct svd *a, const struct svd *b, int64_t r)
{
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j < r; j++) {
            double sum = 0;
            for (int64_t k = 0; k < r; k++)
                sum += gsl_matrix_get(a->v, (size_t)k, (size_t)i) * gsl_matrix_get(b->v, (size_t)k, (size_t)j);
            core[i * r + j] = gsl_vector_get(a->s, (size_t)i) * sum * gsl_vector_get(b->s, (size_t)j);
        }
}

static void product(double *out, const gsl_matrix *x, const gsl_matrix *y)
{
    gsl_matrix_view view = gsl_matrix_view_array(out, x->size1, y->size2);
    gsl_blas_dgemm(CblasNoTrans, CblasNoTrans, 1, x, y, 0, &view.matrix);
}

int factored_svd(const double *a, int64_t m, const double *b, int64_t n, int64_t r, double *u, double *s, double *v, struct err *e)
{
    if (r > m || r > n || r < 1)
        return err_set(e, ERR_BAD_INPUT, "singular values · rank %lld of a %lld x %lld product · heads wider than the model are not supported",
                       (long long)r, (long long)m, (long long)n);
    gsl_error_handler_t *handler = gsl_set_error_handler_off();
    struct svd da = { 0 }, db = { 0 }, dc = { 0 };
    double *core = NULL;
    gsl_matrix *block = gsl_matrix_alloc((size_t)r, (size_t)r);
    bool ok = block && svd_make(&da, a, m, r) && svd_make(&db, b, n, r);
    if (ok) {
        core = block->data;
        core_make(core, &da, &db, r);
        ok = svd_make(&dc, core, r, r);
    }
    if (ok) {
        product(u, da.u, dc.u);
        product(v, db.u, dc.v);
        for (int64_t i = 0; i < r; i++)
            s[i] = gsl_vector_get(dc.s, (size_t)i);
    }
    svd_free(&da), svd_free(&db), svd_free(&dc), gsl_matrix_free(block);
    gsl_set_error_handler(handler);
    return ok ? 0 : err_set(e, ERR_SYSTEM, "singular values · no memory or no convergence for a %lld x %lld product", (long long)m, (long long)n);
}

/* x^T y, [r, r], of two [m, r]. */
static void gram(const double *x, const double *y, int64_t m, int64_t r, double *out)
{
    for (int64_t i = 0; i < r * r; i++)
        out[i] = 0;
    for (int64_t k = 0; k < m; k++)
        for (int64_t i = 0; i < r; i++)
            for (int64_t j = 0; j < r; j++)
                out[i * r + j] += x[k * r + i] * y[k * r + j];
}

struct root { double re, im; };

static int by_magnitude(const void *x, const void *y)
{
    const struct root *a = x, *b = y;
    double d = hypot(b->re, b->im) - hypot(a->re, a->im), scale = 1e-12 * (hypot(a->re, a->im) + hypot(b->re, b->im));
    if (fabs(d) > scale)
        return d > 0 ? 1 : -1;
    if (a->re != b->re && fabs(a->re - b->re) > scale)
        return a->re < b->re ? 1 : -1;
    return a->im < b->im ? 1 : a->im > b->im ? -1 : 0;
}

int factored_eigenvalues(const double *a, const double *b, int64_t m, int64_t r, double *re, double *im, struct err *e)
{
    gsl_error_handler_t *handler = gsl_set_error_handler_off();
    gsl_matrix *x = gsl_matrix_alloc((size_t)r, (size_t)r);
    gsl_vector_complex *values = gsl_vector_complex_alloc((size_t)r);
    gsl_eigen_nonsymm_workspace *w = gsl_eigen_nonsymm_alloc((size_t)r);
    struct root *roots = malloc((size_t)r * sizeof *roots);
    bool ok = x && values && w && roots;
    if (ok) {
        gram(b, a, m, r, x->data);
        ok = gsl_eigen_nonsymm(x, values, w) == GSL_SUCCESS;
    }
    for (int64_t i = 0; ok && i < r; i++) {
        gsl_complex z = gsl_vector_complex_get(values, (size_t)i);
        roots[i] = (struct root){ GSL_REAL(z), GSL_IMAG(z) };
    }
    if (ok)
        qsort(roots, (size_t)r, sizeof *roots, by_magnitude);
    for (int64_t i = 0; ok && i < r; i++)
        re[i] = roots[i].re, im[i] = roots[i].im;
    free(roots);
    if (w)
        gsl_eigen_nonsymm_free(w);
    if (values)
        gsl_vector_complex_free(values);
    if (x)
        gsl_matrix_free(x);
    gsl_set_error_handler(handler);
    return ok ? 0 : err_set(e, ERR_SYSTEM, "eigenvalues · no memory or no convergence for a %lld x %lld product", (long long)m, (long long)m);
}

double factored_norm(const double *a, int64_t m, const double *b, int64_t n, int64_t r)
{
    double sum = 0; /* trace of (A^T A)(B^T B), entry by entry */
    for (int64_t i = 0; i < r; i++)
        for (int64_t j = 0; j <= i; j++) {
            double x = 0, y = 0;
            for (int64_t k = 0; k < m; k++)
                x += a[k * r + i] * a[k * r + j];
            for (int64_t k = 0; k < n; k++)
                y += b[k * r + i] * b[k * r + j];
            sum += (i == j ? 1 : 2) * x * y;
        }
    return sqrt(sum > 0 ? sum : 0);
}

void factored_cholesky(const double *g, int64_t r, double *l)
{
    double most = 0;
    for (int64_t i = 0; i < r; i++)
        most = fmax(most, g[i * r + i]);
    for (int64_t i = 0; i < r * r; i++)
        l[i] = 0;
    for (int64_t j = 0; j < r; j++) {
        double d = g[j * r + j];
        for (int64_t k = 0; k < j; k++)
            d -= l[j * r + k] * l[j * r + k];
        if (!(d > 1e-15 * most)) /* the column depends on those before it */
            continue;
        l[j * r + j] = sqrt(d);
        for (int64_t i = j + 1; i < r; i++) {
            double s = g[i * r + j];
            for (int64_t k = 0; k < j; k++)
                s -= l[i * r + k] * l[j * r + k];
            l[i * r + j] = s / l[j * r + j];
        }
    }
}
