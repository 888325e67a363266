// SPDX-License-Identifier: Apache-2.0
#include "sys/directory.hpp"

#include <algorithm>
#include <charconv>
#include <memory>
#include <string_view>

#include <dirent.h>

namespace bpftune::sys {

Result<std::vector<int>> numbered_entries(const std::filesystem::path& directory, std::size_t most) {
    struct Close {
        void operator()(DIR* open) const { ::closedir(open); }
    };
    const std::unique_ptr<DIR, Close> open(::opendir(directory.c_str()));
    if (!open) return system_failure(errno, "open {}", directory.string());
    std::vector<int> numbers;
    while (numbers.size() < most) {
        errno = 0;
        const dirent* entry = ::readdir(open.get());
        if (entry == nullptr && errno != 0) return system_failure(errno, "read {}", directory.string());
        if (entry == nullptr) break;
        const std::string_view name = entry->d_name;
        int number = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
        if (error == std::errc{} && end == name.data() + name.size() && number >= 0) numbers.push_back(number);
    }
    std::ranges::sort(numbers);
    return numbers;
}

} // namespace bpftune::sys
