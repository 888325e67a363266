// SPDX-License-Identifier: Apache-2.0
// Pods by hand, at a container runtime's socket: for tests/cri/runtime, and for scripts.
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "kube/cri_connection.hpp"
#include "pods.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

[[noreturn]] void end(const Error& error) {
    fmt::print(stderr, "cri-pods: {}\n", error.message);
    std::exit(1);
}
template <class Value> Value or_end(Result<Value> result) {
    if (!result) end(result.error());
    return std::move(*result);
}
void or_end(const Result<>& result) {
    if (!result) end(result.error());
}

kube::Listing list(const std::string& socket) {
    const auto connection = or_end(kube::CriConnection::open(socket, 0, std::chrono::seconds(60)));
    return or_end(connection->list());
}

void print(const kube::Listing& listing) {
    for (const auto& pod : listing.sandboxes) {
        nlohmann::json line{{"id", pod.id},
                            {"uid", pod.uid},
                            {"namespace", pod.ns},
                            {"name", pod.name},
                            {"ready", pod.ready},
                            {"labels", pod.labels},
                            {"annotations", pod.annotations},
                            {"containers", nlohmann::json::object()}};
        for (const auto& container : listing.containers)
            if (container.sandbox_id == pod.id) line["containers"][container.name] = container.id;
        fmt::print("{}\n", line.dump());
    }
}

// "key=value" each.
std::map<std::string, std::string> to_map(const std::vector<std::string>& words) {
    std::map<std::string, std::string> map;
    for (const auto& word : words) map[word.substr(0, word.find('='))] = word.substr(word.find('=') + 1);
    return map;
}

} // namespace

int main(int count, char** words) {
    CLI::App app("Makes, lists and removes the pods of a container runtime");
    app.require_subcommand(1);
    std::string socket;
    app.add_option("socket", socket)->required();

    app.add_subcommand("list", "one line of JSON for each pod")->callback([&] { print(list(socket)); });

    PodSpec spec;
    std::vector<std::string> labels;
    std::vector<std::string> annotations;
    std::vector<std::string> sysctls;
    std::string command;
    auto& run = *app.add_subcommand("run", "a pod with one container, \"main\"; prints its sandbox's id and address");
    run.add_option("name", spec.name)->required();
    run.add_option("--namespace", spec.ns);
    run.add_option("--uid", spec.uid)->required();
    run.add_option("--label", labels, "KEY=VALUE");
    run.add_option("--annotation", annotations, "KEY=VALUE");
    run.add_option("--sysctl", sysctls, "KEY=VALUE");
    run.add_flag("--host-network", spec.host_network);
    run.add_option("--command", command, "for /bin/sh, instead of sleeping");
    run.callback([&] {
        spec.labels = to_map(labels);
        spec.annotations = to_map(annotations);
        spec.sysctls = to_map(sysctls);
        spec.containers = {{.name = "main"}};
        if (!command.empty()) spec.containers[0].command = {"/bin/sh", "-c", command};
        const Pod pod = or_end(Pods(socket).run(spec));
        fmt::print("{} {}\n", pod.sandbox, pod.address);
    });

    std::string id;
    auto& remove = *app.add_subcommand("remove", "a sandbox with its containers");
    remove.add_option("id", id)->required();
    remove.callback([&] { or_end(Pods(socket).remove(id)); });

    app.add_subcommand("remove-all", "every sandbox of this runtime")->callback([&] {
        Pods pods(socket);
        for (const auto& pod : list(socket).sandboxes) or_end(pods.remove(pod.id));
    });
    CLI11_PARSE(app, count, words);
    return 0;
}
