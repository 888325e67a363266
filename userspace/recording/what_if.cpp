// SPDX-License-Identifier: Apache-2.0
#include "recording/what_if.hpp"

#include <optional>

#include "controller/resource.hpp"

namespace bpftune::recording {
namespace {

// The recorded value of an object, where the snapshot has read it after `since`.
std::optional<std::uint64_t> recorded_value(const controller::Readings& readings, const ObjectKey& object,
                                            MonoTime since) {
    const controller::Reading* reading = readings.find(object);
    return reading != nullptr && reading->read > since ? reading->value : std::nullopt;
}

} // namespace

WhatIf::Value& WhatIf::value_of(const Decision& decision, MonoTime now) {
    const ObjectKey object = key_of(decision.tunable, decision.scope);
    Value& value = values_.try_emplace(object, decision.from, decision.from).first->second;
    value.since = now;
    return value;
}

void WhatIf::live_wrote(const Decision& decision, MonoTime now) { value_of(decision, now).recorded = decision.to; }

void WhatIf::replay_wrote(const Decision& decision, MonoTime now) { value_of(decision, now).replayed = decision.to; }

void WhatIf::let_others_through(const Snapshot& recorded) {
    const controller::Readings readings(recorded);
    std::erase_if(values_, [&](const auto& entry) {
        const auto& [object, value] = entry;
        if (value.replayed == value.recorded) return true;
        const auto now = recorded_value(readings, object, value.since);
        return now && *now != value.recorded;
    });
}

const Snapshot* WhatIf::shown(const Snapshot& recorded) {
    if (values_.empty()) return nullptr;
    let_others_through(recorded);
    if (values_.empty()) return nullptr;
    shown_ = recorded;
    const auto value_of = [this](const ObjectKey& object) {
        const auto found = values_.find(object);
        return found == values_.end() ? std::nullopt : std::optional(found->second.replayed);
    };
    for (const controller::Resource& resource : controller::resources()) resource.show(value_of, shown_);
    return &shown_;
}

} // namespace bpftune::recording
