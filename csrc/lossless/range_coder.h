// A binary range coder with carries, as in LZMA (FORMAT §9.1): each decision takes its share of the range.
#pragma once


#include "base/memory.h"
#include "base/status.h"

namespace aec {

constexpr uint32_t kRangeLow = 1u << 24;  // the range is at least this before a decision, so no share is empty

class RangeEncoder {
public:
    explicit RangeEncoder(Vector<uint8_t>& out) : out_(out) {}

    // probability: that the decision is 1, in units of 2^-16, 1..65535. Returns the decision.
    int code(int decision, uint32_t probability) {
        const uint32_t share = (range_ >> 16) * probability;
        if (decision) {
            range_ = share;
        } else {
            low_ += share;
            range_ -= share;
        }
        while (range_ < kRangeLow) {
            range_ <<= 8;
            shift();
        }
        return decision;
    }

    bool past_end() const { return false; }

    void finish() {
        for (int i = 0; i < 5; ++i) shift();
    }

private:
    // low_ is below 2^33. A carry can still change the byte that is held and the bytes FF behind it, which wait. Before
    // the first byte lies a 0 that no carry reaches, because low_ + range_ is below 2^32 at first; it is not written.
    void shift() {
        if (low_ < 0xFF000000u || low_ >> 32) {
            const uint32_t carry = static_cast<uint32_t>(low_ >> 32);
            if (started_) out_.push_back(static_cast<uint8_t>(held_ + carry));
            for (; waiting_ > 0; --waiting_) out_.push_back(static_cast<uint8_t>(0xFF + carry));
            held_ = static_cast<uint32_t>(low_ >> 24) & 0xFF;
            started_ = true;
        } else {
            ++waiting_;
        }
        low_ = (low_ & 0x00FFFFFF) << 8;
    }

    Vector<uint8_t>& out_;
    uint64_t low_ = 0, waiting_ = 0;
    uint32_t range_ = 0xFFFFFFFF, held_ = 0;
    bool started_ = false;
};

// Reads at most the bytes it was given: what lies beyond their end counts as 0, and `status` tells of it.
class RangeDecoder {
public:
    RangeDecoder(const uint8_t* data, uint64_t size) : data_(data), end_(data + size) {
        for (int i = 0; i < 4; ++i) shift();
    }

    int code(int, uint32_t probability) {
        const uint32_t share = (range_ >> 16) * probability;
        const int decision = code_ < share;
        if (decision) {
            range_ = share;
        } else {
            code_ -= share;
            range_ -= share;
        }
        while (range_ < kRangeLow) {
            range_ <<= 8;
            shift();
        }
        return decision;
    }

    bool past_end() const { return past_end_; }

    // An encoder ends with the lower end of the range, so that the code is then 0.
    Status finish() const {
        if (past_end_) return Status::kPastEnd;
        if (data_ != end_) return Status::kEndWords;
        return code_ == 0 ? Status::kOk : Status::kEndCode;
    }

private:
    void shift() {
        past_end_ |= data_ == end_;
        code_ = code_ << 8 | (data_ < end_ ? *data_++ : 0);
    }

    const uint8_t *data_, *end_;
    uint32_t code_ = 0, range_ = 0xFFFFFFFF;
    bool past_end_ = false;
};

}  // namespace aec
