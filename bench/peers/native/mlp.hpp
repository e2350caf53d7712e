// A dense network (d, h, h, h, h, d with SiLU) as the denoiser, fused with the move and the weight.
// Register-tiled: particles lie in lanes, 48 a tile, and a layer makes 8 outputs at once. The weights come from a
// generator of its own and time is not among the inputs, so the samples are not those of the Python peers; the
// work is the same but for one vector of h numbers a step.
#pragma once
#include "gmm.hpp"
#include <cstring>
#include <memory>

static const int TILE = 48;

static inline void silu(float *a, int n) {
#pragma omp simd
    for (int i = 0; i < n; i++) {
        float t = a[i];
        a[i] = t / (1.f + fexp(-t));
    }
}

// out = W in + b for one tile; the weights are packed as [outputs / 8][inputs][8].
static void layer(const float *packed, const float *b, const float *in, float *out, int inputs, int outputs) {
    for (int o = 0; o < outputs; o += 8) {
        v16 acc[8][3];
        for (int j = 0; j < 8; j++) {
            for (int q = 0; q < 3; q++)
                acc[j][q] = (v16){} + b[o + j];
        }
        const float *wp = packed + (size_t)(o / 8) * inputs * 8;
        const float *ip = in;
        for (int i = 0; i < inputs; i++) {
            v16 a0 = *(v16 *)ip, a1 = *(v16 *)(ip + 16), a2 = *(v16 *)(ip + 32);
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++) {
                v16 ww = (v16){} + wp[j];
                acc[j][0] += ww * a0;
                acc[j][1] += ww * a1;
                acc[j][2] += ww * a2;
            }
            wp += 8;
            ip += TILE;
        }
        for (int j = 0; j < 8; j++) {
            for (int q = 0; q < 3; q++)
                *(v16 *)(out + (o + j) * TILE + q * 16) = acc[j][q];
        }
    }
}

struct Mlp {
    int D, H, Dp; // Dp: D rounded up to whole groups of 8 outputs
    std::vector<std::unique_ptr<Buf<float>>> W;
    std::vector<std::vector<float>> b;
    Mlp(int d, int h) : D(d), H(h), Dp((d + 7) / 8 * 8) {
        Lcg lcg{5};
        int inputs[5] = {D, H, H, H, H}, outputs[5] = {H, H, H, H, Dp};
        for (int l = 0; l < 5; l++) {
            size_t len = (size_t)inputs[l] * outputs[l];
            W.push_back(std::make_unique<Buf<float>>(len));
            float scale = sqrtf(3.f / inputs[l]);
            for (size_t k = 0; k < len; k++)
                (*W[l])[k] = (float)(lcg.next() * 2 - 1) * scale;
            b.push_back(std::vector<float>(outputs[l], 0.01f));
        }
    }
    // Leaves the answer in B; A holds the input and is overwritten.
    void forward(float *A, float *B) const {
        layer(W[0]->p, b[0].data(), A, B, D, H);
        silu(B, H * TILE);
        layer(W[1]->p, b[1].data(), B, A, H, H);
        silu(A, H * TILE);
        layer(W[2]->p, b[2].data(), A, B, H, H);
        silu(B, H * TILE);
        layer(W[3]->p, b[3].data(), B, A, H, H);
        silu(A, H * TILE);
        layer(W[4]->p, b[4].data(), A, B, H, Dp);
    }
};

// The tile of particles from p on (fewer than 48 at the end): network, weight and move. A, B, X are the thread's
// own.
static inline void mlp_step(
    const Mlp &m, Particles &s, size_t p, size_t n, float *A, float *B, float *X, double s0, double s1, int step) {
    const float beta = 2;
    const int D = m.D, count = std::min<size_t>(TILE, n - p);
    float dl = s0 * s0 - s1 * s1, v = 1 + s0 * s0, iv = 1 / v, ci = 1 / sqrtf(v), sd = sqrtf(dl);
    float c = 0.5f * beta * (beta - 1) * dl;
    for (int k = 0; k < D; k++) {
        for (int l = 0; l < TILE; l++)
            X[k * TILE + l] = l < count ? s.x[(p + l) * D + k] : 0;
    }
    for (int k = 0; k < D * TILE; k++)
        A[k] = X[k] * ci;
    m.forward(A, B);
    alignas(64) float norm2[TILE] = {0};
    alignas(64) float z[256];
    int have = 0; // coordinates for which z still has normals
    for (int k = 0; k < D; k++) {
        if (have == 0) {
            normals<64>((p * D + k * TILE) / 4, (u32)step, 2u + (u32)k, z);
            have = 4;
        }
        const float *zk = z + (4 - have) * 64;
        have--;
#pragma omp simd
        for (int l = 0; l < TILE; l++) {
            float score = (B[k * TILE + l] - X[k * TILE + l]) * iv;
            norm2[l] += score * score;
            X[k * TILE + l] += beta * dl * score + sd * zk[l];
        }
    }
    for (int l = 0; l < count; l++)
        s.lw[p + l] += c / D * norm2[l];
    for (int l = 0; l < count; l++) {
        for (int k = 0; k < D; k++)
            s.x[(p + l) * D + k] = X[k * TILE + l];
    }
}

// One whole run; returns the mean of the squared coordinates.
static double mlp_run(const Mlp &m, Particles &s, size_t n, int steps, int T) {
    const int D = m.D;
    const float beta = 2;
#pragma omp parallel for num_threads(T)
    for (size_t p = 0; p < n * D; p += 64) {
        alignas(64) float z[256];
        normals<64>(p, 9u, 1u, z);
        for (int l = 0; l < 64 && p + l < n * D; l++)
            s.x[p + l] = 30.f / sqrtf(beta) * z[l];
    }
    memset(s.lw.p, 0, n * 4);
    for (int i = 0; i < steps; i++) {
        double s0 = sigma_at(i, steps), s1 = sigma_at(i + 1, steps);
#pragma omp parallel num_threads(T)
        {
            size_t widest = std::max(m.H, m.Dp);
            Buf<float> A(widest * TILE), B(widest * TILE), X((size_t)m.Dp * TILE);
#pragma omp for schedule(static)
            for (size_t p = 0; p < n; p += TILE)
                mlp_step(m, s, p, n, A.p, B.p, X.p, s0, s1, i);
        }
        resample_gather(s.lw.p, s.x, s.y, s.anc.p, s.w.p, n, D, 0.37, T);
        std::swap(s.x, s.y);
        memset(s.lw.p, 0, n * 4);
    }
    double sum = 0;
    for (size_t k = 0; k < n * D; k++)
        sum += s.x[k] * s.x[k];
    return sum / (n * D);
}
