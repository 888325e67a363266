// SPDX-License-Identifier: Apache-2.0
// The effective policy: what is allowed, every default filled in. docs/policy.md describes the file.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tunables/catalog.hpp"

namespace bpftune::policy {

// Ordered: what counts is the lowest of those that apply.
enum class Mode { observe, recommend, automatic };
std::string_view to_string(Mode mode); // automatic: "auto"
std::optional<Mode> mode(std::string_view text);

enum class OnExit {
    keep,    // the next start adopts, `restore` undoes
    restore, // put every original back
};
std::string_view to_string(OnExit on_exit);

enum class OnConflict {
    yield,    // what someone else has set since our write is theirs
    reassert, // what they set below ours is put back, a few times an hour
};
std::string_view to_string(OnConflict on_conflict);

struct TunablePolicy {
    bool named = false;                      // allowed at all: the file names it, or the catalog asks for no opt-in
    Mode mode = Mode::automatic;             // before the lowest is taken with spec.mode
    std::optional<std::uint64_t> min;        // a value below it is raised to it
    std::uint64_t max = 0;                   // no raise goes past it
    std::optional<Nanoseconds> shrink_after; // a calm of this length gives back; nullopt: never

    bool operator==(const TunablePolicy&) const = default;
};

// One for each row of the catalog.
std::vector<TunablePolicy> unnamed();

// What an entry of `pods` says of the network namespaces that it matches. It only lowers what spec grants.
struct PodRule {
    std::optional<std::string> netns; // fnmatch(3) of a bound name; nullopt: every namespace
    Mode mode = Mode::automatic;
    std::vector<TunablePolicy> tunables = unnamed(); // by TunableId: those that are named

    bool operator==(const PodRule&) const = default;
};

// Below /proc/sys; as sysctl(8) takes names, of "." and "/" the one that comes first separates, and the other one is a
// part of the names: "net.ipv4.conf.eth0/5.forwarding". nullopt: no name of a sysctl below net.
std::optional<std::string> sysctl_path(std::string_view name);

// Another name of the same value; empty: there is none.
std::string_view other_name(std::string_view path);

// A sysctl of the node's own network namespace that is watched and never written.
struct Expectation {
    std::string name;  // as in the file: "net.ipv4.ip_forward"
    std::string path;  // below /proc/sys: "net/ipv4/ip_forward"
    std::string value; // one blank between words

    bool operator==(const Expectation&) const = default;
};

struct Policy {
    std::string name = "default";
    Mode mode = Mode::observe;
    OnExit on_exit = OnExit::keep;
    OnConflict on_conflict = OnConflict::yield;
    double memory_budget_ratio = 0.02;                // of the node's memory, 0 to 1
    std::optional<std::uint64_t> memory_budget_bytes; // if the file gives an absolute size instead
    std::vector<TunablePolicy> tunables = unnamed();  // by TunableId
    std::vector<PodRule> pods;                        // the first that matches counts
    std::vector<Expectation> expect;                  // in the order of the file

    Policy(); // the catalog's bounds; nothing opted in; observe

    bool operator==(const Policy&) const = default;

    [[nodiscard]] const TunablePolicy& of(TunableId id) const { return tunables[static_cast<std::size_t>(id)]; }
    [[nodiscard]] TunablePolicy& of(TunableId id) { return tunables[static_cast<std::size_t>(id)]; }

    // The lowest of spec.mode and the tunable's; observe for an opt-in tunable that is not named.
    [[nodiscard]] Mode mode_of(TunableId id) const;

    // The same of what an application asked for: where the tunable is not named, that of the one that bounds it.
    [[nodiscard]] Mode mode_within_asked(TunableId id) const;

    // The entry for a network namespace that is bound under these names; nullptr: none, spec alone counts.
    [[nodiscard]] const PodRule* rule_for(std::span<const std::string> bound_names) const;

    // The same as above where `rule` applies, if there is one.
    [[nodiscard]] Mode mode_of(TunableId id, const PodRule* rule) const;
    [[nodiscard]] TunablePolicy of(TunableId id, const PodRule* rule) const;

    // For all raises together. `memory_bytes`: the node's.
    [[nodiscard]] std::uint64_t budget_bytes(std::uint64_t memory_bytes) const;
};

} // namespace bpftune::policy
