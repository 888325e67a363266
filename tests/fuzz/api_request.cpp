// SPDX-License-Identifier: Apache-2.0
// A line that a client of the local API sends.
#include <nlohmann/json.hpp>

#include "fuzz/fuzz.hpp"
#include "service/request.hpp"

using namespace bpftune;
using Command = service::Request::Command;

namespace {

std::string line_of(const service::Request& request) {
    nlohmann::json line;
    switch (request.command) {
    case Command::top: line["command"] = "top"; break;
    case Command::restore: line = {{"command", "restore"}, {"dry_run", request.dry_run}, {"now", request.now}}; break;
    case Command::record: line["command"] = "record"; break;
    case Command::health: line["command"] = "health"; break;
    case Command::policy:
        line["command"] = "policy";
        if (!request.pod.empty()) line["pod"] = request.pod;
        break;
    }
    return line.dump();
}

} // namespace

void fuzz::run(std::span<const std::byte> bytes) {
    const auto request = service::parse_request(text_of(bytes));
    if (!request) return must(is_printable(request.error().message), "a refusal is safe to print");
    const auto again = service::parse_request(line_of(*request));
    must(again.has_value(), "a request can be said in its own words");
    must(again->command == request->command && again->dry_run == request->dry_run && again->now == request->now &&
             again->pod == request->pod,
         "a request has nothing of another command");
}
