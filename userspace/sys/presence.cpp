// SPDX-License-Identifier: Apache-2.0
#include "sys/presence.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>

#include <bpf/bpf.h>
#include <unistd.h>

#include "core/text.hpp"
#include "sys/files.hpp"
#include "sys/process.hpp"

namespace bpftune::sys {
namespace {

constexpr const char* map_name = "bpftune_service";
constexpr std::uint32_t bits_of_key = 32;
constexpr auto ending = std::chrono::milliseconds(100);

// The type is for its rights: maps for addresses take CAP_BPF on every kernel, whatever unprivileged_bpf_disabled says.
struct Key {
    std::uint32_t bits = bits_of_key;
    std::uint32_t what = 0;
};
constexpr Key itself{.what = 0}; // newcomers by their pids, until they are taken
constexpr std::uint32_t most_entries = 64;

struct Value {
    std::int32_t pid = 0;
    std::uint32_t unused = 0;
    std::uint64_t start_ticks = 0;
    std::array<char, 256> state_dir{};
};

std::uint64_t ticks_of(pid_t pid) {
    const auto stat = read_file(fmt::format("/proc/{}/stat", pid));
    return stat ? start_ticks(*stat).value_or(0) : 0;
}

Value value_of(const Service& service) {
    Value value{.pid = service.pid, .start_ticks = service.start_ticks};
    service.state_dir.copy(value.state_dir.data(), value.state_dir.size() - 1);
    return value;
}

Service service_of(const Value& value) {
    const std::size_t length = ::strnlen(value.state_dir.data(), value.state_dir.size());
    return {value.pid, value.start_ticks, printable(std::string_view(value.state_dir.data(), length))};
}

bool is_presence(const Fd& map) {
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    return bpf_obj_get_info_by_fd(map.value(), &info, &size) == 0 && std::strcmp(info.name, map_name) == 0 &&
           info.type == BPF_MAP_TYPE_LPM_TRIE && info.key_size == sizeof(Key) && info.value_size == sizeof(Value);
}

Result<std::vector<Fd>> maps_present() {
    std::vector<Fd> maps;
    for (std::uint32_t id = 0; bpf_map_get_next_id(id, &id) == 0;) {
        Fd map(bpf_map_get_fd_by_id(id));
        if (!map && errno == ENOENT) continue; // gone since
        if (!map) return system_failure(errno, "look for other services");
        if (is_presence(map)) maps.push_back(std::move(map));
    }
    if (errno != ENOENT) return system_failure(errno, "look for other services");
    return maps;
}

std::optional<Service> lookup(const Fd& map, const Key& key) {
    Value value;
    if (bpf_map_lookup_elem(map.value(), &key, &value) != 0) return std::nullopt;
    return service_of(value);
}

void tell(const Fd& map, const Service& newcomer) {
    const Value value = value_of(newcomer);
    const Key key{.what = static_cast<std::uint32_t>(newcomer.pid)};
    (void)bpf_map_update_elem(map.value(), &key, &value, BPF_ANY); // one that has gone needs not know
}

std::vector<Service> take_newcomers(const Fd& map) {
    std::vector<Key> keys;
    for (Key key; keys.size() < most_entries; keys.push_back(key))
        if (bpf_map_get_next_key(map.value(), keys.empty() ? nullptr : &keys.back(), &key) != 0) break;
    std::vector<Service> newcomers;
    for (const Key& key : keys) {
        if (key.what == itself.what) continue;
        if (auto newcomer = lookup(map, key)) newcomers.push_back(std::move(*newcomer));
        (void)bpf_map_delete_elem(map.value(), &key);
    }
    return newcomers;
}

bool is_running(const Service& service) { return ticks_of(service.pid) == service.start_ticks; }

} // namespace

Result<std::vector<Service>> services_present() {
    const auto maps = maps_present();
    if (!maps) return std::unexpected(maps.error());
    std::vector<Service> services;
    for (const Fd& map : *maps)
        if (auto service = lookup(map, itself)) services.push_back(std::move(*service));
    std::ranges::sort(services, {}, &Service::pid);
    return services;
}

Result<Presence> Presence::begin(const std::string& state_dir) {
    bpf_map_create_opts options{};
    options.sz = sizeof options;
    options.map_flags = BPF_F_NO_PREALLOC;
    Fd map(bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, map_name, sizeof(Key), sizeof(Value), most_entries, &options));
    if (!map) return system_failure(errno, "tell other services of this one");
    const Value value = value_of({::getpid(), ticks_of(::getpid()), state_dir});
    if (bpf_map_update_elem(map.value(), &itself, &value, BPF_ANY) != 0)
        return system_failure(errno, "tell other services of this one");
    return Presence(std::move(map), service_of(value));
}

Result<> Presence::look() {
    auto maps = maps_present();
    if (maps && maps->size() > 1) {
        maps->clear(); // who holds them keeps the dead present
        std::this_thread::sleep_for(ending);
        maps = maps_present();
    }
    if (!maps) return std::unexpected(maps.error());
    for (const Fd& map : *maps) {
        const auto other = lookup(map, itself);
        if (!other || *other == own_) continue;
        note(*other);
        tell(map, own_);
    }
    return {};
}

void Presence::note(const Service& service) { others_.push_back({service, is_running(service)}); }

std::vector<Service> Presence::others() {
    for (const Service& newcomer : take_newcomers(map_))
        if (std::ranges::find(others_, newcomer, &Other::service) == others_.end()) note(newcomer);
    std::erase_if(others_, [](const Other& other) { return other.is_shown && !is_running(other.service); });
    std::vector<Service> services;
    services.reserve(others_.size());
    for (const Other& other : others_) services.push_back(other.service);
    return services;
}

} // namespace bpftune::sys
