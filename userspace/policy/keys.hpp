// SPDX-License-Identifier: Apache-2.0
// The keys of a policy file, once: what `parse` takes, what its hints offer, what `schema` describes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace bpftune::policy {

enum class Kind {
    choice,      // one of `choices`
    name,        // RFC 1123 label
    budget,      // "2%" or "512MiB"
    percentage,  // "10%"
    count,       // whole number, in the range of its tunable
    number,      // whole number, `least` to `most`
    duration,    // "24h", or `never`
    map,         // of `keys`
    tunables,    // map from names of the tunables' catalog to maps of `keys`
    list,        // of maps of `keys`
    pattern,     // fnmatch(3) of a name
    sysctls,     // map from names of sysctls below net to their values
    labels,      // map from names of Kubernetes labels to their values
    annotations, // the same, of annotations, whose values are any text without control characters
};

struct Key {
    std::string_view name;
    Kind kind;
    std::string_view help; // one sentence
    bool required = false;
    std::string_view example;  // of a required key that has no choices
    std::string_view fallback; // what holds without the key; empty: nothing, or it depends on the tunable
    std::span<const std::string_view> choices;
    std::span<const Key> keys;
    std::string_view letters; // of a pattern, what its names are made of; empty: all but "/"
    std::uint64_t least = 0;  // of a number
    std::uint64_t most = 0;
};

inline constexpr std::uint64_t most_budget_bytes = std::uint64_t{1} << 52; // 4 PiB: what x86-64 can address
inline constexpr std::uint64_t largest_file_bytes = 1 << 20;               // what a ConfigMap holds at most

inline constexpr std::array<std::string_view, 1> api_versions{"bpftune-k8s.io/v1alpha1"};
inline constexpr std::array<std::string_view, 1> kinds{"NodeTuningPolicy"};
inline constexpr std::array<std::string_view, 3> modes{"observe", "recommend", "auto"};
inline constexpr std::array<std::string_view, 2> exits{"keep", "restore"};
inline constexpr std::array<std::string_view, 2> conflicts{"yield", "reassert"};
inline constexpr std::array<std::string_view, 3> qos_classes{"BestEffort", "Burstable", "Guaranteed"}; // as QosClass
inline constexpr std::string_view never = "never"; // in place of a duration

inline constexpr std::array tunable_keys{
    Key{.name = "min", .kind = Kind::count, .help = "A value found below it is raised to it."},
    Key{.name = "max", .kind = Kind::count, .help = "No raise goes past it; a value found above it is left alone."},
    Key{.name = "mode",
        .kind = Kind::choice,
        .help = "The lower of this and spec.mode counts.",
        .fallback = "auto",
        .choices = modes},
    Key{.name = "shrinkAfter",
        .kind = Kind::duration,
        .help =
            "After a quiet period of this length half of a raise that is not needed is given back; never: it stays."},
};

// Each is read at every tick, and BPF watches 64 names at most, the tunables' among them.
inline constexpr std::size_t most_expected = 32;
inline constexpr std::size_t longest_sysctl = 128; // bytes, of a name as of a value

inline constexpr std::size_t longest_pattern = 255; // so long is a file's name at most, and a unit's
inline constexpr std::string_view namespace_letters = "abcdefghijklmnopqrstuvwxyz0123456789-";
inline constexpr std::string_view unit_letters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"; // systemd.unit(5)

// Each is compared with each namespace and pod, in every step.
inline constexpr std::size_t most_entries = 256;
inline constexpr std::size_t most_labels = 64;         // of one map
inline constexpr std::size_t longest_label = 63;       // of its name without the prefix, and of its value
inline constexpr std::size_t longest_prefix = 253;     // "app.kubernetes.io", before the slash
inline constexpr std::size_t longest_annotation = 256; // bytes, of its value: a longer one of a pod is never equal

// No min: an entry only lowers what spec grants.
inline constexpr std::array pod_tunable_keys{
    Key{.name = "max", .kind = Kind::count, .help = "The lower of this and that of spec.tunables counts."},
    Key{.name = "mode",
        .kind = Kind::choice,
        .help = "The lowest of this, the entry's mode and those of spec counts.",
        .fallback = "auto",
        .choices = modes},
    Key{.name = "shrinkAfter", .kind = Kind::duration, .help = "The shorter of this and that of spec.tunables counts."},
};

inline constexpr std::array match_keys{
    Key{.name = "namespace",
        .kind = Kind::pattern,
        .help = "The pod's namespace: * is any text, ? any letter.",
        .example = "payments",
        .letters = namespace_letters},
    Key{.name = "labels",
        .kind = Kind::labels,
        .help = "Labels that the pod has, each with this very value, as they were when it was made.",
        .example = "app: web"},
    Key{.name = "annotations",
        .kind = Kind::annotations,
        .help = "Annotations that the pod has, each with this very value, as they were when it was made.",
        .example = "example.com/tuned: yes"},
    Key{.name = "qos", .kind = Kind::choice, .help = "The pod's class of service.", .choices = qos_classes},
    Key{.name = "netns",
        .kind = Kind::pattern,
        .help = "The name of the file that a network namespace is bound to (`ip netns`), which is no pod's: * is any "
                "text, ? any letter.",
        .example = "lab-1"},
    Key{.name = "unit",
        .kind = Kind::pattern,
        .help = "The systemd unit of what is no pod: * is any text, ? any letter.",
        .example = "nginx.service",
        .letters = unit_letters},
};

inline constexpr std::array pod_keys{
    Key{.name = "match",
        .kind = Kind::map,
        .help = "What the entry is about: all that is named has to be so. {}: all the rest, the node's own namespace "
                "too.",
        .required = true,
        .example = "{namespace: payments}",
        .keys = match_keys},
    Key{.name = "mode",
        .kind = Kind::choice,
        .help = "The lower of this and spec.mode counts.",
        .fallback = "auto",
        .choices = modes},
    Key{.name = "tunables",
        .kind = Kind::tunables,
        .help = "Bounds by tunable, which only lower those of spec.",
        .keys = pod_tunable_keys},
};

// What is not of pods takes some 500 of them on a node of 32 CPUs or more, and up to 900 where each tunable has had a
// change in each state (a test adds that up).
inline constexpr std::uint64_t fewest_series = 1000;
inline constexpr std::uint64_t most_series = 100'000;

inline constexpr std::array metrics_keys{
    Key{.name = "maxSeries",
        .kind = Kind::number,
        .help = "Series that /metrics has at most: pods beyond that share the series of one pod called other.",
        .example = "1000",
        .fallback = "1000",
        .least = fewest_series,
        .most = most_series},
};

inline constexpr std::array metadata_keys{
    Key{.name = "name",
        .kind = Kind::name,
        .help = "What the policy is called in logs and in top.",
        .required = true,
        .example = "web-nodes"},
    Key{.name = "labels",
        .kind = Kind::labels,
        .help = "Labels of the policy itself, which decide nothing.",
        .example = "team: web"},
};

inline constexpr std::array spec_keys{
    Key{.name = "mode",
        .kind = Kind::choice,
        .help = "observe: show. recommend: also say what would be changed. auto: change it.",
        .fallback = "observe",
        .choices = modes},
    Key{.name = "onExit",
        .kind = Kind::choice,
        .help = "keep: the next start adopts the changed values. restore: a normal stop puts the originals back.",
        .fallback = "keep",
        .choices = exits},
    Key{.name = "onConflict",
        .kind = Kind::choice,
        .help = "yield: what someone else has set since our write is left alone. reassert: what they set lower is put "
                "back, at most three times an hour.",
        .fallback = "yield",
        .choices = conflicts},
    Key{.name = "memoryBudget",
        .kind = Kind::budget,
        .help = "Memory that all raises together may take, by the use they expect: a part of the node's, or a size.",
        .fallback = "2%"},
    Key{.name = "tenantShare",
        .kind = Kind::percentage,
        .help =
            "The part of memoryBudget that the raises of one tenant may take: of a pod, else of a user's or a unit's "
            "network namespaces. Its first raise may take more.",
        .fallback = "10%"},
    Key{.name = "tunables",
        .kind = Kind::tunables,
        .help = "Bounds by tunable. One that is not named keeps the defaults; some must be named to be changed at all.",
        .keys = tunable_keys},
    Key{.name = "expect",
        .kind = Kind::sysctls,
        .help = "What sysctls of the node's own network namespace are to be: watched, never written. Another value is "
                "an alarm."},
    Key{.name = "metrics", .kind = Kind::map, .help = "How much the service tells of itself.", .keys = metrics_keys},
    Key{.name = "pods",
        .kind = Kind::list,
        .help = "What is allowed to some pods, units and network namespaces only: the first entry that matches counts. "
                "What matches none follows spec.",
        .keys = pod_keys},
};

inline constexpr std::array file_keys{
    Key{.name = "apiVersion",
        .kind = Kind::choice,
        .help = "Version of this format.",
        .required = true,
        .choices = api_versions},
    Key{.name = "kind", .kind = Kind::choice, .help = "What this file is.", .required = true, .choices = kinds},
    Key{.name = "metadata",
        .kind = Kind::map,
        .help = "How the policy is called.",
        .required = true,
        .example = "{name: web-nodes}",
        .keys = metadata_keys},
    Key{.name = "spec",
        .kind = Kind::map,
        .help = "What is allowed on the node.",
        .required = true,
        .example = "{mode: observe}",
        .keys = spec_keys},
};

} // namespace bpftune::policy
