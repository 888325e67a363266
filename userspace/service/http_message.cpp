// SPDX-License-Identifier: Apache-2.0
#include "service/http_message.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace bpftune::service {
namespace {

// Where the first byte after the header lines is; npos: not there.
std::size_t end_of_head(std::string_view received, std::size_t from) {
    const std::size_t crlf = received.find("\r\n\r\n", from);
    const std::size_t lf = received.find("\n\n", from);
    return std::min(crlf == std::string_view::npos ? crlf : crlf + 4, lf == std::string_view::npos ? lf : lf + 2);
}

} // namespace

HttpResponse text_response(std::string_view status, std::string text) {
    return {.status = status, .body = std::make_shared<const std::string>(std::move(text))};
}

bool is_whole(std::string_view received, std::size_t known) {
    const std::size_t from = known - std::min<std::size_t>(known, 3); // "\r\n\r" may have been its end
    return received.size() > longest_http_request || end_of_head(received, from) != std::string_view::npos;
}

std::expected<HttpRequest, HttpResponse> parse_http(std::string_view received) {
    if (end_of_head(received, 0) > longest_http_request)
        return std::unexpected(text_response("431 Request Header Fields Too Large", "too long\n"));
    const std::string_view line = received.substr(0, received.find_first_of("\r\n"));
    const std::size_t method_end = line.find(' ');
    const std::size_t target_end = line.rfind(' ');
    if (target_end == std::string_view::npos || target_end == method_end ||
        !line.substr(target_end).starts_with(" HTTP/1."))
        return std::unexpected(text_response("400 Bad Request", "no request of HTTP/1.1\n"));
    const std::string_view method = line.substr(0, method_end);
    if (method != "GET" && method != "HEAD")
        return std::unexpected(text_response("405 Method Not Allowed\r\nAllow: GET, HEAD", "GET or HEAD\n"));
    const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
    return HttpRequest{.path = target.substr(0, target.find('?')), .with_body = method == "GET"};
}

std::string head_of(const HttpResponse& response) {
    return fmt::format("HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                       response.status, response.type, response.body->size());
}

} // namespace bpftune::service
