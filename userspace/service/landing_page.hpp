// SPDX-License-Identifier: Apache-2.0
// What a browser is shown at "/" of the HTTP port: HTML.
#pragma once

#include <string>
#include <string_view>

namespace bpftune::service {

std::string landing_page(std::string_view version);

} // namespace bpftune::service
