// SPDX-License-Identifier: Apache-2.0
// Files that the service keeps or acts on. Who else could write one, or choose what its name stands for, would speak
// for the service: so it belongs to root, to the user of this process or to whoever called sudo(8) for it, no other
// group than root's and no others may write it (a sticky directory neither), and what is kept is no link. Opening
// waits for nobody. Errors say what is wrong and what to do about it.
#pragma once

#include <filesystem>
#include <string>

#include <sys/types.h>

#include "core/result.hpp"
#include "sys/fd.hpp"

namespace bpftune::sys {

struct OwnDirectory {
    std::filesystem::path path;
    Fd fd;
};

// Made (0750) where it is missing.
Result<OwnDirectory> open_own_directory(const std::filesystem::path& path);

// A regular file of it with this one name, to be read and written; made with `mode` where it is missing. It may have
// been made by hand: nothing in it is changed. One on a file system that is read-only can be read alone.
Result<Fd> open_own_file(const OwnDirectory& directory, const std::string& name, mode_t mode);

// The same check of a file that need not be there.
Result<> check_own_file(const OwnDirectory& directory, const std::string& name);

// The text of a regular file. Links to it are followed, as the one that a ConfigMap is shown by: what they end at is
// checked. The error's code is errno where it could not be opened.
Result<std::string> read_trusted_file(const std::filesystem::path& path);

} // namespace bpftune::sys
