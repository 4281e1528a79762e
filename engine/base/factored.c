/* factored.c - see factored.h.  Tested in tests/engine/test_process.c. */
#include "base/factored.h"

#include <gsl/gsl_eigen.h>
#include <gsl/gsl_errno.h>
#include <gsl/gsl_linalg.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* x = Q R, packed as GSL does: R above the diagonal, Householder vectors below. */
struct qr {
    gsl_matrix *x;
    gsl_vector *tau;
};

static void qr_free(struct qr *q)
{
    gsl_matrix_free(q->x), gsl_vector_free(q->tau);
}

static bool qr_make(struct qr *q, const double *x, int64_t m, int64_t r)
{
    *q = (struct qr){gsl_matrix_alloc((size_t)m, (size_t)r), gsl_vector_alloc((size_t)r)};
    if (!q->x || !q->tau)
        return false;
    gsl_matrix_const_view view = gsl_matrix_const_view_array(x, (size_t)m, (size_t)r);
    gsl_matrix_memcpy(q->x, &view.matrix);
    return gsl_linalg_QR_decomp(q->x, q->tau) == GSL_SUCCESS;
}

/* core = Ra Rb^T */
static void core_make(gsl_matrix *core, const struct qr *a, const struct qr *b)
{
    size_t r = core->size1;
    for (size_t i = 0; i < r; i++)
        for (size_t j = 0; j < r; j++) {
            double sum = 0;
            for (size_t k = i > j ? i : j; k < r; k++)
                sum += gsl_matrix_get(a->x, i, k) * gsl_matrix_get(b->x, j, k);
            gsl_matrix_set(core, i, j, sum);
        }
}

/* out[m, r] = Q [small; 0] */
static bool turn(const struct qr *q, const gsl_matrix *small, double *out)
{
    size_t m = q->x->size1, r = q->x->size2;
    gsl_vector *v = gsl_vector_alloc(m);
    bool ok = v != NULL;
    for (size_t c = 0; ok && c < r; c++) {
        gsl_vector_set_zero(v);
        for (size_t i = 0; i < r; i++)
            gsl_vector_set(v, i, gsl_matrix_get(small, i, c));
        ok = gsl_linalg_QR_Qvec(q->x, q->tau, v) == GSL_SUCCESS;
        for (size_t i = 0; i < m; i++)
            out[i * r + c] = gsl_vector_get(v, i);
    }
    if (v)
        gsl_vector_free(v);
    return ok;
}

int factored_svd(const double *a, int64_t m, const double *b, int64_t n, int64_t r, double *u,
                 double *s, double *v, struct err *e)
{
    if (r > m || r > n || r < 1)
        return err_set(
            e, ERR_BAD_INPUT,
            "singular values · rank %lld of a %lld x %lld product · heads wider than the model are not supported",
            (long long)r, (long long)m, (long long)n);
    gsl_error_handler_t *handler = gsl_set_error_handler_off();
    struct qr qa = {0}, qb = {0};
    gsl_matrix *left = gsl_matrix_alloc((size_t)r, (size_t)r),
               *right = gsl_matrix_alloc((size_t)r, (size_t)r);
    gsl_vector *values = gsl_vector_alloc((size_t)r);
    bool ok = left && right && values && qr_make(&qa, a, m, r) && qr_make(&qb, b, n, r);
    if (ok) {
        core_make(left, &qa, &qb);
        ok = gsl_linalg_SV_decomp_jacobi(left, right, values) == GSL_SUCCESS &&
             turn(&qa, left, u) && turn(&qb, right, v);
    }
    for (int64_t i = 0; ok && i < r; i++)
        s[i] = gsl_vector_get(values, (size_t)i);
    qr_free(&qa), qr_free(&qb);
    gsl_matrix_free(left), gsl_matrix_free(right), gsl_vector_free(values);
    gsl_set_error_handler(handler);
    return ok ? 0
              : err_set(e, ERR_SYSTEM,
                        "singular values · no memory or no convergence for a %lld x %lld product",
                        (long long)m, (long long)n);
}

void factored_gram(const double *x, int64_t p, const double *y, int64_t q, int64_t m, double *out)
{
    for (int64_t i = 0; i < p * q; i++)
        out[i] = 0;
    for (int64_t k = 0; k < m; k++)
        for (int64_t i = 0; i < p; i++)
            for (int64_t j = 0; j < q; j++)
                out[i * q + j] += x[k * p + i] * y[k * q + j];
}

struct root {
    double re, im;
};

static int by_magnitude(const void *x, const void *y)
{
    const struct root *a = x, *b = y;
    double d = hypot(b->re, b->im) - hypot(a->re, a->im),
           scale = 1e-12 * (hypot(a->re, a->im) + hypot(b->re, b->im));
    if (fabs(d) > scale)
        return d > 0 ? 1 : -1;
    if (a->re != b->re && fabs(a->re - b->re) > scale)
        return a->re < b->re ? 1 : -1;
    return a->im < b->im ? 1 : a->im > b->im ? -1 : 0;
}

int factored_eigenvalues(const double *a, const double *b, int64_t m, int64_t r, double *re,
                         double *im, struct err *e)
{
    gsl_error_handler_t *handler = gsl_set_error_handler_off();
    gsl_matrix *x = gsl_matrix_alloc((size_t)r, (size_t)r);
    gsl_vector_complex *values = gsl_vector_complex_alloc((size_t)r);
    gsl_eigen_nonsymm_workspace *w = gsl_eigen_nonsymm_alloc((size_t)r);
    struct root *roots = malloc((size_t)r * sizeof *roots);
    bool ok = x && values && w && roots;
    if (ok) {
        factored_gram(b, r, a, r, m, x->data);
        ok = gsl_eigen_nonsymm(x, values, w) == GSL_SUCCESS;
    }
    for (int64_t i = 0; ok && i < r; i++) {
        gsl_complex z = gsl_vector_complex_get(values, (size_t)i);
        roots[i] = (struct root){GSL_REAL(z), GSL_IMAG(z)};
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
    return ok ? 0
              : err_set(e, ERR_SYSTEM,
                        "eigenvalues · no memory or no convergence for a %lld x %lld product",
                        (long long)m, (long long)m);
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
