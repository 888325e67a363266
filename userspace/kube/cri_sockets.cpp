// SPDX-License-Identifier: Apache-2.0
#include "kube/cri_sockets.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>

#include <sys/stat.h>

#include "core/text.hpp"

namespace bpftune::kube {

CriSockets::Answer CriSockets::answer_of(const Listing& listing) {
    return std::ranges::any_of(listing.sandboxes, &Sandbox::ready) ? Answer::pods : Answer::no_pods;
}

std::optional<CriSockets::Identity> CriSockets::identity_of(const Path& socket) {
    struct stat about{};
    if (::stat(socket.c_str(), &about) != 0) return std::nullopt;
    const auto changed = std::chrono::seconds(about.st_ctim.tv_sec) + std::chrono::nanoseconds(about.st_ctim.tv_nsec);
    return Identity{.device = about.st_dev, .inode = about.st_ino, .changed_ns = changed.count()};
}

void CriSockets::note(const Path& socket, Answer answer) {
    const auto file = identity_of(socket);
    if (file)
        heard_.insert_or_assign(socket, Heard{.file = *file, .answer = answer});
    else
        heard_.erase(socket);
}

std::vector<CriSockets::Path> CriSockets::there() const {
    std::vector<Path> there;
    std::ranges::copy_if(paths_, std::back_inserter(there),
                         [](const Path& path) { return identity_of(path).has_value(); });
    return there;
}

std::string CriSockets::names() const {
    std::string text;
    for (const Path& path : paths_) text += (text.empty() ? "" : ", ") + printable(path.native());
    return text;
}

const CriSockets::Heard* CriSockets::heard_of(const Path& socket) const {
    const auto heard = heard_.find(socket);
    return heard == heard_.end() || heard->second.file != identity_of(socket) ? nullptr : &heard->second;
}

CriSockets::Answer CriSockets::answer_of(const Path& socket) const {
    const Heard* heard = heard_of(socket);
    return heard == nullptr ? Answer::none : heard->answer;
}

bool CriSockets::is_better(const Path& one, const Path& other) const {
    return std::ranges::find(paths_, one) < std::ranges::find(paths_, other);
}

std::vector<CriSockets::Path> CriSockets::others_to_ask(const Path& used) const {
    const bool has_pods = answer_of(used) == Answer::pods;
    std::vector<Path> others = there();
    std::erase_if(others, [&](const Path& path) {
        return path == used || answer_of(path) == Answer::no_runtime || (has_pods && !is_better(path, used));
    });
    return others;
}

bool CriSockets::has_another_come(const Path& used) const {
    return std::ranges::any_of(others_to_ask(used), [&](const Path& path) { return heard_of(path) == nullptr; });
}

bool CriSockets::is_preferred(const Path& other, const Path& used) const {
    const Answer answer = answer_of(other);
    if (answer_of(used) == Answer::pods) return answer == Answer::pods && is_better(other, used);
    return answer == Answer::pods || (answer == Answer::no_pods && is_better(other, used));
}

CriSockets::Path CriSockets::after(const Path& failed) const {
    const std::vector<Path> others = there();
    const auto next = std::ranges::find_if(others, [&](const Path& path) { return is_better(failed, path); });
    return next != others.end() ? *next : others.empty() ? Path() : others.front();
}

bool CriSockets::may_another_know(const Path& used) const {
    if (!used.empty() && answer_of(used) == Answer::pods) return false;
    return std::ranges::any_of(there(),
                               [&](const Path& path) { return path != used && answer_of(path) == Answer::none; });
}

} // namespace bpftune::kube
