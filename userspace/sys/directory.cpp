// SPDX-License-Identifier: Apache-2.0
#include "sys/directory.hpp"

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

namespace bpftune::sys {
namespace {

struct Close {
    void operator()(DIR* open) const { ::closedir(open); }
};
using Folder = std::unique_ptr<DIR, Close>;

Result<std::vector<int>> numbers_in(const Folder& open, const std::string& name, std::size_t most, int from = 0) {
    if (!open) return system_failure(errno, "open {}", name);
    std::vector<int> numbers;
    while (numbers.size() < most) {
        errno = 0;
        const dirent* entry = ::readdir(open.get());
        if (entry == nullptr && errno != 0) return system_failure(errno, "read {}", name);
        if (entry == nullptr) break;
        const std::string_view text = entry->d_name;
        int number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error == std::errc{} && end == text.data() + text.size() && number >= from) numbers.push_back(number);
    }
    std::ranges::sort(numbers);
    return numbers;
}

} // namespace

Result<std::vector<int>> numbered_entries(const std::filesystem::path& directory, std::size_t most) {
    return numbers_in(Folder(::opendir(directory.c_str())), directory.string(), most);
}

Result<std::vector<int>> descriptors_from(const std::filesystem::path& directory, int from, std::size_t most) {
    const Folder open(::opendir(directory.c_str()));
    constexpr long dots = 2; // "." and ".." have the first places, each descriptor its own (fs/proc/fd.c)
    if (open && from > 0) ::seekdir(open.get(), from + dots);
    return numbers_in(open, directory.string(), most, std::max(from, 0));
}

Result<std::vector<int>> numbered_entries(const Fd& above, const char* path) {
    Fd listed(::openat(above.value(), path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const Folder open(listed ? ::fdopendir(listed.value()) : nullptr);
    if (open) (void)listed.release(); // it is the folder's now
    return numbers_in(open, path, std::numeric_limits<std::size_t>::max());
}

} // namespace bpftune::sys
