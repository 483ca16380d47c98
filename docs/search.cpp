// Finds the constants of src/quick.h: such that every input of f16 and of bf16 comes out correctly rounded, whatever the
// reciprocals are off by. The idea is RLIBM's (https://people.cs.rutgers.edu/~sn349/rlibm/); the search is a random walk, which starts
// over from the minimax polynomials of docs/fits.py.
//
//   c++ -O3 -march=native -std=c++17 -ffp-contract=off -I src -I tests/emulator docs/search.cpp -o search && ./search [FUNCTION...]

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "recip.h"

#include "quick.h"

namespace candle_mish {
struct F16 {};
struct BF16 {};
}  // namespace candle_mish
using namespace candle_mish;

// In ulp; a GPU's reciprocal is off by one.
static const int RECIP_ERRORS[] = {0, -2, -1, 1, 2};
static const int TRIES = 200000000, RESTART = 60000;
// In ulp, before results are rounded: what a product with g leaves room for.
static const double WORST = 10.0 / (1 << 13);

// Of so many bits, with 2^lowest as its least normal number.
struct Format {
    int bits, lowest;
    float (*widen)(uint32_t);
    double ulp(double y) const { return std::ldexp(1.0, std::max(std::ilogb(y), lowest) - bits + 1); }
    // To nearest, ties to even; nothing that is computed here is beyond the largest finite number.
    double round(double y) const { return y == 0 || !std::isfinite(y) ? y : std::nearbyint(y / ulp(y)) * ulp(y); }
};

static float from_f16(uint32_t h) {
    int exponent = h >> 10 & 31;
    float fraction = h & 1023, value;
    if (exponent == 31) value = fraction ? NAN : INFINITY;
    else value = exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24);
    return h >> 15 ? -value : value;
}
static float from_bf16(uint32_t h) { return float_of(h << 16); }

static const Format FORMATS[] = {{11, -14, from_f16}, {8, -126, from_bf16}};

// The constants of a trial.
struct Trial {
    inline static float C0, C1, C2, C3, C4, C5, A, B, L0, L1, L2, L3, L4, L5, L6, L7, R0, R1, R2, R3, R4;
};

// A constant, where it starts, and how far it may move, relatively.
struct Constant {
    const char *name;
    float *value;
    double start, limit;
};

#define EXP                                                                                             \
    {"C0", &Trial::C0, 1.000000071655217, 3e-7}, {"C1", &Trial::C1, 0.6931469670655763, 6e-7},          \
    {"C2", &Trial::C2, 0.2402211972345649, 3e-6}, {"C3", &Trial::C3, 0.055507132721052975, 3e-5},       \
    {"C4", &Trial::C4, 0.009675541347603274, 5e-4}, {"C5", &Trial::C5, 0.0013276472461252317, 6e-3}
#define FACTOR(name, start) {#name, &Trial::name, start, 4e-7}
#define LOG1P                                                                                                  \
    {"L0", &Trial::L0, 0.9999998056676597, 4e-7}, {"L1", &Trial::L1, -0.4999740540196343, 1e-5},               \
    {"L2", &Trial::L2, 0.3327547986607986, 2e-4}, {"L3", &Trial::L3, -0.24495463331943185, 1e-3},              \
    {"L4", &Trial::L4, 0.17745242686139034, 4e-3}, {"L5", &Trial::L5, -0.10768172798363264, 1e-2},             \
    {"L6", &Trial::L6, 0.04408964047663502, 2e-2}, {"L7", &Trial::L7, -0.008539210484753307, 3e-2}
#define ROOT                                                                                              \
    {"R0", &Trial::R0, 8.125729e-10, 1e-4}, {"R1", &Trial::R1, 0.26694794544, 4e-7},                      \
    {"R2", &Trial::R2, 0.20473122030339913, 1e-6}, {"R3", &Trial::R3, 0.04184604581328907, 1e-4},         \
    {"R4", &Trial::R4, -0.020267808500134377, 1e-3}

typedef std::function<float(float)> Single;

struct Function {
    const char *name;
    std::function<double(double)> exact;
    Single of[2];
    std::vector<Constant> constants;
};

#define OF(name) {[](float x) { return quick::name<F16, Trial>(x); }, [](float x) { return quick::name<BF16, Trial>(x); }}
#define EXACT(name) [](double x) { return candle_mish::name(x); }

static const Function FUNCTIONS[] = {
    {"Mish", EXACT(mish), OF(mish), {EXP, FACTOR(A, 2.0), FACTOR(B, 2.0)}},
    {"TanhSoftplus", EXACT(tanh_softplus), OF(tanh_softplus), {EXP, FACTOR(A, 2.0), FACTOR(B, 2.0)}},
    {"Softplus", EXACT(softplus), OF(softplus), {EXP, LOG1P}},
    {"MishD1", EXACT(mish_d1), OF(mish_d1), {EXP, FACTOR(A, 0.5), FACTOR(B, 1.0), ROOT}},
    {"SoftplusD1", EXACT(softplus_d1), OF(softplus_d1), {EXP, FACTOR(A, 1.0), FACTOR(B, 1.0)}},
    {"SoftplusD2", EXACT(softplus_d2), OF(softplus_d2), {EXP, FACTOR(A, 1.0)}},
    {"TanhSoftplusD1", EXACT(tanh_softplus_d1), OF(tanh_softplus_d1), {EXP, FACTOR(A, 1.0), FACTOR(B, 1.0)}},
};

struct Input {
    int format;
    float x;
    double right;
};

static bool is_right(const Function &f, const Input &input) {
    for (int error : RECIP_ERRORS) {
        recip_error = error;
        if (FORMATS[input.format].round(f.of[input.format](input.x)) != input.right) return false;
    }
    return true;
}

static std::vector<Input> inputs(const Function &f) {
    std::vector<Input> all;
    for (int format = 0; format < 2; ++format) {
        for (uint32_t h = 0; h < 1 << 16; ++h) {
            float x = FORMATS[format].widen(h);
            if (std::isfinite(x)) all.push_back({format, x, FORMATS[format].round(f.exact(x))});
        }
    }
    return all;
}

// Whether an error of 16·2^-24 may bring the result to the other side of a midpoint.
static bool is_hard(const Function &f, const Input &input) {
    const Format &format = FORMATS[input.format];
    double y = f.exact(input.x), error = std::fabs(y) * std::ldexp(16.0, -24);
    return format.round(y - error) != format.round(y + error);
}

// The largest error where results are normal floats, in ulp of the format, and where it is.
static double worst(const Function &f, const std::vector<Input> &all, const Input *&where) {
    double largest = 0;
    recip_error = 0;
    for (const Input &input : all) {
        const Format &format = FORMATS[input.format];
        double y = f.exact(input.x);
        if (!(std::fabs(y) > std::ldexp(1.0, -126))) continue;
        double error = std::fabs(f.of[input.format](input.x) - y) / format.ulp(y);
        if (!(error <= largest)) largest = error, where = &input;
    }
    return largest;
}

static void set(const std::vector<Constant> &constants, const std::vector<float> &values) {
    for (size_t i = 0; i < constants.size(); ++i) *constants[i].value = values[i];
}

static void search(const Function &f) {
    std::vector<Input> all = inputs(f), hard;
    for (const Input &input : all) {
        if (is_hard(f, input)) hard.push_back(input);
    }
    std::vector<float> start;
    for (const Constant &c : f.constants) start.push_back(float(c.start));
    // Counting ends where it is above `most`. What was wrong last comes first.
    auto wrong = [&](const std::vector<float> &values, size_t most) {
        size_t n = 0;
        set(f.constants, values);
        for (size_t i = 0; i < hard.size() && n <= most; ++i) {
            if (!is_right(f, hard[i])) {
                ++n;
                if (i > 0) std::swap(hard[i], hard[i / 2]);
            }
        }
        return n;
    };
    std::mt19937_64 random(77);
    std::uniform_real_distribution<double> unit(-1, 1);
    std::vector<float> current = start;
    size_t now = wrong(start, hard.size()), least = now;
    std::printf("%s: %zu of %zu are hard, %zu wrong at first\n", f.name, hard.size(), all.size(), now);
    std::fflush(stdout);
    for (int i = 1; i <= TRIES; ++i) {
        if (i % RESTART == 0) current = start, now = wrong(start, hard.size());
        std::vector<float> trial = current;
        // Every eighth time anywhere within the limits, otherwise nearby.
        const bool far = i % 8 == 0;
        const double scale = std::pow(10.0, -1 + unit(random));
        for (size_t k = 0; k < trial.size(); ++k) {
            const Constant &c = f.constants[k];
            const double move = c.limit * unit(random), chance = unit(random);
            if (far && chance < -0.2) trial[k] = float(c.start * (1 + move));
            if (!far && chance < -0.5) trial[k] = float(trial[k] * (1 + scale * move));
        }
        size_t n = wrong(trial, now);
        if (n > now) continue;
        current = trial, now = n;
        if (n < least) {
            least = n;
            std::printf("  %d: %zu wrong\n", i, n);
            std::fflush(stdout);
        }
        if (n > 0) continue;
        set(f.constants, trial);
        bool every = true;
        for (const Input &input : all) every = every && is_right(f, input);
        const Input *where = nullptr;
        double error = worst(f, all, where);
        if (every && error < WORST) {
            std::printf("  after %d; off by %.5f ulp at %.9g\nstruct %sConstants {\n", i, error, where->x, f.name);
            for (const Constant &c : f.constants) std::printf("    MISH_CONSTANT float %s = %#.9gf;\n", c.name, *c.value);
            std::printf("};\n");
            return;
        }
        current = start, now = wrong(start, hard.size());
    }
    std::printf("  nothing found, %zu wrong at least\n", least);
}

int main(int count, char **names) {
    for (const Function &f : FUNCTIONS) {
        bool wanted = count == 1;
        for (int i = 1; i < count; ++i) wanted = wanted || f.name == std::string(names[i]);
        if (wanted) search(f);
    }
}
