// SPDX-License-Identifier: Apache-2.0
// What the node's container runtime knows of its pods: plain values. All text is printable (core/text.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bpftune::kube {

// A pod's sandbox: what its containers share, the network namespace among it. A pod that was restarted as a whole has
// more than one, of which one is ready.
struct Sandbox {
    std::string id;
    std::string uid; // the pod's
    std::string ns;  // the pod's Kubernetes namespace
    std::string name;
    bool ready = false;
    std::int64_t created_ns = 0;               // since the epoch, by the runtime's clock
    std::map<std::string, std::string> labels; // these two as they were when the sandbox was made
    std::map<std::string, std::string> annotations;
    std::size_t entries_left_out = 0; // of both: too long, or too many
    bool is_incomplete = false;       // too many: one that is not there may be among those that were left out

    bool operator==(const Sandbox&) const = default;
};

struct Container {
    std::string id;
    std::string sandbox_id;
    std::string name; // as in the pod's spec
    bool running = false;

    bool operator==(const Container&) const = default;
};

// Bounds of one listing; what is beyond them is counted in `LeftOut`.
inline constexpr std::size_t most_sandboxes = 4096;     // ready ones before others
inline constexpr std::size_t most_containers = 16384;   // running ones before others
inline constexpr std::size_t longest_name_bytes = 253;  // of a pod or container; Kubernetes takes no longer one
inline constexpr std::size_t longest_key_bytes = 317;   // 253 of a prefix, "/", 63
inline constexpr std::size_t longest_value_bytes = 256; // no label is longer; annotations may be
inline constexpr std::size_t most_entries = 64;         // labels of a sandbox; and as many annotations
inline constexpr std::size_t most_text_bytes = std::size_t{8} << 20; // labels and annotations of all ready sandboxes

struct LeftOut {
    std::size_t sandboxes = 0;
    std::size_t containers = 0;
    std::size_t entries = 0; // labels and annotations

    bool operator==(const LeftOut&) const = default;
};

// "2 sandboxes, 1 label or annotation"; empty: nothing was.
std::string to_string(const LeftOut& left_out);

struct Listing {
    std::string runtime;               // "containerd 1.6.20"
    std::vector<Sandbox> sandboxes;    // by id
    std::vector<Container> containers; // by id
    LeftOut left_out;

    bool operator==(const Listing&) const = default;
};

} // namespace bpftune::kube
