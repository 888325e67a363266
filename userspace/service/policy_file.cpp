// SPDX-License-Identifier: Apache-2.0
#include "service/policy_file.hpp"

#include <array>

#include <sys/inotify.h>
#include <unistd.h>

#include "core/text.hpp"
#include "policy/parse.hpp"
#include "sys/own_files.hpp"

namespace bpftune::service {

Result<policy::Policy> PolicyFile::load() {
    auto text = sys::read_trusted_file(path_);
    const bool is_missing = !text && text.error().code == ENOENT;
    is_refused_ = !text && !is_missing;
    if (is_missing) text_.reset(); // else what is in force is still what was read last
    if (is_missing && !required_) return policy::Policy{};
    if (!text) return std::unexpected(text.error());
    text_ = std::move(*text);
    auto parsed = policy::parse(*text_);
    if (parsed) {
        parsed->file.value = printable(path_.filename().string());
        return std::move(*parsed);
    }
    std::string rendered = policy::render(path_.string(), *text_, parsed.error());
    if (rendered.ends_with('\n')) rendered.pop_back(); // whoever prints it ends its line
    return failure("{}", rendered);
}

int PolicyFile::watch() {
    watch_.reset(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    constexpr std::uint32_t events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_ATTRIB;
    std::error_code ignored;
    const std::filesystem::path real = std::filesystem::weakly_canonical(path_, ignored);
    bool watched = false;
    for (const auto& folder : {path_.parent_path(), real.parent_path()})
        watched |= ::inotify_add_watch(watch_.value(), folder.empty() ? "." : folder.c_str(), events) >= 0;
    if (!watched) watch_.reset();
    return watch_.value();
}

bool PolicyFile::changed() {
    std::array<char, 4096> buffer{};
    while (::read(watch_.value(), buffer.data(), buffer.size()) > 0) {
    }
    const auto text = sys::read_trusted_file(path_);
    if (!text) return text.error().code == ENOENT ? text_.has_value() : !is_refused_;
    return is_refused_ || !text_ || *text != *text_;
}

std::string PolicyFile::place_of(std::string_view name) const {
    const std::string place = text_ ? policy::place_of(*text_, name) : std::string();
    return printable(path_.string()) + (place.empty() ? "" : ":" + place);
}

} // namespace bpftune::service
