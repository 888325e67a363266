// SPDX-License-Identifier: Apache-2.0
// Names and values as Kubernetes takes them.
#pragma once

#include <string_view>

namespace bpftune::policy {

bool is_dns_label(std::string_view text);      // RFC 1123, of a namespace: at most 63 of a-z, 0-9 and "-"
bool is_dns_subdomain(std::string_view text);  // of a pod: such labels with dots between them, at most 253 bytes
bool is_qualified_name(std::string_view text); // of a label or annotation: "app", "app.kubernetes.io/name"
bool is_label_value(std::string_view text);    // as the part of such a name behind the slash; may be empty

} // namespace bpftune::policy
