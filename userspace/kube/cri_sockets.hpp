// SPDX-License-Identifier: Apache-2.0
// Which of several sockets is the kubelet's runtime. More than one may be there: containerd beside CRI-O or
// cri-dockerd, idle; and at boot the idle one may be there first.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kube/runtime.hpp"

namespace bpftune::kube {

class CriSockets {
public:
    using Path = std::filesystem::path;

    // The better one first.
    explicit CriSockets(std::vector<Path> paths) : paths_(std::move(paths)) {}

    enum class Answer {
        none,       // it is refused, late, or not understood: it may be a runtime's that is just starting
        no_runtime, // who serves it knows no CRI
        no_pods,    // no sandbox is ready
        pods,
    };
    static Answer answer_of(const Listing& listing);
    // What this one has answered just now.
    void note(const Path& socket, Answer answer);

    [[nodiscard]] std::vector<Path> there() const;
    [[nodiscard]] std::string names() const; // of all, printable

    // Those that may take the place of this one, in their order: better ones; where this one has no pods, all others.
    [[nodiscard]] std::vector<Path> others_to_ask(const Path& used) const;
    // Whether one of these has come to be there since it was asked.
    [[nodiscard]] bool has_another_come(const Path& used) const;
    // Whether `other` does, by its last answer.
    [[nodiscard]] bool is_preferred(const Path& other, const Path& used) const;
    // The one to try after this one has failed; empty: none is there.
    [[nodiscard]] Path after(const Path& failed) const;

    // Whether a runtime that has not answered may know the pods that `used` does not list. Empty: none is used.
    [[nodiscard]] bool may_another_know(const Path& used) const;

private:
    // Of a file: a restarted runtime makes another one.
    struct Identity {
        std::uint64_t device = 0;
        std::uint64_t inode = 0;
        std::int64_t changed_ns = 0;

        bool operator==(const Identity&) const = default;
    };
    struct Heard {
        Identity file;
        Answer answer = Answer::none;
    };
    static std::optional<Identity> identity_of(const Path& socket);
    [[nodiscard]] const Heard* heard_of(const Path& socket) const; // nullptr: nothing, of the file that is there now
    [[nodiscard]] Answer answer_of(const Path& socket) const;
    [[nodiscard]] bool is_better(const Path& one, const Path& other) const;

    std::vector<Path> paths_;
    std::map<Path, Heard> heard_;
};

} // namespace bpftune::kube
