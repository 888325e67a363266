// SPDX-License-Identifier: Apache-2.0
#include "service/other_services.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

namespace bpftune::service {
namespace {

void say_blind(const Error& error) {
    spdlog::info("whether another service runs on this kernel is not known: {}", error.message);
}

} // namespace

void OtherServices::begin(const std::filesystem::path& state_dir) {
    std::error_code ignored;
    auto begun = sys::Presence::begin(std::filesystem::absolute(state_dir, ignored).string());
    if (!begun) return say_blind(begun.error());
    presence_ = std::move(*begun);
    if (const auto looked = presence_->look(); !looked) say_blind(looked.error());
}

const std::vector<OtherService>& OtherServices::look() {
    if (!presence_) return others_;
    std::vector<OtherService> others;
    for (const sys::Service& each : presence_->others()) others.push_back({each.pid, each.state_dir});
    for (const OtherService& each : others)
        if (std::ranges::find(others_, each) == others_.end())
            spdlog::warn("another service runs on this kernel: pid {}, state directory {}. Each takes what the other "
                         "sets for somebody else's: stop one of them",
                         each.pid, each.state_dir);
    others_ = std::move(others);
    return others_;
}

} // namespace bpftune::service
