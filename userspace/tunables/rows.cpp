// SPDX-License-Identifier: Apache-2.0
#include "tunables/rows.hpp"

#include <vector>

namespace bpftune::tunables {

std::span<const Tunable> catalog() {
    static const std::vector<Tunable> rows = [] {
        std::vector<Tunable> all;
        for (const auto& of_resource :
             {accept_queue_rows(), conntrack_rows(), tcp_buffer_rows(), udp_buffer_rows(), backlog_rows(), port_rows(),
              neighbour_rows(), fragment_rows(), socket_size_rows(), tw_reuse_rows(), congestion_rows(),
              socket_memory_rows(), fast_open_rows(), conntrack_timeout_rows(), steering_rows(), interrupt_rows()})
            all.insert(all.end(), of_resource.begin(), of_resource.end());
        return all;
    }();
    return rows;
}

} // namespace bpftune::tunables
