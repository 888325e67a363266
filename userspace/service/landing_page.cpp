// SPDX-License-Identifier: Apache-2.0
#include "service/landing_page.hpp"

#include <fmt/format.h>

namespace bpftune::service {

std::string landing_page(std::string_view version) {
    return fmt::format("<!DOCTYPE html>\n"
                       "<html lang=\"en\">\n"
                       "<head><meta charset=\"utf-8\"><title>bpftune-k8s</title></head>\n"
                       "<body>\n"
                       "<h1>bpftune-k8s {}</h1>\n"
                       "<ul>\n"
                       "<li><a href=\"/metrics\">/metrics</a>: for Prometheus</li>\n"
                       "<li><a href=\"/healthz\">/healthz</a>: whether it is alive</li>\n"
                       "<li><a href=\"/readyz\">/readyz</a>: whether it is ready</li>\n"
                       "</ul>\n"
                       "</body>\n"
                       "</html>\n",
                       version);
}

} // namespace bpftune::service
