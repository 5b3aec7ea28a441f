// A strict reader for the little JSON that a model file has: objects, arrays, strings and integers without sign. What
// is read is fixed by the caller, so nothing nests deeper than the caller's code.
#pragma once

#include <functional>
#include <string>

#include "base/span.h"

namespace aec {

class JsonReader {
public:
    explicit JsonReader(Span text) : text_(text) {}

    // Each throws invalid_argument, which names the position, if something else comes next.
    std::string string();
    uint64_t integer();  // below 2^63
    void object(const std::function<void(const std::string& key)>& value);  // `value` reads what belongs to the key
    void array(const std::function<void()>& item);
    void end();  // nothing but white space may follow

private:
    [[noreturn]] void fail(const char* wanted) const;
    void skip_space();
    bool take(char c);
    void expect(char c, const char* wanted);
    uint32_t hex4();

    Span text_;
    size_t at_ = 0;
};

}  // namespace aec
