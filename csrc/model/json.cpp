#include "model/json.h"

#include <set>
#include <stdexcept>

namespace aec {
namespace {

void append_utf8(std::string& to, uint32_t c) {
    const auto tail = [&](int shift) { to += static_cast<char>(0x80 | (c >> shift & 0x3F)); };
    if (c < 0x80) {
        to += static_cast<char>(c);
    } else if (c < 0x800) {
        to += static_cast<char>(0xC0 | c >> 6);
        tail(0);
    } else if (c < 0x10000) {
        to += static_cast<char>(0xE0 | c >> 12);
        tail(6);
        tail(0);
    } else {
        to += static_cast<char>(0xF0 | c >> 18);
        tail(12);
        tail(6);
        tail(0);
    }
}

}  // namespace

void JsonReader::fail(const char* wanted) const {
    throw std::invalid_argument("byte " + std::to_string(at_) + " of its JSON: " + wanted + " is expected");
}

void JsonReader::skip_space() {
    const auto is_space = [](uint8_t c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
    while (at_ < text_.size && is_space(text_.data[at_])) ++at_;
}

bool JsonReader::take(char c) {
    skip_space();
    if (at_ == text_.size || text_.data[at_] != static_cast<uint8_t>(c)) return false;
    ++at_;
    return true;
}

void JsonReader::expect(char c, const char* wanted) {
    if (!take(c)) fail(wanted);
}

uint32_t JsonReader::hex4() {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
        const int c = at_ < text_.size ? text_.data[at_] : 0;
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) fail("a hexadecimal digit");
        value = value << 4 | static_cast<uint32_t>(digit);
    }
    return value;
}

std::string JsonReader::string() {
    expect('"', "a string");
    std::string out;
    for (;;) {
        if (at_ == text_.size || text_.data[at_] < 0x20) fail("the end of a string");
        const char c = static_cast<char>(text_.data[at_++]);
        if (c == '"') return out;
        if (c != '\\') {
            out += c;
            continue;
        }
        const char escape = at_ < text_.size ? static_cast<char>(text_.data[at_++]) : 0;
        switch (escape) {
            case '"':
            case '\\':
            case '/': out += escape; break;
            case 'b': out += '\b'; break;
            case 'f': out += '\f'; break;
            case 'n': out += '\n'; break;
            case 'r': out += '\r'; break;
            case 't': out += '\t'; break;
            case 'u': {
                uint32_t code = hex4();
                if (code >= 0xD800 && code < 0xE000) {  // two halves of a character beyond 16 bits
                    const bool pair =
                        code < 0xDC00 && at_ + 1 < text_.size && text_.data[at_] == '\\' && text_.data[at_ + 1] == 'u';
                    if (!pair) fail("the second half of a character");
                    at_ += 2;
                    const uint32_t low = hex4();
                    if (low < 0xDC00 || low >= 0xE000) fail("the second half of a character");
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                }
                append_utf8(out, code);
                break;
            }
            default: fail("an escape");
        }
    }
}

uint64_t JsonReader::integer() {
    skip_space();
    const size_t start = at_;
    uint64_t value = 0;
    for (; at_ < text_.size && text_.data[at_] >= '0' && text_.data[at_] <= '9'; ++at_) {
        if (at_ - start >= 18) fail("a smaller number");
        value = 10 * value + (text_.data[at_] - '0');
    }
    const bool leading_zero = at_ - start > 1 && text_.data[start] == '0';
    const int next = at_ < text_.size ? text_.data[at_] : 0;
    if (at_ == start || leading_zero || next == '.' || next == 'e' || next == 'E') fail("an integer");
    return value;
}

void JsonReader::object(const std::function<void(const std::string&)>& value) {
    expect('{', "an object");
    if (take('}')) return;
    std::set<std::string> keys;
    do {
        const std::string key = string();
        if (!keys.insert(key).second) throw std::invalid_argument("its JSON has " + key + " twice");
        expect(':', "a colon");
        value(key);
    } while (take(','));
    expect('}', "the end of an object");
}

void JsonReader::array(const std::function<void()>& item) {
    expect('[', "an array");
    if (take(']')) return;
    do {
        item();
    } while (take(','));
    expect(']', "the end of an array");
}

void JsonReader::end() {
    skip_space();
    if (at_ != text_.size) fail("the end");
}

}  // namespace aec
