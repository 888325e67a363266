// SPDX-License-Identifier: Apache-2.0
#include "service/pod_names.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/text.hpp"
#include "service/survey.hpp"
#include "sys/clock.hpp"

namespace bpftune::service {
namespace {

constexpr auto claims = "; what is in a cgroup that is called as a pod's, where the kubelet is not known to choose the "
                        "names, is left alone";
constexpr auto no_runtime = "no container runtime is asked (--cri-socket none)";

std::optional<kube::CriClient::Options> runtime_at(const std::string& socket) {
    if (socket == "none") return std::nullopt;
    kube::CriClient::Options options;
    if (!socket.empty()) options.sockets = {socket};
    return options;
}

} // namespace

PodNames::PodNames(sys::ProcessLooks looks)
    : owners_(kube::processes_of(std::move(looks)), kube::Pods(kube::PodLogs(), [this] {
                  if (client_) client_->ask();
              })) {}

Result<> PodNames::ask_runtime_at(const std::string& socket) {
    auto options = runtime_at(socket);
    if (!options) return {};
    auto client = kube::CriClient::start(std::move(*options));
    if (!client) return with_context(client.error(), "container runtime");
    client_ = std::move(*client);
    is_named_ = !socket.empty();
    return {};
}

void PodNames::take() {
    known_ = client_->take();
    owners_.take(known_.listing, is_awaited(known_, is_named_));
}

void PodNames::name(Snapshot& snapshot) {
    if (client_) take();
    owners_.name(snapshot, sys::now().mono);
}

std::optional<std::string> PodNames::news() {
    const bool has_been_heard = known_.state.connected || !known_.state.error.empty();
    if (!client_ || !has_been_heard) return std::nullopt;
    std::string words = in_words(known_);
    if (owners_.has_met_claims()) words += claims;
    if (words == told_) return std::nullopt;
    told_ = words;
    return words;
}

// Who was known once stays known: a runtime that has gone still names pods.
views::NamedBy PodNames::named_by() const {
    const auto runtime = known_.listing ? Result<>() : failure("{}", client_ ? in_words(known_) : no_runtime);
    for (const PodsStep& step : survey_pods(runtime))
        if (step.taken) return {std::string(to_string(step.source)), runtime ? "" : runtime.error().message};
    return {"none", runtime ? "" : runtime.error().message};
}

std::string in_words(const kube::CriClient::Known& known) {
    const kube::CriState& state = known.state;
    if (!state.error.empty())
        return state.error + (known.listing ? ": what it told before is still taken for true" : "");
    if (!known.listing) return "it has not answered yet";
    std::string words = fmt::format("{} at {}", known.listing->runtime, printable(state.socket.native()));
    if (const std::string left_out = to_string(known.listing->left_out); !left_out.empty())
        words += fmt::format("; left out: {}", left_out);
    if (state.unheard) words += "; another runtime's socket is there and has not answered, and this one has no pods";
    return words;
}

bool is_awaited(const kube::CriClient::Known& known, bool is_named) {
    const kube::CriState& state = known.state;
    if (state.connected) return state.unheard;
    const bool has_been_tried = !state.error.empty();
    return is_named || !has_been_tried || known.listing != nullptr || state.unheard;
}

bool waits_for_names(const Snapshot& snapshot) {
    return std::ranges::any_of(snapshot.netns_names, &NetnsNames::is_owner_unknown) ||
           std::ranges::any_of(snapshot.listeners, &Listener::is_owner_unknown);
}

Result<> check_runtime_at(const std::string& socket) {
    const auto options = runtime_at(socket);
    return options ? kube::check_runtime(*options) : failure("{}", no_runtime);
}

} // namespace bpftune::service
