// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 as far as a server needs it that only answers GET and HEAD, and one request of a connection: no body of a
// request is of interest, nor any header line. Pure; what is received is anybody's.
#pragma once

#include <cstddef>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

namespace bpftune::service {

// Request line and header lines, in bytes.
inline constexpr std::size_t longest_http_request = std::size_t{8} * 1024;

struct HttpRequest {
    std::string_view path; // of what was parsed, without its query
    bool with_body = true; // GET; else HEAD
};

struct HttpResponse {
    std::string_view status = "200 OK"; // a literal; with "\r\nNAME: VALUE" more header lines
    std::shared_ptr<const std::string> body;
    std::string_view type = "text/plain"; // a literal
};

HttpResponse text_response(std::string_view status, std::string text);

// Whether all header lines are there, or too many bytes of them; the first `known` bytes were looked at before.
bool is_whole(std::string_view received, std::size_t known = 0);

// Of what is whole: the request, or how it is refused.
std::expected<HttpRequest, HttpResponse> parse_http(std::string_view received);

// Status line and header lines. The connection ends after the body.
std::string head_of(const HttpResponse& response);

} // namespace bpftune::service
