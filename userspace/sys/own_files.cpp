// SPDX-License-Identifier: Apache-2.0
#include "sys/own_files.hpp"

#include <cstdlib>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/parse.hpp"
#include "core/text.hpp"
#include "sys/files.hpp"

namespace bpftune::sys {
namespace {

constexpr mode_t directory_mode = 0750;

// Of a link O_NOFOLLOW says ELOOP; with O_DIRECTORY, ENOTDIR.
constexpr int not_followed = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

std::string shown(const std::filesystem::path& path) { return printable(path.string()); }

// Who called sudo(8) has chosen what this process does, and could do the same without it.
bool is_of_sudo(uid_t user) {
    const char* const text = ::geteuid() == 0 ? std::getenv("SUDO_UID") : nullptr;
    const auto caller = parse_number(text != nullptr ? text : "");
    return caller && *caller == user;
}

// In a directory that is sticky nobody moves or removes what is ours, but who makes a file of its name first keeps us
// from it.
bool others_write(const struct stat& file) {
    return (file.st_mode & S_IWOTH) != 0 || ((file.st_mode & S_IWGRP) != 0 && file.st_gid != 0);
}

Result<> check_whose(const struct stat& file, const std::filesystem::path& path) {
    const uid_t ours = ::geteuid();
    if (file.st_uid != 0 && file.st_uid != ours && !is_of_sudo(file.st_uid))
        return failure("{} belongs to user {}, who could have this service do as it says: `chown {} {}`, if what is "
                       "in it is right",
                       shown(path), file.st_uid, ours, shown(path));
    if (!others_write(file)) return {};
    const bool is_for_all = S_ISDIR(file.st_mode) && (file.st_mode & S_ISVTX) != 0; // as /tmp, which has to stay so
    return failure(
        "{} can be written by others than its owner (mode {:04o}): {}", shown(path), file.st_mode & 07777,
        is_for_all
            ? "name one that nobody else uses, or `chmod 750` where it is the service's alone, as a tmpfs of its own is"
            : fmt::format("`chmod go-w {}`, if what is in it is right", shown(path)));
}

Result<struct stat> status_of(const Fd& file, const std::filesystem::path& path) {
    struct stat status{};
    if (::fstat(file.value(), &status) != 0) return system_failure(errno, "look at {}", shown(path));
    return status;
}

// Of one that is not a link.
Result<> check_kept(const struct stat& file, const std::filesystem::path& path) {
    if (!S_ISREG(file.st_mode)) return failure("{} is not a regular file: move it away", shown(path));
    if (file.st_nlink > 1)
        return failure("{} has {} names: writing it would write what the others stand for. Move it away", shown(path),
                       file.st_nlink);
    return check_whose(file, path);
}

std::unexpected<Error> is_link(const std::filesystem::path& path, const char* what_to_do) {
    return failure("{} is a link, which is not followed: {}", shown(path), what_to_do);
}

} // namespace

Result<OwnDirectory> open_own_directory(const std::filesystem::path& path) {
    const std::filesystem::path named = path.has_filename() ? path : path.parent_path(); // "state/" would be followed
    std::error_code error;
    if (std::filesystem::create_directories(named, error)) ::chmod(named.c_str(), directory_mode);
    if (error) return std::unexpected(Error{fmt::format("create {}: {}", shown(path), error.message()), error.value()});
    Fd directory(::open(named.c_str(), O_RDONLY | O_DIRECTORY | not_followed));
    const int code = errno;
    if (!directory && std::filesystem::is_symlink(named, error)) return is_link(path, "name the directory itself");
    if (!directory) return system_failure(code, "open {}", shown(path));
    const auto status = status_of(directory, path);
    if (!status) return std::unexpected(status.error());
    if (auto whose = check_whose(*status, path); !whose) return std::unexpected(whose.error());
    return OwnDirectory{.path = path, .fd = std::move(directory)};
}

Result<Fd> open_own_file(const OwnDirectory& directory, const std::string& name, mode_t mode) {
    const std::filesystem::path path = directory.path / name;
    Fd file(::openat(directory.fd.value(), name.c_str(), O_RDWR | O_CREAT | not_followed, mode));
    if (!file && errno == EROFS) {
        file = Fd(::openat(directory.fd.value(), name.c_str(), O_RDONLY | not_followed));
        if (!file && errno == ENOENT) errno = EROFS; // it cannot be made
    }
    if (!file && errno == ELOOP) return is_link(path, "move it away");
    if (!file) return system_failure(errno, "open {}", shown(path));
    const auto status = status_of(file, path);
    if (!status) return std::unexpected(status.error());
    if (auto kept = check_kept(*status, path); !kept) return std::unexpected(kept.error());
    return file;
}

Result<> check_own_file(const OwnDirectory& directory, const std::string& name) {
    const std::filesystem::path path = directory.path / name;
    struct stat status{};
    if (::fstatat(directory.fd.value(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? Result<>() : system_failure(errno, "look at {}", shown(path));
    if (S_ISLNK(status.st_mode)) return is_link(path, "move it away");
    return check_kept(status, path);
}

Result<std::string> read_trusted_file(const std::filesystem::path& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)); // a pipe is not waited for
    if (!file) return system_failure(errno, "open {}", shown(path));
    const auto status = status_of(file, path);
    if (!status) return std::unexpected(status.error());
    if (!S_ISREG(status->st_mode)) return failure("{} is not a regular file", shown(path));
    if (auto whose = check_whose(*status, path); !whose) return std::unexpected(whose.error());
    auto text = read_all(file);
    if (!text) return with_context(text.error(), "read {}", shown(path));
    return text;
}

} // namespace bpftune::sys
