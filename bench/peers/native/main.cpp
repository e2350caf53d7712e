// The hand-written peer: C++, OpenMP, and vectors through gcc. One request a line on stdin, as
// "op n d h steps reps threads", and one JSON line back; the README of the folder above lists the operations.
// setup.sh compiles it.
#include "limits.hpp"
#include "mlp.hpp"
#include <chrono>
#include <cstdio>
#include <string>
#include <time.h>

struct Request {
    char op[64];
    size_t n;
    int d, h, steps, reps, T;
    bool is(const char *name) const { return !strcmp(op, name); }
};

// The seconds of every call, and what goes behind them in the answer.
struct Answer {
    std::vector<double> times;
    std::string rest;
};

// Wall clock, or the CPU seconds of the process where PEERS_CLOCK=cpu.
static double now() {
    static bool cpu = getenv("PEERS_CLOCK") && !strcmp(getenv("PEERS_CLOCK"), "cpu");
    if (cpu) {
        timespec t;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return t.tv_sec + 1e-9 * t.tv_nsec;
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class Call> static std::vector<double> timed(const Request &r, Call call) {
    std::vector<double> times;
    for (int k = 0; k < r.reps; k++) {
        double start = now();
        call(k);
        times.push_back(now() - start);
    }
    return times;
}

template <class... Values> static std::string text(const char *format, Values... values) {
    char line[256];
    snprintf(line, sizeof line, format, values...);
    return line;
}

// n floats an array; d = 0 copy, 1 triad, 2 read, 3 write.
static Answer stream(const Request &r) {
    Buf<float> a(r.n), b(r.n), c(r.n);
#pragma omp parallel for num_threads(r.T)
    for (size_t i = 0; i < r.n; i++) {
        a[i] = 1;
        b[i] = 2;
        c[i] = 3;
    }
    double sink = 0;
    auto times = timed(r, [&](int) {
        if (r.d == 0)
            stream_copy(a, b, r.T);
        else if (r.d == 1)
            stream_triad(a, b, c, r.T);
        else if (r.d == 2)
            sink += stream_read(a, r.T);
        else
            stream_write(a, r.T);
    });
    return {times, text(",\"sink\":%g", sink + a[r.n / 2])};
}

static Answer fma_peak(const Request &r) {
    volatile double sink = 0;
    return {timed(r, [&](int) { sink = fma_rounds(r.n, r.T); }), ""};
}

// n is a multiple of 256, here and in `resample`.
static Answer draw_normals(const Request &r) {
    Buf<float> a(r.n);
    auto times = timed(r, [&](int k) {
#pragma omp parallel for num_threads(r.T)
        for (size_t p = 0; p < r.n; p += 256)
            normals<64>(p / 4, 1u, (u32)k, a.p + p);
    });
    double m = 0, q = 0;
    for (size_t i = 0; i < r.n; i++) {
        m += a[i];
        q += (double)a[i] * a[i];
    }
    return {times, text(",\"mean\":%g,\"var\":%g", m / r.n, q / r.n)};
}

static Answer resample(const Request &r) {
    size_t n = r.n, d = r.d;
    Buf<float> lw(n), x(n * d), y(n * d), w(n);
    Buf<int> anc(n);
    for (size_t p = 0; p < n; p += 256)
        normals<64>(p / 4, 5u, 5u, lw.p + p);
#pragma omp parallel for num_threads(r.T)
    for (size_t i = 0; i < n * d; i++) {
        x[i] = i % 977;
        y[i] = 0;
    }
    Weighed weighed = {};
    auto times = timed(r, [&](int) { weighed = resample_gather(lw.p, x.p, y.p, anc.p, w.p, n, d, 0.37, r.T); });

    double S = 0, worst = 0;
    for (size_t i = 0; i < n; i++)
        S += exp((double)lw[i]);
    std::vector<int> count(n, 0);
    bool ordered = true;
    for (size_t j = 0; j < n; j++) {
        count[anc[j]]++;
        if (j && anc[j] < anc[j - 1])
            ordered = false;
    }
    for (size_t i = 0; i < n; i++)
        worst = std::max(worst, fabs(count[i] - n * exp((double)lw[i]) / S));
    const char *format = ",\"check\":{\"max_count_err\":%.4f,\"mono\":%d,\"ess_frac\":%.4f}";
    return {times, text(format, worst, (int)ordered, weighed.ess / n)};
}

// d = 0 one mixture annealed, 1 the geometric average of two; h = 1 resamples at every step, 0 at an ESS below
// half.
static Answer gmm(const Request &r) {
    Particles s(r.n, 2, 128);
    bool average = r.d != 0;
    double logz = 0;
    float m = 0;
    auto run = [&](int) { m = gmm_run(s, r.n, r.steps, average, average ? 0.5f : 2.f, r.h != 0, r.T, &logz); };
    auto times = timed(r, run);
    return {times, text(",\"check\":{\"mean_r2\":%.4f,\"logZ\":%.4f}", m, logz)};
}

static Answer mlp(const Request &r) {
    Mlp network(r.d, r.h);
    Particles s(r.n, r.d, 64);
    double m = 0;
    auto times = timed(r, [&](int) { m = mlp_run(network, s, r.n, r.steps, r.T); });
    return {times, text(",\"check\":{\"mean_x2\":%.4f}", m)};
}

static void print(const Request &r, const Answer &answer) {
    printf("{\"op\":\"%s\",\"times\":[", r.op);
    for (size_t i = 0; i < answer.times.size(); i++)
        printf("%s%.9g", i ? "," : "", answer.times[i]);
    printf("]%s}\n", answer.rest.c_str());
    fflush(stdout);
}

int main() {
    struct {
        const char *op;
        Answer (*call)(const Request &);
    } const known[] = {{"stream", stream}, {"fma", fma_peak}, {"normals", draw_normals}, {"resample", resample},
        {"gmm", gmm}, {"mlp", mlp}};
    char line[512];
    while (fgets(line, sizeof line, stdin)) {
        if (!strncmp(line, "quit", 4))
            break;
        Request r;
        int read = sscanf(line, "%63s %zu %d %d %d %d %d", r.op, &r.n, &r.d, &r.h, &r.steps, &r.reps, &r.T);
        if (read != 7)
            continue;
        bool done = false;
        for (auto &k : known) {
            if (r.is(k.op)) {
                print(r, k.call(r));
                done = true;
            }
        }
        if (!done) {
            printf("{\"op\":\"%s\",\"skip\":\"the native peer has no %s\"}\n", r.op, r.op);
            fflush(stdout);
        }
    }
}
