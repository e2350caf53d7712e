// Annealed sampling of a 40-component mixture in the plane, or of the geometric average of two: score, move and
// weight fused in one loop over blocks of 64 particles.
#pragma once
#include "resample.hpp"

static const int K = 40;

struct Gmm {
    float mx[K], my[K];
    explicit Gmm(u32 seed) {
        Lcg lcg{seed};
        for (int k = 0; k < K; k++) {
            mx[k] = 80 * lcg.next() - 40;
            my[k] = 80 * lcg.next() - 40;
        }
    }
};

// The logit of component k at (px, py) is px * ax[k] + py * ay[k] + b[k]; iv is one over the variance.
struct Logits {
    float ax[K], ay[K], b[K], iv;
    Logits(const Gmm &g, float iv_) : iv(iv_) {
        for (int k = 0; k < K; k++) {
            ax[k] = g.mx[k] * iv;
            ay[k] = g.my[k] * iv;
            b[k] = -0.5f * iv * (g.mx[k] * g.mx[k] + g.my[k] * g.my[k]);
        }
    }
};

// Score of the diffused mixture for L particles: (softmax(logits) @ means - x) / v.
template <int L>
static inline void gmm_score(
    const Gmm &g, const Logits &q, const float *px, const float *py, float *sx, float *sy) {
    alignas(64) float m[L], S[L], X[L], Y[L];
    for (int l = 0; l < L; l++) {
        m[l] = -1e30f;
        S[l] = X[l] = Y[l] = 0;
    }
    for (int k = 0; k < K; k++) {
        float A = q.ax[k], B = q.ay[k], C = q.b[k];
#pragma omp simd
        for (int l = 0; l < L; l++) {
            float t = px[l] * A + py[l] * B + C;
            m[l] = m[l] > t ? m[l] : t;
        }
    }
    for (int k = 0; k < K; k++) {
        float A = q.ax[k], B = q.ay[k], C = q.b[k], MX = g.mx[k], MY = g.my[k];
#pragma omp simd
        for (int l = 0; l < L; l++) {
            float e = fexp(px[l] * A + py[l] * B + C - m[l]);
            S[l] += e;
            X[l] += e * MX;
            Y[l] += e * MY;
        }
    }
#pragma omp simd
    for (int l = 0; l < L; l++) {
        float r = 1.f / S[l];
        sx[l] = (X[l] * r - px[l]) * q.iv;
        sy[l] = (Y[l] * r - py[l]) * q.iv;
    }
}

struct Particles {
    Buf<float> first, second, lw, w;
    Buf<int> anc;
    float *x, *y; // the current rows and the others; resampling swaps them
    Particles(size_t n, size_t d, size_t spare)
        : first(n * d + spare), second(n * d + spare), lw(n + 64), w(n + 64), anc(n), x(first.p), y(second.p) {}
};

// Moves the 64 particles from p on by one step and adds to their log-weights; `average` is the second mode.
static inline void gmm_step(Particles &s, size_t p, const Gmm &g1, const Gmm &g2, const Logits &q1,
    const Logits &q2, bool average, float beta, float D, int step) {
    const int L = 64;
    alignas(64) float px[L], py[L], sx[L], sy[L], tx[L], ty[L], z[4 * L];
    float *x = s.x + 2 * p, *lw = s.lw.p + p;
    for (int l = 0; l < L; l++) {
        px[l] = x[2 * l];
        py[l] = x[2 * l + 1];
    }
    gmm_score<L>(g1, q1, px, py, sx, sy);
    if (average)
        gmm_score<L>(g2, q2, px, py, tx, ty);
    normals<L / 2>(p / 2, 1u, (u32)step, z); // 2 L normals: x coordinates, then y coordinates
    float sd = sqrtf(D), c = 0.5f * beta * (beta - 1) * D;
    if (!average) {
#pragma omp simd
        for (int l = 0; l < L; l++) {
            lw[l] += c * (sx[l] * sx[l] + sy[l] * sy[l]);
            px[l] += beta * D * sx[l] + sd * z[l];
            py[l] += beta * D * sy[l] + sd * z[L + l];
        }
    } else {
#pragma omp simd
        for (int l = 0; l < L; l++) {
            float dx = sx[l] - tx[l], dy = sy[l] - ty[l];
            lw[l] += c * (dx * dx + dy * dy);
            px[l] += D * ((1 - beta) * sx[l] + beta * tx[l]) + sd * z[l];
            py[l] += D * ((1 - beta) * sy[l] + beta * ty[l]) + sd * z[L + l];
        }
    }
    for (int l = 0; l < L; l++) {
        x[2 * l] = px[l];
        x[2 * l + 1] = py[l];
    }
}

static double share_of_ess(const float *lw, size_t n) {
    double M = -1e30;
    for (size_t k = 0; k < n; k++)
        M = std::max<double>(M, lw[k]);
    float a = 0, b = 0;
    for (size_t k = 0; k < n; k++) {
        float e = expf(lw[k] - (float)M);
        a += e;
        b += e * e;
    }
    return (double)a * a / b / n;
}

// One whole run from n particles (a multiple of 64). Returns the mean of |x|^2 and leaves the log-evidence in
// `logz`.
static float gmm_run(
    Particles &s, size_t n, int steps, bool average, float beta, bool every, int T, double *logz) {
    static Gmm g1(1), g2(2);
    const int L = 64;
    *logz = 0;
#pragma omp parallel for num_threads(T)
    for (size_t p = 0; p < n; p += L) {
        alignas(64) float z[4 * L];
        normals<L>(p, 7u, 0xffffffffu, z);
        float scale = average ? 30.f : 30.f / sqrtf(beta);
        for (int l = 0; l < L; l++) {
            s.x[2 * (p + l)] = scale * z[l];
            s.x[2 * (p + l) + 1] = scale * z[L + l];
            s.lw[p + l] = 0;
        }
    }
    for (int i = 0; i < steps; i++) {
        double s0 = sigma_at(i, steps), s1 = sigma_at(i + 1, steps);
        float D = s0 * s0 - s1 * s1, v = 1.0 + s0 * s0, iv = 1.f / v;
        Logits q1(g1, iv), q2(g2, iv);
#pragma omp parallel for num_threads(T) schedule(static)
        for (size_t p = 0; p < n; p += L)
            gmm_step(s, p, g1, g2, q1, q2, average, beta, D, i);
        if (!every && share_of_ess(s.lw.p, n) >= 0.5)
            continue;
        u32 o0 = i, o1 = 0, o2 = 3, o3 = 0;
        philox(o0, o1, o2, o3, 11, 13);
        Weighed weighed = resample_gather(s.lw.p, s.x, s.y, s.anc.p, s.w.p, n, 2, o0 / 4294967296.0, T);
        *logz += weighed.lse - log((double)n);
        std::swap(s.x, s.y);
#pragma omp parallel for num_threads(T)
        for (size_t k = 0; k < n; k++)
            s.lw[k] = 0;
    }
    double sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += s.x[2 * k] * s.x[2 * k] + s.x[2 * k + 1] * s.x[2 * k + 1];
    return sum / n;
}
