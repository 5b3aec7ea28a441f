// How a computation that takes long is ended early: by an exception that a function of the caller throws.
#pragma once

namespace aec {

// The function of the call that this thread works for; null: nothing ends it early. It is called every few milliseconds
// where much is computed, so it must be quick. What it throws ends the call.
inline thread_local void (*current_check)() = nullptr;

inline void check_stop() {
    if (current_check != nullptr) current_check();
}

class CheckScope {
public:
    explicit CheckScope(void (*check)()) : before_(current_check) { current_check = check; }
    ~CheckScope() { current_check = before_; }
    CheckScope(const CheckScope&) = delete;
    CheckScope& operator=(const CheckScope&) = delete;

private:
    void (*const before_)();
};

}  // namespace aec
