// SPDX-License-Identifier: Apache-2.0
// The local API: one JSON object a line in, one JSON document a line out, over a Unix socket.
//
//   {"command": "top"}                       -> the document of `top --once -o json`
//   {"command": "restore", "dry_run": true}  -> the document of `restore -o json`; "now": true as --now
//   {"command": "policy"}                    -> {"file": ..., "found": true, "policy": "<what is in force, as YAML>"}
//   {"command": "policy", "pod": "shop/web-0"}
//                                            -> {"file": ..., "about": [...], "policy": "<what that leaves this pod>"}
//   {"command": "health"}                    -> {"alive": true, "ready": true, "why": null} (service/health.hpp)
//   {"command": "record"}                    -> lines of a recording (recording/recording.hpp), without end
//   anything else                            -> {"error": "..."}, which says where and why (service/request.hpp)
//
// Who may connect is root, and still does not keep others out, by much or by silence:
//
//   clients  32; one more ends who asked nothing for longest, else who was answered longest ago. 4 of them follow
//            ("record"): these are not ended, and a fifth is refused
//   bytes    64 KiB of a line; of what all followers leave unread 16 MiB, each an equal part, or one line; else one
//   answer for each time     10 s from one request to the next, and for an answer to be read. 1,000 clients a second
//   are accepted
//
// What a client sent before it closed its side for writing is answered, a last line without its end too; for one that
// has gone nothing is done. Without a free descriptor they are answered one by one (service/acceptor.hpp).
#pragma once

#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include <systemd/sd-event.h>

#include "core/result.hpp"
#include "core/time.hpp"
#include "service/acceptor.hpp"
#include "sys/fd.hpp"

namespace bpftune::service {

class ApiServer {
public:
    struct Answer {
        std::string line;
        bool follow = false; // what is published from then on is sent as well
    };
    using Handler = std::function<Answer(const std::string& line)>;

    // Listens on `path` (root, 0660), replacing a socket that nobody answers at.
    static Result<std::unique_ptr<ApiServer>> start(sd_event* loop, const std::filesystem::path& path, Handler handler);

    ApiServer(const ApiServer&) = delete;
    ApiServer& operator=(const ApiServer&) = delete;
    ~ApiServer(); // removes the socket

    [[nodiscard]] bool has_followers() const { return followers() > 0; }
    // A line to each follower. One that does not read is not waited for: with too much unread it is told so, and left.
    void publish(std::string_view line);

private:
    struct Client {
        ApiServer* server = nullptr;
        sys::Fd socket;
        sd_event_source* source = nullptr;
        MonoTime deadline; // of the next request, or of reading the answer; of a follower none
        std::string in;
        std::string out;
        bool follows = false;
        bool half_closed = false; // it sends no more
        bool ends = false;        // when `out` is sent
    };

    ApiServer(std::filesystem::path path, Handler handler, sys::Fd socket)
        : path_(std::move(path)), handler_(std::move(handler)), acceptor_(std::move(socket)) {}
    Result<> watch(sd_event* loop);
    static int on_connection(sd_event_source*, int fd, std::uint32_t, void* self);
    static int on_client(sd_event_source*, int fd, std::uint32_t events, void* client);
    static int on_time(sd_event_source*, std::uint64_t, void* self);
    void accept();
    void look_later();
    void let_go_of_late();
    bool make_room();
    void dismiss(Client& client, std::string_view why);
    bool serve(Client& client, std::uint32_t events);
    static bool receive(Client& client);
    void answer_next(Client& client);
    void follow(Client& client, const std::string& line);
    void move_to_end(const Client& client);
    [[nodiscard]] std::size_t followers() const;
    [[nodiscard]] Answer answer_to(const std::string& line) const;
    static bool flush(Client& client);
    static void await(const Client& client);
    static void leave(Client& client);
    void drop(Client& client);

    std::filesystem::path path_;
    Handler handler_;
    Acceptor acceptor_;
    sd_event_source* source_ = nullptr;
    sd_event_source* timer_ = nullptr; // while somebody is connected
    std::list<Client> clients_;        // who was answered, or came, longest ago first
};

} // namespace bpftune::service
