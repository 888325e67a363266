// SPDX-License-Identifier: Apache-2.0
#include "actuators/serve.hpp"

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include "actuators/nudge.hpp"
#include "actuators/object.hpp"
#include "sys/module_types.hpp"
#include "sys/process_links.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"

namespace bpftune::actuators {
namespace {

Answer read(const tunables::Tunable& tunable, const Scope& scope) {
    const auto value = read_object(tunable, scope);
    if (value) return answer(Outcome::Kind::written, *value, 0, {});
    return refusal(value.error());
}

Answer in_use(const tunables::Tunable& tunable, const Scope& scope) {
    const auto use = use_of_object(tunable, scope);
    if (use) return answer(Outcome::Kind::written, *use, 0, {});
    return refusal(use.error());
}

Answer write(const tunables::Tunable& tunable, const Request& request) {
    const auto [from, to] = std::pair(request.from, request.to);
    if (to < tunable.kernel_min || to > tunable.kernel_max)
        return refusal({fmt::format("{}: {} is not within {} and {}", tunable.name, tunables::text_of(tunable, to),
                                    tunables::text_of(tunable, tunable.kernel_min),
                                    tunables::text_of(tunable, tunable.kernel_max)),
                        ERANGE});
    const Scope scope = scope_of(request);
    const Outcome outcome = request.operation == Operation::lower ? lower_object(tunable, scope, from, to)
                                                                  : write_object(tunable, scope, from, to);
    return answer(outcome.kind, outcome.value, 0, outcome.error);
}

Answer visit(const Request& request, Passed& passed) {
    if (request.netlink > sys::Netlink::netfilter)
        return refusal({fmt::format("netlink socket {} is none of the writer's", std::to_underlying(request.netlink))});
    const auto path_size = std::min<std::size_t>(request.netns_path_size, request.netns_path.size());
    auto visit = sys::visit_netns({.cookie = request.netns_cookie, .inode = request.netns_inode},
                                  {.pid = request.netns_pid, .path = {request.netns_path.data(), path_size}},
                                  {.socket = request.netlink,
                                   .counters = request.counters != 0,
                                   .timeouts = request.timeouts != 0,
                                   .devices = request.devices != 0});
    if (!visit) return refusal(visit.error());
    for (sys::Fd* fd : {&visit->socket, &visit->netstat, &visit->sockstat, &visit->counts, &visit->sysfs})
        if (*fd) passed.push_back(std::move(*fd));
    Answer done = answer(Outcome::Kind::written, 0, 0, {});
    done.netns_cookie = visit->id.cookie;
    done.sysctls = visit->sysctls;
    done.in_user_ns = visit->user_ns_owner ? 1 : 0;
    done.user_ns_owner = visit->user_ns_owner.value_or(0);
    done.has_timeouts = visit->timeouts ? 1 : 0;
    done.timeouts = visit->timeouts.value_or(sys::ConntrackTimeouts{});
    return done;
}

Answer conntrack_types(Passed& passed) {
    auto types = sys::conntrack_types();
    if (!types) return refusal(types.error());
    passed.push_back(std::move(*types));
    return answer(Outcome::Kind::written, 0, 0, {});
}

Answer nudged(const Request& request) {
    const auto done = nudge(scope_of(request), request.nudge_link);
    return done ? answer(Outcome::Kind::written, 0, 0, {}) : refusal(done.error());
}

std::span<const std::int32_t> asked(const Request& request) {
    return std::span(request.asked).first(std::min<std::size_t>(request.asked_count, most_asked));
}

Answer told(std::span<const sys::LinkTarget> targets) {
    Answer done = answer(Outcome::Kind::written, 0, 0, {});
    done.found_count = static_cast<std::uint32_t>(std::min(targets.size(), done.found.size()));
    std::ranges::copy(targets.first(done.found_count), done.found.begin());
    return done;
}

Answer sockets(const Request& request) {
    const auto open = sys::sockets_of(request.listener_pid, request.listener_fd);
    if (!open) return refusal(open.error());
    Answer done = told(open->sockets);
    done.looked_at = static_cast<std::uint32_t>(open->looked_at);
    done.next = open->next.value_or(-1);
    return done;
}

bool is_about_socket(const Request& request) {
    return request.tunable < tunables::catalog().size() && is_of_socket(tunables::catalog()[request.tunable].id);
}

} // namespace

Answer serve_tunable(const Request& request) {
    if (request.tunable >= tunables::catalog().size())
        return refusal({fmt::format("tunable {} is not in the catalog", request.tunable)});
    const tunables::Tunable& tunable = tunables::catalog()[request.tunable];
    if (request.operation == Operation::read) return read(tunable, scope_of(request));
    if (request.operation == Operation::in_use) return in_use(tunable, scope_of(request));
    return write(tunable, request);
}

Answer serve_apart(const Request& request) {
    if (request.operation == Operation::sockets) return sockets(request);
    if (request.operation == Operation::descriptors)
        return told(sys::descriptors_of(request.listener_pid, asked(request)));
    return serve_tunable(request);
}

Answer serve(const Request& request, std::size_t size, const Serve& apart, Passed& passed) {
    if (size != sizeof request || request.version != protocol_version)
        return refusal(
            {fmt::format("a request of {} bytes, version {}, is none of the writer's", size, request.version)});
    switch (request.operation) {
    case Operation::read:
    case Operation::write:
    case Operation::lower:
    case Operation::in_use: return is_about_socket(request) ? apart(request) : serve_tunable(request);
    case Operation::visit: return visit(request, passed);
    case Operation::conntrack_types: return conntrack_types(passed);
    case Operation::nudge: return nudged(request);
    case Operation::namespaces: return told(sys::namespaces_of(asked(request)));
    case Operation::descriptors:
    case Operation::sockets: return apart(request);
    }
    return refusal({fmt::format("operation {} is none of the writer's", static_cast<unsigned>(request.operation))});
}

} // namespace bpftune::actuators
