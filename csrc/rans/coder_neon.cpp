#include <arm_neon.h>

#include "rans/coder_vector.h"

namespace aec {
namespace {

// Permutations for each set of lanes (a bit mask): for each target byte, the number of its source byte.
struct Moves {
    uint8_t expand[16][16];    // moves the i-th word to the i-th lane of the set
    uint8_t compress[16][16];  // moves the lanes of the set, in their order, to the highest lanes
};

constexpr Moves make_moves() {
    Moves moves = {};
    for (int set = 0; set < 16; ++set) {
        int n = 0, word = 0;
        for (int lane = 0; lane < 4; ++lane)
            n += set >> lane & 1;
        for (int lane = 0; lane < 4; ++lane) {
            if (!(set >> lane & 1))
                continue;
            for (int byte = 0; byte < 4; ++byte) {
                moves.expand[set][4 * lane + byte] = static_cast<uint8_t>(4 * word + byte);
                moves.compress[set][4 * (4 - n + word) + byte] = static_cast<uint8_t>(4 * lane + byte);
            }
            ++word;
        }
    }
    return moves;
}

alignas(16) constexpr Moves kMoves = make_moves();

// NEON operations for coder_vector.h, on vectors of 4 lanes. NEON has no gather instruction, so table lookups are done
// lane by lane; the rest is done in vectors.
struct Neon {
    static constexpr int kLanes = 4;
    using Vec = uint32x4_t;
    using Mask = uint32x4_t;  // in each lane all bits are set, or none

    static int32x4_t as_signed(Vec v) { return vreinterpretq_s32_u32(v); }
    static Vec as_unsigned(int32x4_t v) { return vreinterpretq_u32_s32(v); }

    static Vec set(int value) { return vdupq_n_u32(static_cast<uint32_t>(value)); }
    static Vec load(const uint32_t* p) { return vld1q_u32(p); }
    static void store(uint32_t* p, Vec v) { vst1q_u32(p, v); }
    static Vec load_u8(const uint8_t* p) {
        const uint32_t lanes[4] = {p[0], p[1], p[2], p[3]};
        return vld1q_u32(lanes);
    }
    static Vec load_i16(const int16_t* p) { return as_unsigned(vmovl_s16(vld1_s16(p))); }
    static void store_i16(int16_t* p, Vec v) { vst1_s16(p, vmovn_s32(as_signed(v))); }

    static Vec add(Vec a, Vec b) { return vaddq_u32(a, b); }
    static Vec sub(Vec a, Vec b) { return vsubq_u32(a, b); }
    static Vec mul(Vec a, Vec b) { return vmulq_u32(a, b); }
    static Vec and_(Vec a, Vec b) { return vandq_u32(a, b); }
    static Vec or_(Vec a, Vec b) { return vorrq_u32(a, b); }
    template <int kBy>
    static Vec shl(Vec a) {
        return vshlq_n_u32(a, kBy);
    }
    template <int kBy>
    static Vec shr(Vec a) {
        return vshrq_n_u32(a, kBy);
    }
    static Vec shlv(Vec a, Vec by) { return vshlq_u32(a, as_signed(by)); }
    static Vec shrv(Vec a, Vec by) { return vshlq_u32(a, vnegq_s32(as_signed(by))); }
    static Vec sarv(Vec a, Vec by) { return as_unsigned(vshlq_s32(as_signed(a), vnegq_s32(as_signed(by)))); }

    static Mask at_least(Vec a, Vec b) { return vcgeq_s32(as_signed(a), as_signed(b)); }
    static Mask below_2_16(Vec a) { return vcltq_u32(a, set(1 << 16)); }
    static Mask or_masks(Mask a, Mask b) { return vorrq_u32(a, b); }
    static bool any(Mask m) { return vmaxvq_u32(m) != 0; }
    static uint32_t bits(Mask m) {
        const uint32_t lanes[4] = {1, 2, 4, 8};
        return vaddvq_u32(vandq_u32(m, vld1q_u32(lanes)));
    }
    static Vec select(Mask m, Vec a, Vec b) { return vbslq_u32(m, a, b); }
    static Vec increment(Vec a, Mask m) { return vsubq_u32(a, m); }
    static Vec decrement(Vec a, Mask m) { return vaddq_u32(a, m); }

    template <class T>
    static Vec each(const T* table, Vec i) {
        const uint32_t lanes[4] = {table[vgetq_lane_u32(i, 0)], table[vgetq_lane_u32(i, 1)],
                                   table[vgetq_lane_u32(i, 2)], table[vgetq_lane_u32(i, 3)]};
        return vld1q_u32(lanes);
    }
    static Vec gather4(const void* table, Vec i) { return each(static_cast<const uint32_t*>(table), i); }
    static Vec gather2(const void* table, Vec i) { return each(static_cast<const uint16_t*>(table), i); }
    static Vec lookup(const uint8_t* table, Vec i) { return each(table, i); }

    static Vec divide_roughly(Vec x, Vec freq) {
        return as_unsigned(vcvtq_s32_f32(vdivq_f32(vcvtq_f32_u32(x), vcvtq_f32_u32(freq))));
    }

    static Vec move(Vec v, const uint8_t* bytes) {
        return vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(v), vld1q_u8(bytes)));
    }

    static Vec take_words(Vec x, Mask wants, const uint8_t*& words) {
        const uint32_t set = bits(wants);
        const Vec next = vmovl_u16(vreinterpret_u16_u8(vld1_u8(words)));
        words += 2 * __builtin_popcount(set);
        return select(wants, or_(shl<16>(x), move(next, kMoves.expand[set])), x);
    }

    static Vec give_words(Vec x, Mask gives, uint8_t*& head) {
        const uint32_t set = bits(gives);
        vst1_u8(head - 8, vreinterpret_u8_u16(vmovn_u32(move(x, kMoves.compress[set]))));
        head -= 2 * __builtin_popcount(set);
        return select(gives, shr<16>(x), x);
    }
};

}  // namespace

StreamDecoder neon_decoder(uint32_t width) { return vector_decoder<Neon, Neon, Neon>(width); }
StreamEncoder neon_encoder(uint32_t width) { return vector_encoder<Neon, Neon, Neon>(width); }

}  // namespace aec
