// SPDX-License-Identifier: Apache-2.0
// The local API: one JSON object a line in, one JSON document a line out, over a Unix socket.
//
//   {"command": "top"}                       -> the document of `top --once -o json`
//   {"command": "restore", "dry_run": true}  -> the document of `restore -o json`; "now": true as --now
//   {"command": "policy"}                    -> {"file": ..., "found": true, "policy": "<what is in force, as YAML>"}
//   {"command": "policy", "pod": "shop/web-0"} -> {"file": ..., "about": [...], "policy": "<what that leaves this
//   pod>"}
//   {"command": "record"}                    -> lines of a recording (recording/recording.hpp), without end
//   anything else                            -> {"error": "..."}, which says where and why (service/request.hpp)
//
// A line has at most 64 KiB, and at most 32 clients are connected. What a client sent before it closed its side for
// writing is answered, a last line without its end too; for one that has gone nothing is done.
#pragma once

#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include <systemd/sd-event.h>

#include "core/result.hpp"
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

    [[nodiscard]] bool has_followers() const;
    // A line to each follower. One that does not read is not waited for: with too much unread it is told so, and left.
    void publish(std::string_view line);

private:
    struct Client {
        ApiServer* server = nullptr;
        sys::Fd socket;
        sd_event_source* source = nullptr;
        std::string in;
        std::string out;
        bool follows = false;
        bool half_closed = false; // it sends no more
        bool ends = false;        // when `out` is sent
    };

    ApiServer(std::filesystem::path path, Handler handler, sys::Fd socket)
        : path_(std::move(path)), handler_(std::move(handler)), socket_(std::move(socket)) {}
    static int on_connection(sd_event_source*, int fd, std::uint32_t, void* self);
    static int on_client(sd_event_source*, int fd, std::uint32_t events, void* client);
    bool serve(Client& client, std::uint32_t events);
    static bool receive(Client& client);
    void answer_next(Client& client);
    [[nodiscard]] Answer answer_to(const std::string& line) const;
    static bool flush(Client& client);
    static void await(const Client& client);
    static void leave(Client& client);
    void drop(const Client& client);

    std::filesystem::path path_;
    Handler handler_;
    sys::Fd socket_;
    sd_event_source* source_ = nullptr;
    std::list<Client> clients_;
};

// One request to a service: connects, sends `line`, returns the answer's line.
Result<std::string> ask(const std::filesystem::path& path, const std::string& line);

// The same, for an answer without end: the connection, to be read from.
Result<sys::Fd> begin_to_ask(const std::filesystem::path& path, const std::string& line);

// Whether an error of `ask` says that no service runs: its code is that of connect().
bool no_service(const Error& error);

} // namespace bpftune::service
