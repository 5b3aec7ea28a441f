// Work split over threads that live as long as the call: nothing to configure, nothing left behind, safe with fork.
#pragma once

#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace aec {

// Calls body(part, n_parts) for part 0 .. n_parts - 1, each on a thread of its own, and returns when all are done.
// The first exception of a body is thrown again; a thread that cannot be had is done without.
template <class Body>
void parallel(int n_parts, const Body& body) {
    if (n_parts == 1) return body(0, 1);
    std::vector<std::exception_ptr> errors(n_parts);
    const auto run = [&](int part) {
        try {
            body(part, n_parts);
        } catch (...) {
            errors[part] = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    others.reserve(n_parts);
    int mine = n_parts;
    for (int part = 1; part < n_parts; ++part) {
        try {
            others.emplace_back(run, part);
        } catch (const std::system_error&) {
            mine = part;  // the rest is done here
            break;
        }
    }
    run(0);
    for (int part = mine; part < n_parts; ++part) run(part);
    for (std::thread& other : others) other.join();
    for (const std::exception_ptr& error : errors)
        if (error) std::rethrow_exception(error);
}

}  // namespace aec
