// SPDX-License-Identifier: Apache-2.0
// Whether a service is alive, and ready: what /healthz and /readyz of the HTTP port say, and `health` of the API. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/time.hpp"
#include "views/json.hpp"

namespace bpftune::service {

struct Health {
    MonoTime deadline;                                 // of the next tick; before the first one it has passed
    std::string unready = "probes are being attached"; // why; empty: it is ready
    std::string unrestricted; // which of both processes may make any system call, and why; empty: neither

    // Why it is not alive; empty: it is.
    [[nodiscard]] std::string_view fault(MonoTime now) const {
        return now <= deadline ? std::string_view() : "no tick for too long";
    }

    // Why it is not ready; empty: it is. Whoever is not alive is not ready.
    [[nodiscard]] std::string_view why_not_ready(MonoTime now) const {
        const std::string_view dead = fault(now);
        return dead.empty() ? unready : dead;
    }
};

// {"schema": 1, "alive": true, "ready": false, "why": ...}; with "http_error" where the HTTP port cannot be had, and
// "unrestricted" where a process may make any system call.
views::Json health_document(const Health& health, MonoTime now, const std::optional<std::string>& http_error);

} // namespace bpftune::service
