// SPDX-License-Identifier: Apache-2.0
#include "sys/files.hpp"

#include <array>

#include <fcntl.h>
#include <unistd.h>

#include "core/parse.hpp"

namespace bpftune::sys {

Result<std::string> read_file(const std::filesystem::path& path, std::size_t largest) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return system_failure(errno, "open {}", path.string());
    auto text = read_all(file, largest);
    if (!text) return with_context(text.error(), "read {}", path.string());
    return text;
}

Result<std::string> read_all(const Fd& file, std::size_t largest) {
    if (::lseek(file.value(), 0, SEEK_SET) < 0 && errno != ESPIPE) return system_failure(errno, "begin");
    std::string text;
    std::array<char, 16384> chunk; // NOLINT(cppcoreguidelines-pro-type-member-init): read() fills it
    while (true) {
        const ssize_t count = ::read(file.value(), chunk.data(), chunk.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return std::unexpected(Error{std::generic_category().message(errno), errno});
        if (count == 0) return text;
        text.append(chunk.data(), static_cast<std::size_t>(count));
        if (text.size() > largest) return failure("larger than {} bytes", largest);
    }
}

Result<std::uint64_t> read_number(const std::filesystem::path& path) {
    auto text = read_file(path);
    if (!text) return std::unexpected(text.error());
    while (!text->empty() && (text->back() == '\n' || text->back() == ' ')) text->pop_back();
    auto number = parse_number(*text);
    if (!number) return with_context(number.error(), "{}", path.string());
    return number;
}

Result<> write_file(const std::filesystem::path& path, std::string_view text) {
    const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) return system_failure(errno, "open {}", path.string());
    const ssize_t count = ::write(file.value(), text.data(), text.size());
    if (count < 0) return system_failure(errno, "write {}", path.string());
    if (static_cast<std::size_t>(count) != text.size()) return failure("write {}: cut short", path.string());
    return {};
}

} // namespace bpftune::sys
