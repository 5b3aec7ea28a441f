#include "capi/message.h"

#include <cstdint>

namespace aec {
namespace {

constexpr char kGap[] = " ... ";

bool continues(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

// The bytes of the character of UTF-8 at a position; 0 if there is none.
size_t character_at(const std::string& text, size_t at) {
    const auto first = static_cast<uint8_t>(text[at]);
    if (first < 0x80) return 1;
    const size_t n = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (n == 0 || at + n > text.size()) return 0;
    for (size_t i = 1; i < n; ++i)
        if (!continues(text[at + i])) return 0;
    const auto second = static_cast<uint8_t>(text[at + 1]);  // no longer form than needed, no surrogates, up to 10FFFF
    const bool is_wrong = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                          (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
    return is_wrong ? 0 : n;
}

}  // namespace

std::string fitted(const std::string& message, size_t room) {
    std::string text;
    for (size_t at = 0; at < message.size();) {
        const size_t n = character_at(message, at);
        if (n == 0)
            text += '?';
        else
            text.append(message, at, n);
        at += n == 0 ? 1 : n;
    }
    const size_t most = room - 1, gap = sizeof kGap - 1;
    if (text.size() <= most) return text;
    size_t head = (most - gap) / 3, tail = text.size() - (most - gap - head);
    while (head > 0 && continues(text[head])) --head;
    while (tail < text.size() && continues(text[tail])) ++tail;
    return text.substr(0, head) + kGap + text.substr(tail);
}

}  // namespace aec
