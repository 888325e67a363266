// SPDX-License-Identifier: Apache-2.0
// One connection of the HTTP port: it asks once, is answered, and ends. Nothing here blocks.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/time.hpp"
#include "service/http_message.hpp"
#include "sys/fd.hpp"

namespace bpftune::service {

class HttpConnection {
public:
    HttpConnection(sys::Fd socket, MonoTime now, MonoTime deadline)
        : socket_(std::move(socket)), begun_(now), deadline_(deadline) {}

    // Takes some of what has come, and tells whether the request is whole by that.
    bool receive();
    [[nodiscard]] std::string_view request() const { return in_; } // until it is answered
    void answer(const HttpResponse& response, bool with_body, MonoTime now);
    // Goes on with what is to be sent, or takes what the client says after its request: nobody reads that.
    void go_on(MonoTime now);

    [[nodiscard]] bool is_sending() const { return answered_ && sent_ < head_.size() + body_->size(); }
    // When the kernel last took something to send: it goes on as the client reads.
    [[nodiscard]] MonoTime last_sent() const { return last_sent_; }
    // The client has gone, has sent too much after its request, or its time has passed.
    [[nodiscard]] bool has_ended(MonoTime now) const { return ended_ || now >= deadline_; }
    [[nodiscard]] MonoTime begun() const { return begun_; } // when it was accepted
    [[nodiscard]] const sys::Fd& socket() const { return socket_; }
    [[nodiscard]] sys::Fd take_socket() { return std::move(socket_); } // at the end

private:
    // Bytes that were received: 0 where there were none.
    std::size_t take(char* into, std::size_t most);
    void send(MonoTime now);

    sys::Fd socket_;
    MonoTime begun_;
    MonoTime deadline_;
    MonoTime last_sent_;
    std::string in_;
    std::string head_;
    std::shared_ptr<const std::string> body_; // shared by all that are told it
    std::size_t sent_ = 0;                    // of head and body
    std::size_t unread_ = 0;                  // what came after the request, in bytes
    bool answered_ = false;
    bool ended_ = false;
};

} // namespace bpftune::service
