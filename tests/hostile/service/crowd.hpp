// SPDX-License-Identifier: Apache-2.0
// Network namespaces, each with a process in it that holds many listeners and does nothing, all of whose limits are
// raised as a service raises them, but at one go.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include <sys/mman.h>
#include <sys/resource.h>

#include "actuators/journal.hpp"
#include "netns/service/fixtures.hpp"
#include "service/boot.hpp"
#include "sys/clock.hpp"
#include "tunables/codec.hpp"

namespace bpftune::testing {

class Crowd {
public:
    static constexpr std::uint64_t asked = 8;   // what the listeners asked for,
    static constexpr std::uint64_t raised = 64; // and what they are raised to

    Crowd(std::size_t namespaces, std::size_t listeners) : count_(listeners) {
        for (std::size_t i = 0; i < namespaces; ++i) members_.push_back(std::make_unique<Member>(listeners));
    }

    // One for each listener, and somaxconn of each namespace.
    [[nodiscard]] std::size_t values() const { return members_.size() * (count_ + 1); }

    void raise(const fs::path& state) const {
        auto writer = take(actuators::Writer::start());
        auto journal = take(actuators::Journal::open(state, take(service::boot_id())));
        for (const auto& member : members_) {
            const std::vector<Decision> decisions = raises(*member);
            std::vector<Change> changes;
            for (const Decision& each : decisions)
                changes.push_back(tunables::change_of(each, sys::now().wall, ChangeState::kept));
            const auto rows = take(journal.begin(changes));
            std::vector<Outcome> outcomes;
            writer.write(decisions, [&](Outcome outcome) { outcomes.push_back(std::move(outcome)); });
            must(journal
                     .at_one_go([&]() -> Result<> {
                         for (std::size_t i = 0; i < rows.size(); ++i) {
                             must(outcomes[i].kind == Outcome::Kind::written, "raise: " + outcomes[i].error);
                             if (auto done = journal.written(rows[i], {}); !done) return done;
                         }
                         return {};
                     })
                     .has_value(),
                 "record");
        }
    }

    // How many of its values are back, without the namespaces `from` to `to`.
    [[nodiscard]] std::size_t back() const { return back(members_.size(), members_.size()); }
    [[nodiscard]] std::size_t back(std::size_t from, std::size_t to) const {
        std::size_t count = 0;
        for (std::size_t i = 0; i < members_.size(); ++i)
            if (i < from || i >= to) count += members_[i]->back();
        return count;
    }

    // All its processes, and with them their namespaces.
    void end() { members_.clear(); }

    // The last listeners of a namespace are kept locked by their process from then on.
    void lock(std::size_t member, int listeners) const { members_.at(member)->lock(listeners); }

private:
    struct Listener {
        std::uint64_t cookie = 0;
        std::uint64_t inode = 0;
        int fd = -1;
    };
    // Between the test and a process.
    struct Board {
        std::atomic<int> to_lock = 0;
        std::atomic<int> locked = 0;
        std::array<Listener, 1000> listeners;
    };

    class Member {
    public:
        explicit Member(std::size_t listeners)
            : count_(listeners), board_(shared_board()), process_([&] { return listen(); }),
              netns_(take(sys::netns_of(process_.pid()))) {}
        Member(const Member&) = delete;
        Member& operator=(const Member&) = delete;
        ~Member() { ::munmap(board_, sizeof(Board)); }

        [[nodiscard]] Scope scope() const {
            return {.netns = netns_, .netns_pid = process_.pid(), .listener = {}, .pod = {}};
        }
        [[nodiscard]] Scope scope(std::size_t number) const {
            const Listener& listener = board_->listeners.at(number);
            Scope scope = this->scope();
            scope.listener = ListenerRef{.cookie = listener.cookie,
                                         .inode = listener.inode,
                                         .local = {.address = "0.0.0.0", .port = port_of(number)},
                                         .pid = process_.pid(),
                                         .fd = listener.fd};
            return scope;
        }
        [[nodiscard]] std::size_t back() const {
            std::size_t count = somaxconn() == usual_somaxconn ? 1 : 0;
            for (std::size_t i = 0; i < count_; ++i) {
                const sys::Fd socket = take(sys::fetch_descriptor(process_.pid(), board_->listeners.at(i).fd));
                count += limit_of(socket) == asked ? 1 : 0;
            }
            return count;
        }
        void lock(int listeners) const {
            board_->to_lock = listeners;
            must(comes_true([&] { return board_->locked == listeners; }), "lock listeners");
        }

    private:
        static Board* shared_board() {
            void* place = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
            must(place != MAP_FAILED, "mmap");
            return new (place) Board;
        }
        static std::uint16_t port_of(std::size_t number) { return static_cast<std::uint16_t>(10'000 + number); }

        [[nodiscard]] std::uint64_t somaxconn() const {
            std::uint64_t value = 0;
            std::thread([&] {
                const sys::Fd netns = take(sys::find_netns(netns_, {.pid = process_.pid(), .path = {}}));
                const sys::NetnsGuard inside = take(sys::NetnsGuard::enter(netns));
                value = take(sys::read_number("/proc/sys/net/core/somaxconn"));
            }).join();
            return value;
        }

        std::uint64_t listen() const {
            rlimit descriptors{};
            must(::getrlimit(RLIMIT_NOFILE, &descriptors) == 0, "know how many descriptors it may have");
            descriptors.rlim_cur = descriptors.rlim_max;
            must(::setrlimit(RLIMIT_NOFILE, &descriptors) == 0, "have as many");
            must(::unshare(CLONE_NEWNET) == 0, "unshare");
            for (std::size_t i = 0; i < count_; ++i) {
                const int fd = listen_on("0.0.0.0", port_of(i), asked).release();
                struct stat status{};
                must(::fstat(fd, &status) == 0, "fstat");
                board_->listeners.at(i) = {.cookie = take(sys::socket_cookie(fd)), .inode = status.st_ino, .fd = fd};
            }
            std::thread([board = board_, count = count_] {
                while (board->to_lock == 0) std::this_thread::sleep_for(std::chrono::milliseconds(100));
                for (int i = 0; i < board->to_lock; ++i) {
                    keep_locked(board->listeners.at(count - 1 - static_cast<std::size_t>(i)).fd);
                    board->locked = i + 1;
                }
            }).detach();
            return 0;
        }

        std::size_t count_;
        Board* board_;
        Process process_;
        NetnsId netns_;
    };

    static constexpr std::uint64_t usual_somaxconn = 4096;

    std::vector<Decision> raises(const Member& member) const {
        std::vector<Decision> decisions;
        decisions.push_back({.act = Decision::Act::write,
                             .tunable = TunableId::somaxconn,
                             .scope = member.scope(),
                             .from = usual_somaxconn,
                             .to = 2 * usual_somaxconn,
                             .why = "its queue overflowed",
                             .evidence = {},
                             .event = {}});
        for (std::size_t i = 0; i < count_; ++i)
            decisions.push_back({.act = Decision::Act::write,
                                 .tunable = TunableId::listener_backlog,
                                 .scope = member.scope(i),
                                 .from = asked,
                                 .to = raised,
                                 .why = "its queue overflowed",
                                 .evidence = {},
                                 .event = {}});
        return decisions;
    }

    std::size_t count_;
    std::vector<std::unique_ptr<Member>> members_;
};

} // namespace bpftune::testing
