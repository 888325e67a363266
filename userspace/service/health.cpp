// SPDX-License-Identifier: Apache-2.0
#include "service/health.hpp"

namespace bpftune::service {

views::Json health_document(const Health& health, MonoTime now, const std::optional<std::string>& http_error) {
    const bool alive = health.fault(now).empty();
    const bool ready = alive && health.unready.empty();
    views::Json document{{"schema", views::schema}, {"alive", alive}, {"ready", ready}, {"why", nullptr}};
    if (!ready) document["why"] = alive ? health.unready : health.fault(now);
    if (http_error) document["http_error"] = *http_error;
    return document;
}

} // namespace bpftune::service
