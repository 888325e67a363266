// SPDX-License-Identifier: Apache-2.0
#include "service/health.hpp"

namespace bpftune::service {

views::Json health_document(const Health& health, MonoTime now, const std::optional<std::string>& http_error) {
    const std::string_view why_not = health.why_not_ready(now);
    views::Json document{
        {"schema", views::schema}, {"alive", health.fault(now).empty()}, {"ready", why_not.empty()}, {"why", nullptr}};
    if (!why_not.empty()) document["why"] = why_not;
    if (http_error) document["http_error"] = *http_error;
    if (!health.unrestricted.empty()) document["unrestricted"] = health.unrestricted;
    return document;
}

} // namespace bpftune::service
