// SPDX-License-Identifier: Apache-2.0
// The effective policy: what is allowed, every default filled in. docs/policy.md describes the file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/match.hpp"
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

// Said of a policy, and no part of what it allows: any is equal to any other.
template <class T> struct Aside {
    T value{};

    bool operator==(const Aside&) const { return true; }
};

// What an entry of `pods` says of those whom it matches. It only lowers what spec grants.
struct PodRule {
    Match match;
    Mode mode = Mode::automatic;
    std::vector<TunablePolicy> tunables = unnamed(); // by TunableId: those that are named
    Aside<std::size_t> line;                         // of the file, from 1; 0: not of one

    bool operator==(const PodRule&) const = default;
};

// Of a pod: the mode that it wants to be left with. It only lowers what the policy grants, and is observe where it is
// none of observe, recommend and auto.
inline constexpr std::string_view mode_annotation = "bpftune-k8s.io/mode";

// Who may have how much of what spec grants.
struct Grant {
    const PodRule* rule = nullptr;        // the first that matches, or of which that can't be told; nullptr: none
    Unknown unknown = Unknown::nothing;   // why it can't be told: then nothing is granted
    std::optional<std::string> annotated; // what the pod says of itself, if anything
    std::optional<std::uint32_t> unnamed; // who made its user namespace: no entry names it, and nothing is granted
    const Grant* other = nullptr;         // of who else has a hand on it, and has none: the lower of both counts

    [[nodiscard]] Mode mode() const;   // the most
    [[nodiscard]] Grant alone() const; // without the other
    // Whether what holds it back is news to who wrote policy and pod: it can't be told, no entry names what needs one,
    // or the annotation is no mode.
    // Alone, as the next.
    [[nodiscard]] bool is_in_doubt() const;
    [[nodiscard]] const PodRule* told() const { return unknown == Unknown::nothing ? rule : nullptr; }
};

struct Policy;

// Where an entry stands: "policy.yaml:12".
std::string place_of(const Policy& policy, const PodRule& rule);

// What leaves less than spec to one alone, in words that go on after "; ": "held by policy.yaml:12". Empty: nothing
// does.
std::string held_by(const Policy& policy, const Grant& grant);

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
    Labels labels;           // of the policy itself
    Aside<std::string> file; // its name without the folder; empty: it is from none
    Mode mode = Mode::observe;
    OnExit on_exit = OnExit::keep;
    OnConflict on_conflict = OnConflict::yield;
    double memory_budget_ratio = 0.02;                // of the node's memory, 0 to 1
    std::optional<std::uint64_t> memory_budget_bytes; // if the file gives an absolute size instead
    double tenant_share = 0.1;                        // of that budget, for each tenant's raises, 0 to 1
    std::uint64_t max_series = 1000;                  // of /metrics
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

    // Whether it may be raised at all: where it is not named, only as far as needs no name (Tunable::opt_in_where).
    [[nodiscard]] bool allows(TunableId id, bool within_asked) const;

    // The most that any raise of it has: what only follows another one, without a min of its own, has no more than
    // that.
    [[nodiscard]] Mode most_of(TunableId id) const;

    // It points into this policy.
    [[nodiscard]] Grant grant_for(const Subject& subject) const;

    // The same as above for who has no more than that.
    [[nodiscard]] Mode mode_of(TunableId id, const Grant& grant) const;
    [[nodiscard]] TunablePolicy of(TunableId id, const Grant& grant) const;

    // Of both in `grant`, the one that leaves less of the tunable's mode, or, with that of its max, alone.
    [[nodiscard]] Grant lower_mode(TunableId id, const Grant& grant) const;
    [[nodiscard]] Grant lower_max(TunableId id, const Grant& grant) const;

    // For all raises together: no more than the node has. `memory_bytes`: the node's; 0: unknown.
    [[nodiscard]] std::uint64_t budget_bytes(std::uint64_t memory_bytes) const;
    // The part of it for those of one tenant.
    [[nodiscard]] std::uint64_t share_bytes(std::uint64_t memory_bytes) const;
};

} // namespace bpftune::policy
