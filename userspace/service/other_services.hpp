// SPDX-License-Identifier: Apache-2.0
// Other services of this kernel, with other state directories: one that has the same waits for the lock (lock.hpp).
// Each takes what the other sets for somebody else's and leaves it; policies may keep them apart. So they are told of,
// and none is refused: whoever could feign one would keep the service from starting.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "core/snapshot.hpp"
#include "sys/presence.hpp"

namespace bpftune::service {

class OtherServices {
public:
    // While the rights of the start are held. Where some are missing, the log says that others are not known.
    void begin(const std::filesystem::path& state_dir);

    // Those that are known of, who begins later too. The log has each once.
    const std::vector<OtherService>& look();

private:
    std::optional<sys::Presence> presence_;
    std::vector<OtherService> others_;
};

} // namespace bpftune::service
