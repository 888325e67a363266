// SPDX-License-Identifier: Apache-2.0
// What a client of the HTTP port sends, which comes in pieces.
#include <algorithm>

#include "fuzz/fuzz.hpp"
#include "service/http_message.hpp"

using namespace bpftune;

namespace {

void must_be_a_refusal(const service::HttpResponse& response) {
    fuzz::must(response.status.starts_with('4'), "what is refused is the client's fault");
    fuzz::must(response.body != nullptr, "a refusal says why");
    fuzz::must(service::head_of(response).ends_with("\r\n\r\n"), "the head of an answer has an end");
}

} // namespace

void fuzz::run(std::span<const std::byte> bytes) {
    const std::string_view received = text_of(bytes);
    std::size_t known = 0;
    std::size_t looked_at = 0;
    // Pieces of one byte, and then longer ones: an end is found wherever they are parted.
    for (std::size_t piece = 1; known < received.size(); piece += looked_at / 64) {
        looked_at = std::min(received.size(), known + piece);
        const std::string_view so_far = received.substr(0, looked_at);
        const bool whole = service::is_whole(so_far, known);
        must(whole == service::is_whole(so_far), "what comes in pieces is whole when it would be in one");
        known = looked_at;
        if (!whole) continue;
        const auto request = service::parse_http(so_far);
        if (!request) return must_be_a_refusal(request.error());
        must(so_far.contains(request->path), "a path is what was asked for");
        must(request->path.find_first_of("?\r\n") == std::string_view::npos, "a path is one, without a query");
        return;
    }
}
